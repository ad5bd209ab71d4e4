//! Cutting off the beginning of partitions, and what is asked before it is done.

use factum_event::Offset;

use crate::entry::{BatchEntry, PartitionId, StoredBatch};
use crate::error::{ReadError, TrimError};
use crate::housekeeper::Task;
use crate::journal::index::{Cleaned, List, ListError, Summary};
use crate::log::Log;
use crate::lookup;
use crate::reader;
use crate::shared::{FileKey, Shared};
use crate::window::WINDOW_BYTES;

impl Log {
    /// Moves the starts of partitions up: what is below can no longer be read, and its room goes
    /// back to the disk some time later. A start never moves down, nor beyond the end. Blocks for
    /// a flush; durable when it returns.
    ///
    /// # Errors
    /// [`TrimError`]: nothing was cut off then.
    pub fn trim(&self, cuts: &[(PartitionId, Offset)]) -> Result<(), TrimError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(TrimError::Closed);
        }
        let mut starts = shared.starts.lock();
        let mut next = starts.clone();
        // What files still have of removed topics is not missed, wherever it begins.
        next.removed.extend(shared.partitions.removed());
        next.by_partition.retain(|id, _| !next.removed.contains(&id.topic));
        let mut moved = Vec::new();
        for &(id, to) in cuts {
            let Some(state) = shared.partitions.get(id) else { continue };
            let extent = state.lock().extent();
            let to = to.min(extent.end);
            if to <= extent.start {
                continue;
            }
            let within = state.lock().cut_within(to);
            let within = within.map_or(0, |summary| bytes_below(shared, id, summary, to));
            next.by_partition.insert(id, state.lock().start_at(to, within));
            moved.push((state, to, within));
        }
        if moved.is_empty() {
            return Ok(());
        }
        next.write(shared.disk.as_ref()).map_err(TrimError::Io)?;
        *starts = next;
        drop(starts);
        for (state, to, within) in moved {
            state.lock().trim(to, within);
        }
        self.give(Task::Sweep);
        Ok(())
    }

    /// Every partition of which the log has, or had, something.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.shared().partitions.all().iter().map(|state| state.id).collect()
    }

    /// Bytes of a partition's batches that can be read.
    #[must_use]
    pub fn size(&self, partition: PartitionId) -> u64 {
        let state = self.shared().partitions.get(partition);
        state.map_or(0, |state| state.lock().readable_bytes())
    }

    /// Memory for what full journals and segments have of each partition: about 13 bytes for each
    /// partition and file. Visits every partition.
    #[must_use]
    pub fn summary_bytes(&self) -> u64 {
        let partitions = self.shared().partitions.all();
        partitions.iter().map(|state| state.lock().sealed().heap_bytes() as u64).sum()
    }

    /// Where the last file ends that nothing is appended to any more: as far as a partition can
    /// be [cleaned](Log::clean).
    #[must_use]
    pub fn sealed_end(&self, partition: PartitionId) -> Offset {
        let state = self.shared().partitions.get(partition);
        state
            .and_then(|state| state.lock().sealed().last_offset().map(Offset::next))
            .unwrap_or(Offset::ZERO)
    }

    /// Where the part of a partition ends that was cleaned before.
    #[must_use]
    pub fn cleaned_end(&self, partition: PartitionId) -> Offset {
        let state = self.shared().partitions.get(partition);
        state
            .and_then(|state| {
                let state = state.lock();
                let cleaned =
                    state.sealed().iter().take_while(|summary| summary.cleaned == Cleaned::Wholly);
                cleaned.last().map(|summary| summary.last.next())
            })
            .unwrap_or(Offset::ZERO)
    }

    /// Where the part of a partition ends that a cleaning has replaced, whether all of it was
    /// cleaned or not: before it, batches may be missing.
    #[must_use]
    pub fn replaced_end(&self, partition: PartitionId) -> Offset {
        let state = self.shared().partitions.get(partition);
        state
            .and_then(|state| {
                let state = state.lock();
                let replaced =
                    state.sealed().iter().filter(|summary| summary.cleaned != Cleaned::No);
                replaced.last().map(|summary| summary.last.next())
            })
            .unwrap_or(Offset::ZERO)
    }

    /// As [`read`](Self::read), on the caller's thread, which it blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_blocking(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<StoredBatch>, ReadError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(ReadError::Closed);
        }
        let Some(state) = shared.partitions.get(partition) else {
            return Ok(Vec::new());
        };
        let mut buffer = vec![0; WINDOW_BYTES];
        reader::read(shared, &state, from, max_bytes, &mut buffer)
    }

    /// What the log says of the batches from the one with `from` on, at most `limit`; blocks for
    /// reads of indexes. None at the end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(
        &self,
        partition: PartitionId,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<BatchEntry>, ReadError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(ReadError::Closed);
        }
        let Some(state) = shared.partitions.get(partition) else {
            return Ok(Vec::new());
        };
        lookup::entries(shared, &state, from, limit)
    }
}

/// The bytes of batches that a file has below an offset. Only for counting: where the index cannot
/// be read, none.
fn bytes_below(shared: &Shared, id: PartitionId, summary: Summary, offset: Offset) -> u64 {
    let count = || -> Result<u64, ListError> {
        let file = shared.files.get(FileKey::Index(summary.journal))?;
        let list = List { file: file.as_ref(), id, summary };
        let mut bytes = 0;
        for block in 0..list.blocks() {
            for entry in list.block(block)?.0 {
                if entry.last_offset >= offset {
                    return Ok(bytes);
                }
                bytes += u64::from(entry.length);
            }
        }
        Ok(bytes)
    };
    count().unwrap_or(0)
}
