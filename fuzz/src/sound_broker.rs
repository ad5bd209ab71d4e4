//! A small broker with topics, producers and checkpoints, for the target that changes these.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use factum_broker::{Broker, BrokerOpenError, BrokerSettings, ProduceError, Produced};
use factum_event::batch::{BatchBuilder, Codec, ProducerState};
use factum_event::log::NewTopic;
use factum_event::{Clock, GroupName, Offset, Partition, Record, TopicName};
use factum_log::Disk;
use factum_log::disk::sim::SimDisk;
use pollster::block_on;

use crate::directory::{File, files_of};
use crate::sound_log::{SETTINGS, Still};

/// All files of a broker that was closed; made once.
pub fn sound_broker() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let broker = open_broker(&disk).expect("a new log");
        fill(&broker);
        broker.close();
        drop(broker);
        files_of(disk.as_ref())
    })
}

fn fill(broker: &Broker) {
    for topic in ["orders", "invoices", "gone"] {
        let partitions = Some(2);
        let new = NewTopic { partitions, ..NewTopic::named(name(topic)) };
        block_on(broker.create_topic("tester", new, false)).expect("a new topic");
        for sequence in 0..4 {
            produce(broker, topic, 7, sequence).expect("the next sequence").expect("the topic");
        }
    }
    let cut = [(Partition::ZERO, Some(Offset::ZERO.plus(2)))];
    block_on(broker.delete_records("tester", &name("orders"), &cut)).expect("records");
    block_on(broker.delete_topic("tester", &name("gone"))).expect("a topic");
    block_on(broker.new_producer_id()).expect("an id");
    let commit = factum_broker::Commit {
        topic: name("orders"),
        partition: Partition::ZERO,
        offset: Offset::ZERO.plus(3),
        leader_epoch: -1,
        metadata: String::new(),
    };
    let group = GroupName::new("billing").expect("a name");
    block_on(broker.commit_offsets(&group, vec![commit])).expect("a topic");
}

/// Opens a broker with journals of 4 KiB that keeps nothing in memory.
///
/// # Errors
/// As [`Broker::open`].
pub fn open_broker(disk: &Arc<dyn Disk>) -> Result<Broker, BrokerOpenError> {
    let settings = BrokerSettings { log: SETTINGS, ..BrokerSettings::default() };
    Broker::open(Arc::clone(disk), Arc::new(Still), settings).map(|(broker, _)| broker)
}

/// Appends a batch of one record as an idempotent producer; none where there is no such topic.
pub fn produce(
    broker: &Broker,
    topic: &str,
    id: i64,
    base_sequence: i32,
) -> Option<Result<Produced, ProduceError>> {
    let topic = broker.topic(topic).filter(|topic| topic.partition_count() > 0)?;
    let mut builder =
        BatchBuilder::new(Codec::None, Some(ProducerState { id, epoch: 0, base_sequence }));
    let value = Some(Bytes::from_static(b"value"));
    builder.push(&Record { key: None, value, headers: Vec::new(), timestamp: Still.now() });
    let batch = builder.build().expect("a batch of one record");
    Some(block_on(async { broker.enqueue(&topic, Partition::ZERO, batch).await?.durable().await }))
}

fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("a topic's name")
}
