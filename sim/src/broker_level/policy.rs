//! What the settings of a topic let retention and compaction do.

use factum_broker::TopicSettings;
use factum_event::{Offset, Timestamp};

use super::partition::Partition;

/// What compaction may add to a record: its time is counted from the horizon of its batch.
const GROWTH_BYTES: u64 = 10;

/// What compaction may do to a topic, by all the settings that it ever had.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) was_compacted: bool,
    least_lag_ms: u64,
    least_delete_retention_ms: u64,
}

/// The settings of a topic at a time at which retention looked.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) settings: TopicSettings,
    pub(crate) now: Timestamp,
    /// Batches may be gone that compaction has left nothing of.
    pub(crate) was_compacted: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let most = u64::MAX;
        Self { was_compacted: false, least_lag_ms: most, least_delete_retention_ms: most }
    }
}

impl Policy {
    /// The topic has these settings, or will soon.
    pub(crate) fn note(&mut self, settings: &TopicSettings) {
        if settings.cleanup.compact {
            self.was_compacted = true;
            self.least_lag_ms = self.least_lag_ms.min(settings.min_compaction_lag_ms);
            let kept_ms = settings.delete_retention_ms;
            self.least_delete_retention_ms = self.least_delete_retention_ms.min(kept_ms);
        }
    }

    /// Whether a batch may have been compacted.
    pub(crate) fn may_compact(&self, time: Timestamp, now: Timestamp) -> bool {
        self.was_compacted && age_ms(time, now) >= clamp(self.least_lag_ms)
    }

    /// Whether a tombstone may have gone.
    pub(crate) fn may_expire(&self, sent_at: Timestamp, now: Timestamp) -> bool {
        self.was_compacted && age_ms(sent_at, now) >= clamp(self.least_delete_retention_ms)
    }
}

impl Window {
    /// Whether retention may move the start of a partition there.
    pub(crate) fn lets_begin_at(&self, partition: &Partition, to: Offset) -> bool {
        let settings = &self.settings;
        if !settings.cleanup.delete || to > partition.end {
            return false;
        }
        let latest = partition.latest();
        let mut left: u64 = 0;
        // From the end on: what is behind each batch.
        partition.sent.range(..partition.end).rev().all(|(base, sent)| {
            let behind = left;
            left += sent.batch.len() as u64;
            if self.was_compacted {
                left += sent.records.len() as u64 * GROWTH_BYTES;
            }
            let stays = *base >= to || sent.next_offset(*base) <= partition.start;
            let max_timestamp = sent.batch.header().max_timestamp;
            let time = if self.was_compacted { sent.earliest() } else { max_timestamp };
            let is_old = settings.retention_ms.is_some_and(|ms| age_ms(time, self.now) > clamp(ms));
            let is_enough = settings.retention_bytes.is_some_and(|keep| behind >= keep);
            let may_be_gone = || {
                sent.records.iter().all(|found| {
                    let last = found.record.key.as_ref().and_then(|key| latest.get(key));
                    last.is_none_or(|last| *last > found.offset) || found.record.value.is_none()
                })
            };
            stays || is_old || is_enough || self.was_compacted && may_be_gone()
        })
    }
}

fn age_ms(time: Timestamp, now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(time.as_millis())
}

fn clamp(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
