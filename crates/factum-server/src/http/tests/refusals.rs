//! What the door refuses, and how it says so.

use serde_json::json as value;

use super::{BATCH, Door, EVENT, HttpLimits, STRUCTURED};

#[tokio::test]
async fn bad_input_is_answered_with_a_problem_that_names_it() {
    let limits = HttpLimits { body_bytes: 1000, batch_events: 2, ..HttpLimits::default() };
    let door = Door::limited(limits);
    door.topic("orders", 2).await;
    let batch = |second: &str| format!("[{EVENT},{second}]");
    let no_source = r#"{"specversion":"1.0","id":"e","type":"t"}"#;
    let no_zone =
        r#"{"specversion":"1.0","id":"e","source":"s","type":"t","time":"2026-01-31T12:00:00"}"#;
    let publish = "POST /topics/orders/events";
    let table = [
        (publish, STRUCTURED, "nonsense".to_owned(), 400, "not-json", value!({})),
        (publish, STRUCTURED, "[]".into(), 400, "not-json", value!({})),
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
        (publish, "text/plain", "no ce- headers".into(), 400, "missing-attribute", value!({})),
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
        (publish, STRUCTURED, " ".repeat(1001), 413, "body-too-large", value!({})),
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
        ("GET /topics/other/events", "", String::new(), 404, "unknown-topic", value!({})),
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
        ("POST /topics", "", r#"{"name":"orders"}"#.into(), 409, "topic-exists", value!({})),
        ("POST /topics", "", r#"{"nam":"orders"}"#.into(), 400, "invalid-body", value!({})),
        ("POST /topics", "", r#"{"name":"a/b"}"#.into(), 400, "invalid-topic-name", value!({})),
        ("POST /topics", "", r#"{"name":"__factum_x"}"#.into(), 403, "internal-topic", value!({})),
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
        ("DELETE /topics/other", "", String::new(), 404, "unknown-topic", value!({})),
        ("DELETE /topics/__factum_control", "", String::new(), 403, "internal-topic", value!({})),
        ("GET /groups/nobody", "", String::new(), 404, "unknown-group", value!({})),
        ("DELETE /groups/nobody", "", String::new(), 404, "unknown-group", value!({})),
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
        ("GET /nowhere", "", String::new(), 404, "not-found", value!({"instance": "/nowhere"})),
        ("PUT /topics/orders", "", String::new(), 405, "method-not-allowed", value!({})),
        ("POST /metrics", "", String::new(), 405, "method-not-allowed", value!({})),
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
        let answer = door.send(line, &[("content-type", content_type)], body).await;
        let document = answer.json();
        assert_eq!(answer.status, status, "{what}: {document}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(document["type"], format!("urn:factum:problem:{name}"), "{what}: {document}");
        assert_eq!(document["status"], status, "{what}");
        for (member, expected) in members.as_object().expect("members") {
            assert_eq!(&document[member], expected, "{what}: {member} of {document}");
        }
    }
    assert_eq!(door.get("/topics/orders/events").await.ids(), Vec::<String>::new());
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
    let answer = door.send("GET /nowhere", &[("x-request-id", "mine")], "").await;
    assert_eq!(answer.json()["requestid"], "mine");
    let made = door.get("/").await.header("x-request-id").to_owned();
    assert_eq!(made.len(), 36, "{made}");
}

#[tokio::test]
async fn more_streams_or_requests_than_the_limits_are_refused() {
    let door = Door::limited(HttpLimits { followers: 1, requests: 1, ..HttpLimits::default() });
    door.topic("orders", 1).await;
    let stream = [("accept", "text/event-stream")];
    let first = door.follow("/topics/orders/events", None).await;
    let second = door.send("GET /topics/orders/events", &stream, "").await;
    assert_eq!(second.status, 503);
    assert_eq!(second.json()["type"], "urn:factum:problem:too-many-followers");
    assert_eq!(second.header("retry-after"), "1");
    assert!(door.get("/metrics").await.body.contains("factum_http_followers 1\n"));
    drop(first);
    drop(door.follow("/topics/orders/events", None).await);
    // Lines hold their place until they are read.
    let lines = [("accept", "application/x-ndjson")];
    let first = door.raw("GET /topics/orders/events", &lines, "").await;
    let second = door.get("/topics").await;
    assert_eq!(second.json()["type"], "urn:factum:problem:too-many-requests-at-once");
    assert_eq!(door.get("/healthz").await.status, 200);
    drop(first);
    assert_eq!(door.get("/topics").await.status, 200);
}

#[tokio::test]
async fn a_read_over_too_many_partitions_says_what_to_do() {
    let door = Door::limited(HttpLimits { read_partitions: 2, ..HttpLimits::default() });
    door.topic("orders", 3).await;
    let answer = door.get("/topics/orders/events").await;
    assert_eq!(answer.json()["type"], "urn:factum:problem:too-many-partitions");
    assert_eq!(door.get("/topics/orders/events?partition=2").await.status, 200);
}
