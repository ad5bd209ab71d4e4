//! Interleavings that only steps can make sure of.

use factum_event::batch::{BatchBuilder, Codec, ProducerState};
use factum_event::log::NewTopic;
use factum_event::{GroupName, Offset, Partition, Record, SystemClock, TopicName};
use factum_log::AppendError;
use factum_log::disk::sim::SimDisk;

use super::*;
use crate::{Broker, BrokerSettings, Commit, Pending, ProduceError};

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

/// A repetition waited for the durability of the first batch. Where the topic was deleted before
/// it looked, it waited for ever, and with it everything behind it on its connection.
#[test]
fn a_repeated_batch_gets_an_answer_when_its_topic_is_deleted() {
    let (broker, mut workers) = open();
    let mut builder =
        BatchBuilder::new(Codec::None, Some(ProducerState { id: 7, epoch: 0, base_sequence: 0 }));
    let (value, timestamp) = (Some("v".into()), broker.clock().now());
    builder.push(&Record { key: None, value, headers: Vec::new(), timestamp });
    let (batch, topic) = (builder.build().unwrap(), broker.topic("orders").unwrap());
    let mut enqueue = || {
        let enqueued = broker.enqueue(&topic, Partition::ZERO, batch.clone());
        drive(&mut workers.workers, enqueued).unwrap()
    };
    let (first, again) = (enqueue(), enqueue());
    assert!(matches!(again, Pending::Duplicate { .. }));
    delete(&broker, &mut workers);
    drive(&mut workers.workers, first.durable()).unwrap();
    let mut durable = pin!(again.durable());
    let answer = durable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(answer) = answer else { panic!("it waits") };
    assert_eq!(answer, Err(ProduceError::Log(AppendError::Removed)));
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
