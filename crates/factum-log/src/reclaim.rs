//! Giving room back: what is left of a sealed file, or of a partition, moves into a segment.

use std::io;
use std::sync::Arc;

use factum_event::batch::{Batch, BatchError};
use factum_event::{Offset, Timestamp};
use parking_lot::MutexGuard;
use thiserror::Error;

use crate::entry::PartitionId;
use crate::error::ReadError;
use crate::housekeeper::Task;
use crate::journal::index::{Cleaned, Coverage, Sealed, Summary};
use crate::journal::segment::SegmentWriter;
use crate::log::Log;
use crate::lookup;
use crate::partitions::PartitionState;
use crate::shared::Shared;
use crate::window::WINDOW_BYTES;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Why nothing was moved or cleaned. What there was is there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CleanError {
    /// What is to be moved cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was read, or what came for it, is not a batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch came that does not belong there.
    #[error("a batch of offsets {first} to {last} came, expected were offsets from {from} to {to}")]
    Misplaced {
        /// The first offset of the batch.
        first: Offset,
        /// The last.
        last: Offset,
        /// Where the next batch may begin.
        from: Offset,
        /// Where it must end.
        to: Offset,
    },
    /// The partition was removed, or cut off, meanwhile.
    #[error("the partition was changed meanwhile; nothing was cleaned")]
    Changed,
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

impl CleanError {
    fn writing(source: io::Error) -> Self {
        Self::Io { action: "write a segment", source }
    }
}

/// Batches that take the place of all those of a partition up to an offset.
pub struct Cleaning<'a> {
    shared: Arc<Shared>,
    state: Arc<PartitionState>,
    /// There is one segment at a time: the order of their numbers is that of their making.
    number: MutexGuard<'a, u64>,
    writer: SegmentWriter,
    replaced: Vec<Summary>,
    next: Offset,
    last: Offset,
    log: &'a Log,
}

impl Cleaning<'_> {
    /// The offset up to which, without it, batches are replaced.
    #[must_use]
    pub const fn end(&self) -> Offset {
        self.last.next()
    }

    /// Keeps a batch, at the offsets that its bytes say.
    ///
    /// # Errors
    /// [`CleanError::Misplaced`] out of order or beyond the end; what the disk says.
    pub fn push(&mut self, batch: Batch, appended_at: Timestamp) -> Result<(), CleanError> {
        let header = batch.header();
        let first = Offset::new(header.base_offset).unwrap_or(Offset::ZERO);
        let last = first.plus(header.last_offset_delta.unsigned_abs());
        if first < self.next || last > self.last {
            return Err(CleanError::Misplaced { first, last, from: self.next, to: self.last });
        }
        self.next = last.next();
        self.writer.push(batch, appended_at).map_err(CleanError::writing)
    }

    /// Makes what was pushed durable, and puts it in the place of what was there. `cleaned` says
    /// whether all of it was cleaned: then it counts up to [`Log::cleaned_end`].
    ///
    /// # Errors
    /// [`CleanError`]; nothing has changed then.
    pub fn commit(mut self, cleaned: bool) -> Result<(), CleanError> {
        self.writer.mark(if cleaned { Cleaned::Wholly } else { Cleaned::Partly });
        let (sealed, directory) = self.writer.finish().map_err(CleanError::writing)?;
        *self.number += 1;
        self.shared.journals.lock().insert(sealed.number, Some(sealed));
        let summary = directory.first().map(|(_, summary)| *summary);
        let replaced =
            summary.is_some_and(|summary| self.state.lock().clean(&self.replaced, summary));
        // Either what was there or what was to replace it is of no use now.
        self.log.give(Task::Sweep);
        if replaced { Ok(()) } else { Err(CleanError::Changed) }
    }
}

impl Log {
    /// Begins to replace the batches of a partition from its start to `to`; none where none of
    /// them is in a sealed file. Whole files are replaced: of the one that has `to` in its middle,
    /// what comes after is to be kept. Readers see all of it at once, when it is
    /// [committed](Cleaning::commit); until then, or dropped, nothing has happened.
    ///
    /// # Errors
    /// [`CleanError`] where no segment can be written.
    pub fn clean(
        &self,
        partition: PartitionId,
        to: Offset,
    ) -> Result<Option<Cleaning<'_>>, CleanError> {
        let shared = self.shared_arc();
        let Some(state) = shared.partitions.get(partition) else {
            return Ok(None);
        };
        let number = self.shared().next_segment.lock();
        let inner = state.lock();
        let replaced: Vec<_> =
            inner.sealed().iter().take_while(|summary| summary.base < to).collect();
        drop(inner);
        let (Some(front), Some(back)) = (replaced.first(), replaced.last()) else {
            return Ok(None);
        };
        let covered = Coverage { base: front.base, last: back.last, cleaned: Cleaned::Partly };
        let created_at = shared.clock.now();
        let mut writer = SegmentWriter::create(Arc::clone(&shared.disk), *number, created_at)
            .map_err(CleanError::writing)?;
        writer.begin(partition, covered).map_err(CleanError::writing)?;
        // The batch that the start is in the middle of stays whole.
        let (shared, next, last) = (Arc::clone(shared), front.base, back.last);
        Ok(Some(Cleaning { shared, state, number, writer, replaced, next, last, log: self }))
    }
}

/// Moves what is left of a sealed file into a segment; false where the file is still in use.
pub(crate) fn move_live(shared: &Arc<Shared>, sealed: &Sealed) -> Result<bool, CleanError> {
    // Where another segment is being written, there is time.
    let Some(mut number) = shared.next_segment.try_lock() else {
        return Ok(false);
    };
    let created_at = shared.clock.now();
    let mut writer = SegmentWriter::create(Arc::clone(&shared.disk), *number, created_at)
        .map_err(CleanError::writing)?;
    let mut moved = Vec::new();
    let mut buffer = vec![0; WINDOW_BYTES];
    for state in shared.partitions.all() {
        let inner = state.lock();
        let summary = inner.summary_of(sealed.number);
        let start = inner.extent().start;
        drop(inner);
        if let Some(summary) = summary {
            copy(shared, &state, &summary, start, &mut writer, &mut buffer)?;
            moved.push((state, summary));
        }
    }
    let (segment, directory) = writer.finish().map_err(CleanError::writing)?;
    *number += 1;
    shared.journals.lock().insert(segment.number, Some(segment));
    for ((state, replaced), (_, summary)) in moved.iter().zip(directory) {
        state.lock().replace(&[*replaced], summary);
    }
    // What was not replaced was cut off or removed meanwhile.
    Ok(shared.partitions.all().iter().all(|state| state.lock().summary_of(sealed.number).is_none()))
}

/// Copies the batches that a file has of a partition, from `start` on.
fn copy(
    shared: &Shared,
    state: &PartitionState,
    summary: &Summary,
    start: Offset,
    writer: &mut SegmentWriter,
    buffer: &mut [u8],
) -> Result<(), CleanError> {
    let Summary { base, last, cleaned, .. } = *summary;
    let begun = writer.begin(state.id, Coverage { base, last, cleaned });
    begun.map_err(CleanError::writing)?;
    let mut next = base.max(start);
    while next <= last {
        let batches = lookup::read_sealed(shared, state, *summary, next, READ_BYTES, buffer)?;
        let Some(end) = batches.last().map(|batch| batch.entry.next_offset()) else {
            break;
        };
        if end <= next {
            break;
        }
        for batch in batches {
            let appended_at = batch.entry.appended_at;
            writer.push(batch.to_batch()?, appended_at).map_err(CleanError::writing)?;
        }
        next = end;
    }
    Ok(())
}
