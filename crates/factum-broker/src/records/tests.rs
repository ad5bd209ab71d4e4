use factum_event::batch::{BatchBuilder, Codec};
use factum_event::log::NewTopic;
use factum_event::{Clock, EventLog, LogError, Record, SystemClock};
use factum_log::disk::sim::SimDisk;
use pollster::block_on;

use super::*;
use crate::topic_config::{Configure, Edit, TimestampType};
use crate::{AdminError, BrokerSettings, CONTROL_TOPIC, OFFSETS_TOPIC};

fn open(disk: &SimDisk) -> Broker {
    let (disk, clock) = (Arc::new(disk.clone()), Arc::new(SystemClock::new()));
    Broker::open(disk, clock, BrokerSettings::default()).unwrap().0
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn create(broker: &Broker, topic: &str, configs: &[(&str, &str)]) {
    let configs = configs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let new = NewTopic { partitions: Some(2), configs: configs.collect(), name: name(topic) };
    block_on(Broker::create_topic(broker, "tester", new, false)).unwrap();
}

/// Appends so many records as one batch: what was produced.
fn produce(broker: &Broker, topic: &str, records: usize) -> crate::Produced {
    let mut builder = BatchBuilder::new(Codec::None, None);
    for _ in 0..records {
        builder.push(&Record {
            key: Some("k".into()),
            value: None,
            headers: Vec::new(),
            timestamp: SystemClock::new().now(),
        });
    }
    let topic = broker.topic(topic).unwrap();
    let batch = builder.build().unwrap();
    let pending = block_on(broker.enqueue(&topic, Partition::ZERO, batch)).unwrap();
    block_on(pending.durable()).unwrap()
}

fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

fn delete(broker: &Broker, topic: &str, before: Option<i64>) -> Result<Offset, AdminError> {
    let before = [(Partition::ZERO, before.map(offset))];
    let mut deleted = block_on(broker.delete_records("tester", &name(topic), &before))?;
    deleted.remove(0)
}

fn set(broker: &Broker, topic: &str, key: &str, value: &str) -> Result<Arc<Topic>, AdminError> {
    let edit = Configure::Edit([(key.to_owned(), Edit::Set(value.to_owned()))].into());
    block_on(broker.configure_topic("tester", &name(topic), edit, false))
}

#[test]
fn records_are_deleted_up_to_an_offset_and_stay_deleted() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    create(&broker, "orders", &[]);
    produce(&broker, "orders", 10);
    assert_eq!(delete(&broker, "orders", Some(4)), Ok(offset(4)));
    assert_eq!(delete(&broker, "orders", Some(2)), Ok(offset(4)), "a start never moves back");
    let beyond = delete(&broker, "orders", Some(11));
    assert!(matches!(beyond, Err(AdminError::OffsetOutOfRange { .. })), "{beyond:?}");
    let orders = name("orders");
    let read = |broker: &Broker, from| {
        let limit = Default::default();
        block_on(EventLog::read(broker, &orders, Partition::ZERO, offset(from), limit))
    };
    assert!(matches!(read(&broker, 3), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(read(&broker, 4).unwrap().records.len(), 6);
    broker.close();
    drop(broker);
    let broker = open(&disk);
    assert!(matches!(read(&broker, 3), Err(LogError::OffsetOutOfRange { .. })), "also later");
    assert_eq!(delete(&broker, "orders", None), Ok(offset(10)), "without an offset, all");
    assert_eq!(produce(&broker, "orders", 1).base_offset, offset(10));
    assert_eq!(read(&broker, 10).unwrap().records.len(), 1);
}

#[test]
fn deletions_are_refused_where_they_cannot_be() {
    let broker = open(&SimDisk::new(2));
    create(&broker, "compacted", &[("cleanup.policy", "compact")]);
    create(&broker, "both", &[("cleanup.policy", "compact,delete")]);
    for topic in ["compacted", "both"] {
        produce(&broker, topic, 3);
    }
    assert_eq!(
        delete(&broker, "compacted", Some(1)),
        Err(AdminError::Compacted(name("compacted")))
    );
    assert_eq!(delete(&broker, "both", Some(1)), Ok(offset(1)));
    for own in [CONTROL_TOPIC, OFFSETS_TOPIC] {
        assert_eq!(delete(&broker, own, Some(0)), Err(AdminError::Internal(name(own))));
        assert!(matches!(set(&broker, own, "retention.ms", "1"), Err(AdminError::Internal(_))));
    }
    // One partition that is refused leaves the other alone, unless all are asked for together.
    let two = |to| [(Partition::ZERO, Some(offset(to))), (Partition::new(7).unwrap(), None)];
    let both = name("both");
    let deleted = block_on(broker.delete_records("tester", &both, &two(2))).unwrap();
    assert_eq!(deleted[0], Ok(offset(2)));
    assert!(matches!(deleted[1], Err(AdminError::UnknownPartition { partitions: 2, .. })));
    assert!(block_on(broker.delete_all_records("tester", &both, &two(3))).is_err());
    let id = broker.topic("both").unwrap().partition_id(Partition::ZERO).unwrap();
    assert_eq!(broker.log().extent(id).start, offset(2));
}

#[test]
fn settings_change_at_once_and_survive() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    create(&broker, "orders", &[("segment.ms", "5")]);
    let held = broker.topic("orders").unwrap();
    assert_eq!(produce(&broker, "orders", 1).append_time, None);
    set(&broker, "orders", "message.timestamp.type", "LogAppendTime").unwrap();
    let produced = produce(&broker, "orders", 1);
    assert!(produced.append_time.is_some());
    let limit = Default::default();
    let orders = name("orders");
    let read = block_on(EventLog::read(&broker, &orders, Partition::ZERO, offset(1), limit));
    assert_eq!(Some(read.unwrap().records[0].record.timestamp), produced.append_time);
    assert_eq!(held.settings.timestamp_type, TimestampType::CreateTime, "the old value");
    let refused = set(&broker, "orders", "min.compaction.lag.ms", "x").unwrap_err();
    assert!(matches!(refused, AdminError::Config(_)), "{refused:?}");
    let unset = Configure::Edit([("segment.ms".to_owned(), Edit::Unset)].into());
    block_on(broker.configure_topic("tester", &orders, unset, false)).unwrap();
    let dry = Configure::Replace([("retention.ms".to_owned(), "9".to_owned())].into());
    let would = block_on(broker.configure_topic("tester", &orders, dry, true)).unwrap();
    assert_eq!(would.settings.retention_ms, Some(9));
    let expected = [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into();
    assert_eq!(broker.topic("orders").unwrap().configs, expected);
    broker.close();
    drop((broker, held));
    let broker = open(&disk);
    assert_eq!(broker.topic("orders").unwrap().configs, expected);
    let control = broker.topic(CONTROL_TOPIC).unwrap();
    assert_eq!(control.settings.retention_ms, None);
    assert!(broker.topic(OFFSETS_TOPIC).unwrap().settings.cleanup.compact);
}

#[test]
fn what_could_not_be_cut_off_stays_decided() {
    let broker = open(&SimDisk::new(4));
    let cuts = Cuts::default();
    let topic = TopicId(uuid::Uuid::nil());
    let id = PartitionId { topic, partition: Partition::ZERO };
    cuts.decided(id, offset(7));
    cuts.decided(id, offset(5));
    assert_eq!(cuts.state.lock().decided[&id], offset(7), "the larger one");
    let made = cuts.ask();
    cuts.make(broker.log());
    assert_eq!(block_on(made), Ok(Ok(())));
    assert!(cuts.state.lock().decided.is_empty());
    cuts.decided(id, offset(9));
    cuts.forget_topic(topic);
    assert!(cuts.state.lock().decided.is_empty());
    cuts.stop();
    assert!(block_on(cuts.made()).is_err(), "nobody waits for ever");
}
