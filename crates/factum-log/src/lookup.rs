//! What the log says of batches without reading them, and batches of one sealed file.

use factum_event::Offset;

use crate::entry::{BatchEntry, StoredBatch};
use crate::error::ReadError;
use crate::journal::index::{ListError, Summary};
use crate::partitions::{Limit, PartitionState};
use crate::reader::{failed, fetch, following, index_of, rebuild};
use crate::shared::Shared;

/// The entries of batches from the one with `from` on, at most `limit`.
pub(crate) fn entries(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    limit: usize,
) -> Result<Vec<BatchEntry>, ReadError> {
    following(|| known_entries(shared, partition, from, limit))
}

fn known_entries(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    limit: usize,
) -> Result<Vec<BatchEntry>, ReadError> {
    let mut found = Vec::new();
    let mut next = from.max(partition.lock().extent().start);
    while found.len() < limit {
        let left = limit - found.len();
        let inner = partition.lock();
        let sealed = inner.sealed_with(next);
        let Some(summary) = sealed else {
            found.extend(inner.dense_from(next).take(left).copied());
            break;
        };
        drop(inner);
        found.extend(of_list(shared, partition, summary, next, |count, _| count < left)?);
        let behind = summary.last.next();
        if behind <= next {
            break;
        }
        next = behind;
    }
    Ok(found)
}

/// Batches of a sealed file from the one with `from` on, up to `max_bytes`; none if there are none.
pub(crate) fn read_sealed(
    shared: &Shared,
    partition: &PartitionState,
    summary: Summary,
    from: Offset,
    max_bytes: usize,
    buffer: &mut [u8],
) -> Result<Vec<StoredBatch>, ReadError> {
    let mut limit = Limit::new(max_bytes);
    let entries =
        of_list(shared, partition, summary, from, |_, entry| limit.admits(entry.length as usize))?;
    // Damage behind the first batch ends what is read; the next read meets it first.
    fetch(shared, partition, &entries, buffer)
}

/// The entries that the index of a sealed file has from `from` on, as long as `wanted` says so of
/// their number so far and the next one. A damaged index is built again, once.
fn of_list(
    shared: &Shared,
    partition: &PartitionState,
    summary: Summary,
    from: Offset,
    wanted: impl FnMut(usize, &BatchEntry) -> bool,
) -> Result<Vec<BatchEntry>, ReadError> {
    let mut summary = summary;
    let wanted = std::cell::RefCell::new(wanted);
    for attempt in 0..2 {
        let read = index_of(shared, partition.id, summary, |list| {
            let mut found = Vec::new();
            let reached = |entries: &[BatchEntry], _| entries.iter().any(|e| e.last_offset >= from);
            for block in list.first_block(reached)?..list.blocks() {
                for entry in list.block(block)?.0.into_iter().filter(|e| e.last_offset >= from) {
                    if !wanted.borrow_mut()(found.len(), &entry) {
                        return Ok(found);
                    }
                    found.push(entry);
                }
            }
            Ok(found)
        });
        match read {
            Ok(found) => return Ok(found),
            Err(ListError::Damaged(reason)) if attempt == 0 => {
                rebuild(shared, partition, summary.journal, &reason)?;
                summary = partition.lock().summary_of(summary.journal).unwrap_or(summary);
            }
            Err(ListError::Damaged(reason)) => {
                let action = format!("read the index of file {}", summary.journal);
                return Err(ReadError::Io { action, reason });
            }
            Err(ListError::Io(error)) => return Err(failed(partition, summary.journal, &error)),
        }
    }
    Ok(Vec::new())
}
