//! The housekeeper: what must not stall the writer.
//!
//! It gives sealed journals their index, removes files of which nothing is left, and moves what is
//! left of those that are mostly empty.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::disk::Disk;
use crate::entry::PartitionId;
use crate::journal::index::{Index, IndexBuilder, Sealed, Summary};
use crate::journal::marker::Marker;
use crate::journal::{
    DIRECTORY, FIRST_SEGMENT, Name, index_path, is_segment, journal_path, marker_path,
};
use crate::reclaim::{self, CleanError};
use crate::recovery::rebuild_index;
use crate::sealer::unsealed_bytes;
use crate::shared::{FileKey, Shared};

/// What there is to do.
pub(crate) enum Task {
    /// A journal was sealed.
    Index(Sealed),
    /// A topic was removed, or partitions were cut off or compacted.
    Sweep,
}

/// How far the sealer may be behind before journals are removed without having had a seal: chains
/// are not cut under light load, and room comes first under heavy load.
const MAX_UNSEALED_BYTES: u64 = 1 << 30;

/// How many tasks may wait.
pub(crate) const MAX_TASKS: usize = 8;

pub(crate) struct Housekeeper {
    shared: Arc<Shared>,
    /// Sealed journals without an index, oldest first.
    unindexed: VecDeque<Sealed>,
    /// Files that could not be moved because they are damaged.
    damaged: RefCell<BTreeSet<u64>>,
    /// Wakes the sealer, which ends with it.
    sealer: SyncSender<()>,
}

impl Housekeeper {
    pub(crate) fn new(shared: Arc<Shared>, sealer: SyncSender<()>) -> Self {
        Self { shared, unindexed: VecDeque::new(), damaged: RefCell::default(), sealer }
    }

    /// Runs until nobody can give it tasks any more.
    pub(crate) fn run(mut self, tasks: &Receiver<Task>) {
        while let Ok(task) = tasks.recv() {
            self.perform(task);
        }
    }

    /// Does what there is to do.
    pub(crate) fn perform(&mut self, task: Task) {
        if let Task::Index(sealed) = task {
            self.unindexed.push_back(sealed);
        }
        self.index();
        // Where a word waits already, the sealer will look.
        let _ = self.sealer.try_send(());
        if let Err(error) = self.sweep() {
            tracing::warn!("cannot remove what is no longer needed: {error}; tried again later");
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

    /// Removes files that hold nothing of any partition that is left, and moves what is left of
    /// those that are mostly empty.
    fn sweep(&self) -> io::Result<()> {
        let unindexed: BTreeSet<u64> = self.unindexed.iter().map(|sealed| sealed.number).collect();
        // The journals first: what is written later is in later ones.
        let journals = self.shared.journals.lock().clone();
        let in_use = self.live_bytes();
        let held = self.waits_for_seal(&journals);
        let ready = |s: &&Sealed| !unindexed.contains(&s.number) && !held.contains(&s.number);
        for sealed in journals.values().flatten().filter(ready) {
            match in_use.get(&sealed.number) {
                None => self.remove(sealed)?,
                Some(live) if live.saturating_mul(2) < sealed.end => self.reclaim(sealed)?,
                Some(_) => {}
            }
        }
        self.forget_markers()
    }

    /// Journals that stay until the sealer is done with them; then it asks for another sweep.
    fn waits_for_seal(&self, journals: &BTreeMap<u64, Option<Sealed>>) -> Range<u64> {
        let done = *self.shared.sealed_until.borrow();
        if unsealed_bytes(journals, done) > MAX_UNSEALED_BYTES {
            return 0..0;
        }
        done.saturating_add(1)..FIRST_SEGMENT
    }

    /// The bytes that partitions have in files; a file that a partition still names has an entry.
    fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let mut live = BTreeMap::new();
        for partition in self.shared.partitions.all() {
            let inner = partition.lock();
            for (file, bytes) in inner.live_bytes() {
                let live: &mut u64 = live.entry(file).or_default();
                // Each partition of a journal without an index counts with more than any file has.
                *live = live.saturating_add(bytes);
            }
        }
        live
    }

    fn reclaim(&self, sealed: &Sealed) -> io::Result<()> {
        if self.damaged.borrow().contains(&sealed.number) {
            return Ok(());
        }
        match reclaim::move_live(&self.shared, sealed) {
            Ok(true) => self.remove(sealed),
            Ok(false) => Ok(()),
            Err(CleanError::Read(error)) => {
                // It stays as it is: what is not damaged can still be read.
                tracing::error!("{} is not moved: {error}", journal_path(sealed.number));
                self.damaged.borrow_mut().insert(sealed.number);
                Ok(())
            }
            Err(CleanError::Io { source, .. }) => Err(source),
            Err(other) => Err(io::Error::other(other)),
        }
    }

    fn remove(&self, sealed: &Sealed) -> io::Result<()> {
        let shared = &self.shared;
        let &Sealed { number, first_sequence, next_sequence, .. } = sealed;
        self.remember_removed()?;
        if !is_segment(number) {
            let mut topics: Vec<_> = shared.partitions.removed().into_iter().collect();
            topics.sort_unstable();
            Marker { number, first_sequence, next_sequence, topics }.write(shared.disk.as_ref())?;
        }
        shared.disk.remove(&journal_path(number))?;
        shared.journals.lock().remove(&number);
        for key in [FileKey::Journal, FileKey::JournalDirect, FileKey::Index] {
            shared.files.forget(key(number));
        }
        shared.ahead.forget(number);
        shared.unread.forget(number);
        remove_if_there(shared.disk.as_ref(), &index_path(number))
    }

    /// Writes down which topics were removed: what other files have of them is not missed when this
    /// one is gone.
    fn remember_removed(&self) -> io::Result<()> {
        let removed = self.shared.partitions.removed();
        let mut starts = self.shared.starts.lock();
        if removed.iter().all(|topic| starts.removed.contains(topic)) {
            return Ok(());
        }
        let mut next = starts.clone();
        next.by_partition.retain(|id, _| !removed.contains(&id.topic));
        next.removed.extend(removed);
        next.write(self.shared.disk.as_ref())?;
        *starts = next;
        Ok(())
    }

    /// Removes the markers before the first journal: nothing is missed there.
    fn forget_markers(&self) -> io::Result<()> {
        let disk = self.shared.disk.as_ref();
        let first = self.shared.journals.lock().keys().next().copied().unwrap_or(0);
        let names = disk.list(DIRECTORY)?;
        for name in names.iter().map(|name| Name::parse(name)) {
            if let Name::Marker(number) = name
                && number < first
            {
                remove_if_there(disk, &marker_path(number))?;
            }
        }
        Ok(())
    }
}

fn remove_if_there(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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
