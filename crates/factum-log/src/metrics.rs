//! Numbers of the log for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the flush-time buckets, in microseconds; the last bucket has no bound.
pub const FLUSH_BOUNDS_MICROS: [u64; 12] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000];

const BUCKETS: usize = FLUSH_BOUNDS_MICROS.len() + 1;

/// What the log has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogMetrics {
    /// Flushes of the journal, each of which made one group durable.
    pub flushes: u64,
    /// Batches made durable.
    pub batches: u64,
    /// Bytes of batches made durable.
    pub bytes_appended: u64,
    /// Bytes of batches read from memory.
    pub bytes_read_tail: u64,
    /// Bytes of batches read from the disk.
    pub bytes_read_disk: u64,
    /// Bytes reserved or queued that are not yet durable.
    pub queue_bytes: u64,
    /// Bytes of recent batches in memory.
    pub tail_bytes: u64,
    /// Journal files.
    pub journals: u64,
    /// Segment files, into which what is left of journals was moved.
    pub segments: u64,
    /// How often nothing could be written for a while, as on a full disk.
    pub stalls: u64,
    /// Whether nothing can be written for now.
    pub is_stalled: bool,
    /// Whether a write or a flush has failed: nothing is appended until the log is opened again.
    pub has_failed: bool,
    /// Journals sealed.
    pub seals: u64,
    /// Bytes of sealed journals that have no seal yet: how far the sealer is behind.
    pub unsealed_bytes: u64,
    /// Damaged files that the sealer has found.
    pub scrub_damage: u64,
    /// How long groups took, write and flush together.
    pub flush_times: FlushTimes,
}

/// A histogram of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlushTimes {
    /// How many took up to each of [`FLUSH_BOUNDS_MICROS`] and more than the bound before; the
    /// last counts what took longer than all bounds.
    pub counts: [u64; BUCKETS],
    /// All together, in microseconds.
    pub sum_micros: u64,
    /// The longest, in microseconds.
    pub max_micros: u64,
}

/// The counters behind [`LogMetrics`].
#[derive(Default)]
pub(crate) struct Counters {
    flushes: AtomicU64,
    batches: AtomicU64,
    bytes_appended: AtomicU64,
    pub(crate) bytes_read_tail: AtomicU64,
    pub(crate) bytes_read_disk: AtomicU64,
    pub(crate) tail_bytes: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) seals: AtomicU64,
    pub(crate) unsealed_bytes: AtomicU64,
    pub(crate) scrub_damage: AtomicU64,
    flush_counts: [AtomicU64; BUCKETS],
    flush_sum: AtomicU64,
    flush_max: AtomicU64,
}

impl Counters {
    pub(crate) fn flushed(&self, batches: usize, bytes: usize, took: Duration) {
        self.flushes.fetch_add(1, Relaxed);
        self.batches.fetch_add(batches as u64, Relaxed);
        self.bytes_appended.fetch_add(bytes as u64, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = FLUSH_BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        self.flush_counts[bucket].fetch_add(1, Relaxed);
        self.flush_sum.fetch_add(micros, Relaxed);
        self.flush_max.fetch_max(micros, Relaxed);
    }

    /// How long all groups together took.
    pub(crate) fn flush_time(&self) -> Duration {
        Duration::from_micros(self.flush_sum.load(Relaxed))
    }

    pub(crate) fn read(&self, queue_bytes: usize, journals: usize) -> LogMetrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        LogMetrics {
            flushes: get(&self.flushes),
            batches: get(&self.batches),
            bytes_appended: get(&self.bytes_appended),
            bytes_read_tail: get(&self.bytes_read_tail),
            bytes_read_disk: get(&self.bytes_read_disk),
            queue_bytes: queue_bytes as u64,
            tail_bytes: get(&self.tail_bytes),
            journals: journals as u64,
            segments: 0,
            stalls: get(&self.stalls),
            is_stalled: false,
            has_failed: false,
            seals: get(&self.seals),
            unsealed_bytes: get(&self.unsealed_bytes),
            scrub_damage: get(&self.scrub_damage),
            flush_times: FlushTimes {
                counts: self.flush_counts.each_ref().map(get),
                sum_micros: get(&self.flush_sum),
                max_micros: get(&self.flush_max),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_times_fall_into_the_bucket_that_bounds_them() {
        let counters = Counters::default();
        for micros in [50, 51, 2_000_000] {
            counters.flushed(1, 10, Duration::from_micros(micros));
        }
        let times = counters.read(0, 0).flush_times;
        assert_eq!((times.counts[0], times.counts[1], times.counts[12]), (1, 1, 1));
        assert_eq!((times.sum_micros, times.max_micros), (2_000_101, 2_000_000));
    }
}
