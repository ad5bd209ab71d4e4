//! What a clean end leaves to the next opening, and when it is not believed.

use factum_event::{GroupName, TopicId};

use super::*;
use crate::{CONTROL_TOPIC, Commit, OFFSETS_TOPIC};

/// Everything that control events have led to.
type State = (String, i64, Vec<(TopicName, TopicId, i64, u32, Vec<String>)>, Vec<(i64, i64)>);

fn state(world: &World) -> State {
    let topics = world.broker.all_topics();
    let line = |topic: &Arc<crate::Topic>| {
        let configs = topic.configs.iter().map(|(name, value)| format!("{name}={value}"));
        let created = topic.created_at.as_millis();
        (topic.name.clone(), topic.id, created, topic.partition_count(), configs.collect())
    };
    let extents = topics.iter().map(|topic| world.extent(topic.name.as_str()));
    let cluster = world.broker.cluster_id().to_owned();
    let producers = world.broker.producer_ids().end();
    (cluster, producers, topics.iter().map(line).collect(), extents.collect())
}

/// A broker with a change of every kind.
fn changed() -> World {
    let world = World::new();
    for (number, topic) in ["orders", "gone", "invoices"].into_iter().enumerate() {
        world.pass(i64::try_from(number).unwrap() + 1);
        world.create(topic, &[("max.message.bytes", "1000000")]);
    }
    for _ in 0..4 {
        world.put("orders", &[("k", Some("v"))]);
    }
    world.set("orders", "retention.ms", "-1");
    block_on(world.broker.grow_topic("tester", &name("invoices"), 5, false)).unwrap();
    let cut = [(Partition::ZERO, Some(offset(2)))];
    block_on(world.broker.delete_records("tester", &name("orders"), &cut)).unwrap();
    block_on(world.broker.new_producer_id()).unwrap();
    block_on(world.broker.delete_topic("tester", &name("gone"))).unwrap();
    world
}

fn checkpoints(world: &World) -> u64 {
    world.broker.upkeep_metrics().checkpoints
}

#[test]
fn after_a_clean_end_nothing_is_read_twice() {
    let mut world = changed();
    let before = state(&world);
    world.upkeep.last_checkpoint();
    assert_eq!(checkpoints(&world), 1);
    let mut world = world.reopened(&[]);
    assert!(!world.upkeep.is_behind, "something was read again");
    assert_eq!(state(&world), before);
    world.upkeep.last_checkpoint();
    assert_eq!(checkpoints(&world), 0, "there is nothing new to write down");
    world.put("orders", &[("k", Some("v"))]);
    world.upkeep.last_checkpoint();
    assert_eq!(checkpoints(&world), 1);
}

#[test]
fn without_a_checkpoint_all_is_computed_and_written_down_at_the_end() {
    let world = changed();
    let before = state(&world);
    let mut world = world.reopened(&[("checkpoints", "")]);
    assert_eq!(state(&world), before);
    assert!(world.upkeep.is_behind);
    world.upkeep.last_checkpoint();
    let world = world.reopened(&[]);
    assert!(!world.upkeep.is_behind);
    assert_eq!(state(&world), before);
}

#[test]
fn what_was_changed_after_the_checkpoint_is_read() {
    let mut world = changed();
    world.upkeep.last_checkpoint();
    world.create("later", &[]);
    world.set("orders", "retention.ms", "5");
    block_on(world.broker.new_producer_id()).unwrap();
    let before = state(&world);
    let world = world.reopened(&[]);
    assert!(world.upkeep.is_behind);
    assert_eq!(state(&world), before);
}

#[test]
fn records_stay_deleted_without_the_list_of_starts() {
    let mut world = changed();
    world.upkeep.last_checkpoint();
    let before = state(&world);
    world.disk.remove("starts").unwrap();
    let world = world.reopened(&[]);
    assert_eq!(state(&world), before);
}

#[test]
fn a_checkpoint_of_another_log_is_not_believed() {
    let mut other = changed();
    other.upkeep.last_checkpoint();
    let mut foreign = vec![0; 1 << 16];
    let file = other.disk.open("checkpoints/control").unwrap();
    foreign.truncate(usize::try_from(file.len().unwrap()).unwrap());
    file.read_exact_at(&mut foreign, 0).unwrap();
    let mut world = World::with(|settings| settings.default_partitions = 3);
    world.pass(77);
    for number in 0..20 {
        world.create(&format!("topic-{number}"), &[]);
    }
    world.upkeep.last_checkpoint();
    let before = state(&world);
    let file = world.disk.create("checkpoints/control").unwrap();
    file.write_all_at(&mut [std::io::IoSlice::new(&foreign)], 0).unwrap();
    assert_eq!(state(&world.reopened(&[])), before);
}

#[test]
fn closing_a_broker_writes_a_checkpoint() {
    let disk = SimDisk::new(1);
    let open = || {
        let clock = Arc::new(SystemClock::new());
        Broker::open(Arc::new(disk.clone()), clock, BrokerSettings::default()).unwrap().0
    };
    let broker = open();
    broker.close();
    let mut files = disk.list("checkpoints").unwrap();
    files.sort();
    assert_eq!(files, ["control", "producers"]);
    for file in files {
        disk.remove(&format!("checkpoints/{file}")).unwrap();
    }
    drop(open());
    assert_eq!(disk.list("checkpoints").unwrap().len(), 2, "the last handle was dropped");
}

#[test]
fn an_end_does_not_wait_for_a_compaction() {
    let mut world = World::new();
    world.create("orders", &[("cleanup.policy", "compact"), ("segment.ms", "1")]);
    for _ in 0..10 {
        world.put("orders", &[("k", Some("v"))]);
    }
    world.pass(HOUR_MS);
    world.upkeep.ending.store(true, Relaxed);
    world.settle("orders");
    assert_eq!(world.broker.upkeep_metrics().compactions, 0);
    world.upkeep.ending.store(false, Relaxed);
    world.step();
    assert_eq!(world.broker.upkeep_metrics().compactions, 1);
}

#[test]
fn offsets_of_a_deleted_topic_leave_the_topic_of_offsets() {
    let mut world = World::new();
    let group = GroupName::new("billing").unwrap();
    for topic in ["orders", "gone"] {
        world.create(topic, &[]);
        let commit = Commit {
            topic: name(topic),
            partition: Partition::ZERO,
            offset: offset(5),
            leader_epoch: -1,
            metadata: String::new(),
        };
        block_on(world.broker.commit_offsets(&group, vec![commit])).unwrap()[0].as_ref().unwrap();
    }
    block_on(world.broker.delete_topic("tester", &name("gone"))).unwrap();
    assert_eq!(world.records(OFFSETS_TOPIC).len(), 3, "two commits, and a deletion");
    for _ in 0..2 {
        world.pass(8 * 24 * HOUR_MS);
        world.settle(OFFSETS_TOPIC);
    }
    let left = world.records(OFFSETS_TOPIC);
    assert_eq!(left.iter().filter(|(_, _, value)| value.is_some()).count(), 1, "{left:?}");
    assert!(left.iter().all(|(_, key, value)| value.is_none() || key.contains("orders")));
    let world = world.reopened(&[]);
    assert_eq!(world.broker.all_committed(&group).len(), 1);
    assert!(world.extent(CONTROL_TOPIC).1 > 0);
}
