//! What the settings of a topic mean: parsed once, when the topic is created or configured.

use factum_event::batch::Codec;

use super::keys::*;
use super::{ConfigKey, Configs, InvalidConfig, list};

/// The settings of a topic, defaults included.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    /// What happens to old records.
    pub cleanup: CleanupPolicy,
    /// Milliseconds after which a segment goes; none keeps it for ever.
    pub retention_ms: Option<u64>,
    /// Bytes of a partition that stay; none is no limit.
    pub retention_bytes: Option<u64>,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Milliseconds of a segment.
    pub segment_ms: u64,
    /// Part of a partition that must be new before it is compacted, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// Milliseconds for which a record is not compacted.
    pub min_compaction_lag_ms: u64,
    /// Milliseconds after which a record is compacted whatever the dirty ratio.
    pub max_compaction_lag_ms: u64,
    /// Milliseconds for which compaction keeps records without a value.
    pub delete_retention_ms: u64,
    /// The largest batch, in bytes.
    pub max_message_bytes: usize,
    /// How batches are packed; none leaves it to their producer.
    pub compression: Option<Codec>,
    /// Whose timestamps records have.
    pub timestamp_type: TimestampType,
    /// Milliseconds that a timestamp may be behind; none is no limit.
    pub timestamp_before_max_ms: Option<u64>,
    /// Milliseconds that a timestamp may be ahead; none is no limit.
    pub timestamp_after_max_ms: Option<u64>,
    /// What the topic is a copy of; none, where it takes records from producers.
    pub mirror_source: Option<String>,
}

/// What happens to old records; without either, everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanupPolicy {
    /// Retention removes them.
    pub delete: bool,
    /// The last of each key is kept.
    pub compact: bool,
}

/// Whose timestamps records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Their producer's.
    CreateTime,
    /// The broker's, when it took their batch.
    LogAppendTime,
}

impl TopicSettings {
    /// Checks every setting, and says what they mean together.
    ///
    /// # Errors
    /// [`InvalidConfig`] for the first that is not known, has a value it cannot have, or
    /// contradicts another.
    pub fn parse(configs: &Configs) -> Result<Self, InvalidConfig> {
        for (name, value) in configs {
            ConfigKey::find(name)?.check(value)?;
        }
        let settings = Self::of_checked(&Checked(configs));
        let (min, max) = (settings.min_compaction_lag_ms, settings.max_compaction_lag_ms);
        if min > max {
            return Err(InvalidConfig::Order {
                smaller: MIN_COMPACTION_LAG_MS,
                smaller_value: min,
                larger: MAX_COMPACTION_LAG_MS,
                larger_value: max,
            });
        }
        Ok(settings)
    }

    /// The settings of a topic that exists. What another version wrote and this one does not
    /// understand must not delete anything: such a topic keeps its records.
    #[must_use]
    pub fn of_existing(configs: &Configs) -> Self {
        Self::parse(configs).unwrap_or_else(|error| {
            tracing::warn!("{error}: the topic keeps all records, with all settings at defaults");
            let defaults = Self::of_checked(&Checked(&Configs::new()));
            Self { cleanup: CleanupPolicy::default(), ..defaults }
        })
    }

    fn of_checked(values: &Checked<'_>) -> Self {
        let policy = values.text(CLEANUP_POLICY);
        let has = |word| list(policy).any(|have| have == word);
        Self {
            cleanup: CleanupPolicy { delete: has(DELETE), compact: has(COMPACT) },
            retention_ms: values.limit(RETENTION_MS),
            retention_bytes: values.limit(RETENTION_BYTES),
            segment_bytes: values.count(SEGMENT_BYTES),
            segment_ms: values.count(SEGMENT_MS),
            min_cleanable_dirty_ratio: values
                .text(MIN_CLEANABLE_DIRTY_RATIO)
                .parse()
                .expect("a number, as checked"),
            min_compaction_lag_ms: values.count(MIN_COMPACTION_LAG_MS),
            max_compaction_lag_ms: values.count(MAX_COMPACTION_LAG_MS),
            delete_retention_ms: values.count(DELETE_RETENTION_MS),
            max_message_bytes: usize::try_from(values.count(MAX_MESSAGE_BYTES))
                .unwrap_or(usize::MAX),
            compression: match values.text(COMPRESSION_TYPE) {
                UNCOMPRESSED => Some(Codec::None),
                // `producer` is no codec.
                codec => codec.parse().ok(),
            },
            timestamp_type: match values.text(TIMESTAMP_TYPE) {
                LOG_APPEND_TIME => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: values.distance(TIMESTAMP_BEFORE_MAX_MS),
            timestamp_after_max_ms: values.distance(TIMESTAMP_AFTER_MAX_MS),
            mirror_source: Some(values.text(MIRROR_SOURCE).to_owned())
                .filter(|source| !source.is_empty()),
        }
    }
}

/// Settings of which each has a value that it takes.
struct Checked<'a>(&'a Configs);

impl Checked<'_> {
    fn text(&self, name: &'static str) -> &str {
        let default = || ConfigKey::find(name).expect("a name of the table").default;
        self.0.get(name).map_or_else(default, |value| value.trim())
    }

    fn number(&self, name: &'static str) -> i64 {
        self.text(name).parse().expect("a whole number, as checked")
    }

    /// A number that is not negative.
    fn count(&self, name: &'static str) -> u64 {
        self.number(name).max(0).unsigned_abs()
    }

    /// A limit; below 0 is none.
    fn limit(&self, name: &'static str) -> Option<u64> {
        u64::try_from(self.number(name)).ok()
    }

    /// A distance; the largest number is none.
    fn distance(&self, name: &'static str) -> Option<u64> {
        Some(self.number(name)).filter(|ms| *ms < i64::MAX).map(i64::unsigned_abs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(configs: &[(&str, &str)]) -> Result<TopicSettings, InvalidConfig> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        TopicSettings::parse(&configs.iter().map(own).collect())
    }

    #[test]
    fn the_defaults_are_those_of_kafka() {
        let defaults = parse(&[]).unwrap();
        assert_eq!(defaults.cleanup, CleanupPolicy { delete: true, compact: false });
        assert_eq!(defaults.retention_ms, Some(7 * 24 * 3_600_000));
        assert_eq!(defaults.retention_bytes, None);
        assert_eq!(defaults.segment_bytes, 1 << 30);
        assert_eq!(defaults.segment_ms, 7 * 24 * 3_600_000);
        assert_eq!(defaults.max_compaction_lag_ms, i64::MAX.unsigned_abs());
        assert_eq!(defaults.delete_retention_ms, 24 * 3_600_000);
        assert_eq!(defaults.max_message_bytes, 1_048_588);
        assert_eq!(defaults.timestamp_type, TimestampType::CreateTime);
        assert_eq!(defaults.timestamp_before_max_ms, None);
        assert_eq!(defaults.timestamp_after_max_ms, Some(3_600_000));
    }

    #[test]
    fn values_have_their_meaning() {
        let set = parse(&[
            ("cleanup.policy", " delete , compact"),
            ("retention.ms", "-1"),
            ("retention.bytes", " 5"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.cleanable.dirty.ratio", "0.25"),
        ])
        .unwrap();
        assert_eq!(set.cleanup, CleanupPolicy { delete: true, compact: true });
        assert_eq!((set.retention_ms, set.retention_bytes), (None, Some(5)));
        assert_eq!(set.timestamp_type, TimestampType::LogAppendTime);
        assert!((set.min_cleanable_dirty_ratio - 0.25).abs() < f64::EPSILON);
        let nothing = parse(&[("cleanup.policy", "")]).unwrap();
        assert_eq!(nothing.cleanup, CleanupPolicy::default());
    }

    #[test]
    fn a_lag_must_not_begin_after_it_ends() {
        assert!(parse(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "5")]).is_ok());
        let error = parse(&[("min.compaction.lag.ms", "6"), ("max.compaction.lag.ms", "5")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "min.compaction.lag.ms is 6, which is more than max.compaction.lag.ms, which is 5"
        );
    }

    #[test]
    fn what_is_not_understood_deletes_nothing() {
        let configs = Configs::from([("retention.ms".to_owned(), "a week".to_owned())]);
        let settings = TopicSettings::of_existing(&configs);
        assert_eq!(settings.cleanup, CleanupPolicy::default());
    }
}
