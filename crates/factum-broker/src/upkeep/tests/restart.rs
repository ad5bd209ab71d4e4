//! What compaction must leave to those who come after a restart.

use factum_event::GroupName;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::{Commit, OFFSETS_TOPIC, Producer, TransactionProtocol, TransactionalId};

const COMPACT: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "3600000"), ("min.cleanable.dirty.ratio", "0")];

fn producer(base_sequence: i32) -> Option<ProducerState> {
    Some(ProducerState { id: 7, epoch: 3, base_sequence })
}

/// Twenty batches of an idempotent producer, all of the same key, of which compaction keeps one
/// record; another producer has one batch that is superseded.
fn compacted() -> World {
    let mut world = World::new();
    world.create("orders", &COMPACT);
    let other = Some(ProducerState { id: 8, epoch: 0, base_sequence: 0 });
    world.put_as("orders", other, &[("k", Some("other"))]).unwrap();
    for sequence in 0..20 {
        world.put_as("orders", producer(sequence), &[("k", Some("v"))]).unwrap();
    }
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(world.offsets("orders"), [20]);
    world
}

fn assert_remembered(world: &World) {
    let put = |producer, value: &str| world.put_as("orders", producer, &[("k", Some(value))]);
    for sequence in 15..20 {
        let repeated = put(producer(sequence), "v").unwrap();
        assert_eq!(repeated.base_offset, offset(i64::from(sequence) + 1), "{sequence}");
    }
    let other = Some(ProducerState { id: 8, epoch: 0, base_sequence: 0 });
    assert_eq!(put(other, "other").unwrap().base_offset, offset(0));
    assert!(matches!(put(producer(21), "v"), Err(ProduceError::Sequence(_))), "a gap");
    assert_eq!(world.extent("orders"), (0, 21), "nothing was appended twice");
    assert_eq!(put(producer(20), "v").unwrap().base_offset, offset(21));
}

#[test]
fn a_repeated_batch_is_recognised_after_compaction_and_a_restart() {
    assert_remembered(&compacted().reopened(&[]));
}

#[test]
fn a_repeated_batch_is_recognised_without_any_fold() {
    assert_remembered(&compacted().reopened(&[("journal", ".index"), ("checkpoints", "")]));
}

#[test]
fn a_repeated_batch_is_recognised_by_a_checkpoint() {
    let world = compacted();
    Checkpoint::take(world.broker.log(), world.broker.topics()).write(&world.disk).unwrap();
    assert_eq!(world.disk.list("checkpoints").unwrap(), ["producers"]);
    assert_remembered(&world.reopened(&[("journal", ".index")]));
}

#[test]
fn a_checkpoint_of_before_the_compaction_is_good_after_it() {
    let mut world = World::new();
    world.create("orders", &COMPACT);
    for sequence in 0..20 {
        world.put_as("orders", producer(sequence), &[("k", Some("v"))]).unwrap();
        if sequence == 12 {
            let checkpoint = Checkpoint::take(world.broker.log(), world.broker.topics());
            checkpoint.write(&world.disk).unwrap();
        }
    }
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    let world = world.reopened(&[]);
    let repeated = world.put_as("orders", producer(15), &[("k", Some("v"))]).unwrap();
    assert_eq!(repeated.base_offset, offset(15));
    let next = world.put_as("orders", producer(20), &[("k", Some("v"))]).unwrap();
    assert_eq!(next.base_offset, offset(20));
}

#[test]
fn committed_offsets_survive_the_compaction_of_their_topic() {
    let mut world = World::new();
    world.create("orders", &[]);
    let group = |number: i64| GroupName::new(&format!("group {number}")).unwrap();
    for round in 1..=20 {
        for number in 0..10 {
            let commit = Commit {
                topic: name("orders"),
                partition: Partition::ZERO,
                offset: offset(round * 100 + number),
                leader_epoch: -1,
                metadata: format!("round {round}"),
            };
            let results = block_on(world.broker.commit_offsets(&group(number), vec![commit]));
            assert_eq!(results, Ok(vec![Ok(())]));
        }
    }
    block_on(world.broker.delete_group(&group(9))).unwrap();
    let all =
        |world: &World| (0..10).map(|n| world.broker.all_committed(&group(n))).collect::<Vec<_>>();
    let before = all(&world);
    assert_eq!((before[0].len(), before[9].len()), (1, 0));
    let settings = &world.broker.topic(OFFSETS_TOPIC).unwrap().settings;
    assert_eq!(settings.segment_bytes, 16 << 20, "small enough to be compacted at all");
    let week = 7 * 24 * HOUR_MS;
    world.pass(week + 1);
    world.settle(OFFSETS_TOPIC);
    assert_eq!(world.records(OFFSETS_TOPIC).len(), 10, "nine commits and a deletion");
    assert_eq!(world.extent(OFFSETS_TOPIC), (0, 201));
    let world = world.reopened(&[("journal", ".index"), ("checkpoints", "")]);
    assert_eq!(all(&world), before);
    let commit = Commit {
        topic: name("orders"),
        partition: Partition::ZERO,
        offset: offset(5),
        leader_epoch: -1,
        metadata: String::new(),
    };
    block_on(world.broker.commit_offsets(&group(0), vec![commit])).unwrap()[0].as_ref().unwrap();
    let world = world.reopened(&[]);
    assert_eq!(all(&world)[0][0].2.offset, offset(5));
    assert_eq!(all(&world)[1..], before[1..]);
}

/// A checkpoint that knew the first batches of a producer was taken for all that there was, where
/// the later ones had been cut off: the producer went on, and was refused for ever.
#[test]
fn a_producer_goes_on_where_its_batches_since_the_checkpoint_were_cut_off() {
    let world = World::new();
    world.create("orders", &[]);
    let put = |world: &World, sequence| {
        world.put_as("orders", producer(sequence), &[("k", Some("v"))]).unwrap();
    };
    (0..2).for_each(|sequence| put(&world, sequence));
    Checkpoint::take(world.broker.log(), world.broker.topics()).write(&world.disk).unwrap();
    (2..6).for_each(|sequence| put(&world, sequence));
    let all = [(Partition::ZERO, None)];
    block_on(world.broker.delete_records("tester", &name("orders"), &all)).unwrap();
    let world = world.reopened(&[]);
    put(&world, 6);
    assert_eq!(world.extent("orders"), (6, 7));
}

/// Where a partition began in the gap of an open transaction, what was stable depended on whether
/// a checkpoint was there.
#[test]
fn what_is_stable_is_the_same_with_and_without_a_checkpoint() {
    let id: TransactionalId = "bank".parse().unwrap();
    let write = |world: &World, producer: Producer, base_sequence| {
        let state = ProducerState { id: producer.id, epoch: producer.epoch, base_sequence };
        let mut builder = BatchBuilder::new(Codec::None, Some(state)).transactional();
        let timestamp = world.clock.now();
        builder.push(&Record { key: None, value: None, headers: Vec::new(), timestamp });
        let topic = world.broker.topic("orders").unwrap();
        let (by, batch) = ((&id, TransactionProtocol::V2), builder.build().unwrap());
        let queued = world.broker.enqueue_in_transaction(by, &topic, Partition::ZERO, batch);
        block_on(async { queued.await?.durable().await }).unwrap();
    };
    let stable = |world: &World| world.broker.last_stable_offset(world.id("orders")).get();
    let cut = |world: &World, to| {
        let before = [(Partition::ZERO, Some(offset(to)))];
        block_on(world.broker.delete_records("tester", &name("orders"), &before)).unwrap();
    };
    let world = World::new();
    world.create("orders", &[]);
    let timeout = Duration::from_secs(60);
    let producer = block_on(world.broker.init_transactions(&id, timeout, None)).unwrap();
    write(&world, producer, 0);
    for _ in 1..4 {
        world.put("orders", &[("plain", Some("v"))]);
    }
    write(&world, producer, 1);
    assert_eq!((world.extent("orders"), stable(&world)), ((0, 5), 0));
    Checkpoint::take(world.broker.log(), world.broker.topics()).write(&world.disk).unwrap();
    cut(&world, 2);
    assert_eq!(stable(&world), 2, "more than this is not remembered");
    let world = world.reopened(&[]);
    assert_eq!((world.extent("orders"), stable(&world)), ((2, 5), 4));
    let world = world.reopened(&[("checkpoints", "")]);
    assert_eq!((world.extent("orders"), stable(&world)), ((2, 5), 4));
    Checkpoint::take(world.broker.log(), world.broker.topics()).write(&world.disk).unwrap();
    cut(&world, 5);
    assert_eq!(stable(&world), 5, "nothing is left of it");
    let world = world.reopened(&[]);
    assert_eq!((world.extent("orders"), stable(&world)), ((5, 5), 5));
}
