//! What tools ask about a cluster at the Kafka door, answered for a cluster of one broker: epochs,
//! directories, elections, moves, the quorum, features, and topics page by page.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use common::client::Client;
use common::server::{Home, Server};
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};

const NODE: i32 = 1;

fn start(home: &Home) -> (Server, Client) {
    let server = home.serve();
    let client = Client::connect(server.kafka);
    (server, client)
}

/// Fails unless the code is that of the error.
fn assert_error(what: &str, came: i16, expected: ErrorCode) {
    assert_eq!(error(came), error(expected.code()), "{what}");
}

fn delete_before(client: &mut Client, topic: &str, offset: i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
    let topics = vec![DeleteRecordsTopic { name: name(topic), partitions }];
    let answer = client.ask(&DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    ok("delete records", answer.topics[0].partitions[0].error_code);
}

#[test]
fn the_one_leader_epoch_ends_where_the_partition_does() {
    use ErrorCode::*;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    append(&mut client, "orders", 0, batch(&records(0..10)));
    delete_before(&mut client, "orders", 4);
    // Topic, partition, epoch believed current, epoch asked for; epoch and offset, or error.
    let cases = [
        ("orders", 0, -1, 0, Ok((0, 10))),
        ("orders", 0, 0, 0, Ok((0, 10))),
        ("orders", 1, -1, 0, Ok((0, 0))),
        ("orders", 0, -1, 1, Ok((-1, -1))),
        ("orders", 0, -1, i32::MAX, Ok((-1, -1))),
        ("orders", 0, -1, -1, Ok((-1, -1))),
        ("orders", 0, -1, -2, Ok((-2, 4))),
        ("orders", 0, -1, i32::MIN, Ok((i32::MIN, 4))),
        ("orders", 0, 1, 0, Err(UnknownLeaderEpoch)),
        ("orders", 0, -2, 0, Err(FencedLeaderEpoch)),
        ("orders", 2, -1, 0, Err(UnknownTopicOrPartition)),
        ("orders", -1, -1, 0, Err(UnknownTopicOrPartition)),
        ("nothing", 0, 7, 0, Err(UnknownTopicOrPartition)),
    ];
    for version in ApiKey::OffsetForLeaderEpoch.versions() {
        let topic = |(topic, partition, current_leader_epoch, leader_epoch, _): &_| {
            let partition = OffsetForLeaderPartition {
                partition: *partition,
                current_leader_epoch: *current_leader_epoch,
                leader_epoch: *leader_epoch,
            };
            OffsetForLeaderTopic { topic: name(topic), partitions: vec![partition] }
        };
        let topics = cases.iter().map(topic).collect();
        let answer = client.call(&OffsetForLeaderEpochRequest { replica_id: -1, topics }, version);
        assert_eq!(answer.topics.len(), cases.len());
        for (answer, case) in answer.topics.iter().zip(&cases) {
            let (topic, partition, .., expected) = case;
            let came = &answer.partitions[0];
            assert_eq!((&*answer.topic, came.partition), (*topic, *partition));
            let code = expected.map_or_else(|error| error, |_| None);
            assert_error(&format!("version {version} {case:?}"), came.error_code, code);
            let end = (came.leader_epoch, came.end_offset);
            assert_eq!(end, expected.unwrap_or((-1, -1)), "version {version} {case:?}");
        }
    }
    server.stop();
}

fn log_dirs(
    client: &mut Client,
    asked: Option<&[(&str, &[i32])]>,
    version: i16,
) -> DescribeLogDirsResult {
    let topic = |(topic, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: name(topic),
        partitions: partitions.to_vec(),
    };
    let topics = asked.map(|asked| asked.iter().map(topic).collect());
    let mut answer = client.call(&DescribeLogDirsRequest { topics }, version);
    ok("describe log dirs", answer.error_code);
    assert_eq!(answer.results.len(), 1, "there is one directory");
    ok("the directory", answer.results[0].error_code);
    answer.results.remove(0)
}

/// Partitions with their sizes.
fn sizes(directory: &DescribeLogDirsResult) -> Vec<(&str, i32, i64)> {
    let of = |topic: &'_ DescribeLogDirsTopic| -> Vec<(i32, i64)> {
        let partitions = topic.partitions.iter();
        partitions
            .inspect(|of| assert!(of.offset_lag == 0 && !of.is_future_key))
            .map(|of| (of.partition_index, of.partition_size))
            .collect()
    };
    let topics = directory.topics.iter();
    topics
        .flat_map(|topic| of(topic).into_iter().map(|(number, size)| (&*topic.name, number, size)))
        .collect()
}

#[test]
fn the_log_directory_is_described_with_the_size_of_every_partition() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    create(&mut client, "payments", 1);
    let sent = batch(&records(0..10));
    append(&mut client, "orders", 1, sent.clone());
    append(&mut client, "orders", 1, sent.clone());
    let size = 2 * sent.len() as i64;
    for version in ApiKey::DescribeLogDirs.versions() {
        let all = log_dirs(&mut client, None, version);
        assert_eq!(&*all.log_dir, home.data().to_str().unwrap());
        let mut found = sizes(&all);
        assert!(found.iter().any(|(topic, ..)| *topic == "__factum_control"), "{found:?}");
        found.retain(|(topic, ..)| !topic.starts_with("__"));
        let expected = [("orders", 0, 0), ("orders", 1, size), ("payments", 0, 0)];
        assert_eq!(found, expected, "version {version}");
        let space = (all.total_bytes, all.usable_bytes);
        if version < 4 {
            assert_eq!(space, (-1, -1));
        } else {
            assert!(0 < space.0 && (0..=space.0).contains(&space.1), "{space:?}");
        }
        assert!(!all.is_cordoned);
        let none = log_dirs(&mut client, Some(&[]), version);
        assert_eq!(sizes(&none), [], "version {version}");
        let asked: &[(&str, &[i32])] = &[
            ("payments", &[7, -1, i32::MIN]),
            ("orders", &[1, i32::MAX, 1]),
            ("nothing", &[0]),
            ("orders", &[1]),
        ];
        let some = log_dirs(&mut client, Some(asked), version);
        assert_eq!(sizes(&some), [("orders", 1, size)], "version {version}");
    }
    server.stop();
}

#[test]
fn no_election_is_needed() {
    use ErrorCode::*;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    let asked = |topic: &str, partitions: &[i32]| ElectLeadersTopic {
        topic: name(topic),
        partitions: partitions.to_vec(),
    };
    for version in ApiKey::ElectLeaders.versions() {
        let mut elect = |election_type, topic_partitions| {
            let request =
                ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 30_000 };
            client.call(&request, version)
        };
        for kind in if version == 0 { 0..=0 } else { 0..=1 } {
            let named = vec![asked("orders", &[1, 2, -1]), asked("nothing", &[0])];
            let answer = elect(kind, Some(named));
            ok("elect leaders", answer.error_code);
            let results = &answer.replica_election_results;
            let codes: Vec<_> = results.iter().flat_map(|topic| &topic.partition_result).collect();
            let expected = [
                (1, ElectionNotNeeded),
                (2, UnknownTopicOrPartition),
                (-1, UnknownTopicOrPartition),
                (0, UnknownTopicOrPartition),
            ];
            for (came, (number, code)) in codes.iter().zip(expected) {
                assert_eq!(came.partition_id, number);
                assert_error(&format!("version {version} {came:?}"), came.error_code, code);
            }
            assert_eq!(codes.len(), expected.len());
            // Those that need no election are left out.
            let answer = elect(kind, Option::None);
            ok("elect all leaders", answer.error_code);
            let results = answer.replica_election_results;
            assert!(results.iter().any(|topic| &*topic.topic == "orders"));
            assert!(results.iter().all(|topic| topic.partition_result.is_empty()));
            assert_eq!(elect(kind, Some(vec![])), ElectLeadersResponse::default());
        }
        if version > 0 {
            let answer = elect(2, Some(vec![asked("orders", &[0])]));
            assert_error("an unknown kind", answer.error_code, InvalidRequest);
            let came = &answer.replica_election_results[0].partition_result[0];
            assert_error("an unknown kind", came.error_code, InvalidRequest);
            assert!(came.error_message.is_some());
        }
    }
    server.stop();
}

fn move_to(partition_index: i32, replicas: Option<&[i32]>) -> ReassignablePartition {
    ReassignablePartition { partition_index, replicas: replicas.map(<[_]>::to_vec) }
}

#[test]
fn partitions_stay_on_the_one_broker() {
    use ErrorCode::*;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    let cases: [(&str, i32, Option<&[i32]>, ErrorCode); 10] = [
        ("orders", 0, Some(&[NODE]), None),
        ("orders", 1, Some(&[NODE]), None),
        ("orders", 0, Some(&[2]), InvalidReplicaAssignment),
        ("orders", 0, Some(&[NODE, 2]), InvalidReplicaAssignment),
        ("orders", 0, Some(&[NODE, NODE]), InvalidReplicaAssignment),
        ("orders", 0, Some(&[]), InvalidReplicaAssignment),
        ("orders", 0, Option::None, NoReassignmentInProgress),
        ("orders", 2, Some(&[NODE]), UnknownTopicOrPartition),
        ("orders", -1, Option::None, UnknownTopicOrPartition),
        ("nothing", 0, Some(&[NODE]), UnknownTopicOrPartition),
    ];
    for version in ApiKey::AlterPartitionReassignments.versions() {
        for allow in [true, false] {
            let topic = |(topic, number, replicas, _): &(&str, i32, Option<&[i32]>, _)| {
                let partitions = vec![move_to(*number, *replicas)];
                ReassignableTopic { name: name(topic), partitions }
            };
            let request = AlterPartitionReassignmentsRequest {
                timeout_ms: 30_000,
                allow_replication_factor_change: allow,
                topics: cases.iter().map(topic).collect(),
            };
            let answer = client.call(&request, version);
            ok("alter partition reassignments", answer.error_code);
            assert_eq!(answer.allow_replication_factor_change, allow || version == 0);
            assert_eq!(answer.responses.len(), cases.len());
            for (topic, case) in answer.responses.iter().zip(&cases) {
                let came = &topic.partitions[0];
                assert_eq!((&*topic.name, came.partition_index), (case.0, case.1));
                assert_error(&format!("version {version} {case:?}"), came.error_code, case.3);
                let explained = case.3 == InvalidReplicaAssignment;
                assert_eq!(came.error_message.is_some(), explained, "{case:?}");
            }
        }
    }
    let orders =
        ListPartitionReassignmentsTopics { name: name("orders"), partition_indexes: vec![0, 9] };
    let unknown = ListPartitionReassignmentsTopics { name: name("nothing"), ..orders.clone() };
    for topics in [Option::None, Some(vec![]), Some(vec![orders, unknown])] {
        let answer = client.ask(&ListPartitionReassignmentsRequest { timeout_ms: 1, topics });
        assert_eq!(answer, ListPartitionReassignmentsResponse::default());
    }
    server.stop();
}

#[test]
fn topics_and_the_broker_are_what_has_settings() {
    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let mut list = |resource_types: &[i8], version| {
        let resource_types = resource_types.to_vec();
        let answer = client.call(&ListConfigResourcesRequest { resource_types }, version);
        let found = answer.config_resources.into_iter();
        let found = found.map(|one| (one.resource_type, String::from(&*one.resource_name)));
        let foreign = |(_, name): &(i8, String)| !name.starts_with("__");
        (answer.error_code, found.filter(foreign).collect::<Vec<_>>())
    };
    let broker = (BROKER, "1".to_owned());
    let topic = (TOPIC, "orders".to_owned());
    assert_eq!(list(&[], 0), (0, vec![]), "there are no client metrics");
    assert_eq!(list(&[], 1), (0, vec![broker.clone(), topic.clone()]));
    assert_eq!(list(&[TOPIC, TOPIC], 1), (0, vec![topic]));
    assert_eq!(list(&[BROKER, 32], 1), (0, vec![broker]));
    assert_eq!(list(&[8, 16, 32], 1), (0, vec![]));
    for unknown in [0, 1, 3, 64, -1] {
        let (code, found) = list(&[TOPIC, unknown], 1);
        assert_error("an unknown type", code, ErrorCode::UnsupportedVersion);
        assert_eq!(found, []);
    }
    server.stop();
}

fn page(
    client: &mut Client,
    topics: &[&str],
    response_partition_limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse {
    let topic = |topic: &&str| DescribeTopicPartitionsRequestTopic { name: name(topic) };
    let cursor =
        cursor.map(|(topic, partition_index)| Cursor { topic_name: name(topic), partition_index });
    let topics = topics.iter().map(topic).collect();
    client.ask(&DescribeTopicPartitionsRequest { topics, response_partition_limit, cursor })
}

/// Topics with the numbers of their partitions, as pages of `limit` partitions have them; each
/// page but the last is full.
fn pages(client: &mut Client, topics: &[&str], limit: i32, full: usize) -> Vec<(String, Vec<i32>)> {
    let mut all: Vec<(String, Vec<i32>)> = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let from = cursor.as_ref().map(|cursor| (&*cursor.topic_name, cursor.partition_index));
        let answer = page(client, topics, limit, from);
        let mut count = 0;
        for topic in answer.topics {
            ok("describe topic partitions", topic.error_code);
            let topic_name = topic.name.unwrap().to_string();
            let numbers = topic.partitions.iter().map(|of| of.partition_index);
            match all.last_mut().filter(|(last, _)| *last == topic_name) {
                Some((_, more)) => more.extend(numbers),
                None => all.push((topic_name, numbers.collect())),
            }
            count += topic.partitions.len();
        }
        assert!(count <= full, "{count} partitions on a page of {full}");
        cursor = answer.next_cursor;
        if cursor.is_none() {
            return all;
        }
        assert_eq!(count, full, "only the last page has room left");
    }
}

#[test]
fn topics_are_described_page_by_page() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let id = create(&mut client, "b", 3);
    create(&mut client, "a", 1);
    create(&mut client, "c", 2);
    let one = page(&mut client, &["b"], 2000, None);
    let topic = &one.topics[0];
    assert_eq!((topic.topic_id, topic.is_internal), (id, false));
    assert_eq!(topic.topic_authorized_operations, 0b1101_1111_1000, "all, as nobody is refused");
    let partition = &topic.partitions[2];
    let expected = DescribeTopicPartitionsResponsePartition {
        partition_index: 2,
        leader_id: NODE,
        leader_epoch: 0,
        replica_nodes: vec![NODE],
        isr_nodes: vec![NODE],
        ..Default::default()
    };
    assert_eq!(*partition, expected);
    let all = |topics: &[(&str, i32)]| {
        let numbers =
            topics.iter().map(|(topic, count)| (topic.to_string(), (0..*count).collect()));
        numbers.collect::<Vec<(String, Vec<i32>)>>()
    };
    let every = all(&[("a", 1), ("b", 3), ("c", 2)]);
    for (limit, full) in [(1, 1), (2, 2), (3, 3), (0, 1), (-5, 1), (i32::MAX, 2000)] {
        let mut found = pages(&mut client, &[], limit, full);
        found.retain(|(topic, _)| !topic.starts_with("__"));
        assert_eq!(found, every, "limit {limit}");
        let named = pages(&mut client, &["c", "a", "c"], limit, full);
        assert_eq!(named, all(&[("a", 1), ("c", 2)]), "limit {limit}");
    }
    server.stop();
}

#[test]
fn a_page_has_2000_partitions_at_most() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "wide", 2001);
    let first = page(&mut client, &["wide"], i32::MAX, None);
    assert_eq!(first.topics[0].partitions.len(), 2000);
    let next = first.next_cursor.unwrap();
    assert_eq!((&*next.topic_name, next.partition_index), ("wide", 2000));
    let last = page(&mut client, &["wide"], i32::MAX, Some(("wide", 2000)));
    assert_eq!(last.topics[0].partitions.len(), 1);
    assert_eq!(last.next_cursor, None);
    server.stop();
}

#[test]
fn missing_topics_and_wrong_cursors_have_errors_of_their_own() {
    use ErrorCode::*;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    let answer = page(&mut client, &["orders", "nothing", "a/b", "zzz"], 2, Option::None);
    let codes: Vec<_> =
        answer.topics.iter().map(|it| (it.name.as_deref(), it.error_code)).collect();
    let expected = [
        (Some("a/b"), InvalidTopicException.code()),
        (Some("nothing"), UnknownTopicOrPartition.code()),
        (Some("orders"), 0),
    ];
    assert_eq!(codes, expected);
    let next = answer.next_cursor.unwrap();
    assert_eq!((&*next.topic_name, next.partition_index), ("zzz", 0), "the page was full");
    for cursor in [("payments", 0), ("orders", -1), ("orders", i32::MIN)] {
        let answer = page(&mut client, &["orders"], 5, Some(cursor));
        assert_error("a wrong cursor", answer.topics[0].error_code, InvalidRequest);
        assert_eq!((answer.topics.len(), &answer.next_cursor), (1, &Option::None));
    }
    let answer = page(&mut client, &[], 5, Some(("orders", -1)));
    assert_eq!(answer, DescribeTopicPartitionsResponse::default());
    // A topic that is gone meanwhile, and partitions beyond the last.
    let answer = page(&mut client, &[], 5, Some(("nothing", 3)));
    assert_eq!(answer.topics[0].partitions.len(), 2, "what comes after it");
    let answer = page(&mut client, &["orders"], 5, Some(("orders", i32::MAX)));
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 0));
    server.stop();
}

fn quorum_request(topics: &[(&str, &[i32])]) -> DescribeQuorumRequest {
    let partition = |&partition_index: &i32| DescribeQuorumRequestPartition { partition_index };
    let topic = |(topic, partitions): &(&str, &[i32])| DescribeQuorumRequestTopic {
        topic_name: name(topic),
        partitions: partitions.iter().map(partition).collect(),
    };
    DescribeQuorumRequest { topics: topics.iter().map(topic).collect() }
}

#[test]
fn the_one_broker_is_the_quorum() {
    const METADATA: &str = "__cluster_metadata";
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let end = end_of(&mut client, "__factum_control", 0);
    for version in ApiKey::DescribeQuorum.versions() {
        let answer = client.call(&quorum_request(&[(METADATA, &[0])]), version);
        ok("describe quorum", answer.error_code);
        assert_eq!((answer.topics.len(), &*answer.topics[0].topic_name), (1, METADATA));
        let came = &answer.topics[0].partitions[0];
        ok("the metadata", came.error_code);
        assert_eq!((came.leader_id, came.leader_epoch, came.high_watermark), (NODE, 0, end));
        assert_eq!((came.current_voters.len(), came.observers.len()), (1, 0));
        let voter = &came.current_voters[0];
        assert_eq!((voter.replica_id, voter.log_end_offset), (NODE, end));
        assert_eq!(voter.last_caught_up_timestamp > EPOCH, version >= 1, "{voter:?}");
        assert_eq!(answer.nodes.len(), usize::from(version >= 2));
        if let Some(node) = answer.nodes.first() {
            let listener = &node.listeners[0];
            assert_eq!((node.node_id, listener.port), (NODE, server.kafka.port()));
        }
        let refused: [&[(&str, &[i32])]; 4] = [
            &[(METADATA, &[1])],
            &[(METADATA, &[0, 0])],
            &[("orders", &[0])],
            &[(METADATA, &[0]), ("orders", &[-1])],
        ];
        for asked in refused {
            let answer = client.call(&quorum_request(asked), version);
            ok("describe another quorum", answer.error_code);
            assert_eq!(answer.topics.len(), asked.len());
            for came in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                let unknown = ErrorCode::UnknownTopicOrPartition;
                assert_error(&format!("{asked:?}"), came.error_code, unknown);
            }
        }
        let nothing = client.call(&quorum_request(&[]), version);
        assert_eq!(nothing, DescribeQuorumResponse::default());
    }
    server.stop();
}

#[test]
fn features_are_as_they_are() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    for version in ApiKey::UpdateFeatures.versions() {
        let mut update = |feature_updates| {
            let request = UpdateFeaturesRequest { feature_updates, ..Default::default() };
            client.call(&request, version)
        };
        assert_eq!(update(vec![]), UpdateFeaturesResponse::default());
        for max_version_level in [1, 0, -1, i16::MAX] {
            let answer = update(vec![FeatureUpdateKey {
                feature: name("no.such"),
                max_version_level,
                ..Default::default()
            }]);
            assert_error("an unknown feature", answer.error_code, ErrorCode::InvalidUpdateVersion);
            assert!(answer.error_message.unwrap().contains("no.such"));
            assert_eq!(answer.results, []);
        }
    }
    server.stop();
}
