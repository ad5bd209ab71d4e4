//! The batches of a partition as retention and compaction count them, read piece by piece.

use std::collections::VecDeque;

use factum_event::Offset;
use factum_log::{BatchEntry, Log, PartitionId, ReadError};

use crate::cleaner::Entry;

/// Entries of the first piece; each is twice as large as the one before, up to the largest.
const FIRST_PIECE: usize = 64;
const LARGEST_PIECE: usize = 8192;

/// Goes through a partition from its start. Where it cannot be read it ends, and says so.
pub(super) struct Entries<'a> {
    log: &'a Log,
    partition: PartitionId,
    next: Offset,
    piece: usize,
    read: VecDeque<BatchEntry>,
    error: Option<ReadError>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(log: &'a Log, partition: PartitionId) -> Self {
        let next = log.extent(partition).start;
        Self { log, partition, next, piece: FIRST_PIECE, read: VecDeque::new(), error: None }
    }

    /// Why it ended before the end of the partition, if it did.
    pub(super) fn into_error(self) -> Option<ReadError> {
        self.error
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.read.is_empty() && self.error.is_none() {
            match self.log.entries(self.partition, self.next, self.piece) {
                Ok(entries) => self.read = entries.into(),
                Err(error) => self.error = Some(error),
            }
            self.piece = (self.piece * 2).min(LARGEST_PIECE);
        }
        let entry = self.read.pop_front()?;
        self.next = entry.next_offset();
        Some(Entry {
            base_offset: entry.base_offset,
            last_offset: entry.last_offset,
            max_timestamp: entry.max_timestamp,
            appended_at: entry.appended_at,
            length: entry.length,
        })
    }
}
