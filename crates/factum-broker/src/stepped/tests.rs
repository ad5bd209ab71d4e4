//! Interleavings that only steps can make sure of.

use factum_event::log::NewTopic;
use factum_event::{GroupName, Offset, Partition, SystemClock, TopicName};
use factum_log::disk::sim::SimDisk;

use super::*;
use crate::{Broker, BrokerSettings, Commit};

/// A broker with a topic.
fn open() -> (Broker, BrokerWorkers) {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SystemClock::new()));
    let opened = Broker::open_stepped(disk, clock, BrokerSettings::default());
    let (broker, mut workers, _) = opened.unwrap();
    create(&broker, &mut workers);
    (broker, workers)
}

fn create(broker: &Broker, workers: &mut BrokerWorkers) {
    let new = NewTopic::named(name());
    drive(&mut workers.workers, Broker::create_topic(broker, "tester", new, false)).unwrap();
}

fn delete(broker: &Broker, workers: &mut BrokerWorkers) {
    drive(&mut workers.workers, Broker::delete_topic(broker, "tester", &name())).unwrap();
}

fn name() -> TopicName {
    TopicName::new("orders").unwrap()
}

/// An offset that was committed while its topic was deleted came after the deletion had forgotten
/// the topic's offsets, and was taken for one of the next topic of that name.
#[test]
fn an_offset_of_a_topic_that_is_deleted_meanwhile_does_not_count() {
    let (broker, mut workers) = open();
    let group = GroupName::new("billing").unwrap();
    let commit = Commit {
        topic: name(),
        partition: Partition::ZERO,
        offset: Offset::ZERO.plus(42),
        leader_epoch: -1,
        metadata: String::new(),
    };
    let mut commit = pin!(broker.commit_offsets(&group, vec![commit]));
    assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    delete(&broker, &mut workers);
    create(&broker, &mut workers);
    drive(&mut workers.workers, commit).unwrap();
    assert_eq!(broker.committed(&group, &name(), Partition::ZERO), None);
}
