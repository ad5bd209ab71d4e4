//! Events through the door: what is published is read, in order, page by page.

use factum_event::event::{Event, StoredEvent, http, json};
use factum_event::record::{Header, Outgoing};
use factum_event::{EventLog, Record, Timestamp};
use serde_json::json as value;

use super::{BATCH, Door, HttpLimits, STRUCTURED};

fn samples() -> Vec<Event> {
    let time = "2026-01-31T12:00:00.123456+01:00".parse().expect("a time");
    let event = |id: &str| Event::builder("/shop/eu", "com.example.Placed").id(id);
    let built = [
        event("none"),
        event("json").json_text(&b"{\"b\":1,\"a\":[1.0,\"\xc3\xa4\"]}"[..]).subject("o/1"),
        event("text").text("Grüße,\nzwei Zeilen").time(time).extension("n", 7),
        event("binary").binary(&[0u8, 159, 255][..]).extension("ok", true),
        event("full \"%\" ü").correlationid("c-1").causationid("c-0").partitionkey("k").text(""),
    ];
    built.into_iter().map(|event| event.build().expect("an event")).collect()
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
            let headers: Vec<_> =
                encoded.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
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
    let answer = door.send("POST /topics/batch/events", &headers, encoded.body).await;
    assert_eq!(answer.json()["positions"].as_array().map(Vec::len), Some(events.len()));
    for topic in ["binary", "structured", "batch"] {
        let path = format!("/topics/{topic}/events");
        assert_eq!(door.get(&path).await.events(), events, "{topic}");
        assert_eq!(door.lines(&path).await.events(), events, "{topic}");
        let mut follower = door.follow(&path, None).await;
        for event in &events {
            let (_, data) = follower.message().await.expect("an event");
            let have = json::decode(data.as_bytes()).expect("an event").without_position();
            assert_eq!(&have, event);
        }
    }
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
    let in_one = |id: &&String| (id.parse::<u32>().expect("a number") * 7) % 3 == 1;
    let one: Vec<_> = expected.iter().filter(in_one).cloned().collect();
    assert_eq!(door.get("/topics/orders/events?partition=1").await.ids(), one);
    assert_eq!(door.get("/topics/orders/events?partition=1&from=2&until=4").await.ids(), one[2..4]);
    assert_eq!(door.get("/topics/orders/events?from=end").await.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn pages_that_follow_their_links_are_the_whole_topic() {
    let door = Door::limited(HttpLimits { page_scan: 3, ..HttpLimits::default() });
    door.topic("orders", 3).await;
    for n in 0..20u32 {
        door.publish("orders", n % 3, &format!("{}-{n}", n % 2)).await;
    }
    let all = door.lines("/topics/orders/events").await;
    for (filter, limit) in
        [("type=t", 1), ("type=t", 2), ("correlationid=1", 7), ("partition=2", 3)]
    {
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
    let rest = door.get(&format!("/events?correlationid=A&cursor={cursor}")).await;
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
    door.log.append(&topic, vec![Outgoing::from(record)]).await.expect("appended");
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
    let again = door.send("POST /topics/orders/events", &headers, read).await;
    assert_eq!(again.json()["positions"][0]["offset"], 1);
    let lines = door.lines("/topics/orders/events?from=1").await;
    assert_eq!(lines.body.matches("factumoffset").count(), 1);
    assert!(
        lines.body.contains("\"factumoffset\":\"1\"") || lines.body.contains("\"factumoffset\":1")
    );
}

#[tokio::test]
async fn a_page_keeps_data_to_the_byte_and_a_line_keeps_its_meaning() {
    let door = Door::new();
    door.topic("orders", 1).await;
    let data = "{\n  \"a\": 1.50\n}";
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "t"),
    ];
    assert_eq!(door.send("POST /topics/orders/events", &headers, data).await.status, 201);
    let page = door.get("/topics/orders/events").await;
    assert!(page.body.contains(data), "{}", page.body);
    let lines = door.lines("/topics/orders/events").await;
    assert!(lines.body.contains("{\"a\":1.50}"), "{}", lines.body);
}
