//! Events as lines of JSON (NDJSON), streamed up to the end at request time. The client's pace
//! is the pace of reading. A failure on the way cuts the connection, as the status is long out.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use factum_event::LogError;
use factum_event::event::StoredEvent;
use futures_util::stream::unfold;

use super::layer;
use super::page::YIELD_EVERY;
use super::query::Filter;
use super::reading::Reading;
use super::session::Session;

/// Bytes that go out at once.
const BLOCK_BYTES: usize = 64 << 10;

struct Lines {
    session: Session,
    reading: Reading,
    filter: Filter,
    left: u64,
    done: bool,
    _place: layer::Place,
}

/// Streams the events of a reading.
pub(super) fn answer(
    session: Session,
    reading: Reading,
    filter: Filter,
    limit: Option<u64>,
    place: layer::Place,
) -> Response {
    let left = limit.unwrap_or(u64::MAX);
    let lines = Lines { session, reading, filter, left, done: false, _place: place };
    let blocks = unfold(lines, |mut lines| async move {
        let block = lines.block().await.transpose()?;
        Some((block, lines))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(blocks)).into_response()
}

impl Lines {
    async fn block(&mut self) -> io::Result<Option<Bytes>> {
        if self.done {
            return Ok(None);
        }
        let text = self.fill().await.map_err(|error| {
            self.done = true;
            tracing::error!(%error, "reading failed; the answer is cut");
            io::Error::other(error)
        })?;
        Ok((!text.is_empty()).then(|| text.into()))
    }

    async fn fill(&mut self) -> Result<String, LogError> {
        let mut text = String::new();
        let (mut events, mut scanned) = (0, 0);
        while self.left > 0 && text.len() < BLOCK_BYTES {
            let Some(record) = self.reading.next().await? else {
                break;
            };
            scanned += 1;
            let stored = StoredEvent::from(record);
            if self.filter.takes(&stored.event) {
                text.push_str(&stored.to_line());
                text.push('\n');
                self.left -= 1;
                events += 1;
            }
            if scanned % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.done = text.len() < BLOCK_BYTES;
        self.session.door.metrics.http_read(events);
        Ok(text)
    }
}
