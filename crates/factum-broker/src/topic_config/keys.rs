//! The table of settings: names and defaults are those of Apache Kafka 4.

use super::{ConfigKey, ConfigKind, ConfigType};

pub(super) const CLEANUP_POLICY: &str = "cleanup.policy";
pub(super) const COMPRESSION_TYPE: &str = "compression.type";
pub(super) const DELETE_RETENTION_MS: &str = "delete.retention.ms";
pub(super) const MIRROR_SOURCE: &str = "factum.mirror.source";
pub(super) const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(super) const TIMESTAMP_AFTER_MAX_MS: &str = "message.timestamp.after.max.ms";
pub(super) const TIMESTAMP_BEFORE_MAX_MS: &str = "message.timestamp.before.max.ms";
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
pub(super) const MIN_CLEANABLE_DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";
pub(super) const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
pub(super) const RETENTION_BYTES: &str = "retention.bytes";
pub(super) const RETENTION_MS: &str = "retention.ms";
pub(super) const SEGMENT_BYTES: &str = "segment.bytes";
pub(super) const SEGMENT_MS: &str = "segment.ms";

pub(super) const DELETE: &str = "delete";
pub(super) const COMPACT: &str = "compact";
pub(super) const PRODUCER: &str = "producer";
pub(super) const UNCOMPRESSED: &str = "uncompressed";
pub(super) const LOG_APPEND_TIME: &str = "LogAppendTime";

const LONG_MAX: &str = "9223372036854775807";

const fn key(
    name: &'static str,
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { name, default, kind, doc }
}

const fn fixed(
    name: &'static str,
    default: &'static str,
    config_type: ConfigType,
    doc: &'static str,
) -> ConfigKey {
    key(name, default, ConfigKind::Fixed(config_type), doc)
}

/// All settings of a topic, by name.
pub const TOPIC_CONFIGS: &[ConfigKey] = &[
    key(
        CLEANUP_POLICY,
        DELETE,
        ConfigKind::List(&[COMPACT, DELETE]),
        "What happens to old records: delete removes them by retention, compact keeps the last \
         of each key, both do both; an empty list keeps everything.",
    ),
    key(
        COMPRESSION_TYPE,
        PRODUCER,
        ConfigKind::Choice(&[PRODUCER, UNCOMPRESSED, "gzip", "snappy", "lz4", "zstd"]),
        "How batches are packed: as their producer chose, or packed again as this says.",
    ),
    key(
        DELETE_RETENTION_MS,
        "86400000",
        ConfigKind::Long { min: 0 },
        "How long compaction keeps a record without a value, the mark of a deleted key, in \
         milliseconds.",
    ),
    key(
        MIRROR_SOURCE,
        "",
        ConfigKind::Text { max_bytes: 256 },
        "What the topic is a copy of, as `factum mirror` writes it. While it is set, the topic \
         takes only copies, which keep their offsets; unset, it is a topic like any other.",
    ),
    key(
        "file.delete.delay.ms",
        "60000",
        ConfigKind::Long { min: 0 },
        "Without effect. Files are shared by partitions; one goes when nothing in it is readable \
         any more.",
    ),
    key(
        "flush.messages",
        LONG_MAX,
        ConfigKind::Long { min: 1 },
        "Without effect. Every acknowledgement follows a flush; there is none to add.",
    ),
    key(
        "flush.ms",
        LONG_MAX,
        ConfigKind::Long { min: 0 },
        "Without effect. Every acknowledgement follows a flush; there is none to add.",
    ),
    key(
        "index.interval.bytes",
        "4096",
        ConfigKind::Int { min: 0 },
        "Without effect. Indexes have every batch, whatever its size.",
    ),
    key(
        MAX_COMPACTION_LAG_MS,
        LONG_MAX,
        ConfigKind::Long { min: 1 },
        "After so long a record is compacted whatever the dirty ratio, in milliseconds.",
    ),
    key(
        MAX_MESSAGE_BYTES,
        "1048588",
        ConfigKind::Int { min: 0 },
        "The largest record batch, as it comes (compressed), in bytes.",
    ),
    key(
        TIMESTAMP_AFTER_MAX_MS,
        "3600000",
        ConfigKind::Long { min: 0 },
        "How far the largest timestamp of a batch may be ahead of the broker's clock, in \
         milliseconds; not with LogAppendTime.",
    ),
    key(
        TIMESTAMP_BEFORE_MAX_MS,
        LONG_MAX,
        ConfigKind::Long { min: 0 },
        "How far the timestamp of a record may be behind the broker's clock, in milliseconds; not \
         with LogAppendTime.",
    ),
    key(
        TIMESTAMP_TYPE,
        "CreateTime",
        ConfigKind::Choice(&["CreateTime", LOG_APPEND_TIME]),
        "Whether records have the timestamp that their producer gave them, or that of the broker.",
    ),
    key(
        MIN_CLEANABLE_DIRTY_RATIO,
        "0.5",
        ConfigKind::Ratio,
        "The part of a partition, by bytes, that must be new before it is compacted.",
    ),
    key(
        MIN_COMPACTION_LAG_MS,
        "0",
        ConfigKind::Long { min: 0 },
        "How long a record is not compacted, in milliseconds.",
    ),
    fixed(
        "min.insync.replicas",
        "1",
        ConfigType::Int,
        "One machine keeps the log; an acknowledgement follows its flush to the disk.",
    ),
    key(
        "preallocate",
        "false",
        ConfigKind::Boolean,
        "Without effect. Files are always allocated in advance.",
    ),
    key(
        RETENTION_BYTES,
        "-1",
        ConfigKind::Long { min: i64::MIN },
        "Old segments of a partition go while the rest has at least so many bytes.",
    ),
    key(
        RETENTION_MS,
        "604800000",
        ConfigKind::Long { min: -1 },
        "Segments go when their newest record is older, in milliseconds; -1 keeps them for ever.",
    ),
    key(
        SEGMENT_BYTES,
        "1073741824",
        ConfigKind::Int { min: 14 },
        "Bytes of a partition that retention and compaction take as one piece.",
    ),
    key(
        "segment.index.bytes",
        "10485760",
        ConfigKind::Int { min: 4 },
        "Without effect. Indexes belong to files that partitions share, and are as large as they \
         must be.",
    ),
    key(
        "segment.jitter.ms",
        "0",
        ConfigKind::Long { min: 0 },
        "Without effect. Ending a segment costs nothing here; there is no herd to spread.",
    ),
    key(
        SEGMENT_MS,
        "604800000",
        ConfigKind::Long { min: 1 },
        "The time that retention and compaction take as one piece, in milliseconds.",
    ),
    key(
        "unclean.leader.election.enable",
        "false",
        ConfigKind::Boolean,
        "Without effect. One machine keeps the log; there is nobody to elect.",
    ),
];
