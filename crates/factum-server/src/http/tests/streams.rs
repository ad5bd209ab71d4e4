//! Server-sent events: to follow, to come back, to end.

use std::time::Duration;

use super::{Door, HttpLimits};

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
        let mut follower = door.follow("/topics/orders/events?from=start", last.as_deref()).await;
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
    let mut follower = door.follow("/topics/orders/events?from=end", Some(&id)).await;
    assert_eq!(follower.id().await, "between");
}

#[tokio::test]
async fn a_stream_finds_new_partitions_and_filters() {
    let limits = HttpLimits { refresh: Duration::from_millis(5), ..HttpLimits::default() };
    let door = Door::limited(limits);
    door.topic("orders", 1).await;
    let mut follower = door.follow("/topics/orders/events?correlationid=A", None).await;
    door.publish("orders", 0, "B-1").await;
    door.publish("orders", 0, "A-1").await;
    assert_eq!(follower.id().await, "A-1");
    let grown = door.send("PATCH /topics/orders", &[], r#"{"partitions":2}"#).await;
    assert_eq!(grown.json()["partitions"].as_array().map(Vec::len), Some(2));
    door.publish("orders", 1, "A-2").await;
    assert_eq!(follower.id().await, "A-2");
    assert_eq!(follower.last, "0:2,1:1");
}

#[tokio::test]
async fn a_stream_says_why_it_ends() {
    let limits = HttpLimits { refresh: Duration::from_millis(5), ..HttpLimits::default() };
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
