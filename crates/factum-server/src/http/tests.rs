//! The routes as a client meets them, on a log in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use factum_event::event::{Event, StoredEvent, http, json};
use factum_event::record::{Header, Outgoing};
use factum_event::{EventLog, Record, SystemClock, Timestamp};
use futures_util::StreamExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json as value};
use tokio::sync::watch;

use super::memory_log::MemoryLog;
use super::{HttpDoor, HttpLimits, router};
use crate::metrics::Metrics;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const EVENT: &str = r#"{"specversion":"1.0","id":"e","source":"s","type":"t"}"#;

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
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
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
        self.events()
            .iter()
            .map(|event| event.id().to_owned())
            .collect()
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
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            clock: Arc::new(SystemClock::new()),
            metrics: Arc::new(Metrics::new()),
            limits,
            ready: Arc::new(|| Err("the disk is full".to_owned())),
            shutdown,
        };
        Self {
            routes: TowerToHyperService::new(router(door)),
            log,
            stop,
        }
    }

    /// Sends `METHOD PATH`, with headers and a body.
    async fn raw(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        self.routes
            .call(request)
            .await
            .expect("routes always answer")
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (head, body) = self.raw(line, headers, body).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a whole body");
        let body = String::from_utf8(body.to_vec()).expect("text");
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "").await
    }

    async fn lines(&self, path: &str) -> Answer {
        self.send(
            &format!("GET {path}"),
            &[("accept", "application/x-ndjson")],
            "",
        )
        .await
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
        let answer = self
            .send(&line, &[("content-type", STRUCTURED)], body)
            .await;
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
            self.text
                .push_str(std::str::from_utf8(&block).expect("text"));
        }
    }

    /// The id of the next event.
    async fn id(&mut self) -> String {
        let (name, data) = self.message().await.expect("the stream goes on");
        assert_eq!(name, "message", "{data}");
        json::decode(data.as_bytes())
            .expect("an event")
            .id()
            .to_owned()
    }

    /// The id that the stream begins with.
    async fn greeting(&mut self) -> String {
        let block = self
            .body
            .next()
            .await
            .expect("a greeting")
            .expect("a stream does not fail");
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

fn samples() -> Vec<Event> {
    let time = "2026-01-31T12:00:00.123456+01:00".parse().expect("a time");
    let event = |id: &str| Event::builder("/shop/eu", "com.example.Placed").id(id);
    let built = [
        event("none"),
        event("json")
            .json_text(&b"{\n \"b\": 1, \"a\": [1.0, \"\xc3\xa4\"]}"[..])
            .subject("o/1"),
        event("text")
            .text("Grüße,\nzwei Zeilen")
            .time(time)
            .extension("n", 7),
        event("binary")
            .binary(&[0u8, 159, 255][..])
            .extension("ok", true),
        event("full \"%\" ü")
            .correlationid("c-1")
            .causationid("c-0")
            .partitionkey("k")
            .text(""),
    ];
    built
        .into_iter()
        .map(|event| event.build().expect("an event"))
        .collect()
}

#[tokio::test]
async fn what_is_published_in_any_mode_reads_back_equal() {
    let door = Door::new();
    let events = samples();
    for (topic, encode) in [
        ("binary", http::encode_binary as fn(&Event) -> http::Encoded),
        ("structured", http::encode_structured),
    ] {
        door.topic(topic, 1).await;
        for (at, event) in events.iter().enumerate() {
            let encoded = encode(event);
            let headers: Vec<_> = encoded
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let line = format!("POST /topics/{topic}/events");
            let answer = door.send(&line, &headers, encoded.body).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let expected = value!({
                "topic": topic, "partition": 0, "offset": at, "id": event.id()
            });
            assert_eq!(answer.json(), value!({ "positions": [expected] }));
        }
    }
    door.topic("batch", 1).await;
    let encoded = http::encode_batch(&events);
    let headers = [("content-type", BATCH)];
    let answer = door
        .send("POST /topics/batch/events", &headers, encoded.body)
        .await;
    assert_eq!(
        answer.json()["positions"].as_array().map(Vec::len),
        Some(events.len())
    );
    for topic in ["binary", "structured", "batch"] {
        let path = format!("/topics/{topic}/events");
        assert_eq!(door.get(&path).await.events(), events, "{topic}");
        assert_eq!(door.lines(&path).await.events(), events, "{topic}");
        let mut follower = door.follow(&path, None).await;
        for event in &events {
            let (_, data) = follower.message().await.expect("an event");
            let have = json::decode(data.as_bytes())
                .expect("an event")
                .without_position();
            assert_eq!(&have, event);
        }
    }
}

#[tokio::test]
async fn bad_input_is_answered_with_a_problem_that_names_it() {
    let limits = HttpLimits {
        body_bytes: 1000,
        batch_events: 2,
        ..HttpLimits::default()
    };
    let door = Door::limited(limits);
    door.topic("orders", 2).await;
    let batch = |second: &str| format!("[{EVENT},{second}]");
    let no_source = r#"{"specversion":"1.0","id":"e","type":"t"}"#;
    let no_zone =
        r#"{"specversion":"1.0","id":"e","source":"s","type":"t","time":"2026-01-31T12:00:00"}"#;
    let publish = "POST /topics/orders/events";
    let table = [
        (
            publish,
            STRUCTURED,
            "nonsense".to_owned(),
            400,
            "not-json",
            value!({}),
        ),
        (
            publish,
            STRUCTURED,
            "[]".into(),
            400,
            "not-json",
            value!({}),
        ),
        (
            publish,
            STRUCTURED,
            no_source.into(),
            400,
            "missing-attribute",
            value!({"attribute": "source"}),
        ),
        (
            publish,
            BATCH,
            batch(no_source),
            400,
            "missing-attribute",
            value!({"attribute": "source", "index": 1}),
        ),
        (
            publish,
            STRUCTURED,
            no_zone.into(),
            400,
            "invalid-attribute",
            value!({"attribute": "time", "came": "2026-01-31T12:00:00"}),
        ),
        (
            publish,
            STRUCTURED,
            EVENT.replace("1.0", "0.3"),
            400,
            "unknown-specversion",
            value!({"attribute": "specversion"}),
        ),
        (
            publish,
            "text/plain",
            "no ce- headers".into(),
            400,
            "missing-attribute",
            value!({}),
        ),
        (
            publish,
            "application/cloudevents+xml",
            "<a/>".into(),
            415,
            "unknown-event-format",
            value!({}),
        ),
        (
            publish,
            BATCH,
            format!("[{EVENT},{EVENT},{EVENT}]"),
            413,
            "too-large",
            value!({"limit": 2}),
        ),
        (
            publish,
            STRUCTURED,
            " ".repeat(1001),
            413,
            "body-too-large",
            value!({}),
        ),
        (
            "POST /topics/other/events",
            STRUCTURED,
            EVENT.into(),
            404,
            "unknown-topic",
            value!({"topic": "other"}),
        ),
        (
            "POST /topics/a%20b/events",
            STRUCTURED,
            EVENT.into(),
            400,
            "invalid-topic-name",
            value!({"came": "a b"}),
        ),
        (
            "POST /topics/__factum_control/events",
            STRUCTURED,
            EVENT.into(),
            403,
            "internal-topic",
            value!({}),
        ),
        (
            "POST /topics/orders/events?partition=2",
            STRUCTURED,
            EVENT.into(),
            404,
            "unknown-partition",
            value!({"partitions": 2}),
        ),
        (
            "POST /topics/orders/events?partition=x",
            STRUCTURED,
            EVENT.into(),
            400,
            "invalid-parameter",
            value!({"parameter": "partition", "came": "x"}),
        ),
        (
            "POST /topics/orders/events?key=x",
            STRUCTURED,
            EVENT.into(),
            400,
            "invalid-parameter",
            value!({"parameter": "key"}),
        ),
        (
            "GET /topics/other/events",
            "",
            String::new(),
            404,
            "unknown-topic",
            value!({}),
        ),
        (
            "GET /topics/orders/events?from=soon",
            "",
            String::new(),
            400,
            "invalid-parameter",
            value!({"parameter": "from", "came": "soon"}),
        ),
        (
            "GET /topics/orders/events?partition=7",
            "",
            String::new(),
            404,
            "unknown-partition",
            value!({"partitions": 2}),
        ),
        (
            "GET /topics/orders/events?partition=0&from=9",
            "",
            String::new(),
            416,
            "offset-out-of-range",
            value!({"from": 9, "start": 0, "end": 0}),
        ),
        (
            "GET /topics/orders/events?cursor=0:9",
            "",
            String::new(),
            416,
            "offset-out-of-range",
            value!({"from": 9}),
        ),
        (
            "GET /topics/orders/events?cursor=5:0",
            "",
            String::new(),
            400,
            "invalid-parameter",
            value!({"parameter": "cursor"}),
        ),
        (
            "GET /events?partition=0",
            "",
            String::new(),
            400,
            "invalid-parameter",
            value!({"parameter": "partition"}),
        ),
        (
            "POST /topics",
            "",
            r#"{"name":"orders"}"#.into(),
            409,
            "topic-exists",
            value!({}),
        ),
        (
            "POST /topics",
            "",
            r#"{"nam":"orders"}"#.into(),
            400,
            "invalid-body",
            value!({}),
        ),
        (
            "POST /topics",
            "",
            r#"{"name":"a/b"}"#.into(),
            400,
            "invalid-topic-name",
            value!({}),
        ),
        (
            "POST /topics",
            "",
            r#"{"name":"__factum_x"}"#.into(),
            403,
            "internal-topic",
            value!({}),
        ),
        (
            "PATCH /topics/orders",
            "",
            r#"{"partitions":1}"#.into(),
            400,
            "invalid-request",
            value!({}),
        ),
        (
            "PATCH /topics/orders",
            "",
            r#"{"partitions":-1}"#.into(),
            400,
            "invalid-body",
            value!({}),
        ),
        (
            "DELETE /topics/other",
            "",
            String::new(),
            404,
            "unknown-topic",
            value!({}),
        ),
        (
            "DELETE /topics/__factum_control",
            "",
            String::new(),
            403,
            "internal-topic",
            value!({}),
        ),
        (
            "GET /groups/nobody",
            "",
            String::new(),
            404,
            "unknown-group",
            value!({}),
        ),
        (
            "DELETE /groups/nobody",
            "",
            String::new(),
            404,
            "unknown-group",
            value!({}),
        ),
        (
            "PUT /groups/g/offsets",
            "",
            r#"{"topic":"orders","to":"soon"}"#.into(),
            400,
            "invalid-body",
            value!({}),
        ),
        (
            "PUT /groups/g/offsets",
            "",
            r#"{"topic":"orders","to":5,"partition":0}"#.into(),
            416,
            "offset-out-of-range",
            value!({"end": 0}),
        ),
        (
            "PUT /groups/g/offsets",
            "",
            r#"{"topic":"orders","to":0,"partition":9}"#.into(),
            404,
            "unknown-partition",
            value!({}),
        ),
        (
            "GET /nowhere",
            "",
            String::new(),
            404,
            "not-found",
            value!({"instance": "/nowhere"}),
        ),
        (
            "PUT /topics/orders",
            "",
            String::new(),
            405,
            "method-not-allowed",
            value!({}),
        ),
        (
            "POST /metrics",
            "",
            String::new(),
            405,
            "method-not-allowed",
            value!({}),
        ),
        (
            "GET /readyz",
            "",
            String::new(),
            503,
            "not-ready",
            value!({"detail": "the disk is full"}),
        ),
    ];
    for (line, content_type, body, status, name, members) in table {
        let what = format!("{line} {body:.60}");
        let answer = door
            .send(line, &[("content-type", content_type)], body)
            .await;
        let document = answer.json();
        assert_eq!(answer.status, status, "{what}: {document}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{what}"
        );
        assert_eq!(
            document["type"],
            format!("urn:factum:problem:{name}"),
            "{what}: {document}"
        );
        assert_eq!(document["status"], status, "{what}");
        for (member, expected) in members.as_object().expect("members") {
            assert_eq!(
                &document[member], expected,
                "{what}: {member} of {document}"
            );
        }
    }
    assert_eq!(
        door.get("/topics/orders/events").await.ids(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn refusals_of_http_itself_carry_what_a_client_needs() {
    let door = Door::new();
    door.topic("orders", 1).await;
    let answer = door.send("PUT /topics/orders", &[], "").await;
    assert_eq!(answer.header("allow"), "GET,HEAD,PATCH,DELETE");
    let html = [("accept", "text/html")];
    let answer = door.send("GET /topics/orders/events", &html, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["type"].clone()),
        (406, "urn:factum:problem:not-acceptable".into())
    );
    let answer = door.send("GET /", &[("x-request-id", "mine")], "").await;
    assert_eq!(answer.header("x-request-id"), "mine");
    let answer = door
        .send("GET /nowhere", &[("x-request-id", "mine")], "")
        .await;
    assert_eq!(answer.json()["requestid"], "mine");
    let made = door.get("/").await.header("x-request-id").to_owned();
    assert_eq!(made.len(), 36, "{made}");
}

#[tokio::test]
async fn partitions_are_merged_by_the_time_of_appending() {
    let door = Door::new();
    door.topic("orders", 3).await;
    let mut expected = Vec::new();
    for n in 0..20u32 {
        let id = n.to_string();
        door.publish("orders", (n * 7) % 3, &id).await;
        expected.push(id);
    }
    assert_eq!(door.get("/topics/orders/events").await.ids(), expected);
    assert_eq!(door.lines("/topics/orders/events").await.ids(), expected);
    let one: Vec<_> = expected
        .iter()
        .filter(|id| (id.parse::<u32>().expect("n") * 7) % 3 == 1);
    let one: Vec<_> = one.into_iter().cloned().collect();
    assert_eq!(
        door.get("/topics/orders/events?partition=1").await.ids(),
        one
    );
    assert_eq!(
        door.get("/topics/orders/events?partition=1&from=2&until=4")
            .await
            .ids(),
        one[2..4]
    );
    assert_eq!(
        door.get("/topics/orders/events?from=end").await.ids(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn pages_that_follow_their_links_are_the_whole_topic() {
    let door = Door::limited(HttpLimits {
        page_scan: 3,
        ..HttpLimits::default()
    });
    door.topic("orders", 3).await;
    for n in 0..20u32 {
        door.publish("orders", n % 3, &format!("{}-{n}", n % 2))
            .await;
    }
    let all = door.lines("/topics/orders/events").await;
    for (filter, limit) in [
        ("type=t", 1),
        ("type=t", 2),
        ("correlationid=1", 7),
        ("partition=2", 3),
    ] {
        let whole = door.lines(&format!("/topics/orders/events?{filter}")).await;
        let query = format!("{filter}&limit={limit}");
        let mut path = format!("/topics/orders/events?{query}");
        let mut ids = Vec::new();
        let last = loop {
            let page = door.get(&path).await;
            ids.extend(page.ids());
            let link = page.header("link");
            if link.is_empty() {
                break page.header("factum-cursor").to_owned();
            }
            let (next, rel) = link.split_once(">; ").expect("a link");
            assert_eq!(rel, "rel=\"next\"");
            path = next.trim_start_matches('<').to_owned();
        };
        assert_eq!(ids, whole.ids(), "{query}");
        assert!(!ids.is_empty());
        // What comes later is found with the cursor of the last page.
        let path = format!("/topics/orders/events?{query}&cursor={last}");
        assert_eq!(door.get(&path).await.ids(), Vec::<String>::new());
    }
    assert_eq!(all.ids().len(), 20);
}

#[tokio::test]
async fn the_story_of_a_process_is_read_across_topics() {
    let door = Door::new();
    for topic in ["payments", "orders", "parcels"] {
        door.topic(topic, 2).await;
    }
    let story = ["A-placed", "A-paid", "A-sent"];
    door.publish("orders", 0, "A-placed").await;
    door.publish("orders", 1, "B-placed").await;
    door.publish("payments", 1, "A-paid").await;
    door.publish("parcels", 0, "B-sent").await;
    door.publish("parcels", 0, "A-sent").await;
    assert_eq!(door.get("/events?correlationid=A").await.ids(), story);
    assert_eq!(door.lines("/events?correlationid=A").await.ids(), story);
    let first = door.get("/events?correlationid=A&limit=1").await;
    let cursor = first.header("factum-cursor");
    assert_eq!(cursor, "orders/0:1");
    let rest = door
        .get(&format!("/events?correlationid=A&cursor={cursor}"))
        .await;
    assert_eq!(rest.ids(), story[1..]);
    let mut follower = door.follow("/events?correlationid=A", None).await;
    for id in story {
        assert_eq!(follower.id().await, id);
    }
    let deleted = door.send("DELETE /topics/parcels", &[], "").await;
    assert_eq!(deleted.status, 204);
    door.publish("orders", 0, "A-returned").await;
    assert_eq!(follower.id().await, "A-returned");
}

#[tokio::test]
async fn a_stream_resumed_by_its_last_id_loses_and_repeats_nothing() {
    let door = Door::new();
    door.topic("orders", 3).await;
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    let mut last: Option<String> = None;
    for round in 0..6u32 {
        for n in 0..7u32 {
            let id = format!("{round}.{n}");
            door.publish("orders", n % 3, &id).await;
            expected.push(id);
        }
        // Fewer than there are: the next round begins in the middle of a chunk.
        let mut follower = door
            .follow("/topics/orders/events?from=start", last.as_deref())
            .await;
        for _ in 0..(round % 3 + 4) {
            seen.push(follower.id().await);
        }
        last = Some(follower.last);
    }
    let mut follower = door.follow("/topics/orders/events", last.as_deref()).await;
    while seen.len() < expected.len() {
        seen.push(follower.id().await);
    }
    assert_eq!(seen, expected);
    door.publish("orders", 1, "later").await;
    assert_eq!(follower.id().await, "later");
}

#[tokio::test]
async fn a_stream_that_broke_before_its_first_event_goes_on_where_it_began() {
    let door = Door::new();
    door.topic("orders", 2).await;
    door.publish("orders", 0, "before").await;
    let mut follower = door.follow("/topics/orders/events?from=end", None).await;
    let id = follower.greeting().await;
    assert_eq!(id, "0:1");
    drop(follower);
    door.publish("orders", 1, "between").await;
    let mut follower = door
        .follow("/topics/orders/events?from=end", Some(&id))
        .await;
    assert_eq!(follower.id().await, "between");
}

#[tokio::test]
async fn a_stream_finds_new_partitions_and_filters() {
    let limits = HttpLimits {
        refresh: Duration::from_millis(5),
        ..HttpLimits::default()
    };
    let door = Door::limited(limits);
    door.topic("orders", 1).await;
    let mut follower = door
        .follow("/topics/orders/events?correlationid=A", None)
        .await;
    door.publish("orders", 0, "B-1").await;
    door.publish("orders", 0, "A-1").await;
    assert_eq!(follower.id().await, "A-1");
    let grown = door
        .send("PATCH /topics/orders", &[], r#"{"partitions":2}"#)
        .await;
    assert_eq!(grown.json()["partitions"].as_array().map(Vec::len), Some(2));
    door.publish("orders", 1, "A-2").await;
    assert_eq!(follower.id().await, "A-2");
    assert_eq!(follower.last, "0:2,1:1");
}

#[tokio::test]
async fn a_stream_says_why_it_ends() {
    let limits = HttpLimits {
        refresh: Duration::from_millis(5),
        ..HttpLimits::default()
    };
    let door = Door::limited(limits);
    door.topic("orders", 1).await;
    door.topic("payments", 1).await;
    let mut deleted = door.follow("/topics/orders/events", None).await;
    let mut stopped = door.follow("/topics/payments/events", None).await;
    let mut limited = door.follow("/topics/payments/events?limit=1", None).await;
    deleted.greeting().await;
    door.publish("payments", 0, "1").await;
    assert_eq!(limited.id().await, "1");
    assert_eq!(limited.end().await, "limit");
    door.send("DELETE /topics/orders", &[], "").await;
    // Another topic of the same name is not the one that is followed.
    door.topic("orders", 1).await;
    assert_eq!(deleted.end().await, "topic-deleted");
    assert_eq!(stopped.id().await, "1");
    door.stop.send(true).expect("somebody listens");
    assert_eq!(stopped.end().await, "shutdown");
}

#[tokio::test]
async fn more_streams_or_requests_than_the_limits_are_refused() {
    let door = Door::limited(HttpLimits {
        followers: 1,
        requests: 1,
        ..HttpLimits::default()
    });
    door.topic("orders", 1).await;
    let stream = [("accept", "text/event-stream")];
    let first = door.follow("/topics/orders/events", None).await;
    let second = door.send("GET /topics/orders/events", &stream, "").await;
    assert_eq!(second.status, 503);
    assert_eq!(
        second.json()["type"],
        "urn:factum:problem:too-many-followers"
    );
    assert_eq!(second.header("retry-after"), "1");
    assert!(
        door.get("/metrics")
            .await
            .body
            .contains("factum_http_followers 1\n")
    );
    drop(first);
    drop(door.follow("/topics/orders/events", None).await);
    // Lines hold their place until they are read.
    let lines = [("accept", "application/x-ndjson")];
    let first = door.raw("GET /topics/orders/events", &lines, "").await;
    let second = door.get("/topics").await;
    assert_eq!(
        second.json()["type"],
        "urn:factum:problem:too-many-requests-at-once"
    );
    assert_eq!(door.get("/healthz").await.status, 200);
    drop(first);
    assert_eq!(door.get("/topics").await.status, 200);
}

#[tokio::test]
async fn a_read_over_too_many_partitions_says_what_to_do() {
    let door = Door::limited(HttpLimits {
        read_partitions: 2,
        ..HttpLimits::default()
    });
    door.topic("orders", 3).await;
    let answer = door.get("/topics/orders/events").await;
    assert_eq!(
        answer.json()["type"],
        "urn:factum:problem:too-many-partitions"
    );
    assert_eq!(
        door.get("/topics/orders/events?partition=2").await.status,
        200
    );
}

#[tokio::test]
async fn records_without_an_envelope_are_read_as_events_with_their_position() {
    let door = Door::new();
    door.topic("open", 1).await;
    let record = Record {
        key: None,
        value: Some("{\"a\":1}".into()),
        headers: vec![Header::new("h", "v")],
        timestamp: Timestamp::from_millis(0),
    };
    let topic = "open".parse().expect("a name");
    door.log
        .append(&topic, vec![Outgoing::from(record)])
        .await
        .expect("appended");
    let answer = door.lines("/topics/open/events").await;
    let event = json::decode(answer.body.trim().as_bytes()).expect("an event");
    assert!(event.extension("factumderived").is_some());
    let stored = StoredEvent::from_event(event).expect("a position");
    assert_eq!(stored.position.to_string(), "open/0@0");
    assert_eq!(stored.appended_at, Timestamp::from_millis(1));
}

#[tokio::test]
async fn positions_that_a_publisher_sends_are_not_kept() {
    let door = Door::new();
    door.topic("orders", 1).await;
    door.publish("orders", 0, "1").await;
    let read = door.lines("/topics/orders/events").await.body;
    let headers = [("content-type", STRUCTURED)];
    let again = door
        .send("POST /topics/orders/events", &headers, read)
        .await;
    assert_eq!(again.json()["positions"][0]["offset"], 1);
    let lines = door.lines("/topics/orders/events?from=1").await;
    assert_eq!(lines.body.matches("factumoffset").count(), 1);
    assert!(
        lines.body.contains("\"factumoffset\":\"1\"") || lines.body.contains("\"factumoffset\":1")
    );
}

#[tokio::test]
async fn topics_are_listed_and_described() {
    let door = Door::new();
    let body = r#"{"name":"orders","partitions":2,"configs":{"max.message.bytes":1000}}"#;
    let created = door.send("POST /topics", &[], body).await;
    assert_eq!(created.header("location"), "/topics/orders");
    let orders = value!({
        "name": "orders", "id": "00000000-0000-0000-0000-000000000001",
        "created_at": "1970-01-01T00:00:00.000Z", "internal": false,
        "configs": {"max.message.bytes": "1000"},
        "partitions": [
            {"partition": 0, "start": 0, "end": 0}, {"partition": 1, "start": 0, "end": 0},
        ],
    });
    assert_eq!(created.json(), orders);
    assert_eq!(door.get("/topics/orders").await.json(), orders);
    assert_eq!(
        door.get("/topics").await.json(),
        value!({ "topics": [orders] })
    );
    assert_eq!(door.get("/topics?internal=maybe").await.status, 400);
    assert_eq!(
        door.send("DELETE /topics/orders", &[], "").await.status,
        204
    );
    assert_eq!(door.get("/topics").await.json(), value!({ "topics": [] }));
}

#[tokio::test]
async fn offsets_of_a_group_are_set_and_shown() {
    let door = Door::new();
    door.topic("orders", 2).await;
    for id in ["1", "2", "3"] {
        door.publish("orders", 1, id).await;
    }
    let reset = |to: Value| value!({ "topic": "orders", "to": to }).to_string();
    let line = "PUT /groups/billing%20eu/offsets";
    for (to, expected) in [
        (value!("start"), [0, 0]),
        (value!("end"), [0, 3]),
        (value!(2), [0, 2]),
        (value!("1"), [0, 1]),
        (value!("1970-01-01T00:00:00Z"), [0, 0]),
    ] {
        let answer = door.send(line, &[], reset(to.clone())).await.json();
        let offsets = [0, 1].map(|at| answer["offsets"][at]["offset"].clone());
        assert_eq!(offsets, expected.map(Value::from), "{to}: {answer}");
    }
    let group = door.get("/groups/billing%20eu").await.json();
    assert_eq!(
        (&group["name"], &group["state"]),
        (&value!("billing eu"), &value!("Empty"))
    );
    assert_eq!(
        door.get("/groups").await.json(),
        value!({ "groups": [group] })
    );
    assert_eq!(
        door.send("DELETE /groups/billing%20eu", &[], "")
            .await
            .status,
        204
    );
    assert_eq!(door.get("/groups").await.json(), value!({ "groups": [] }));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let door = Door::new();
    door.topic("orders", 1).await;
    door.publish("orders", 0, "1").await;
    door.lines("/topics/orders/events").await;
    door.get("/topics/missing").await;
    door.send("BREW /pot", &[], "").await;
    let metrics = door.get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    for line in [
        r#"factum_http_requests_total{method="POST",route="/topics/{topic}/events",status="201"} 1"#,
        r#"factum_http_requests_total{method="GET",route="/topics/{topic}",status="404"} 1"#,
        r#"factum_http_requests_total{method="other",route="none",status="404"} 1"#,
        "factum_http_events_published_total 1",
        "factum_http_events_read_total 1",
    ] {
        assert!(
            metrics.body.lines().any(|have| have == line),
            "{line}:\n{}",
            metrics.body
        );
    }
}
