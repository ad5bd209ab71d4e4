//! What the log knows of each partition, in memory.
//!
//! Of sealed journals one line per journal and partition; of journals without an index every
//! batch; of the tail the batches themselves. Locks: first a partition, then the queue; the map
//! is never locked while a partition is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use factum_event::{Offset, Timestamp, TopicId};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use crate::entry::{BatchEntry, Extent, PartitionId, StoredBatch};
use crate::error::ReadError;
use crate::journal::index::Summary;

/// All partitions that have records or somebody who waits for them.
#[derive(Default)]
pub(crate) struct Partitions {
    map: RwLock<Map>,
}

#[derive(Default)]
struct Map {
    states: HashMap<PartitionId, Arc<PartitionState>>,
    removed: HashSet<TopicId>,
}

impl Partitions {
    pub(crate) fn get(&self, id: PartitionId) -> Option<Arc<PartitionState>> {
        self.map.read().states.get(&id).cloned()
    }

    /// The state of a partition, made if there is none; none where the topic was removed.
    pub(crate) fn get_or_create(&self, id: PartitionId) -> Option<Arc<PartitionState>> {
        if let Some(state) = self.get(id) {
            return Some(state);
        }
        let mut map = self.map.write();
        if map.removed.contains(&id.topic) {
            return None;
        }
        Some(Arc::clone(map.states.entry(id).or_insert_with(|| Arc::new(PartitionState::new(id)))))
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<PartitionState>> {
        let mut all: Vec<_> = self.map.read().states.values().cloned().collect();
        all.sort_unstable_by_key(|state| state.id);
        all
    }

    /// Forgets the partitions of a topic, and wakes who waits for them.
    pub(crate) fn remove_topic(&self, topic: TopicId) {
        let mut map = self.map.write();
        map.removed.insert(topic);
        let gone: Vec<_> = map.states.extract_if(|id, _| id.topic == topic).collect();
        drop(map);
        for (_, state) in gone {
            state.remove();
        }
    }

    /// The topics that were removed, as far as this log has been told.
    pub(crate) fn removed(&self) -> HashSet<TopicId> {
        self.map.read().removed.clone()
    }

    /// Notes topics as removed of which nothing was loaded yet.
    pub(crate) fn note_removed(&self, topics: impl IntoIterator<Item = TopicId>) {
        self.map.write().removed.extend(topics);
    }
}

/// One partition.
pub(crate) struct PartitionState {
    pub(crate) id: PartitionId,
    inner: Mutex<Inner>,
}

/// What its lock guards.
#[derive(Default)]
pub(crate) struct Inner {
    start: Option<Offset>,
    /// The offset that the next batch gets.
    pub(crate) next: Option<Offset>,
    end: Option<Offset>,
    sealed: Vec<Summary>,
    /// Batches of journals without an index, oldest first; all later than `sealed`.
    dense: VecDeque<Dense>,
    tail: VecDeque<StoredBatch>,
    waiters: Vec<Arc<Notify>>,
    pub(crate) removed: bool,
}

struct Dense {
    journal: u64,
    entries: Vec<BatchEntry>,
}

/// Where a read finds its answer.
pub(crate) enum Plan {
    /// In memory.
    Tail(Vec<StoredBatch>),
    /// In these batches on the disk.
    Entries(Vec<BatchEntry>),
    /// In this sealed journal.
    Sealed(Summary),
    /// Nowhere: there is no such record.
    Nothing,
}

impl PartitionState {
    fn new(id: PartitionId) -> Self {
        Self { id, inner: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn remove(&self) {
        let mut inner = self.lock();
        let waiters = std::mem::take(&mut inner.waiters);
        *inner = Inner { removed: true, waiters, ..Inner::default() };
        inner.wake();
    }
}

impl Inner {
    pub(crate) fn extent(&self) -> Extent {
        let start = self.start.unwrap_or(Offset::ZERO);
        Extent { start, end: self.end.unwrap_or(start) }
    }

    /// Moves the start up, within what is durable.
    pub(crate) fn trim(&mut self, to: Offset) {
        let Extent { start, end } = self.extent();
        self.start = Some(to.clamp(start, end));
    }

    /// The offset that the next batch gets.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next.unwrap_or(Offset::ZERO)
    }

    /// Takes the batches that a sealed journal has, at open; answers what was expected if they do
    /// not follow what is there.
    pub(crate) fn load_sealed(&mut self, summary: Summary) -> Result<(), Offset> {
        self.follow(summary.base, summary.last)?;
        self.sealed.push(summary);
        Ok(())
    }

    /// Takes a batch of a journal without an index, at open.
    pub(crate) fn load(&mut self, entry: BatchEntry) -> Result<(), Offset> {
        self.follow(entry.base_offset, entry.last_offset)?;
        self.push_dense(entry);
        Ok(())
    }

    fn follow(&mut self, base: Offset, last: Offset) -> Result<(), Offset> {
        match self.next {
            Some(next) if next != base => return Err(next),
            Some(_) => {}
            None => self.start = Some(base),
        }
        self.next = Some(last.next());
        self.end = self.next;
        Ok(())
    }

    /// Makes a durable batch readable.
    pub(crate) fn publish(&mut self, batch: StoredBatch) {
        let entry = batch.entry;
        self.start.get_or_insert(entry.base_offset);
        self.end = Some(entry.next_offset());
        self.push_dense(entry);
        self.tail.push_back(batch);
    }

    fn push_dense(&mut self, entry: BatchEntry) {
        match self.dense.back_mut() {
            Some(dense) if dense.journal == entry.journal => dense.entries.push(entry),
            _ => self.dense.push_back(Dense { journal: entry.journal, entries: vec![entry] }),
        }
    }

    pub(crate) fn drop_oldest_of_tail(&mut self) {
        self.tail.pop_front();
    }

    /// The batches of a journal without an index.
    pub(crate) fn dense_of(&self, journal: u64) -> &[BatchEntry] {
        let dense = self.dense.iter().find(|dense| dense.journal == journal);
        dense.map_or(&[], |dense| &dense.entries)
    }

    /// What the index of a sealed journal says of it.
    pub(crate) fn summary_of(&self, journal: u64) -> Option<&Summary> {
        let at = self.sealed.binary_search_by_key(&journal, |summary| summary.journal).ok()?;
        self.sealed.get(at)
    }

    /// Puts the line of an index in the place of the batches, or of an earlier line.
    pub(crate) fn install(&mut self, summary: Summary) {
        if let Ok(at) = self.sealed.binary_search_by_key(&summary.journal, |known| known.journal) {
            self.sealed[at] = summary;
        } else if self.dense.front().is_some_and(|dense| dense.journal == summary.journal) {
            self.dense.pop_front();
            self.sealed.push(summary);
        }
    }

    /// The numbers of the journals that have its batches.
    pub(crate) fn journals(&self) -> impl Iterator<Item = u64> + '_ {
        let dense = self.dense.iter().map(|dense| dense.journal);
        self.sealed.iter().map(|summary| summary.journal).chain(dense)
    }

    /// Where batches from the one with `from` on are, up to `max_bytes`.
    pub(crate) fn plan_read(&self, from: Offset, max_bytes: usize) -> Result<Plan, ReadError> {
        let Extent { start, end } = self.extent();
        if from < start || from > end {
            return Err(ReadError::OutOfRange { from, start, end });
        }
        if from == end {
            return Ok(Plan::Nothing);
        }
        if self.tail.front().is_some_and(|oldest| oldest.entry.base_offset <= from) {
            return Ok(Plan::Tail(self.read_tail(from, max_bytes)));
        }
        if self.sealed.last().is_some_and(|newest| newest.last >= from) {
            let at = self.sealed.partition_point(|summary| summary.last < from);
            return Ok(self.sealed.get(at).map_or(Plan::Nothing, |summary| Plan::Sealed(*summary)));
        }
        let journals =
            self.dense.partition_point(|d| d.entries.last().is_some_and(|e| e.last_offset < from));
        let Some(dense) = self.dense.get(journals) else {
            return Ok(Plan::Nothing);
        };
        let at = dense.entries.partition_point(|entry| entry.last_offset < from);
        let mut limit = Limit::new(max_bytes);
        let wanted = dense.entries[at..].iter().take_while(|e| limit.admits(e.length as usize));
        Ok(Plan::Entries(wanted.copied().collect()))
    }

    fn read_tail(&self, from: Offset, max_bytes: usize) -> Vec<StoredBatch> {
        let at = self.tail.partition_point(|batch| batch.entry.last_offset < from);
        let mut limit = Limit::new(max_bytes);
        self.tail.range(at..).take_while(|batch| limit.admits(batch.len())).cloned().collect()
    }

    /// Where the first batch is whose largest timestamp is `time` or later.
    pub(crate) fn plan_time(&self, time: Timestamp) -> Plan {
        if let Some(summary) = self.sealed.iter().find(|summary| summary.max_timestamp >= time) {
            return Plan::Sealed(*summary);
        }
        let start = self.extent().start;
        let mut entries = self.dense.iter().flat_map(|dense| &dense.entries);
        let found = |entry: &&BatchEntry| entry.max_timestamp >= time && entry.last_offset >= start;
        let Some(entry) = entries.find(found) else {
            return Plan::Nothing;
        };
        let at = self.tail.partition_point(|batch| batch.entry.base_offset < entry.base_offset);
        match self.tail.get(at) {
            Some(batch) if batch.entry == *entry => Plan::Tail(vec![batch.clone()]),
            _ => Plan::Entries(vec![*entry]),
        }
    }

    /// The largest timestamp of its records.
    pub(crate) fn max_timestamp(&self) -> Option<Timestamp> {
        let dense = self.dense.iter().flat_map(|dense| &dense.entries);
        let sealed = self.sealed.iter().map(|summary| summary.max_timestamp);
        sealed.chain(dense.map(|entry| entry.max_timestamp)).max()
    }

    pub(crate) fn add_waiter(&mut self, waiter: &Arc<Notify>) {
        self.waiters.push(Arc::clone(waiter));
    }

    pub(crate) fn remove_waiter(&mut self, waiter: &Arc<Notify>) {
        if let Some(at) = self.waiters.iter().position(|known| Arc::ptr_eq(known, waiter)) {
            self.waiters.swap_remove(at);
        }
    }

    /// Batches of which something is in memory: their entries, and their bytes.
    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> (usize, usize) {
        (self.dense.iter().map(|dense| dense.entries.len()).sum(), self.tail.len())
    }

    #[cfg(test)]
    pub(crate) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// Tells everybody who waits for this partition to look again.
    pub(crate) fn wake(&self) {
        for waiter in &self.waiters {
            waiter.notify_one();
        }
    }
}

/// Counts bytes up to a limit; the first piece is always admitted.
pub(crate) struct Limit {
    left: Option<usize>,
    max_bytes: usize,
}

impl Limit {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { left: None, max_bytes }
    }

    pub(crate) fn admits(&mut self, bytes: usize) -> bool {
        match self.left {
            None => self.left = Some(self.max_bytes.saturating_sub(bytes)),
            Some(left) if bytes <= left => self.left = Some(left - bytes),
            Some(_) => return false,
        }
        true
    }
}
