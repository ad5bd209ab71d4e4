//! Requests that Apache Kafka refuses, or answers with more than is at hand: each gets Kafka's own
//! answer, as a comparison with it has found, and what is refused changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use bytes::Bytes;
use common::client::{Client, newest};
use common::server::{Home, Server};
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};
use uuid::Uuid;

/// The operations on a topic and on a group, as the sums of 1 << operation.
const OF_TOPIC: i32 = 0b1101_1111_1000;
const OF_GROUP: i32 = 0b1101_0100_1000;

fn start(home: &Home) -> (Server, Client) {
    let server = home.serve();
    let client = Client::connect(server.kafka);
    (server, client)
}

/// Names and numbers of partitions of all topics but Factum's own.
fn topics(client: &mut Client) -> Vec<(String, usize)> {
    let answer = client.ask(&MetadataRequest { topics: None, ..Default::default() });
    let own = answer.topics.into_iter().filter(|topic| !topic.is_internal);
    let mut own: Vec<_> =
        own.map(|topic| (topic.name.unwrap().to_string(), topic.partitions.len())).collect();
    own.sort();
    own
}

fn by_name(topic: &str) -> DeleteTopicState {
    DeleteTopicState { name: Some(name(topic)), ..Default::default() }
}

fn by_id(topic_id: Uuid) -> DeleteTopicState {
    DeleteTopicState { topic_id, ..Default::default() }
}

/// Names, ids and error codes of the answers to a deletion.
fn delete(
    client: &mut Client,
    topics: Vec<DeleteTopicState>,
) -> Vec<(Option<String>, Uuid, String)> {
    let answer = client.call(&DeleteTopicsRequest { topics, ..Default::default() }, 6);
    let told = |it: DeletableTopicResult| {
        (it.name.map(|name| name.to_string()), it.topic_id, error(it.error_code))
    };
    answer.responses.into_iter().map(told).collect()
}

#[test]
fn a_topic_that_is_to_be_deleted_twice_is_not_deleted() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let (orders, bills) = (create(&mut client, "orders", 1), create(&mut client, "bills", 1));
    let (nil, unknown) = (Uuid::nil(), Uuid::now_v7());
    let both = DeleteTopicState { name: Some(name("orders")), topic_id: orders };
    let cases = [
        ("by name", vec![by_name("orders"), by_name("orders")], vec![(Some("orders"), nil)]),
        ("by id", vec![by_id(orders), by_id(orders), by_id(orders)], vec![(None, orders)]),
        ("by both", vec![by_name("orders"), by_id(orders)], vec![(Some("orders"), orders)]),
        ("the other way", vec![by_id(orders), by_name("orders")], vec![(Some("orders"), orders)]),
        (
            "by id twice, and by name",
            vec![by_id(orders), by_id(orders), by_name("orders")],
            vec![(None, orders), (Some("orders"), orders)],
        ),
        ("what is not there", vec![by_name("none"), by_name("none")], vec![(Some("none"), nil)]),
        ("no such id", vec![by_id(unknown), by_id(unknown)], vec![(None, unknown)]),
        ("neither, each", vec![by_id(nil), by_id(nil)], vec![(None, nil), (None, nil)]),
        ("both in one", vec![both], vec![(Some("orders"), orders)]),
    ];
    let invalid = error(ErrorCode::InvalidRequest.code());
    for (what, asked, expected) in cases {
        let refused =
            |(name, id): (Option<&str>, Uuid)| (name.map(str::to_owned), id, invalid.clone());
        let expected: Vec<_> = expected.into_iter().map(refused).collect();
        assert_eq!(delete(&mut client, asked), expected, "{what}");
        assert_eq!(topics(&mut client).len(), 2, "{what}: something was deleted");
    }
    let topic_names = vec![name("orders"), name("orders")];
    let older = DeleteTopicsRequest { topic_names, ..Default::default() };
    for version in 1..=5 {
        let answer = client.call(&older, version).responses;
        let codes: Vec<_> = answer.iter().map(|it| error(it.error_code)).collect();
        assert_eq!(codes, [invalid.as_str()], "version {version}");
    }
    // What is good beside it is done.
    let none = error(ErrorCode::None.code());
    let answer = delete(&mut client, vec![by_name("orders"), by_id(bills), by_name("orders")]);
    let expected =
        [(Some("orders".to_owned()), nil, invalid), (Some("bills".to_owned()), bills, none)];
    assert_eq!(answer, expected);
    assert_eq!(topics(&mut client), [("orders".to_owned(), 1)]);
    server.stop();
}

#[test]
fn a_topic_that_is_to_grow_twice_does_not_grow() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    create(&mut client, "bills", 1);
    let grow = |topic: &str, count| {
        let name = name(topic);
        CreatePartitionsTopic { name, count, assignments: None }
    };
    let topics_asked = vec![grow("orders", 2), grow("bills", 2), grow("orders", 3)];
    let request = CreatePartitionsRequest { topics: topics_asked, ..Default::default() };
    for version in ApiKey::CreatePartitions.versions() {
        let answer = client.call(&request, version).results;
        assert_eq!(answer.len(), 2, "one answer each");
        assert_eq!(&*answer[0].name, "orders");
        assert_eq!(error(answer[0].error_code), error(ErrorCode::InvalidRequest.code()));
        let expected = [("bills".to_owned(), 2), ("orders".to_owned(), 1)];
        assert_eq!(topics(&mut client), expected, "version {version}");
    }
    server.stop();
}

#[test]
fn a_topic_that_is_to_be_created_twice_is_answered_once() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let asked = vec![new_topic("a", 1), new_topic("b", 1), new_topic("a", 2), new_topic("a", 1)];
    let answer = client.ask(&CreateTopicsRequest { topics: asked, ..Default::default() });
    let codes = answer.topics.iter().map(|topic| (&*topic.name, error(topic.error_code)));
    let expected = [("a", ErrorCode::InvalidRequest), ("b", ErrorCode::None)];
    let expected = expected.map(|(name, code)| (name, error(code.code())));
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(topics(&mut client), [("b".to_owned(), 1)]);
    server.stop();
}

#[test]
fn beside_assignments_there_are_no_numbers_of_partitions_and_replicas() {
    use ErrorCode::{InvalidRequest, None};
    let home = Home::new();
    let (server, mut client) = start(&home);
    let node = client.ask(&MetadataRequest::default()).brokers[0].node_id;
    for (partitions, replicas, expected) in [
        (1, -1, InvalidRequest),
        (-1, 1, InvalidRequest),
        (1, 1, InvalidRequest),
        (0, -1, InvalidRequest),
        (-1, 3, InvalidRequest),
        (-1, -1, None),
    ] {
        let assignments =
            vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![node] }];
        let mut topic = CreatableTopic { assignments, ..new_topic("orders", partitions) };
        topic.replication_factor = replicas;
        let answer = client.ask(&CreateTopicsRequest { topics: vec![topic], ..Default::default() });
        let came = error(answer.topics[0].error_code);
        assert_eq!(came, error(expected.code()), "{partitions} partitions, {replicas} replicas");
        assert_eq!(topics(&mut client).len(), usize::from(expected == None));
    }
    server.stop();
}

#[test]
fn topics_whose_names_differ_only_in_dots_and_underscores_collide() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "a.b_c", 1);
    for topic in ["a_b_c", "a.b.c", "a_b.c"] {
        for validate_only in [true, false] {
            let topics = vec![new_topic(topic, 1)];
            let request = CreateTopicsRequest { topics, validate_only, ..Default::default() };
            let answer = client.ask(&request).topics.remove(0);
            let invalid = error(ErrorCode::InvalidTopicException.code());
            assert_eq!(error(answer.error_code), invalid, "{topic}");
            let expected = format!("Topic '{topic}' collides with existing topic: a.b_c");
            assert_eq!(answer.error_message.as_deref(), Some(&*expected));
        }
    }
    for topic in ["a-b-c", "a.b", "abc"] {
        create(&mut client, topic, 1);
    }
    assert_eq!(topics(&mut client).len(), 4);
    server.stop();
}

#[test]
fn who_has_fetched_in_an_epoch_that_never_was_is_out_of_range() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..3)));
    for (epoch, expected) in [
        (-2, ErrorCode::None),
        (-1, ErrorCode::None),
        (0, ErrorCode::None),
        (1, ErrorCode::OffsetOutOfRange),
        (99, ErrorCode::OffsetOutOfRange),
    ] {
        let mut request = fetch_request("orders", 0, 3);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        let came = fetched(client.ask(&request)).error_code;
        assert_eq!(error(came), error(expected.code()), "{epoch}");
    }
    server.stop();
}

#[test]
fn a_producer_says_its_id_and_its_epoch_or_nothing() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    for version in 3..=newest(ApiKey::InitProducerId) {
        for transactional_id in [None, Some(name("transfers"))] {
            for (producer_id, producer_epoch) in [(7, -1), (0, -1), (-1, 7), (-1, 0)] {
                let request = InitProducerIdRequest {
                    transactional_id: transactional_id.clone(),
                    transaction_timeout_ms: 60_000,
                    producer_id,
                    producer_epoch,
                };
                let answer = client.call(&request, version);
                let what = format!("version {version}, {request:?}");
                assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code(), "{what}");
                assert_eq!((answer.producer_id, answer.producer_epoch), (-1, -1), "{what}");
            }
        }
        // Without a transactional id Kafka takes both, whatever they are, and gives a new id.
        let given =
            InitProducerIdRequest { producer_id: 7, producer_epoch: 3, ..Default::default() };
        let answer = client.call(&given, version);
        ok("both", answer.error_code);
        assert_eq!(answer.producer_epoch, 0, "version {version}");
    }
    server.stop();
}

/// The only member of a group of the classic protocol, which has to sync: its first request for
/// that, without the protocol.
fn joined(client: &mut Client, group: &str) -> SyncGroupRequest {
    let join = JoinGroupRequest {
        group_id: name(group),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: name("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: name("range"), ..Default::default() }],
        ..Default::default()
    };
    // The last version in which a member joins without asking for its id before.
    let answer = client.call(&join, 3);
    ok("join", answer.error_code);
    let assignment = Bytes::from_static(b"all of it");
    let member_id = answer.member_id;
    SyncGroupRequest {
        group_id: name(group),
        generation_id: answer.generation_id,
        member_id: member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment { member_id, assignment }],
        ..Default::default()
    }
}

#[test]
fn a_member_syncs_with_its_protocol_from_version_5_on() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let inconsistent = error(ErrorCode::InconsistentGroupProtocol.code());
    let with = |of: &SyncGroupRequest, protocol_type: Option<&str>, protocol: Option<&str>| {
        let (protocol_type, protocol_name) = (protocol_type.map(name), protocol.map(name));
        SyncGroupRequest { protocol_type, protocol_name, ..of.clone() }
    };
    let sync = joined(&mut client, "billing");
    for (protocol_type, protocol) in [
        (None, None),
        (Some("consumer"), None),
        (None, Some("range")),
        (Some("connect"), Some("range")),
        (Some("consumer"), Some("sticky")),
    ] {
        let answer = client.call(&with(&sync, protocol_type, protocol), 5);
        assert_eq!(error(answer.error_code), inconsistent, "{protocol_type:?} {protocol:?}");
        assert!(answer.assignment.is_empty());
    }
    // Also where there is no such group.
    let nowhere = SyncGroupRequest { group_id: name("nobody"), ..sync.clone() };
    assert_eq!(error(client.call(&nowhere, 5).error_code), inconsistent);
    // Before, there is no place for it.
    for (version, request) in [(4, sync.clone()), (5, with(&sync, Some("consumer"), Some("range")))]
    {
        let answer = client.call(&request, version);
        ok("sync", answer.error_code);
        assert_eq!(answer.assignment, "all of it", "version {version}");
    }
    server.stop();
}

#[test]
fn who_asks_what_it_may_do_with_a_group_of_the_consumer_protocol_hears_it() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let join = ConsumerGroupHeartbeatRequest {
        group_id: name("billing"),
        member_id: name(Uuid::now_v7().to_string()),
        member_epoch: 0,
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![name("orders")]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    ok("join", client.ask(&join).error_code);
    for version in ApiKey::ConsumerGroupDescribe.versions() {
        for (include_authorized_operations, expected) in [(true, OF_GROUP), (false, i32::MIN)] {
            let group_ids = vec![name("billing"), name("nobody")];
            let request = ConsumerGroupDescribeRequest { group_ids, include_authorized_operations };
            let groups = client.call(&request, version).groups;
            ok("describe", groups[0].error_code);
            assert_eq!(groups[0].authorized_operations, expected, "version {version}");
            assert_ne!(groups[1].error_code, 0, "there is no such group");
            assert_eq!(groups[1].authorized_operations, i32::MIN, "version {version}");
        }
    }
    server.stop();
}

#[test]
fn what_may_be_done_with_a_topic_is_told_with_its_partitions_also_if_it_is_missing() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let topic = |topic: &str| DescribeTopicPartitionsRequestTopic { name: name(topic) };
    let asked = ["nothing", "a/b", "orders"].map(topic).to_vec();
    for topics in [Vec::new(), asked.clone()] {
        let limit = 2000;
        let request = DescribeTopicPartitionsRequest {
            topics,
            response_partition_limit: limit,
            cursor: None,
        };
        let answer = client.ask(&request);
        assert!(!answer.topics.is_empty());
        for topic in answer.topics {
            let name = topic.name.as_deref();
            assert_eq!(topic.topic_authorized_operations, OF_TOPIC, "{name:?}");
        }
    }
    // Where the request itself is wrong, nothing is told.
    let cursor = Some(Cursor { topic_name: name("orders"), partition_index: -1 });
    let request =
        DescribeTopicPartitionsRequest { topics: asked, response_partition_limit: 2000, cursor };
    for topic in client.ask(&request).topics {
        assert_eq!(topic.topic_authorized_operations, i32::MIN);
    }
    server.stop();
}

#[test]
fn offsets_are_listed_only_as_the_version_knows_and_once_for_each_partition() {
    use ErrorCode::{FencedLeaderEpoch, InvalidRequest, UnknownLeaderEpoch, UnsupportedVersion};
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 2);
    let asked = |partition_index, timestamp, current_leader_epoch| ListOffsetsPartition {
        partition_index,
        current_leader_epoch,
        timestamp,
    };
    let list = |client: &mut Client, partitions: Vec<ListOffsetsPartition>, version| {
        let topics = vec![ListOffsetsTopic { name: name("orders"), partitions }];
        let request = ListOffsetsRequest { topics, replica_id: -1, ..Default::default() };
        let mut answer = client.call(&request, version);
        let partitions = answer.topics.remove(0).partitions;
        partitions.into_iter().map(|partition| error(partition.error_code)).collect::<Vec<_>>()
    };
    for (timestamp, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 12)] {
        for version in 1..=11 {
            let expected = if version < since { UnsupportedVersion.code() } else { 0 };
            let told = list(&mut client, vec![asked(0, timestamp, -1)], version);
            assert_eq!(told, [error(expected)], "{timestamp} in version {version}");
        }
    }
    let twice = vec![asked(0, -1, -1), asked(1, -1, -1), asked(0, -2, -1)];
    let invalid = || error(InvalidRequest.code());
    assert_eq!(list(&mut client, twice, 11), [invalid(), error(0), invalid()]);
    let epochs = vec![asked(0, -1, -2), asked(1, -1, 1)];
    let expected = [error(FencedLeaderEpoch.code()), error(UnknownLeaderEpoch.code())];
    assert_eq!(list(&mut client, epochs, 11), expected);
    server.stop();
}

#[test]
fn topics_are_asked_for_by_name_or_from_version_12_on_by_id() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 1);
    let orders = || MetadataRequestTopic { name: Some(name("orders")), ..Default::default() };
    let by_id = || MetadataRequestTopic { name: None, topic_id: id };
    let nothing = || MetadataRequestTopic { name: None, ..Default::default() };
    let both = || MetadataRequestTopic { topic_id: id, ..orders() };
    let told = |client: &mut Client, topics: Vec<MetadataRequestTopic>, version| {
        let request = MetadataRequest { topics: Some(topics), ..Default::default() };
        let answer = client.call(&request, version);
        answer.topics.into_iter().map(|topic| error(topic.error_code)).collect::<Vec<_>>()
    };
    let invalid = || error(ErrorCode::InvalidRequest.code());
    for version in [10, 11] {
        for wrong in [nothing(), by_id(), both()] {
            let told = told(&mut client, vec![orders(), wrong], version);
            assert_eq!(told, [invalid(), invalid()], "version {version}");
        }
    }
    for version in [12, 13] {
        assert_eq!(told(&mut client, vec![orders(), by_id()], version), [error(0), error(0)]);
        assert_eq!(told(&mut client, vec![orders(), nothing()], version), [invalid(), invalid()]);
    }
    server.stop();
}

#[test]
fn who_logs_in_where_nobody_does_is_told_so_and_goes_on() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    for version in ApiKey::SaslAuthenticate.versions() {
        let request = SaslAuthenticateRequest { auth_bytes: Bytes::from_static(b"\0a\0b") };
        let answer = client.call(&request, version);
        assert_eq!(error(answer.error_code), error(ErrorCode::IllegalSaslState.code()));
    }
    ok("list groups", client.ask(&ListGroupsRequest::default()).error_code);
    server.stop();
}
