//! The HTTP door of the real binary, over real sockets, on a real disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use factum_event::Event;
use factum_event::event::{StoredEvent, http, json};
use serde_json::{Value, json as value};
use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, Body};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const LINES: (&str, &str) = ("accept", "application/x-ndjson");
const STREAM: (&str, &str) = ("accept", "text/event-stream");
const EVENT: &str = r#"{"specversion":"1.0","id":"e","source":"s","type":"t"}"#;

/// Longest that a request of these tests may take; a hang is a failure, not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    process: Child,
    http: String,
    agent: Agent,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_factum"))
            .args(["serve", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--output", "json", "--data"])
            .arg(data)
            .env("FACTUM_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        let http = ready["http"].as_str().expect("an address").to_owned();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { process, http, agent: config.into() }
    }

    /// Ends the process as a power cut would.
    fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }

    /// Asks the process to end, and waits until it has.
    fn stop(&mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().expect("kill is there");
        assert!(asked.success());
        self.process.wait().expect("it ended").code()
    }

    fn raw(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match method {
            "GET" | "DELETE" => self.agent.run(request.body(()).expect("a request")),
            _ => self.agent.run(request.body(body).expect("a request")),
        };
        sent.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn send(&self, line: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let (head, body) = self.raw(line, headers, body.as_ref()).into_parts();
        let mut text = String::new();
        body.into_reader().read_to_string(&mut text).expect("a whole body");
        Answer { status: head.status.as_u16(), headers: head.headers, body: text }
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "")
    }

    fn lines(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[LINES], "")
    }

    fn topic(&self, name: &str, partitions: u32) {
        let body = value!({ "name": name, "partitions": partitions }).to_string();
        let answer = self.send("POST /topics", &[], body);
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    fn publish(&self, topic: &str, events: &[Event]) -> Value {
        let line = format!("POST /topics/{topic}/events");
        let answer = self.send(&line, &[("content-type", BATCH)], json::encode_batch(events));
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["positions"].clone()
    }

    fn follow(&self, path: &str, last: Option<&str>) -> Follower {
        let mut headers = vec![STREAM];
        headers.extend(last.map(|id| ("last-event-id", id)));
        let response = self.raw(&format!("GET {path}"), &headers, b"");
        assert_eq!(response.status(), 200);
        let body: Box<dyn Read> = Box::new(response.into_body().into_reader());
        Follower { body: BufReader::new(body), last: last.unwrap_or_default().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The events of a page or of lines, with their positions.
    fn stored(&self) -> Vec<StoredEvent> {
        assert_eq!(self.status, 200, "{}", self.body);
        let events = match self.header("content-type") {
            BATCH => json::decode_batch(self.body.as_bytes(), usize::MAX).expect("a batch"),
            _ => self.body.lines().map(decode).collect(),
        };
        events.into_iter().map(|event| StoredEvent::from_event(event).expect("stored")).collect()
    }

    fn events(&self) -> Vec<Event> {
        self.stored().into_iter().map(|stored| stored.event).collect()
    }
}

fn decode(line: &str) -> Event {
    json::decode(line.as_bytes()).expect("an event")
}

/// A client of server-sent events, as the standard has it.
struct Follower {
    body: BufReader<Box<dyn Read>>,
    last: String,
}

impl Follower {
    /// The next message as (event name, data); none at the end or when the connection breaks.
    fn message(&mut self) -> Option<(String, String)> {
        let (mut name, mut data) = ("message".to_owned(), String::new());
        loop {
            let mut line = String::new();
            if self.body.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => self.last = id.to_owned(),
                Some(("event", event)) => name = event.to_owned(),
                Some(("data", text)) => data = text.to_owned(),
                None if line == "\n" && !data.is_empty() => return Some((name, data)),
                _ => assert!(line == "\n" || line.starts_with(':'), "{line}"),
            }
        }
    }

    fn event(&mut self) -> StoredEvent {
        let (name, data) = self.message().expect("the stream goes on");
        assert_eq!(name, "message", "{data}");
        StoredEvent::from_event(decode(&data)).expect("stored")
    }

    fn end(&mut self) -> Value {
        let (name, data) = self.message().expect("an end");
        assert_eq!(name, "end", "{data}");
        assert_eq!(self.message(), None);
        serde_json::from_str(&data).expect("JSON")
    }
}

/// Events of many subjects, so that they spread over partitions.
fn many(name: &str, count: usize) -> Vec<Event> {
    let event = |n: usize| {
        Event::builder("/shop/eu", "com.example.OrderPlaced")
            .id(format!("{name}-{n}"))
            .subject(format!("order-{}", n % 97))
            .correlationid(format!("story-{}", n % 10))
            .json(&value!({ "n": n, "text": "x".repeat(n % 200) }))
            .build()
            .expect("an event")
    };
    (0..count).map(event).collect()
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::id).collect()
}

#[test]
fn what_is_published_in_any_mode_reads_back_equal_after_a_restart_too() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let event = |id: &str| Event::builder("/shop/eu", "com.example.Placed").id(id);
    let time = "2026-01-31T12:00:00.123456+01:00".parse().expect("a time");
    let events: Vec<Event> = [
        event("none"),
        event("json").json_text("{\"b\":1,\"a\":[1.0,\"ä\"]}").subject("o/1"),
        event("text").text("Grüße,\nzwei Zeilen").time(time).extension("n", 7),
        event("binary").binary(vec![0u8, 159, 255]).extension("ok", true),
        event("\"full\" %41 ü €").correlationid("c").causationid("b").partitionkey("k"),
    ]
    .into_iter()
    .map(|event| event.build().expect("an event"))
    .collect();
    type Encode = fn(&Event) -> http::Encoded;
    let modes: [(&str, Encode); 3] = [
        ("binary", http::encode_binary),
        ("structured", http::encode_structured),
        ("batched", |event| http::encode_batch(std::slice::from_ref(event))),
    ];
    for (topic, encode) in modes {
        server.topic(topic, 1);
        for (at, event) in events.iter().enumerate() {
            let encoded = encode(event);
            let headers: Vec<_> =
                encoded.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let answer =
                server.send(&format!("POST /topics/{topic}/events"), &headers, &encoded.body);
            assert_eq!(answer.status, 201, "{}", answer.body);
            let expected =
                value!({ "topic": topic, "partition": 0, "offset": at, "id": event.id() });
            assert_eq!(answer.json()["positions"], value!([expected]));
        }
        assert_eq!(server.get(&format!("/topics/{topic}/events")).events(), events, "{topic}");
    }
    server.kill();
    let server = Server::start(data.path());
    for (topic, _) in modes {
        let path = format!("/topics/{topic}/events");
        assert_eq!(server.get(&path).events(), events, "{topic}");
        assert_eq!(server.lines(&path).events(), events, "{topic}");
        let mut follower = server.follow(&path, None);
        let followed: Vec<_> = events.iter().map(|_| follower.event().event).collect();
        assert_eq!(followed, events, "{topic}");
    }
}

#[test]
fn pages_lines_and_streams_tell_the_same() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.topic("orders", 4);
    let events = many("e", 3000);
    for part in events.chunks(500) {
        let positions = server.publish("orders", part);
        assert_eq!(positions.as_array().map(Vec::len), Some(part.len()));
    }
    let lines = server.lines("/topics/orders/events").stored();
    let mut pages = Vec::new();
    let mut path = "/topics/orders/events?limit=700".to_owned();
    loop {
        let page = server.get(&path);
        pages.extend(page.stored());
        let Some((next, _)) = page.header("link").split_once('>') else { break };
        path = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(pages, lines);
    let mut follower = server.follow("/topics/orders/events", None);
    let followed: Vec<_> = lines.iter().map(|_| follower.event()).collect();
    assert_eq!(followed, lines);
    let mut read: Vec<_> = lines.iter().map(|stored| stored.event.id().to_owned()).collect();
    let mut sent: Vec<_> = events.iter().map(|event| event.id().to_owned()).collect();
    read.sort();
    sent.sort();
    assert_eq!(read, sent);
    for partition in 0..4 {
        let one = server.lines(&format!("/topics/orders/events?partition={partition}")).stored();
        let offsets: Vec<_> = one.iter().map(|stored| stored.position.offset.get()).collect();
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>());
        assert!(!one.is_empty());
    }
}

#[test]
fn a_stream_resumed_over_a_crash_loses_and_repeats_nothing() {
    let data = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    server.topic("orders", 3);
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    let mut last: Option<String> = None;
    for round in 0..4usize {
        let events = many(&format!("r{round}"), 50);
        server.publish("orders", &events);
        expected.extend(events.iter().map(|event| event.id().to_owned()));
        let mut follower = server.follow("/topics/orders/events?from=start", last.as_deref());
        for _ in 0..(20 + round) {
            seen.push(follower.event().event.id().to_owned());
        }
        last = Some(follower.last.clone());
        if round % 2 == 1 {
            server.kill();
            assert!(follower.message().is_some() || follower.last.contains(':'));
            server = Server::start(data.path());
        }
    }
    let mut follower = server.follow("/topics/orders/events", last.as_deref());
    while seen.len() < expected.len() {
        seen.push(follower.event().event.id().to_owned());
    }
    // What comes while the stream waits arrives as well.
    server.publish("orders", &many("live", 1));
    assert_eq!(follower.event().event.id(), "live-0");
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn the_story_of_a_process_is_read_across_topics() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut story = Vec::new();
    for topic in ["orders", "payments", "parcels"] {
        server.topic(topic, 3);
        let events = many(topic, 40);
        server.publish(topic, &events);
        let ours = events.iter().filter(|e| e.correlationid().as_deref() == Some("story-7"));
        story.extend(ours.map(|event| event.id().to_owned()));
    }
    let read = server.get("/events?correlationid=story-7").events();
    let mut ids: Vec<_> = ids(&read).into_iter().map(str::to_owned).collect();
    let topic = |id: &String| id.split('-').next().map(str::to_owned);
    let mut order: Vec<_> = ids.iter().map(topic).collect();
    order.dedup();
    assert_eq!(order, ["orders", "payments", "parcels"].map(|topic| Some(topic.to_owned())));
    ids.sort();
    story.sort();
    assert_eq!(ids, story);
}

#[test]
fn reading_begins_at_offsets_and_times() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.topic("orders", 1);
    let events = many("e", 10);
    server.publish("orders", &events);
    let read = |query: &str| server.get(&format!("/topics/orders/events?{query}")).events();
    assert_eq!(read("from=4"), events[4..]);
    assert_eq!(read("from=4&until=6"), events[4..6]);
    assert_eq!(read("from=end"), []);
    assert_eq!(read("from=2020-01-01T00:00:00Z"), events);
    assert_eq!(read("from=2020-01-01T00:00:00%2B01:00&until=2020-01-02T00:00:00Z"), []);
    assert_eq!(read("from=2999-01-01T00:00:00Z"), []);
    assert_eq!(read("subject=order-3&limit=5"), events[3..4]);
    assert_eq!(read("type=other"), []);
}

#[test]
fn bad_input_is_refused_with_its_name_and_the_server_stays_up() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.topic("orders", 2);
    let publish = "POST /topics/orders/events";
    let no_id = EVENT.replace(r#""id":"e","#, "");
    let no_zone = EVENT.replace('}', r#","time":"2026-01-31T12:00:00"}"#);
    let second = format!("[{EVENT},{no_id}]");
    let record = EVENT.replace('}', &format!(r#","data":"{}"}}"#, "x".repeat(2 << 20)));
    let table: [(&str, &str, &str, u16, &str, Value); 20] = [
        (publish, STRUCTURED, "nonsense", 400, "not-json", value!({})),
        (publish, STRUCTURED, &no_id, 400, "missing-attribute", value!({"attribute": "id"})),
        (
            publish,
            BATCH,
            &second,
            400,
            "missing-attribute",
            value!({"attribute": "id", "index": 1}),
        ),
        (publish, STRUCTURED, &no_zone, 400, "invalid-attribute", value!({"attribute": "time"})),
        (publish, "text/plain", "x", 400, "missing-attribute", value!({})),
        (publish, "application/cloudevents+xml", "<a/>", 415, "unknown-event-format", value!({})),
        (publish, STRUCTURED, &record, 413, "record-too-large", value!({})),
        (
            "POST /topics/no/events",
            STRUCTURED,
            EVENT,
            404,
            "unknown-topic",
            value!({"topic": "no"}),
        ),
        (
            "POST /topics/a%2Fb/events",
            STRUCTURED,
            EVENT,
            400,
            "invalid-topic-name",
            value!({"came": "a/b"}),
        ),
        ("POST /topics/__factum_x/events", STRUCTURED, EVENT, 403, "internal-topic", value!({})),
        (
            "POST /topics/orders/events?partition=2",
            STRUCTURED,
            EVENT,
            404,
            "unknown-partition",
            value!({"partitions": 2}),
        ),
        (
            "GET /topics/orders/events?from=2026-01-31T12:00:00",
            "",
            "",
            400,
            "invalid-parameter",
            value!({"parameter": "from"}),
        ),
        (
            "GET /topics/orders/events?from=9&partition=0",
            "",
            "",
            416,
            "offset-out-of-range",
            value!({"from": 9, "end": 0}),
        ),
        ("POST /topics", "", "{", 400, "invalid-body", value!({})),
        ("POST /topics", "", r#"{"name":"orders"}"#, 409, "topic-exists", value!({})),
        ("POST /topics", "", r#"{"name":"a b"}"#, 400, "invalid-topic-name", value!({})),
        ("DELETE /topics/no", "", "", 404, "unknown-topic", value!({})),
        ("GET /groups/nobody", "", "", 404, "unknown-group", value!({})),
        ("GET /nowhere", "", "", 404, "not-found", value!({})),
        ("PUT /topics", "", "", 405, "method-not-allowed", value!({})),
    ];
    for (line, content_type, body, status, name, members) in table {
        let what = format!("{line} {body:.40}");
        let answer = server.send(line, &[("content-type", content_type)], body);
        let document = answer.json();
        assert_eq!(answer.status, status, "{what}: {document}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(document["type"], format!("urn:factum:problem:{name}"), "{what}: {document}");
        assert!(document["detail"].is_string() && document["instance"].is_string(), "{what}");
        for (member, expected) in members.as_object().expect("members") {
            assert_eq!(&document[member], expected, "{what}: {member} of {document}");
        }
    }
    assert_eq!(server.get("/topics/orders/events").events(), []);
    server.publish("orders", &many("after", 3));
    assert_eq!(server.get("/topics/orders/events").events().len(), 3);
}

#[test]
fn what_is_no_http_or_too_large_is_refused_without_reading_it_all() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.topic("orders", 1);
    let length = u64::MAX / 2;
    let head = format!(
        "POST /topics/orders/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: {STRUCTURED}\r\ncontent-length: {length}\r\n\r\n"
    );
    for (sent, expected) in [
        (head.as_bytes(), "HTTP/1.1 413"),
        (&b"\x00\x00\x00\x10not http at all\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let mut stream = TcpStream::connect(&server.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(sent).expect("written");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(std::str::from_utf8(&answer), Ok(expected));
    }
    assert_eq!(server.get("/healthz").json(), value!({ "status": "alive" }));
}

#[test]
fn topics_and_groups_are_administered_and_survive_a_restart() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.topic("orders", 1);
    server.publish("orders", &many("e", 5));
    let grown = server.send("PATCH /topics/orders", &[], r#"{"partitions":3}"#);
    assert_eq!(grown.json()["partitions"].as_array().map(Vec::len), Some(3), "{}", grown.body);
    let body = r#"{"configs":{"retention.ms":-1,"segment.ms":"5"}}"#;
    let configured = server.send("PATCH /topics/orders", &[], body);
    let expected = value!({"retention.ms": "-1", "segment.ms": "5"});
    assert_eq!(configured.json()["configs"], expected, "{}", configured.body);
    let unset = server.send("PATCH /topics/orders", &[], r#"{"configs":{"segment.ms":null}}"#);
    assert_eq!(unset.json()["configs"], value!({"retention.ms": "-1"}));
    for bad in [r#"{"configs":{"retention.ms":"x"}}"#, r#"{"configs":{},"partitions":4}"#, "{}"] {
        assert_eq!(server.send("PATCH /topics/orders", &[], bad).status, 400, "{bad}");
    }
    let trimmed =
        server.send("POST /topics/orders/trim", &[], r#"{"partition":0,"before":1}"#).json();
    assert_eq!(trimmed["partitions"][0], value!({"partition": 0, "start": 1, "end": 5}));
    let beyond = server.send("POST /topics/orders/trim", &[], r#"{"partition":0,"before":6}"#);
    assert_eq!(beyond.status, 416, "{}", beyond.body);
    let settings = server.get("/topics/orders/settings").json();
    let of = |name: &str| {
        let all = settings["settings"].as_array().expect("a list").iter();
        all.clone().find(|setting| setting["name"] == name).expect("it is known").clone()
    };
    assert_eq!(of("retention.ms")["source"], "topic");
    assert_eq!(
        (&of("segment.ms")["value"], &of("segment.ms")["source"]),
        (&"604800000".into(), &"default".into())
    );
    let reset = value!({ "topic": "orders", "to": 2, "partition": 0 }).to_string();
    let reset = server.send("PUT /groups/billing/offsets", &[], reset);
    let committed = value!({ "topic": "orders", "partition": 0, "offset": 2 });
    assert_eq!(reset.json(), value!({ "offsets": [committed] }), "{}", reset.body);
    server.kill();
    let server = Server::start(data.path());
    let topics = server.get("/topics").json();
    assert_eq!(topics["topics"].as_array().map(Vec::len), Some(1), "{topics}");
    assert_eq!(topics["topics"][0]["partitions"][0]["end"], 5);
    let group = server.get("/groups/billing").json();
    assert_eq!(group["state"], "Empty");
    assert_eq!(
        (&group["offsets"][0]["offset"], &group["offsets"][0]["lag"]),
        (&2.into(), &3.into())
    );
    assert_eq!(server.send("DELETE /groups/billing", &[], "").status, 204);
    assert_eq!(server.get("/groups").json(), value!({ "groups": [] }));
    let mut follower = server.follow("/topics/orders/events?from=end", None);
    assert_eq!(server.send("DELETE /topics/orders", &[], "").status, 204);
    assert_eq!(follower.end()["reason"], "topic-deleted");
    assert_eq!(server.get("/topics").json(), value!({ "topics": [] }));
}

#[test]
fn the_server_says_how_it_is_and_ends_its_streams_when_it_stops() {
    let data = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    server.topic("orders", 1);
    server.publish("orders", &many("e", 5));
    assert_eq!(server.get("/readyz").json(), value!({ "status": "ready" }));
    let metrics = server.get("/metrics").body;
    for line in [
        "factum_http_events_published_total 5",
        r#"factum_http_requests_total{method="POST",route="/topics",status="201"} 1"#,
        "# EOF",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line}:\n{metrics}");
    }
    let mut follower = server.follow("/topics/orders/events?from=end", None);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(follower.end()["reason"], "shutdown");
}
