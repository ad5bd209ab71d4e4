//! What a user tunes.

use crate::disk::BLOCK_BYTES;

/// What journal files are a multiple of, and the smallest: below it, headers would outweigh
/// content.
const JOURNAL_UNIT: u64 = BLOCK_BYTES as u64;

/// The largest room that is reserved for a journal file.
const MAX_JOURNAL_BYTES: u64 = 1 << 40;

/// The slowest pace of sealing, in bytes a second: a slower one would never catch up.
const MIN_SEAL_RATE: u64 = 1 << 20;

/// The largest queue: what a semaphore of tokio counts in one step.
const MAX_QUEUE_BYTES: usize = 1 << 30;

/// Values that a user tunes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// A journal file is sealed at this size: whole blocks of 4 KiB, at most 1 TiB.
    pub journal_bytes: u64,
    /// Appended but not yet durable; more has to wait. At most 1 GiB.
    pub queue_bytes: usize,
    /// Recent batches kept in memory for readers.
    pub tail_bytes: usize,
    /// Who reads so many bytes of the disk at once, to send them, finds what follows checked; and
    /// reads past the cache of the system what nobody has read since the log was opened.
    pub read_ahead_from: usize,
    /// How fast sealed journals are read again to be checked and sealed; at least 1 MiB.
    pub seal_bytes_per_second: u64,
}

impl Default for LogSettings {
    /// 128 MiB, 16 MiB, 32 MiB, 256 KiB, 64 MiB a second.
    fn default() -> Self {
        Self {
            journal_bytes: 128 << 20,
            queue_bytes: 16 << 20,
            tail_bytes: 32 << 20,
            read_ahead_from: 256 << 10,
            seal_bytes_per_second: 64 << 20,
        }
    }
}

impl LogSettings {
    /// The same within their bounds.
    pub(crate) fn bounded(self) -> Self {
        Self {
            journal_bytes: self
                .journal_bytes
                .clamp(JOURNAL_UNIT, MAX_JOURNAL_BYTES)
                .next_multiple_of(JOURNAL_UNIT),
            queue_bytes: self.queue_bytes.clamp(1, MAX_QUEUE_BYTES),
            tail_bytes: self.tail_bytes,
            read_ahead_from: self.read_ahead_from,
            seal_bytes_per_second: self.seal_bytes_per_second.max(MIN_SEAL_RATE),
        }
    }
}
