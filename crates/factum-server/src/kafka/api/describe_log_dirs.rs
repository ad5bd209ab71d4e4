//! DescribeLogDirs (35): the data directory, with the bytes of every partition in it.
//!
//! * Null asks for all partitions. Of those that are named, unknown ones are left out.
//! * A log that takes nothing more is a `KAFKA_STORAGE_ERROR` of its directory.
//! * 4: how large the volume is (KIP-827). 5: whether new partitions go elsewhere (KIP-1066): never.

use std::collections::{BTreeMap, BTreeSet};

use factum_broker::{Broker, Topic};
use factum_event::Partition;
use factum_event::access::Operation;
use factum_log::{Log, Space};
use factum_wire::messages::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    if let Err(error) = call.may_with_cluster(Operation::Describe) {
        let error_code = error.code();
        return DescribeLogDirsResponse { error_code, ..Default::default() };
    }
    let directory = directory(&call.door.broker, request.topics.as_deref());
    DescribeLogDirsResponse { results: vec![directory], ..Default::default() }
}

/// The data directory, with the partitions that are asked for.
fn directory(broker: &Broker, asked: Option<&[DescribableLogDirTopic]>) -> DescribeLogDirsResult {
    let log = broker.log();
    let log_dir = absolute(log.location());
    if log.failure().is_some() {
        let error_code = ErrorCode::KafkaStorageError.code();
        return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
    }
    let space = log.space().ok();
    let bytes = |of: fn(Space) -> u64| space.map_or(-1, |space| signed(of(space)));
    DescribeLogDirsResult {
        log_dir,
        topics: asked.map_or_else(|| all(broker), |asked| some(broker, asked)),
        total_bytes: bytes(|space| space.total_bytes),
        usable_bytes: bytes(|space| space.usable_bytes),
        ..Default::default()
    }
}

fn absolute(location: String) -> Str {
    match std::path::absolute(&location) {
        Ok(path) => text(path.to_string_lossy()),
        Err(_) => text(location),
    }
}

fn all(broker: &Broker) -> Vec<DescribeLogDirsTopic> {
    let topics = broker.all_topics();
    topics.iter().map(|topic| describe(broker.log(), topic, topic.partition_numbers())).collect()
}

fn some(broker: &Broker, asked: &[DescribableLogDirTopic]) -> Vec<DescribeLogDirsTopic> {
    let mut wanted = BTreeMap::<&str, BTreeSet<Partition>>::new();
    for topic in asked {
        let numbers = topic.partitions.iter().copied().filter_map(Partition::new);
        wanted.entry(&topic.topic).or_default().extend(numbers);
    }
    let found = wanted.into_iter().filter_map(|(name, numbers)| {
        let topic = broker.topic(name)?;
        Some(describe(broker.log(), &topic, numbers))
    });
    found.filter(|topic| !topic.partitions.is_empty()).collect()
}

fn describe(
    log: &Log,
    topic: &Topic,
    numbers: impl IntoIterator<Item = Partition>,
) -> DescribeLogDirsTopic {
    let partitions = numbers.into_iter().filter_map(|number| {
        let id = topic.partition_id(number)?;
        Some(DescribeLogDirsPartition {
            partition_index: number.get(),
            partition_size: signed(log.size(id)),
            ..Default::default()
        })
    });
    DescribeLogDirsTopic { name: text(&topic.name), partitions: partitions.collect() }
}

/// Bytes as the protocol counts them.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use factum_broker::BrokerSettings;
    use factum_event::log::NewTopic;
    use factum_event::{SystemClock, TopicName};
    use factum_log::LogSettings;
    use factum_log::disk::sim::{Faults, SimDisk};

    use super::*;

    #[tokio::test]
    async fn a_log_that_takes_nothing_more_is_an_error_of_its_directory() {
        let disk = SimDisk::new(1);
        let log = LogSettings { journal_bytes: 1 << 20, ..LogSettings::default() };
        let settings = BrokerSettings { log, ..BrokerSettings::default() };
        let clock = Arc::new(SystemClock::new());
        let (broker, _) = Broker::open(Arc::new(disk.clone()), clock, settings).unwrap();
        let sound = directory(&broker, None);
        assert_eq!((sound.error_code, sound.total_bytes, sound.usable_bytes), (0, -1, -1));
        assert_eq!(sound.topics, all(&broker));
        // A flush of a file that is made ready may take the fault; some day the journal's does.
        for number in 0.. {
            disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
            let name = TopicName::new(&format!("topic-{number}")).unwrap();
            let new = NewTopic { name, partitions: None, configs: [].into() };
            if broker.create_topic("test", new, false).await.is_err() {
                break;
            }
        }
        let failed = directory(&broker, None);
        assert_eq!(failed.error_code, ErrorCode::KafkaStorageError.code());
        assert_eq!((failed.log_dir, failed.topics), (sound.log_dir, Vec::new()));
    }
}
