//! Numbers of the upkeep for whoever watches it.

use factum_event::Timestamp;
use parking_lot::Mutex;

use crate::cleaner::CompactionStats;

/// What retention and compaction have done since the broker was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepMetrics {
    /// Bytes of batches that retention cut off.
    pub retention_bytes: u64,
    /// Offsets that retention cut off: records, where nothing was compacted.
    pub retention_offsets: u64,
    /// Compactions of a partition that were completed.
    pub compactions: u64,
    /// Bytes of batches that they went over.
    pub compaction_bytes_read: u64,
    /// Bytes of what they left.
    pub compaction_bytes_left: u64,
    /// Records that they removed.
    pub compaction_records_removed: u64,
    /// Producers' checkpoints written.
    pub checkpoints: u64,
    /// Partitions that could not be retained or compacted, and checkpoints not written, each time
    /// it was tried.
    pub errors: u64,
    /// When the last of them was.
    pub last_error_at: Option<Timestamp>,
}

/// The counters behind [`UpkeepMetrics`].
#[derive(Debug, Default)]
pub(crate) struct UpkeepCounters(Mutex<UpkeepMetrics>);

impl UpkeepCounters {
    pub(crate) fn read(&self) -> UpkeepMetrics {
        *self.0.lock()
    }

    pub(super) fn cut_off(&self, offsets: u64, bytes: u64) {
        let mut metrics = self.0.lock();
        metrics.retention_offsets += offsets;
        metrics.retention_bytes += bytes;
    }

    pub(super) fn compacted(&self, stats: &CompactionStats) {
        let mut metrics = self.0.lock();
        metrics.compactions += 1;
        metrics.compaction_bytes_read += stats.bytes_read;
        metrics.compaction_bytes_left += stats.bytes_left;
        metrics.compaction_records_removed +=
            stats.superseded + stats.expired_tombstones + stats.keyless;
    }

    pub(super) fn checkpointed(&self) {
        self.0.lock().checkpoints += 1;
    }

    pub(super) fn failed(&self, now: Timestamp) {
        let mut metrics = self.0.lock();
        metrics.errors += 1;
        metrics.last_error_at = Some(now);
    }
}
