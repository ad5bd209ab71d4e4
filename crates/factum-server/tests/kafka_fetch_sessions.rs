//! Fetch sessions (KIP-227) at the Kafka door, in the versions that have them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use common::client::Client;
use common::server::Home;
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};
use uuid::Uuid;

/// The first version that names topics by id.
const IDS_SINCE: i16 = 13;

/// A request of a session for these partitions and offsets of a topic.
fn request(session: (i32, i32), id: Uuid, partitions: &[(i32, i64)]) -> FetchRequest {
    let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: name("orders"),
        topic_id: id,
        partitions: partitions.iter().map(partition).collect(),
    };
    FetchRequest {
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: if partitions.is_empty() { Vec::new() } else { vec![topic] },
        ..Default::default()
    }
}

/// Error and end of each partition in the answer, and how many bytes it has.
fn told(answer: &FetchResponse) -> Vec<(i32, i16, i64, bool)> {
    let data = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let has = |data: &PartitionData| data.records.as_ref().is_some_and(|have| !have.is_empty());
    data.map(|data| (data.partition_index, data.error_code, data.high_watermark, has(data)))
        .collect()
}

#[test]
fn a_session_is_followed_by_every_version_that_has_them() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 3);
    let mut end = 0;
    for version in ApiKey::Fetch.versions().filter(|version| *version >= 7) {
        let fetch = |client: &mut Client, session, partitions: &[(i32, i64)]| {
            let answer = client.call(&request(session, id, partitions), version);
            ok("fetch", answer.error_code);
            (answer.session_id, told(&answer))
        };
        let (session, all) = fetch(&mut client, (0, 0), &[(0, 0), (1, end), (2, 0)]);
        assert!(session > 0, "version {version}");
        assert_eq!(all, [(0, 0, 0, false), (1, 0, end, false), (2, 0, 0, false)]);
        assert_eq!(fetch(&mut client, (session, 1), &[]), (session, vec![]), "nothing new");
        ok("produce", produce(&mut client, "orders", 1, batch(&records(0..2))).error_code);
        let news = vec![(1, 0, end + 2, true)];
        assert_eq!(fetch(&mut client, (session, 2), &[]), (session, news), "version {version}");
        end += 2;
        let on = fetch(&mut client, (session, 3), &[(1, end)]);
        assert_eq!(on, (session, vec![]), "it has heard of that end with the records");
        let closed = fetch(&mut client, (session, -1), &[(1, end)]);
        assert_eq!(closed, (0, vec![(1, 0, end, false)]));
        let gone = client.call(&request((session, 4), id, &[]), version);
        assert_eq!(error(gone.error_code), error(ErrorCode::FetchSessionIdNotFound.code()));
        assert!(gone.responses.is_empty() && gone.session_id == 0);
    }
    server.stop();
}

#[test]
fn a_session_waits_and_wakes_like_any_fetch_and_outlives_its_connection() {
    let home = Home::new();
    let server = home.serve();
    let (mut client, mut other) = (Client::connect(server.kafka), Client::connect(server.kafka));
    let id = create(&mut client, "orders", 2);
    let begun = client.ask(&request((0, 0), id, &[(0, 0), (1, 0)]));
    let waiting = |epoch| FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: 1,
        ..request((begun.session_id, epoch), id, &[])
    };
    let version = IDS_SINCE - 1;
    let sent = client.send(&waiting(1), version).unwrap();
    ok("produce", produce(&mut other, "orders", 1, batch(&records(0..1))).error_code);
    assert_eq!(told(&client.receive(sent, version).unwrap()), [(1, 0, 1, true)]);
    drop(client);
    let answer = other.ask(&waiting(2));
    assert_eq!(told(&answer), [(1, 0, 1, true)], "who has not gone on gets it again");
    let of_deleted = FetchRequest { max_wait_ms: 0, ..waiting(3) };
    let topics = vec![DeleteTopicState { name: Some(name("orders")), ..Default::default() }];
    let deleted = other.ask(&DeleteTopicsRequest { topics, ..Default::default() });
    ok("delete", deleted.responses[0].error_code);
    let expected = ErrorCode::UnknownTopicOrPartition.code();
    let answer = other.ask(&of_deleted);
    assert_eq!(told(&answer).iter().map(|told| told.1).collect::<Vec<_>>(), [expected; 2]);
    let by_name = request((begun.session_id, 4), id, &[]);
    let mixed = other.call(&by_name, IDS_SINCE);
    assert_eq!(error(mixed.error_code), error(ErrorCode::FetchSessionTopicIdError.code()));
    let wrong = other.ask(&request((begun.session_id, 9), id, &[]));
    assert_eq!(error(wrong.error_code), error(ErrorCode::InvalidFetchSessionEpoch.code()));
    let metric = |name: &str| server.metric(&format!("factum_kafka_fetch_session{name}"));
    assert_eq!((metric("s"), metric("_partitions")), (1.0, 2.0));
    server.stop();
}
