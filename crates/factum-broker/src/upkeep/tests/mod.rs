//! Retention and compaction of a whole broker, on a simulated disk and by a clock that only the
//! test turns.

mod checkpoints;
mod compaction;
mod copies;
mod restart;
mod retention;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use factum_event::batch::{BatchBuilder, Codec, ProducerState};
use factum_event::log::{Located, NewTopic};
use factum_event::{Clock, Offset, Partition, Place, Record, SystemClock, Timestamp, TopicName};
use factum_log::disk::Disk;
use factum_log::disk::sim::SimDisk;
use factum_log::{LogSettings, PartitionId};
use pollster::block_on;

use super::Upkeep;
use crate::topic_config::{Configure, Edit};
use crate::{Broker, BrokerSettings, ProduceError, Produced, UNPACKED_LIMIT};

const HOUR_MS: i64 = 3_600_000;

/// How long something that a thread does may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that only [`World::pass`] turns.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed).unsigned_abs())
    }
}

/// A record as tests see it: offset, key, value.
type Kept = (i64, String, Option<String>);

/// A broker whose upkeep is done by hand.
struct World {
    disk: SimDisk,
    clock: Arc<TestClock>,
    settings: BrokerSettings,
    broker: Broker,
    upkeep: Upkeep,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(tune: impl FnOnce(&mut BrokerSettings)) -> Self {
        let log = LogSettings { journal_bytes: 1 << 20, tail_bytes: 4096, ..Default::default() };
        let mut settings =
            BrokerSettings { log, seal_interval: Duration::ZERO, ..Default::default() };
        tune(&mut settings);
        let clock = Arc::new(TestClock(AtomicI64::new(1_700_000_000_000)));
        Self::open(SimDisk::new(1), clock, settings)
    }

    fn open(disk: SimDisk, clock: Arc<TestClock>, settings: BrokerSettings) -> Self {
        let opened = Broker::open_without_upkeep(
            Arc::new(disk.clone()),
            Arc::<TestClock>::clone(&clock),
            settings.clone(),
        );
        let (broker, upkeep, _) = opened.unwrap();
        Self { disk, clock, settings, broker, upkeep }
    }

    /// Closes the broker, deletes the files of these directories with these ends of their names,
    /// and opens it again.
    fn reopened(self, deleted: &[(&str, &str)]) -> Self {
        let Self { disk, clock, settings, broker, upkeep } = self;
        broker.close();
        drop((broker, upkeep));
        for (directory, end) in deleted {
            let names = disk.list(directory).unwrap_or_default();
            for name in names.iter().filter(|name| name.ends_with(end)) {
                disk.remove(&format!("{directory}/{name}")).unwrap();
            }
        }
        Self::open(disk, clock, settings)
    }

    fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Relaxed);
    }

    fn step(&mut self) {
        self.upkeep.step(&mut |_| ControlFlow::Continue(()));
        let errors = self.broker.upkeep_metrics().errors;
        assert_eq!(errors, 0, "the upkeep has failed");
    }

    /// Has everything that a topic has written to files that are full, and then does a step.
    fn settle(&mut self, topic: &str) {
        let (log, id) = (self.broker.log(), self.id(topic));
        log.seal();
        let started = SystemClock::new();
        while log.sealed_end(id) < log.extent(id).end {
            assert!(started.monotonic() < PATIENCE, "{topic} was not sealed");
            std::thread::yield_now();
        }
        self.step();
    }

    fn id(&self, topic: &str) -> PartitionId {
        self.broker.topic(topic).unwrap().partition_id(Partition::ZERO).unwrap()
    }

    fn create(&self, topic: &str, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let new = NewTopic { partitions: Some(1), configs: configs.collect(), name: name(topic) };
        block_on(self.broker.create_topic("tester", new, false)).unwrap();
    }

    fn set(&self, topic: &str, key: &str, value: &str) {
        let edit = Configure::Edit([(key.to_owned(), Edit::Set(value.to_owned()))].into());
        block_on(self.broker.configure_topic("tester", &name(topic), edit, false)).unwrap();
    }

    /// Appends a batch, at the clock's time.
    fn put(&self, topic: &str, records: &[(&str, Option<&str>)]) -> Produced {
        self.put_as(topic, None, records).unwrap()
    }

    fn put_as(
        &self,
        topic: &str,
        producer: Option<ProducerState>,
        records: &[(&str, Option<&str>)],
    ) -> Result<Produced, ProduceError> {
        let mut builder = BatchBuilder::new(Codec::None, producer);
        for (key, value) in records {
            builder.push(&Record {
                key: Some(key.to_string().into()),
                value: value.map(|value| value.to_string().into()),
                headers: Vec::new(),
                timestamp: self.clock.now(),
            });
        }
        let topic = self.broker.topic(topic).unwrap();
        let batch = builder.build().unwrap();
        block_on(async {
            self.broker.enqueue(&topic, Partition::ZERO, batch).await?.durable().await
        })
    }

    /// All that can be read of a topic, from its start on.
    fn records(&self, topic: &str) -> Vec<Kept> {
        let (log, id) = (self.broker.log(), self.id(topic));
        let mut found = Vec::new();
        let mut next = log.extent(id).start;
        while next < log.extent(id).end {
            let batches = block_on(log.read(id, next, 1 << 20)).unwrap();
            assert!(!batches.is_empty(), "nothing from {next} on, and no error");
            for stored in batches {
                for record in stored.to_batch().unwrap().records(UNPACKED_LIMIT).unwrap() {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let (key, value) = (record.record.key, record.record.value);
                    let key = text(&key.unwrap_or_default());
                    found.push((record.offset.get(), key, value.map(|value| text(&value))));
                }
                next = stored.entry.next_offset();
            }
        }
        found
    }

    fn offsets(&self, topic: &str) -> Vec<i64> {
        self.records(topic).into_iter().map(|(offset, ..)| offset).collect()
    }

    /// Start and end.
    fn extent(&self, topic: &str) -> (i64, i64) {
        let extent = self.broker.log().extent(self.id(topic));
        (extent.start.get(), extent.end.get())
    }

    fn locate(&self, topic: &str, place: Place) -> Located {
        block_on(self.broker.locate(self.id(topic), place)).unwrap()
    }
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

/// A value of so many bytes.
fn value(bytes: usize) -> String {
    "v".repeat(bytes)
}
