//! Server-sent events: follows a reading for as long as the client wants.
//!
//! The id of each message is the cursor after it, so that a client that comes back with
//! `Last-Event-ID` goes on with exactly the next event. The id also goes out when the stream
//! begins and while it is quiet: a client that lost its connection before the first event goes
//! on where it began. The client's pace is the pace of reading.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use factum_event::event::StoredEvent;
use factum_event::{LogError, StoredRecord};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::page::YIELD_EVERY;
use super::problem::Problem;
use super::query::Filter;
use super::reading::Reading;
use super::session::Session;
use crate::metrics::{Metrics, Open};

/// Bytes that go out at once, where events are there already.
const BLOCK_BYTES: usize = 64 << 10;

/// A place among the event streams that may be open at once.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    _open: Open,
}

impl Slot {
    /// Takes a place, if one is free.
    pub(super) fn take(session: &Session) -> Result<Self, Problem> {
        let permit = Arc::clone(&session.followers).try_acquire_owned().map_err(|_| {
            Problem::busy("too-many-followers", "event streams", session.door.limits.followers)
        })?;
        Ok(Self { _permit: permit, _open: session.door.metrics.http_follower() })
    }
}

struct Stream {
    reading: Reading,
    filter: Filter,
    left: u64,
    scanned: u64,
    state: State,
    keep_alive: Interval,
    refresh: Interval,
    shutdown: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    _slot: Slot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Running,
    Ended,
}

/// What a stream waited for.
enum Turn {
    Record(Box<StoredRecord>),
    Quiet,
    Refresh,
    End(&'static str, String),
}

/// Streams the events of a reading that follows.
pub(super) fn answer(
    session: &Session,
    reading: Reading,
    filter: Filter,
    limit: Option<u64>,
    slot: Slot,
) -> Response {
    let stream = Stream {
        reading,
        filter,
        left: limit.unwrap_or(u64::MAX),
        scanned: 0,
        state: State::New,
        keep_alive: every(session.door.limits.keep_alive),
        refresh: every(session.door.limits.refresh),
        shutdown: session.door.shutdown.clone(),
        metrics: Arc::clone(&session.door.metrics),
        _slot: slot,
    };
    let blocks = unfold(stream, |mut stream| async move {
        let block = stream.block().await?;
        Some((Ok::<_, Infallible>(block), stream))
    });
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream"),
        (CACHE_CONTROL.as_str(), "no-cache"),
        // Proxies of nginx' kind would hold messages back until a buffer is full.
        ("x-accel-buffering", "no"),
    ];
    (headers, Body::from_stream(blocks)).into_response()
}

fn every(period: std::time::Duration) -> Interval {
    let mut interval = interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Stream {
    /// What goes out next; none after the end.
    async fn block(&mut self) -> Option<String> {
        match self.state {
            State::Ended => return None,
            State::New => {
                self.state = State::Running;
                return Some(self.sign_of_life());
            }
            State::Running => {}
        }
        let mut text = String::new();
        while self.state == State::Running {
            match self.turn().await {
                Turn::Record(record) => self.message(&mut text, *record),
                Turn::Quiet => text.push_str(&self.sign_of_life()),
                Turn::Refresh => {
                    if let Err(error) = self.reading.refresh().await {
                        self.end(&mut text, reason(&error), &error.to_string());
                    }
                }
                Turn::End(reason, detail) => self.end(&mut text, reason, &detail),
            }
            if text.len() >= BLOCK_BYTES || (!text.is_empty() && !self.reading.is_ready()) {
                break;
            }
            if self.scanned.is_multiple_of(YIELD_EVERY) {
                tokio::task::yield_now().await;
            }
        }
        Some(text)
    }

    async fn turn(&mut self) -> Turn {
        let shutdown = &mut self.shutdown;
        tokio::select! {
            biased;
            () = async { let _ = shutdown.wait_for(|stopped| *stopped).await; } => {
                Turn::End("shutdown", "the server stops; come back with Last-Event-ID".into())
            }
            _ = self.refresh.tick() => Turn::Refresh,
            _ = self.keep_alive.tick() => Turn::Quiet,
            record = self.reading.next() => match record {
                Ok(Some(record)) => Turn::Record(Box::new(record)),
                Ok(None) => Turn::End("failed", "the reading ended".into()),
                Err(error) => Turn::End(reason(&error), error.to_string()),
            },
        }
    }

    fn message(&mut self, text: &mut String, record: StoredRecord) {
        self.scanned += 1;
        let stored = StoredEvent::from(record);
        if !self.filter.takes(&stored.event) {
            return;
        }
        self.metrics.http_read(1);
        // Writing to a text cannot fail.
        let _ = write!(text, "id: {}\ndata: {}\n\n", self.reading.cursor(), stored.to_line());
        self.keep_alive.reset();
        self.left -= 1;
        if self.left == 0 {
            self.end(text, "limit", "the limit of this request is reached");
        }
    }

    fn sign_of_life(&self) -> String {
        format!(": factum\nid: {}\n\n", self.reading.cursor())
    }

    fn end(&mut self, text: &mut String, reason: &str, detail: &str) {
        self.state = State::Ended;
        if reason == "failed" {
            tracing::error!(detail, "an event stream failed");
        }
        let data = json!({ "reason": reason, "detail": detail });
        let _ = write!(text, "event: end\ndata: {data}\n\n");
    }
}

fn reason(error: &LogError) -> &'static str {
    match error {
        LogError::UnknownTopic(_) => "topic-deleted",
        LogError::Closed => "shutdown",
        _ => "failed",
    }
}
