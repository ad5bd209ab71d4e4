//! What is copied, and how.

use factum_event::batch::{Codec, ProducerState};
use factum_wire::ErrorCode;
use factum_wire::messages::*;

use crate::common::client::Client;
use crate::common::server::{Server, until};
use crate::common::work::*;
use crate::world::*;

/// Gives a source everything that makes offsets and records difficult.
fn fill(client: &mut Client) {
    create(client, "codecs", 5);
    for (partition, codec) in (0..).zip(Codec::ALL) {
        for first in [0, 10, 20] {
            append(client, "codecs", partition, batch_of(codec, None, &records(first..first + 10)));
        }
    }
    let id = new_producer(client);
    for sequence in [0, 7] {
        let state = ProducerState { id, epoch: 0, base_sequence: sequence };
        let numbers = i64::from(sequence)..i64::from(sequence) + 7;
        append(client, "codecs", 0, batch_of(Codec::Zstd, Some(state), &records(numbers)));
    }
    create(client, "payments", 1);
    let mut one = Transactions::new(client, "one");
    let mut other = Transactions::new(client, "other");
    for round in 0..6 {
        one.write(client, "payments", round * 10..round * 10 + 3);
        other.write(client, "payments", 500 + round..501 + round);
        append(client, "payments", 0, batch(&records(900 + round..901 + round)));
        one.end(client, round % 2 == 0);
        other.end(client, round % 3 == 0);
    }
    create_with(client, "trimmed", 2, &[]);
    for partition in 0..2 {
        for _ in 0..4 {
            append(client, "trimmed", partition, batch(&records(0..5)));
        }
    }
    delete_before(client, "trimmed", 0, 7);
    delete_before(client, "trimmed", 1, 20);
    create_with(client, "stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    append(client, "stamped", 0, batch(&records(0..5)));
    create_with(client, "empty", 3, &[("segment.bytes", "1048576"), ("retention.ms", "864000000")]);
}

#[test]
fn all_that_was_committed_is_copied_at_its_offset_with_settings_and_groups() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    fill(&mut source);
    let groups =
        [("codecs", (1, 13)), ("payments", (0, 4)), ("payments", (0, 32)), ("trimmed", (0, 9))];
    for (number, (topic, at)) in groups.iter().enumerate() {
        commit(&mut source, &format!("group-{number}"), topic, *at);
    }
    commit(&mut source, "test-group", "codecs", (0, 3));

    let said = world.mirror_well(&["--once", "--verify", "--exclude-groups", "test-.*"]);
    assert_eq!(said["equal"], true, "{said}");

    let topics = [("codecs", 5), ("payments", 1), ("trimmed", 2), ("stamped", 1), ("empty", 3)];
    for (topic, partitions) in topics {
        for partition in 0..partitions {
            let what = format!("{topic}-{partition}");
            assert_eq!(
                seen(&mut target, topic, partition),
                seen(&mut source, topic, partition),
                "{what}"
            );
            for place in [EARLIEST, -1] {
                let [theirs, ours] = [&mut source, &mut target]
                    .map(|client| list_offset(client, topic, partition, place).0);
                assert_eq!(ours, theirs, "{what} at {place}");
            }
        }
        let mut theirs = own_settings(&mut source, topic);
        let ours = own_settings(&mut target, topic);
        theirs.extend(ours.iter().find(|(key, _)| key == "factum.mirror.source").cloned());
        theirs.sort();
        assert_eq!(ours, theirs, "{topic}");
    }
    for (number, (topic, (partition, offset))) in groups.iter().enumerate() {
        let ours = committed(&mut target, &format!("group-{number}"), topic, *partition);
        assert_eq!(ours, (*offset, "noted".to_owned()));
    }
    assert_eq!(committed(&mut target, "test-group", "codecs", 0).0, -1, "it is excluded");

    let again = world.mirror_well(&["--once"]);
    assert_eq!((&again["records"], &again["bytes"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["caught_up"], true);
    // Batches without a producer are as they came, to the byte.
    for partition in 1..5 {
        let [theirs, ours] = [&mut source, &mut target]
            .map(|client| bytes_of(fetch(client, "codecs", partition, 0)));
        assert_eq!(ours, theirs);
    }
}

#[test]
fn gaps_of_compaction_are_kept_and_what_either_side_compacts_is_equal() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    let compact = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
        ("segment.ms", "1"),
        ("segment.bytes", "1000"),
    ];
    create_with(&mut source, "table", 1, &compact);
    for round in 0..30 {
        let keys: Vec<_> = (0..5)
            .map(|key| {
                let mut record = record(round * 5 + key);
                record.key = Some(format!("key {}", key + round / 20 * 3).into());
                record
            })
            .collect();
        append(&mut source, "table", 0, batch_of(Codec::Gzip, None, &keys));
    }
    until("the source is compacted", || seen(&mut source, "table", 0).0.len() < 60);
    let (before, end) = seen(&mut source, "table", 0);
    world.mirror_well(&["--once", "--verify"]);
    let (after, copied) = seen(&mut target, "table", 0);
    assert_eq!(copied, end);
    // Both go on compacting: what the copy has was there, at that offset.
    assert!(!after.is_empty());
    assert!(after.iter().all(|record| before.contains(record)), "{after:?}\n{before:?}");
    let last = |records: &[factum_event::batch::BatchRecord]| records.last().cloned();
    assert_eq!(last(&after), last(&before));
    append(&mut source, "table", 0, batch(&records(500..510)));
    world.mirror_well(&["--once", "--verify"]);
    assert_eq!(end_of(&mut target, "table", 0), end + 10);
}

#[test]
fn a_copy_takes_no_other_records_until_it_is_made_a_topic_like_any_other() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..5)));
    world.mirror_well(&["--once"]);
    let refused = produce(&mut target, "orders", 0, batch(&records(5..6)));
    assert_eq!(error(refused.error_code), error(code(ErrorCode::PolicyViolation)));
    let why = refused.error_message.unwrap();
    assert!(why.contains("factum.mirror.source"), "{why}");
    set(&mut target, "orders", "factum.mirror.source", "");
    assert_eq!(append(&mut target, "orders", 0, batch(&records(5..6))), 5);
    let (good, said, errors) = world.mirror(&["--once"]);
    assert!(!good && errors.contains("is left alone"), "{said} {errors}");
    assert_eq!(end_of(&mut target, "orders", 0), 6, "nothing was added to it");
    // Beside it there is room.
    world.mirror_well(&["--once", "--prefix", "west.", "--verify"]);
    assert_eq!(seen(&mut target, "west.orders", 0), seen(&mut source, "orders", 0));
}

#[test]
fn a_topic_that_was_made_anew_or_comes_from_elsewhere_is_not_mixed_with_its_copy() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..5)));
    world.mirror_well(&["--once"]);
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(name("orders")), ..Default::default() }],
        ..Default::default()
    };
    ok("delete", source.ask(&delete).responses[0].error_code);
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(5..15)));
    let (good, _, errors) = world.mirror(&["--once"]);
    assert!(!good && errors.contains("made anew"), "{errors}");
    assert_eq!(end_of(&mut target, "orders", 0), 5);
    // In a circle: what the source would get is what it has.
    let back =
        mirror(&world.target.kafka.to_string(), &world.source.kafka.to_string(), &["--once"]);
    let (good, _, errors) = result(&{ back }.output().unwrap());
    assert!(!good && errors.contains("is no copy"), "{errors}");
    assert_eq!(end_of(&mut source, "orders", 0), 10);
}

#[test]
fn groups_with_members_and_offsets_that_are_further_on_are_left_alone() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..9)));
    commit(&mut source, "moved", "orders", (0, 3));
    commit(&mut source, "busy", "orders", (0, 3));
    world.mirror_well(&["--once"]);
    commit(&mut target, "moved", "orders", (0, 7));
    let mut member = Client::connect(world.target.kafka);
    let join = |member_id: &str| JoinGroupRequest {
        group_id: name("busy"),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: name(member_id),
        protocol_type: name("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: name("range"), ..Default::default() }],
        ..Default::default()
    };
    let first = member.ask(&join(""));
    let joined = member.ask(&join(&first.member_id));
    ok("join", joined.error_code);
    for group in ["moved", "busy"] {
        commit(&mut source, group, "orders", (0, 5));
    }
    let (good, _, errors) = world.mirror(&["--once"]);
    assert!(good && errors.contains("has members in the target"), "{errors}");
    assert_eq!(committed(&mut target, "moved", "orders", 0).0, 7);
    assert_eq!(committed(&mut target, "busy", "orders", 0).0, 3);
}

#[test]
fn within_one_cluster_copies_have_other_names_and_are_not_copied_again() {
    let world = World::new();
    let [mut source, _] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..5)));
    let at = world.source.kafka.to_string();
    let run = |flags: &[&str]| result(&mirror(&at, &at, flags).output().unwrap());
    for flags in [["--once"], ["--verify"]] {
        let (good, _, errors) = run(&flags);
        assert!(!good && errors.contains("--prefix"), "{errors}");
    }
    for _ in 0..2 {
        let (good, said, errors) = run(&["--once", "--verify", "--prefix", "copy."]);
        assert!(good && said["equal"] == true, "{said} {errors}");
        assert_eq!(said["records"], 5);
    }
    assert_eq!(seen(&mut source, "copy.orders", 0), seen(&mut source, "orders", 0));
    assert_eq!(partitions(&mut source, "copy.copy.orders"), 0);
}

#[test]
fn an_address_that_nobody_has_is_passed_over() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..5)));
    let with_nobody = |server: &Server| format!("127.0.0.1:1,{}", server.kafka);
    let (from, to) = (with_nobody(&world.source), with_nobody(&world.target));
    let output = mirror(&from, &to, &["--once", "--verify"]).output().unwrap();
    let (good, said, errors) = result(&output);
    assert!(good, "{said} {errors}");
    assert_eq!(end_of(&mut target, "orders", 0), 5);
}

#[test]
fn what_cannot_be_mirrored_is_said_at_once() {
    let world = World::new();
    let to = world.target.kafka.to_string();
    let run = |from: &str| result(&mirror(from, &to, &["--once"]).output().unwrap());
    let (good, _, errors) = run("kafka+ssl://127.0.0.1:9093");
    assert!(!good && errors.contains("is not spoken here"), "{errors}");
    let (good, _, errors) = run("kafka://127.0.0.1:1");
    assert!(!good && errors.contains("cannot connect to 127.0.0.1:1"), "{errors}");
    let (good, _, errors) = run(&to);
    assert!(!good && errors.contains("are the same cluster"), "{errors}");
}
