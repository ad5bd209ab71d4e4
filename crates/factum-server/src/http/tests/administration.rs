//! Topics, groups and metrics through the door.

use std::convert::Infallible;

use axum::body::Body;
use futures_util::{FutureExt, stream};
use serde_json::{Value, json as value};
use tokio::sync::oneshot;

use super::Door;

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
    assert_eq!(door.get("/topics").await.json(), value!({ "topics": [orders] }));
    assert_eq!(door.get("/topics?internal=maybe").await.status, 400);
    assert_eq!(door.send("DELETE /topics/orders", &[], "").await.status, 204);
    assert_eq!(door.get("/topics").await.json(), value!({ "topics": [] }));
}

#[tokio::test]
async fn a_change_goes_to_its_end_when_its_client_hangs_up() {
    let door = Door::new();
    let (send, body) = oneshot::channel::<&'static str>();
    let body = async move { Ok::<_, Infallible>(body.await.expect("a body")) };
    let body = Body::from_stream(stream::once(body));
    assert!(door.raw("POST /topics", &[], body).now_or_never().is_none(), "it waits, and is gone");
    assert!(send.send(r#"{"name":"orders"}"#).is_ok(), "nobody reads the body any more");
    let mut turns = 0;
    while door.get("/topics/orders").await.status != 200 {
        turns += 1;
        assert!(turns < 1000, "the topic is not created");
        tokio::task::yield_now().await;
    }
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
    assert_eq!((&group["name"], &group["state"]), (&value!("billing eu"), &value!("Empty")));
    assert_eq!(door.get("/groups").await.json(), value!({ "groups": [group] }));
    assert_eq!(door.send("DELETE /groups/billing%20eu", &[], "").await.status, 204);
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
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        r#"factum_http_requests_total{method="POST",route="/topics/{topic}/events",status="201"} 1"#,
        r#"factum_http_requests_total{method="GET",route="/topics/{topic}",status="404"} 1"#,
        r#"factum_http_requests_total{method="other",route="none",status="404"} 1"#,
        "factum_http_events_published_total 1",
        "factum_http_events_read_total 1",
    ] {
        assert!(metrics.body.lines().any(|have| have == line), "{line}:\n{}", metrics.body);
    }
}
