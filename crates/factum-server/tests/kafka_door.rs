//! What Kafka clients rely on, asked of the binary by a client that speaks the protocol by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::DEADLINE;
use common::client::{Client, newest};
use common::server::Home;
use common::work::*;
use factum_event::batch::Codec;
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};
use uuid::Uuid;

/// Much longer than any answer takes that does not wait for it.
const LONG_WAIT_MS: i32 = 60_000;

fn plain_client() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: name("test"),
        client_software_version: name("1.0"),
        node_id: -1,
        ..Default::default()
    }
}

/// The bytes of a batch that its producer and its readers share: all but base offset and leader
/// epoch, which are the broker's.
fn shared(batch: &[u8]) -> [&[u8]; 2] {
    [&batch[8..12], &batch[16..]]
}

fn assert_same_batch(came: &[u8], sent: &[u8], what: &str) {
    assert_eq!(came.len(), sent.len(), "{what}");
    assert_eq!(shared(came), shared(sent), "{what}");
}

fn asked(topic: Option<&str>, topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic { name: topic.map(name), topic_id }
}

fn metadata(
    client: &mut Client,
    version: i16,
    topics: Option<Vec<MetadataRequestTopic>>,
    allow_auto_topic_creation: bool,
) -> Vec<MetadataResponseTopic> {
    let request = MetadataRequest { topics, allow_auto_topic_creation, ..Default::default() };
    client.call(&request, version).topics
}

fn own_names(topics: Vec<MetadataResponseTopic>) -> Vec<String> {
    let own = topics.into_iter().filter(|topic| !topic.is_internal);
    let mut names: Vec<_> = own.map(|topic| topic.name.unwrap().to_string()).collect();
    names.retain(|name| !name.starts_with("__"));
    names.sort();
    names
}

#[test]
fn api_versions_lists_every_api_in_each_of_its_versions() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    for version in 0..=5 {
        let answer = client.call(&plain_client(), version);
        ok(&format!("version {version}"), answer.error_code);
        assert_eq!(answer.api_keys, factum_wire::api::advertised(), "version {version}");
    }
}

#[test]
fn metadata_shows_all_no_or_chosen_topics_by_name_or_id() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 3);
    create(&mut client, "payments", 1);
    let all = ["orders", "payments"];
    for version in ApiKey::Metadata.versions() {
        let listed = if version == 0 { Some(Vec::new()) } else { None };
        let topics = metadata(&mut client, version, listed, true);
        assert_eq!(own_names(topics), all, "version {version}");
        let one = vec![asked(Some("orders"), Uuid::nil())];
        let topics = metadata(&mut client, version, Some(one), true);
        assert_eq!(topics[0].partitions.len(), 3, "version {version}");
        if version >= 1 {
            let none = metadata(&mut client, version, Some(Vec::new()), true);
            assert_eq!(none, [], "version {version}");
        }
        if version >= 12 {
            let topics = metadata(&mut client, version, Some(vec![asked(None, id)]), true);
            assert_eq!(topics[0].name.as_deref(), Some("orders"), "version {version}");
            let unknown = vec![asked(None, Uuid::now_v7())];
            let topics = metadata(&mut client, version, Some(unknown), true);
            assert_eq!(error(topics[0].error_code), error(ErrorCode::UnknownTopicId.code()));
        }
    }
    let request = MetadataRequest::default();
    let answer = client.ask(&request);
    let broker = &answer.brokers[0];
    assert_eq!((&*broker.host, broker.port), ("127.0.0.1", i32::from(server.kafka.port())));
    assert_eq!(answer.controller_id, broker.node_id);
    assert!(answer.cluster_id.is_some_and(|id| !id.is_empty()));
}

#[test]
fn who_asks_what_it_may_do_hears_of_everything_and_who_does_not_of_nothing() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    // The sums of 1 << operation, as Kafka 4 answers without an authorizer.
    let (topic, cluster, unasked) = (0b1101_1111_1000, 0b1_1111_1010_0000, i32::MIN);
    for is_asked in [true, false] {
        let expected = |operations| if is_asked { operations } else { unasked };
        for version in 8..=ApiKey::Metadata.versions().last().unwrap() {
            let request = MetadataRequest {
                topics: Some(vec![asked(Some("orders"), Uuid::nil())]),
                include_cluster_authorized_operations: is_asked && version <= 10,
                include_topic_authorized_operations: is_asked,
                ..Default::default()
            };
            let answer = client.call(&request, version);
            assert_eq!(answer.topics[0].topic_authorized_operations, expected(topic));
            let of_cluster = if version <= 10 { expected(cluster) } else { unasked };
            assert_eq!(answer.cluster_authorized_operations, of_cluster, "version {version}");
        }
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: is_asked,
            ..Default::default()
        };
        assert_eq!(client.ask(&request).cluster_authorized_operations, expected(cluster));
        let request = DescribeGroupsRequest {
            groups: vec![name("billing")],
            include_authorized_operations: is_asked,
        };
        client.ask(&commit_request("billing", "orders", (0, 1), ""));
        let of_group = client.ask(&request).groups[0].authorized_operations;
        assert_eq!(of_group, expected(0b1101_0100_1000));
    }
}

#[test]
fn who_asks_for_access_rules_hears_that_there_is_no_access_control() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let disabled = error(ErrorCode::SecurityDisabled.code());
    for version in ApiKey::DescribeAcls.versions() {
        let described = client.call(&DescribeAclsRequest::default(), version);
        assert_eq!(error(described.error_code), disabled);
        assert!(described.error_message.unwrap().contains("No Authorizer"));
        let creations = vec![AclCreation::default(); 2];
        let created = client.call(&CreateAclsRequest { creations }, version).results;
        let codes: Vec<_> = created.iter().map(|result| error(result.error_code)).collect();
        assert_eq!(codes, [&*disabled, &*disabled], "version {version}");
        let filters = vec![DeleteAclsFilter::default()];
        let deleted = client.call(&DeleteAclsRequest { filters }, version).filter_results;
        assert_eq!((deleted.len(), error(deleted[0].error_code)), (1, disabled.clone()));
    }
}

#[test]
fn a_missing_topic_is_created_only_if_client_and_broker_want_that() {
    let home = Home::new();
    let server = home.serve_with(&["--default-partitions", "4"]);
    let mut client = Client::connect(server.kafka);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let one = |topic| Some(vec![asked(Some(topic), Uuid::nil())]);
    let topics = metadata(&mut client, 12, one("orders"), false);
    assert_eq!(error(topics[0].error_code), error(unknown), "the client does not want it");
    let topics = metadata(&mut client, 12, one("orders"), true);
    ok("auto-create", topics[0].error_code);
    assert_eq!(topics[0].partitions.len(), 4);
    server.stop();
    let server = home.serve_with(&["--auto-create-topics=false"]);
    let mut client = Client::connect(server.kafka);
    let topics = metadata(&mut client, 12, one("payments"), true);
    assert_eq!(error(topics[0].error_code), error(unknown), "the broker does not want it");
    assert_eq!(own_names(metadata(&mut client, 12, None, true)), ["orders"]);
}

fn delete(client: &mut Client, topic: &str) {
    let topics = vec![DeleteTopicState { name: Some(name(topic)), ..Default::default() }];
    let answer = client.ask(&DeleteTopicsRequest { topics, ..Default::default() });
    ok(&format!("delete {topic}"), answer.responses[0].error_code);
}

#[test]
fn a_topic_that_is_created_again_is_another_one_and_empty() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let first = create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..3)));
    let commit = commit_request("billing", "orders", (0, 3), "");
    ok("commit", client.ask(&commit).topics[0].partitions[0].error_code);
    delete(&mut client, "orders");
    let gone = produce(&mut client, "orders", 0, batch(&records(0..1)));
    assert_eq!(error(gone.error_code), error(ErrorCode::UnknownTopicOrPartition.code()));
    let second = create(&mut client, "orders", 1);
    assert_ne!(first, second);
    assert_eq!(end_of(&mut client, "orders", 0), 0);
    assert_eq!(committed(&mut client, "billing", "orders", 0).0, -1, "the other one's offset");
    assert_eq!(append(&mut client, "orders", 0, batch(&records(7..8))), 0);
    // Whoever still has the first one's id is not served from the second.
    let mut old = fetch_request("orders", 0, 0);
    old.topics[0].topic_id = first;
    let answer = client.call(&old, 13).responses.remove(0).partitions.remove(0);
    assert_eq!(error(answer.error_code), error(ErrorCode::UnknownTopicId.code()));
    server.kill();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let found = read_all(&mut client, "orders", 0);
    assert_eq!(found.iter().map(|one| &one.record).collect::<Vec<_>>(), [&record(7)]);
}

#[test]
fn a_topic_grows_and_its_old_partitions_keep_their_records() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..2)));
    for (validate_only, expected) in [(true, 1), (false, 3)] {
        let topics =
            vec![CreatePartitionsTopic { name: name("orders"), count: 3, assignments: None }];
        let request = CreatePartitionsRequest { topics, validate_only, ..Default::default() };
        ok("grow", client.ask(&request).results[0].error_code);
        let one = Some(vec![asked(Some("orders"), Uuid::nil())]);
        let partitions = metadata(&mut client, 12, one, false).remove(0).partitions;
        assert_eq!(partitions.len(), expected, "validate only: {validate_only}");
    }
    assert_eq!(append(&mut client, "orders", 2, batch(&records(5..6))), 0);
    assert_eq!(read_all(&mut client, "orders", 0).len(), 2);
}

/// A produce request in a version that may name the topic by its id.
fn produce_in(client: &mut Client, version: i16, id: Uuid, batch: Bytes) -> i64 {
    let mut request = produce_request("orders", 0, Some(batch));
    request.topic_data[0].topic_id = id;
    let answer = of_partition(client.call(&request, version));
    ok(&format!("produce version {version}"), answer.error_code);
    answer.base_offset
}

#[test]
fn every_version_of_produce_and_fetch_carries_all_codecs_byte_for_byte() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 1);
    let mut sent = Vec::new();
    let mut end = 0;
    for version in ApiKey::Produce.versions() {
        for codec in Codec::ALL {
            if codec == Codec::Zstd && version < 7 {
                continue;
            }
            let batch = batch_of(codec, None, &records(end..end + 10));
            assert_eq!(produce_in(&mut client, version, id, batch.clone()), end);
            sent.push((codec, batch));
            end += 10;
        }
    }
    for version in ApiKey::Fetch.versions() {
        let mut request = fetch_request("orders", 0, 0);
        request.topics[0].topic_id = id;
        let data = fetched(client.call(&request, version));
        ok(&format!("fetch version {version}"), data.error_code);
        assert_eq!(data.high_watermark, end, "version {version}");
        let found = batches(bytes_of(data));
        assert_eq!(found.len(), sent.len(), "version {version}");
        for ((found, (codec, sent)), base) in found.iter().zip(&sent).zip((0..).step_by(10)) {
            assert_same_batch(found.bytes(), sent, &format!("version {version}, {codec}"));
            assert_eq!(found.header().base_offset, base);
        }
    }
    for (number, found) in (0..).zip(read_all(&mut client, "orders", 0)) {
        assert_eq!((found.offset.get(), found.record), (number, record(number)));
    }
}

#[test]
fn a_fetch_from_the_middle_of_a_batch_gets_the_whole_batch() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..10)));
    append(&mut client, "orders", 0, batch(&records(10..20)));
    for (from, bases) in [(0, vec![0, 10]), (9, vec![0, 10]), (10, vec![10]), (15, vec![10])] {
        let found = batches(bytes_of(fetch(&mut client, "orders", 0, from)));
        let found: Vec<_> = found.iter().map(|batch| batch.header().base_offset).collect();
        assert_eq!(found, bases, "from {from}");
    }
}

#[test]
fn a_fetch_gets_at_least_one_batch_and_no_second_above_its_limits() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let one = batch(&records(0..10));
    let size = i32::try_from(one.len()).unwrap();
    for _ in 0..4 {
        append(&mut client, "orders", 0, one.clone());
    }
    let big = 1 << 20;
    for (of_all, of_partition, expected) in [
        (1, big, 1),
        (0, big, 1),
        (big, 1, 1),
        (big, size, 1),
        (2 * size, big, 2),
        (big, 2 * size + 1, 2),
        (big, big, 4),
    ] {
        let mut request = fetch_request("orders", 0, 0);
        request.max_bytes = of_all;
        request.topics[0].partitions[0].partition_max_bytes = of_partition;
        let found = batches(bytes_of(fetched(client.ask(&request))));
        assert_eq!(found.len(), expected, "{of_all} in all, {of_partition} of the partition");
    }
}

fn waiting_fetch(min_bytes: i32, max_wait_ms: i32, offset: i64) -> FetchRequest {
    FetchRequest { min_bytes, max_wait_ms, ..fetch_request("orders", 0, offset) }
}

#[test]
fn a_waiting_fetch_is_answered_by_an_append_over_another_connection() {
    const ROUNDS: i64 = 50;
    let home = Home::new();
    let server = home.serve();
    let mut reader = Client::connect(server.kafka);
    let mut writer = Client::connect(server.kafka);
    create(&mut writer, "orders", 1);
    let version = newest(ApiKey::Fetch);
    let mut slowest = Duration::ZERO;
    for offset in 0..ROUNDS {
        let number = reader.send(&waiting_fetch(1, LONG_WAIT_MS, offset), version).unwrap();
        append(&mut writer, "orders", 0, batch(&records(offset..offset + 1)));
        let acknowledged = Instant::now();
        let data = fetched(reader.receive(number, version).unwrap());
        slowest = slowest.max(acknowledged.elapsed());
        assert_eq!(batches(bytes_of(data)).len(), 1, "offset {offset}");
    }
    println!("the slowest of {ROUNDS} waiting fetches came {slowest:?} after its append");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}: woken by the time, not by the append");
}

#[test]
fn a_fetch_waits_as_long_as_it_was_told_to_if_nothing_comes() {
    const WAIT: Duration = Duration::from_millis(300);
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let started = Instant::now();
    let data = fetched(client.ask(&waiting_fetch(1, 300, 0)));
    let waited = started.elapsed();
    ok("fetch", data.error_code);
    assert!(bytes_of(data).is_empty());
    assert!(waited >= WAIT && waited < WAIT + Duration::from_secs(5), "{waited:?}");
    // Without a wait, or where nothing is demanded, it is answered at once.
    for request in [waiting_fetch(1, 0, 0), waiting_fetch(0, LONG_WAIT_MS, 0)] {
        assert!(bytes_of(fetched(client.ask(&request))).is_empty());
    }
}

#[test]
fn a_waiting_fetch_is_told_that_its_topic_was_deleted() {
    const ROUNDS: i64 = 20;
    let home = Home::new();
    let server = home.serve();
    let mut reader = Client::connect(server.kafka);
    let mut other = Client::connect(server.kafka);
    let version = newest(ApiKey::Fetch);
    for round in 0..ROUNDS {
        create(&mut other, "orders", 1);
        let kept = round % 2;
        for at in 0..kept {
            append(&mut other, "orders", 0, batch(&records(at..at + 1)));
        }
        let number = reader.send(&waiting_fetch(1, LONG_WAIT_MS, kept), version).unwrap();
        delete(&mut other, "orders");
        // Not that its offset is wrong: a client would start anew, in a topic that is not there.
        let data = fetched(reader.receive(number, version).unwrap());
        assert_eq!(error(data.error_code), error(ErrorCode::UnknownTopicOrPartition.code()));
    }
}

#[test]
fn a_fetch_waits_for_as_many_bytes_as_it_demands() {
    let home = Home::new();
    let server = home.serve();
    let mut reader = Client::connect(server.kafka);
    let mut writer = Client::connect(server.kafka);
    create(&mut writer, "orders", 1);
    let one = batch(&records(0..1));
    let enough = i32::try_from(one.len() + 1).unwrap();
    let version = newest(ApiKey::Fetch);
    let number = reader.send(&waiting_fetch(enough, LONG_WAIT_MS, 0), version).unwrap();
    append(&mut writer, "orders", 0, one.clone());
    reader.patience(Duration::from_millis(300));
    let early = reader.receive::<FetchResponse>(number, version);
    assert_eq!(early.unwrap_err().kind(), io::ErrorKind::WouldBlock, "too few bytes were enough");
    reader.patience(DEADLINE);
    append(&mut writer, "orders", 0, one);
    let data = fetched(reader.receive(number, version).unwrap());
    assert_eq!(batches(bytes_of(data)).len(), 2);
}

#[test]
fn a_fetch_out_of_range_is_told_so_at_once() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..3)));
    for offset in [4, i64::MAX, -1, i64::MIN] {
        let data = fetched(client.ask(&waiting_fetch(1, LONG_WAIT_MS, offset)));
        let expected = ErrorCode::OffsetOutOfRange.code();
        assert_eq!(error(data.error_code), error(expected), "offset {offset}");
    }
    let mut request = waiting_fetch(1, LONG_WAIT_MS, 3);
    request.topics[0].partitions[0].partition = 9;
    let data = fetched(client.ask(&request));
    assert_eq!(error(data.error_code), error(ErrorCode::UnknownTopicOrPartition.code()));
}

#[test]
fn list_offsets_finds_ends_the_latest_record_and_times_inside_batches() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let (end, start, latest) = (-1, -2, -3);
    for (asked, expected) in [(end, 0), (start, 0), (latest, -1), (EPOCH, -1)] {
        assert_eq!(list_offset(&mut client, "orders", 0, asked).0, expected, "empty, {asked}");
    }
    append(&mut client, "orders", 0, batch(&records(0..10)));
    // Later in the log, but earlier by its clock, except for one.
    let late = [record(3), record(50), record(4)];
    append(&mut client, "orders", 0, batch_of(Codec::Lz4, None, &late));
    let time = |number: i64| EPOCH + number * 1000;
    for (asked, expected) in [
        (end, (13, -1)),
        (start, (0, -1)),
        (latest, (11, time(50))),
        (0, (0, time(0))),
        (time(4), (4, time(4))),
        (time(4) + 1, (5, time(5))),
        (time(9), (9, time(9))),
        (time(10), (11, time(50))),
        (time(51), (-1, -1)),
    ] {
        assert_eq!(list_offset(&mut client, "orders", 0, asked), expected, "{asked}");
    }
    for version in ApiKey::ListOffsets.versions() {
        let partitions = vec![ListOffsetsPartition { timestamp: time(7), ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: name("orders"), partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let answer = client.call(&request, version);
        assert_eq!(answer.topics[0].partitions[0].offset, 7, "version {version}");
    }
}

#[test]
fn a_batch_that_is_sent_again_keeps_its_offset_also_after_a_stop_and_a_kill() {
    let home = Home::new();
    let mut server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let id = new_producer(&mut client);
    let nth = |number: i32| sequenced(id, 0, number * 2, 2);
    for number in 0..6 {
        let offset = append(&mut client, "orders", 0, nth(number));
        assert_eq!(offset, i64::from(number) * 2);
    }
    for life in ["the first life", "after a stop", "after a kill"] {
        for number in 1..6 {
            let offset = append(&mut client, "orders", 0, nth(number));
            assert_eq!(offset, i64::from(number) * 2, "{life}: one of the last five again");
        }
        for (what, batch) in [("a gap", nth(7)), ("older than the last five", nth(0))] {
            let answer = produce(&mut client, "orders", 0, batch);
            let expected = ErrorCode::OutOfOrderSequenceNumber.code();
            assert_eq!(error(answer.error_code), error(expected), "{life}: {what}");
        }
        assert_eq!(end_of(&mut client, "orders", 0), 12, "{life}");
        if life == "the first life" {
            server.stop();
        } else {
            server.kill();
        }
        server = home.serve();
        client = Client::connect(server.kafka);
    }
    assert_eq!(append(&mut client, "orders", 0, nth(6)), 12, "and it goes on");
    assert_ne!(new_producer(&mut client), id, "ids are not given twice");
}

#[test]
fn a_repetition_of_a_batch_in_flight_is_acknowledged_only_once_it_is_durable() {
    const ROUNDS: i32 = 10;
    let home = Home::new();
    let mut server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let id = new_producer(&mut client);
    for round in 0..ROUNDS {
        let mut first = Client::connect(server.kafka);
        let mut again = Client::connect(server.kafka);
        let request = produce_request("orders", 0, Some(sequenced(id, 0, round, 1)));
        let version = newest(ApiKey::Produce);
        first.send(&request, version).unwrap();
        let number = again.send(&request, version).unwrap();
        // Whichever came first, the one that is acknowledged here must be on the disk.
        let answer = of_partition(again.receive(number, version).unwrap());
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(round)));
        server.kill();
        server = home.serve();
        let mut client = Client::connect(server.kafka);
        let found = read_all(&mut client, "orders", 0);
        assert_eq!(found.len() as i32, round + 1, "round {round}: acknowledged, and found");
    }
}

#[test]
fn pipelined_requests_overlap_and_their_answers_keep_the_order() {
    const REQUESTS: i64 = 200;
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let (fetch, produce) = (newest(ApiKey::Fetch), newest(ApiKey::Produce));
    // The fetch waits for what only a later request of the same connection brings.
    let waiting = client.send(&waiting_fetch(1, LONG_WAIT_MS, 0), fetch).unwrap();
    let started = Instant::now();
    let mut numbers = Vec::new();
    for number in 0..REQUESTS {
        let request = produce_request("orders", 0, Some(batch(&records(number..number + 1))));
        numbers.push(client.send(&request, produce).unwrap());
    }
    let data = fetched(client.receive(waiting, fetch).unwrap());
    assert!(!bytes_of(data).is_empty());
    assert!(started.elapsed() < Duration::from_secs(20), "the requests waited for each other");
    for (offset, number) in (0..).zip(numbers) {
        let answer = of_partition(client.receive(number, produce).unwrap());
        assert_eq!((answer.error_code, answer.base_offset), (0, offset));
    }
}

#[test]
fn the_cluster_the_broker_and_its_topics_describe_themselves() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let port = i32::from(server.kafka.port());
    for version in ApiKey::DescribeCluster.versions() {
        let answer = client.call(&DescribeClusterRequest::default(), version);
        ok("describe cluster", answer.error_code);
        let brokers: Vec<_> = answer.brokers.iter().map(|b| (b.broker_id, b.port)).collect();
        assert_eq!(brokers, [(1, port)], "version {version}");
        assert!(!answer.cluster_id.is_empty());
    }
    for version in ApiKey::FindCoordinator.versions() {
        let request = FindCoordinatorRequest {
            key: name("billing"),
            coordinator_keys: vec![name("billing")],
            ..Default::default()
        };
        let answer = client.call(&request, version);
        let found = if version < 4 { answer.port } else { answer.coordinators[0].port };
        assert_eq!(found, port, "version {version}");
    }
    for (resource_type, resource, expected) in
        [(2, "orders", "max.message.bytes"), (4, "1", "num.partitions")]
    {
        for version in ApiKey::DescribeConfigs.versions() {
            let resources = vec![DescribeConfigsResource {
                resource_type,
                resource_name: name(resource),
                configuration_keys: None,
            }];
            let request = DescribeConfigsRequest { resources, ..Default::default() };
            let result = client.call(&request, version).results.remove(0);
            ok(resource, result.error_code);
            let found = result.configs.iter().find(|config| &*config.name == expected);
            assert!(found.is_some_and(|config| config.value.is_some()), "version {version}");
        }
    }
}

/// Reads on from what the group has committed, and commits what it read.
fn consume(client: &mut Client, group: &str) -> Vec<Record> {
    let from = committed(client, group, "orders", 0).0.max(0);
    let found = read_from(client, "orders", 0, from);
    if let Some(last) = found.last() {
        let next = last.offset.next().get();
        let request = commit_request(group, "orders", (0, next), "");
        ok("commit", client.ask(&request).topics[0].partitions[0].error_code);
    }
    found.into_iter().map(|found| found.record).collect()
}

// Rows 1.07, 1.09, 1.10, 1.11.
#[test]
fn a_group_that_comes_later_and_one_that_reads_again_get_the_whole_history() {
    let home = Home::new();
    let server = home.serve();
    let mut producer = Client::connect(server.kafka);
    create(&mut producer, "orders", 1);
    append(&mut producer, "orders", 0, batch(&records(0..50)));
    let mut client = Client::connect(server.kafka);
    assert_eq!(consume(&mut client, "billing"), records(0..50));
    assert_eq!(consume(&mut client, "billing"), [], "its own position moved");
    // The producer goes on over the same connection and knows nothing of the newcomer.
    append(&mut producer, "orders", 0, batch(&records(50..80)));
    assert_eq!(consume(&mut client, "shipping"), records(0..80), "a new group");
    assert_eq!(consume(&mut client, "billing"), records(50..80), "the old one goes on");
    let request = commit_request("billing", "orders", (0, 0), "");
    ok("reset", client.ask(&request).topics[0].partitions[0].error_code);
    assert_eq!(consume(&mut client, "billing"), records(0..80), "replayed");
    assert_eq!(consume(&mut client, "shipping"), [], "the other is where it was");
}

// Rows 1.13, 1.15.
#[test]
fn a_consumer_that_was_away_misses_nothing_even_over_restarts() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..10)));
    assert_eq!(consume(&mut client, "billing"), records(0..10));
    append(&mut client, "orders", 0, batch(&records(10..20)));
    server.stop();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    append(&mut client, "orders", 0, batch(&records(20..30)));
    server.kill();
    // Nothing is in memory now: the log itself is what is read.
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    assert_eq!(consume(&mut client, "billing"), records(10..30));
    assert_eq!(consume(&mut client, "audit"), records(0..30));
}

// Row 2.09.
#[test]
fn records_keep_the_order_in_which_they_came_whatever_their_clocks_say() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    let mut backwards = records(0..20);
    backwards.reverse();
    for chunk in backwards.chunks(3) {
        append(&mut client, "orders", 0, batch(chunk));
    }
    let found = read_all(&mut client, "orders", 0);
    let found: Vec<_> = found.into_iter().map(|found| found.record).collect();
    assert_eq!(found, backwards);
}

// Rows 2.40, 2.41.
#[test]
fn offsets_rise_by_one_and_each_producer_keeps_its_order_under_concurrency() {
    const PRODUCERS: i64 = 8;
    const BATCHES: i64 = 40;
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 2);
    let from = |producer: i64, number: i64| Record {
        key: Some(format!("producer {producer}").into()),
        value: Some(number.to_string().into()),
        headers: Vec::new(),
        timestamp: Timestamp::from_millis(EPOCH),
    };
    let address = server.kafka;
    let producing: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                for number in 0..BATCHES {
                    let two = [from(producer, 2 * number), from(producer, 2 * number + 1)];
                    append(&mut client, "orders", (producer % 2) as i32, batch(&two));
                }
            })
        })
        .collect();
    producing.into_iter().for_each(|one| one.join().unwrap());
    for partition in 0..2 {
        let found = read_all(&mut client, "orders", partition);
        assert_eq!(found.len() as i64, PRODUCERS / 2 * BATCHES * 2);
        let mut next = [0; PRODUCERS as usize];
        for (offset, found) in (0..).zip(found) {
            assert_eq!(found.offset.get(), offset, "partition {partition}");
            let known = |producer: &i64| from(*producer, next[*producer as usize]) == found.record;
            let producer = (0..PRODUCERS).find(known);
            next[producer.expect("the next of one of the producers") as usize] += 1;
        }
    }
}

// Row 2.42.
#[test]
fn equal_keys_share_the_partition_that_kafkas_murmur2_names() {
    const PARTITIONS: i32 = 10;
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", PARTITIONS);
    // From the tests of the Java client.
    for (key, hash) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        for number in 0..3 {
            let event = serde_json::json!({
                "specversion": "1.0", "id": format!("{key}-{number}"), "source": "/test",
                "type": "com.example.order.placed", "partitionkey": key,
            });
            let answer = ureq::post(format!("http://{}/topics/orders/events", server.http))
                .header("content-type", "application/cloudevents+json")
                .send(event.to_string())
                .and_then(|mut answer| answer.body_mut().read_to_string());
            let answer: serde_json::Value = serde_json::from_str(&answer.unwrap()).unwrap();
            let expected = (hash & i32::MAX) % PARTITIONS;
            assert_eq!(answer["positions"][0]["partition"], expected, "{key}: {answer}");
        }
    }
}
