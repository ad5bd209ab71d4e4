//! The routes as a client meets them, on a log in memory.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use factum_event::event::{Event, json};
use factum_event::{EventLog, SystemClock};
use futures_util::StreamExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json as value};
use tokio::sync::watch;

use super::memory_log::MemoryLog;
use super::{HttpDoor, HttpLimits, router};
use crate::login::Login;
use crate::metrics::Metrics;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const EVENT: &str = r#"{"specversion":"1.0","id":"e","source":"s","type":"t"}"#;

mod administration;
mod events;
mod refusals;
mod streams;

struct Door {
    routes: TowerToHyperService<axum::Router>,
    log: Arc<MemoryLog>,
    stop: watch::Sender<bool>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The events of a page or of lines, without their positions.
    fn events(&self) -> Vec<Event> {
        let events = match self.header("content-type") {
            BATCH => json::decode_batch(self.body.as_bytes(), 1_000_000).expect("a batch"),
            "application/x-ndjson" => {
                let decode = |line: &str| json::decode(line.as_bytes()).expect("an event");
                self.body.lines().map(decode).collect()
            }
            other => panic!("{other}: {}", self.body),
        };
        events.into_iter().map(Event::without_position).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.events().iter().map(|event| event.id().to_owned()).collect()
    }
}

impl Door {
    fn new() -> Self {
        Self::limited(HttpLimits::default())
    }

    fn limited(limits: HttpLimits) -> Self {
        let (stop, shutdown) = watch::channel(false);
        let log = Arc::new(MemoryLog::new());
        let door = HttpDoor {
            enter: {
                let log = Arc::clone(&log);
                Arc::new(move |_, _| Arc::clone(&log) as Arc<dyn EventLog>)
            },
            login: Arc::new(
                Login::open(Arc::clone(&log) as _, None, None, Arc::new(SystemClock::new()))
                    .expect("random bytes"),
            ),
            clock: Arc::new(SystemClock::new()),
            metrics: Arc::new(Metrics::new()),
            limits,
            ready: Arc::new(|| Err("the disk is full".to_owned())),
            shutdown,
        };
        Self { routes: TowerToHyperService::new(router(door)), log, stop }
    }

    /// Sends `METHOD PATH`, with headers and a body.
    async fn raw(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        self.routes.call(request).await.expect("routes always answer")
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (head, body) = self.raw(line, headers, body).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a whole body");
        let body = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "").await
    }

    async fn lines(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[("accept", "application/x-ndjson")], "").await
    }

    async fn topic(&self, name: &str, partitions: u32) {
        let body = value!({ "name": name, "partitions": partitions }).to_string();
        let answer = self.send("POST /topics", &[], body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Publishes one event with this id, and an own correlation id if it has a dash.
    async fn publish(&self, topic: &str, partition: u32, id: &str) {
        let mut event = Event::builder("s", "t").id(id);
        if let Some((story, _)) = id.split_once('-') {
            event = event.correlationid(story);
        }
        let body = json::encode(&event.build().expect("an event"));
        let line = format!("POST /topics/{topic}/events?partition={partition}");
        let answer = self.send(&line, &[("content-type", STRUCTURED)], body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    async fn follow(&self, path: &str, last: Option<&str>) -> Follower {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.map(|id| ("last-event-id", id)));
        let response = self.raw(&format!("GET {path}"), &headers, "").await;
        assert_eq!(response.status(), 200);
        Follower {
            body: response.into_body().into_data_stream(),
            text: String::new(),
            last: String::new(),
        }
    }
}

/// A client of server-sent events, as the standard has it.
struct Follower {
    body: BodyDataStream,
    text: String,
    last: String,
}

impl Follower {
    /// The next message as (event name, data); none at the end.
    async fn message(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (mut name, mut data) = ("message".to_owned(), String::new());
                for line in frame.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => self.last = id.to_owned(),
                        Some(("event", event)) => name = event.to_owned(),
                        Some(("data", text)) => data = text.to_owned(),
                        _ => assert!(line.starts_with(':'), "{line}"),
                    }
                }
                self.text = rest.to_owned();
                if !data.is_empty() {
                    return Some((name, data));
                }
            }
            let block = self.body.next().await?.expect("a stream does not fail");
            self.text.push_str(std::str::from_utf8(&block).expect("text"));
        }
    }

    /// The id of the next event.
    async fn id(&mut self) -> String {
        let (name, data) = self.message().await.expect("the stream goes on");
        assert_eq!(name, "message", "{data}");
        json::decode(data.as_bytes()).expect("an event").id().to_owned()
    }

    /// The id that the stream begins with.
    async fn greeting(&mut self) -> String {
        let block = self.body.next().await.expect("a greeting").expect("a stream does not fail");
        let text = std::str::from_utf8(&block).expect("text");
        let id = text.strip_prefix(": factum\nid: ").expect("an id");
        id.trim_end().to_owned()
    }

    async fn end(&mut self) -> String {
        let (name, data) = self.message().await.expect("an end");
        assert_eq!(name, "end", "{data}");
        assert_eq!(self.message().await, None);
        let data: Value = serde_json::from_str(&data).expect("JSON");
        data["reason"].as_str().expect("a reason").to_owned()
    }
}
