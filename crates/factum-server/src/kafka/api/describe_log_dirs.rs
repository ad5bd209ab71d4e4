//! DescribeLogDirs (35): the data directory, with the bytes of every partition in it.
//!
//! * Null asks for all partitions. Of those that are named, unknown ones are left out.
//! * A log that takes nothing more is a `KAFKA_STORAGE_ERROR` of its directory.
//! * 4: how large the volume is (KIP-827). 5: whether new partitions go elsewhere (KIP-1066): never.

use std::collections::{BTreeMap, BTreeSet};

use factum_broker::Topic;
use factum_event::Partition;
use factum_log::Log;
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
    let log = call.door.broker.log();
    let log_dir = absolute(log.location());
    let result = if log.failure().is_some() {
        let error_code = ErrorCode::KafkaStorageError.code();
        DescribeLogDirsResult { error_code, log_dir, ..Default::default() }
    } else {
        let space = log.space().ok();
        let bytes = |of: fn(factum_log::Space) -> u64| space.map_or(-1, |space| signed(of(space)));
        DescribeLogDirsResult {
            log_dir,
            topics: match &request.topics {
                None => all(call),
                Some(asked) => some(call, asked),
            },
            total_bytes: bytes(|space| space.total_bytes),
            usable_bytes: bytes(|space| space.usable_bytes),
            ..Default::default()
        }
    };
    DescribeLogDirsResponse { results: vec![result], ..Default::default() }
}

fn absolute(location: String) -> Str {
    match std::path::absolute(&location) {
        Ok(path) => text(path.to_string_lossy()),
        Err(_) => text(location),
    }
}

fn all(call: &Call) -> Vec<DescribeLogDirsTopic> {
    let broker = &call.door.broker;
    let topics = broker.all_topics();
    topics.iter().map(|topic| describe(broker.log(), topic, topic.partition_numbers())).collect()
}

fn some(call: &Call, asked: &[DescribableLogDirTopic]) -> Vec<DescribeLogDirsTopic> {
    let mut wanted = BTreeMap::<&str, BTreeSet<Partition>>::new();
    for topic in asked {
        let numbers = topic.partitions.iter().copied().filter_map(Partition::new);
        wanted.entry(&topic.topic).or_default().extend(numbers);
    }
    let broker = &call.door.broker;
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
