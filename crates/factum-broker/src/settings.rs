//! What a user tunes.

use std::time::Duration;

use factum_log::LogSettings;

use crate::access::AccessSettings;
use crate::groups::GroupSettings;

/// Settings of a [`Broker`](crate::Broker).
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Settings of the log below.
    pub log: LogSettings,
    /// Partitions of a topic that is created without a number.
    pub default_partitions: u32,
    /// Most partitions of one topic.
    pub max_partitions_per_topic: u32,
    /// Most partitions of all topics together; each costs about a kilobyte of memory.
    pub max_partitions: usize,
    /// Most committed offsets (group × partition) that are kept.
    pub max_committed_offsets: usize,
    /// The longest that a transaction may take (Kafka's `transaction.max.timeout.ms`).
    pub max_transaction_timeout: Duration,
    /// After how long without a transaction an id is forgotten (Kafka's
    /// `transactional.id.expiration.ms`).
    pub transactional_id_expiration: Duration,
    /// Most transactional ids that are kept.
    pub max_transactional_ids: usize,
    /// How often the broker looks for what retention and compaction ask for.
    pub upkeep_interval: Duration,
    /// How long the log waits at least before it seals its open journal, unless that is full, so
    /// that what is in it can be compacted.
    pub seal_interval: Duration,
    /// How many bytes compaction reads in a second at most.
    pub compaction_bytes_per_second: u64,
    /// Memory for the keys of the compaction that is under way, in bytes, 27 for a key. A
    /// partition with more is compacted in several turns.
    pub compaction_key_bytes: usize,
    /// Settings of consumer groups.
    pub groups: GroupSettings,
    /// Who may do what is asked, and who may do everything.
    pub access: AccessSettings,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            log: LogSettings::default(),
            default_partitions: 1,
            max_partitions_per_topic: 10_000,
            max_partitions: 100_000,
            max_committed_offsets: 1_000_000,
            max_transaction_timeout: Duration::from_secs(15 * 60),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            max_transactional_ids: 100_000,
            upkeep_interval: Duration::from_secs(5),
            seal_interval: Duration::from_secs(60),
            compaction_bytes_per_second: 64 << 20,
            compaction_key_bytes: 64 << 20,
            groups: GroupSettings::default(),
            access: AccessSettings::default(),
        }
    }
}
