//! The library on a real directory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use factum_event::log::PartitionInfo;
use factum_sdk::{Error, Event, Factum, LogError, Offset, Place, StoredEvent};
use pollster::block_on;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Factum {
    Factum::open(dir.path()).unwrap()
}

async fn publish(factum: &Factum, topic: &str, subjects: impl IntoIterator<Item = usize>) {
    let event = |number: usize| {
        Event::builder("/tests", "com.example.NumberCounted")
            .subject(format!("subject-{}", number % 10))
            .correlationid("run-1")
            .json(&serde_json::json!({ "number": number }))
    };
    factum.publish_all(topic, subjects.into_iter().map(event)).await.unwrap();
}

fn number(stored: &StoredEvent) -> usize {
    let data: serde_json::Value = stored.event.data().as_json().unwrap().decode().unwrap();
    usize::try_from(data["number"].as_u64().unwrap()).unwrap()
}

async fn read_all(factum: &Factum, topic: &str) -> Vec<StoredEvent> {
    let mut reader = factum.read(topic, Place::Start).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = reader.next().await.unwrap() {
        events.push(event);
    }
    events
}

#[test]
fn what_was_published_is_there_after_reopening_and_events_of_a_key_share_a_partition_in_order() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let factum = open(&dir);
        factum.create_topic("numbers", 5).await.unwrap();
        publish(&factum, "numbers", 0..1000).await;
    });
    let factum = open(&dir);
    let events = block_on(read_all(&factum, "numbers"));
    let mut numbers: Vec<_> = events.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    for subject in 0..10 {
        let name = format!("subject-{subject}");
        let of: Vec<_> = events.iter().filter(|e| e.event.subject() == Some(&name)).collect();
        assert!(of.windows(2).all(|two| two[0].position.partition == two[1].position.partition));
        assert!(of.windows(2).all(|two| number(two[0]) < number(two[1])));
        assert_eq!(of.len(), 100);
    }
}

#[test]
fn a_directory_in_use_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(&dir);
    let error = Factum::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[test]
fn two_members_share_the_partitions_and_a_restart_goes_on_after_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let factum = open(&dir);
    block_on(async {
        factum.create_topic("numbers", 4).await.unwrap();
        publish(&factum, "numbers", 0..100).await;
    });
    let member = |factum: Factum| {
        std::thread::spawn(move || {
            block_on(async {
                let mut consumer = factum.join("counters", ["numbers"]).await.unwrap();
                let mut seen = Vec::new();
                while consumer.assignment().len() != 2 || seen.is_empty() {
                    let events = consumer.next().await.unwrap();
                    seen.extend(events.iter().map(|event| event.position.clone()));
                    if let Err(error) = consumer.commit().await {
                        assert!(matches!(error, Error::Log(LogError::Fenced)), "{error}");
                    }
                    publish(&factum, "numbers", 0..40).await;
                }
                (consumer.assignment(), seen)
            })
        })
    };
    let first = member(factum.clone());
    let second = member(factum.clone());
    let (first, second) = (first.join().unwrap(), second.join().unwrap());
    assert!(first.0.iter().all(|partition| !second.0.contains(partition)));

    drop(factum);
    let factum = open(&dir);
    let offsets = block_on(factum.log().groups()).unwrap().pop().unwrap().offsets;
    let ends = block_on(factum.log().topics()).unwrap();
    let ends = &ends.iter().find(|topic| topic.name.as_str() == "numbers").unwrap().partitions;
    let left = |of: &PartitionInfo| {
        let committed = offsets.iter().find(|offset| offset.partition == of.partition);
        let next = committed.map_or(Offset::ZERO, |committed| committed.offset);
        (next < of.end).then_some((of.partition, next))
    };
    let expected: BTreeMap<_, _> = ends.iter().filter_map(left).collect();
    let mut firsts = BTreeMap::new();
    block_on(async {
        let mut consumer = factum.join("counters", ["numbers"]).await.unwrap();
        while firsts.len() < expected.len() {
            for event in consumer.next().await.unwrap() {
                firsts.entry(event.position.partition).or_insert(event.position.offset);
            }
        }
    });
    assert!(!offsets.is_empty());
    assert_eq!(firsts, expected);
}

#[test]
fn a_handlers_events_carry_correlation_and_causation_without_its_doing() {
    let dir = tempfile::tempdir().unwrap();
    let factum = open(&dir);
    block_on(async {
        factum.create_topic("orders", 1).await.unwrap();
        factum.create_topic("payments", 1).await.unwrap();
        let placed = Event::builder("/shop", "com.example.OrderPlaced").correlationid("order-7");
        let placed = factum.publish("orders", placed).await.unwrap();
        let mut consumer = factum.join("payment", ["orders"]).await.unwrap();
        let handled = consumer
            .handle(async |_order, consequences| {
                let paid = Event::builder("/payment", "com.example.PaymentProcessed");
                consequences.publish("payments", paid).await.map(drop)
            })
            .await;
        assert_eq!(handled.unwrap_or_else(|error: Error| panic!("{error}")), 1);
        let paid = read_all(&factum, "payments").await.pop().unwrap().event;
        assert_eq!(paid.correlationid().as_deref(), Some("order-7"));
        assert_eq!(paid.causationid().as_deref(), Some(placed.event.id()));
    });
}

#[test]
fn a_follower_sees_what_comes_and_ends_with_its_topic() {
    let dir = tempfile::tempdir().unwrap();
    let factum = open(&dir);
    block_on(factum.create_topic("numbers", 3)).unwrap();
    let mut follower = block_on(factum.follow("numbers", Place::End)).unwrap();
    let following = std::thread::spawn(move || {
        block_on(async {
            let mut numbers = Vec::new();
            loop {
                match follower.next().await {
                    Ok(event) => numbers.push(number(&event)),
                    Err(error) => return (numbers, error),
                }
                if numbers.len() == 50 {
                    return (numbers, Error::Log(LogError::Closed));
                }
            }
        })
    });
    block_on(publish(&factum, "numbers", 0..50));
    let (mut numbers, _) = following.join().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());

    let mut follower = block_on(factum.follow("numbers", Place::End)).unwrap();
    let waiting = std::thread::spawn(move || block_on(follower.next()).map(drop));
    let topic = factum_sdk::TopicName::new("numbers").unwrap();
    block_on(factum.log().delete_topic(&topic)).unwrap();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Log(LogError::UnknownTopic(_))), "{error}");
}
