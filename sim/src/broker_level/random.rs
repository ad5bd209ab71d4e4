//! What clients of the broker come up with.

use std::time::Duration;

use bytes::Bytes;
use factum_broker::BrokerSettings;
use factum_broker::topic_config::Configs;
use factum_event::batch::{Batch, BatchBuilder, Codec, ProducerState};
use factum_event::{Record, Timestamp};

use crate::machine::Machine;

/// The most partitions of a topic.
pub(crate) const MAX_PARTITIONS: u32 = 3;

/// How many keys there are.
const KEYS: u64 = 12;

/// Settings of topics, with the values that they get.
const CONFIGS: [(&str, &[&str]); 9] = [
    ("cleanup.policy", &["delete", "compact", "compact", "compact,delete", ""]),
    ("retention.ms", &["-1", "1000", "60000", "3600000"]),
    ("retention.bytes", &["-1", "2000", "20000"]),
    ("segment.bytes", &["14", "2000", "10000"]),
    ("segment.ms", &["1", "1000", "60000"]),
    ("min.cleanable.dirty.ratio", &["0", "0", "0.5"]),
    ("min.compaction.lag.ms", &["0", "0", "1000"]),
    ("max.compaction.lag.ms", &["1000", "600000"]),
    ("delete.retention.ms", &["0", "1000", "600000"]),
];

pub(crate) fn broker_settings(machine: &mut Machine) -> BrokerSettings {
    BrokerSettings {
        log: machine.log_settings(),
        seal_interval: Duration::from_secs(machine.one_of(&[0, 0, 1, 60])),
        compaction_bytes_per_second: machine.one_of(&[1 << 10, 1 << 20, 1 << 40]),
        compaction_key_bytes: machine.one_of(&[100, 300, 1 << 16]),
        ..BrokerSettings::default()
    }
}

pub(crate) fn configs(machine: &mut Machine) -> Configs {
    let mut configs = Configs::new();
    for (name, values) in CONFIGS {
        if machine.random.one_in(2) {
            configs.insert(name.to_owned(), machine.one_of(values).to_owned());
        }
    }
    configs
}

/// A batch of keyed records, unless `is_keyed` says that some have none.
pub(crate) fn batch(
    machine: &mut Machine,
    producer: Option<ProducerState>,
    is_keyed: bool,
) -> Batch {
    let codec = if machine.random.one_in(6) { Codec::Lz4 } else { Codec::None };
    filled(machine, BatchBuilder::new(codec, producer), is_keyed)
}

/// A batch of keyed records that is part of a transaction.
pub(crate) fn transactional(machine: &mut Machine, producer: ProducerState) -> Batch {
    let codec = if machine.random.one_in(6) { Codec::Lz4 } else { Codec::None };
    filled(machine, BatchBuilder::new(codec, Some(producer)).transactional(), true)
}

fn filled(machine: &mut Machine, mut builder: BatchBuilder, is_keyed: bool) -> Batch {
    let longest = if machine.random.one_in(40) { 8000 } else { 600 };
    // Some records were made long before they were sent.
    let age_ms = if machine.random.one_in(8) { 7_200_000 } else { 2000 };
    for _ in 0..=machine.random.below(3) {
        let early = machine.random.below(age_ms).cast_signed();
        let has_key = is_keyed || machine.random.one_in(2);
        let key = has_key.then(|| Bytes::from(format!("k{}", machine.random.below(KEYS))));
        let length = machine.below(longest);
        let value = (!machine.random.one_in(5)).then(|| bytes(machine, length));
        let timestamp = Timestamp::from_millis(machine.now().as_millis() - early);
        builder.push(&Record { key, value, headers: Vec::new(), timestamp });
    }
    builder.build().expect("a small batch")
}

fn bytes(machine: &mut Machine, length: usize) -> Bytes {
    let content = std::iter::repeat_with(|| machine.random.next().to_be_bytes());
    content.flatten().take(length).collect()
}
