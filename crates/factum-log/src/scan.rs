//! Visits every batch of the log, for folds that begin anew.

use crate::entry::{BatchEntry, PartitionId};
use crate::error::ReadError;
use crate::journal::index::{List, ListError, Summary};
use crate::journal::journal_path;
use crate::recovery::rebuild_index;
use crate::shared::{FileKey, Shared};

/// What was found in one journal.
type Entries = Vec<(PartitionId, BatchEntry)>;

/// Visits what is readable now. Memory is that of the entries of one journal.
pub(crate) fn scan(
    shared: &Shared,
    visit: &mut dyn FnMut(PartitionId, &BatchEntry),
) -> Result<(), ReadError> {
    let journals: Vec<u64> = shared.journals.lock().keys().copied().collect();
    let partitions = shared.partitions.all();
    for journal in journals {
        let mut entries = Entries::new();
        let mut sealed = Vec::new();
        for partition in &partitions {
            let inner = partition.lock();
            entries.extend(inner.dense_of(journal).iter().map(|entry| (partition.id, *entry)));
            sealed.extend(inner.summary_of(journal).map(|summary| (partition.id, *summary)));
        }
        if !sealed.is_empty() {
            entries.extend(from_index(shared, journal, &sealed)?);
        }
        entries.sort_unstable_by_key(|(_, entry)| entry.position);
        for (id, entry) in &entries {
            visit(*id, entry);
        }
    }
    Ok(())
}

fn from_index(
    shared: &Shared,
    journal: u64,
    sealed: &[(PartitionId, Summary)],
) -> Result<Entries, ReadError> {
    let reading = |error: &std::io::Error| {
        ReadError::io(format!("read the index of {}", journal_path(journal)), error)
    };
    match read_lists(shared, journal, sealed) {
        Ok(entries) => Ok(entries),
        Err(ListError::Io(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(reading(&error))
        }
        Err(_) => {
            let rebuilt = rebuild_index(shared.disk.as_ref(), journal);
            let index =
                rebuilt.map_err(|error| reading(&error))?.map_err(|(position, reason)| {
                    let reason = format!("at byte {position}: {reason}");
                    ReadError::Io { action: format!("read {}", journal_path(journal)), reason }
                })?;
            crate::housekeeper::reinstall(shared, &index);
            let alive = |id: &PartitionId| sealed.binary_search_by_key(id, |(id, _)| *id).is_ok();
            let wanted: Vec<_> = index.directory.into_iter().filter(|(id, _)| alive(id)).collect();
            read_lists(shared, journal, &wanted).map_err(|error| match error {
                ListError::Io(error) => reading(&error),
                ListError::Damaged(reason) => {
                    let action = format!("read {}", FileKey::Index(journal).path());
                    ReadError::Io { action, reason }
                }
            })
        }
    }
}

fn read_lists(
    shared: &Shared,
    journal: u64,
    sealed: &[(PartitionId, Summary)],
) -> Result<Entries, ListError> {
    let file = shared.files.get(FileKey::Index(journal)).map_err(ListError::Io)?;
    let mut entries = Entries::new();
    for &(id, summary) in sealed {
        let list = List { file: file.as_ref(), id, summary };
        for block in 0..list.blocks() {
            entries.extend(list.block(block)?.0.into_iter().map(|entry| (id, entry)));
        }
    }
    Ok(entries)
}
