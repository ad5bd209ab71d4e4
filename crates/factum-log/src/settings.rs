//! What a user tunes.

use crate::disk::BLOCK_BYTES;

/// What journal files are a multiple of, and the smallest: below it, headers would outweigh
/// content.
const JOURNAL_UNIT: u64 = BLOCK_BYTES as u64;

/// The largest room that is reserved for a journal file.
const MAX_JOURNAL_BYTES: u64 = 1 << 40;

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
}

impl Default for LogSettings {
    /// 128 MiB, 64 MiB, 64 MiB.
    fn default() -> Self {
        Self { journal_bytes: 128 << 20, queue_bytes: 64 << 20, tail_bytes: 64 << 20 }
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
        }
    }
}
