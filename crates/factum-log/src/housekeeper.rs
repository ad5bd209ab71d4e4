//! The housekeeper: what must not stall the writer.
//!
//! It gives sealed journals their index, and removes journals of which nothing is left.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::entry::PartitionId;
use crate::journal::index::{Index, IndexBuilder, Sealed, Summary};
use crate::journal::marker::Marker;
use crate::journal::{index_path, journal_path};
use crate::recovery::rebuild_index;
use crate::shared::{FileKey, Shared};

/// What there is to do.
pub(crate) enum Task {
    /// A journal was sealed.
    Index(Sealed),
    /// A topic was removed.
    Sweep,
}

/// How many tasks may wait.
pub(crate) const MAX_TASKS: usize = 8;

pub(crate) struct Housekeeper {
    shared: Arc<Shared>,
    /// Sealed journals without an index, oldest first.
    unindexed: VecDeque<Sealed>,
    /// Wakes the sealer, which ends with it.
    sealer: SyncSender<()>,
}

impl Housekeeper {
    pub(crate) fn new(shared: Arc<Shared>, sealer: SyncSender<()>) -> Self {
        Self { shared, unindexed: VecDeque::new(), sealer }
    }

    /// Runs until nobody can give it tasks any more.
    pub(crate) fn run(mut self, tasks: &Receiver<Task>) {
        while let Ok(task) = tasks.recv() {
            if let Task::Index(sealed) = task {
                self.unindexed.push_back(sealed);
            }
            self.index();
            // Where a word waits already, the sealer will look.
            let _ = self.sealer.try_send(());
            if let Err(error) = self.sweep() {
                tracing::warn!(
                    "cannot remove a journal of removed topics: {error}; tried again later"
                );
            }
        }
    }

    /// Builds what indexes are missing; one that fails is tried again with the next.
    fn index(&mut self) {
        while let Some(sealed) = self.unindexed.front() {
            if let Err(error) = self.write_index(sealed) {
                let path = index_path(sealed.number);
                tracing::warn!("cannot write {path}: {error}; its content stays in memory");
                return;
            }
            self.unindexed.pop_front();
        }
    }

    fn write_index(&self, sealed: &Sealed) -> io::Result<()> {
        let shared = &self.shared;
        // Room that was reserved and not used goes back to the disk.
        shared.disk.open(&journal_path(sealed.number))?.truncate(sealed.end)?;
        let mut builder = IndexBuilder::default();
        for partition in shared.partitions.all() {
            let entries = partition.lock().dense_of(sealed.number).to_vec();
            builder.add(partition.id, &entries);
        }
        if builder.batches() == sealed.batches {
            install(shared, &builder.write(shared.disk.as_ref(), sealed)?);
            return Ok(());
        }
        // What a removed topic has here is forgotten in memory but not in other journals: an index
        // without it would look like a hole in its offsets when the log is opened.
        match rebuild_index(shared.disk.as_ref(), sealed.number)? {
            Ok(index) => install(shared, &index.directory),
            Err((position, reason)) => {
                return Err(io::Error::other(format!("journal byte {position}: {reason}")));
            }
        }
        Ok(())
    }

    /// Removes sealed journals that hold nothing of any partition that is left.
    fn sweep(&self) -> io::Result<()> {
        let removed = self.shared.partitions.removed();
        if removed.is_empty() {
            return Ok(());
        }
        let unindexed: BTreeSet<u64> = self.unindexed.iter().map(|sealed| sealed.number).collect();
        let mut in_use = BTreeSet::new();
        // The journals first: what is written later is in later ones.
        let journals = self.shared.journals.lock().clone();
        for partition in self.shared.partitions.all() {
            in_use.extend(partition.lock().journals());
        }
        for sealed in journals.values().flatten() {
            if !in_use.contains(&sealed.number) && !unindexed.contains(&sealed.number) {
                self.remove(sealed)?;
            }
        }
        Ok(())
    }

    fn remove(&self, sealed: &Sealed) -> io::Result<()> {
        let shared = &self.shared;
        let mut topics: Vec<_> = shared.partitions.removed().into_iter().collect();
        topics.sort_unstable();
        let &Sealed { number, first_sequence, next_sequence, .. } = sealed;
        Marker { number, first_sequence, next_sequence, topics }.write(shared.disk.as_ref())?;
        shared.disk.remove(&journal_path(number))?;
        shared.journals.lock().remove(&number);
        for key in [FileKey::Journal(number), FileKey::Index(number)] {
            shared.files.forget(key);
        }
        match shared.disk.remove(&index_path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Puts a directory that was read again from the journal in the place of what was known.
pub(crate) fn reinstall(shared: &Shared, index: &Index) {
    shared.files.forget(FileKey::Index(index.sealed.number));
    install(shared, &index.directory);
}

fn install(shared: &Shared, directory: &[(PartitionId, Summary)]) {
    for &(id, summary) in directory {
        if let Some(partition) = shared.partitions.get(id) {
            partition.lock().install(summary);
        }
    }
}
