//! What the log knows of each partition, in memory.
//!
//! Of sealed journals and segments one line per file and partition; of journals without an index
//! every batch; of the tail the batches themselves. Locks: first a partition, then the queue; the
//! map is never locked while a partition is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use factum_event::{Offset, Timestamp, TopicId};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use crate::entry::{BatchEntry, Extent, PartitionId, StoredBatch};
use crate::error::ReadError;
use crate::journal::index::Summary;
use crate::starts::Start;
use crate::summaries::Summaries;

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
        let mut gone: Vec<_> = map.states.extract_if(|id, _| id.topic == topic).collect();
        drop(map);
        // In an order of their own: who is woken first is not to depend on a hash.
        gone.sort_unstable_by_key(|(id, _)| *id);
        for (_, state) in gone {
            state.remove();
        }
    }

    /// The topics that were removed, as far as this log has been told.
    pub(crate) fn removed(&self) -> HashSet<TopicId> {
        self.map.read().removed.clone()
    }

    pub(crate) fn is_removed(&self, topic: TopicId) -> bool {
        self.map.read().removed.contains(&topic)
    }

    /// Notes topics as removed of which nothing was loaded yet.
    pub(crate) fn note_removed(&self, topics: impl IntoIterator<Item = TopicId>) {
        self.map.write().removed.extend(topics);
    }
}

/// The most that a file has around a batch: a header of a group, an entry, padding.
const MOST_AROUND_BATCH: u64 = 192;

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
    /// In the order of offsets, without gaps.
    sealed: Summaries,
    /// Batches of journals without an index, oldest first; all later than `sealed`.
    dense: VecDeque<Dense>,
    tail: VecDeque<StoredBatch>,
    /// The tail answers from here on: what it has before is not what was kept.
    cleaned_until: Option<Offset>,
    waiters: Vec<Arc<Notify>>,
    /// Bytes of the batches in `sealed` and `dense`.
    bytes: u64,
    /// How many of them are of batches below the start.
    hidden: u64,
    pub(crate) removed: bool,
}

/// Batches that a partition should have and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) expected: Offset,
    pub(crate) came: Offset,
    /// The file that goes on after the gap.
    pub(crate) file: u64,
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

impl Plan {
    /// The file on the disk that is read first.
    pub(crate) fn journal(&self) -> Option<u64> {
        match self {
            Self::Entries(entries) => entries.first().map(|entry| entry.journal),
            Self::Sealed(summary) => Some(summary.journal),
            Self::Tail(_) | Self::Nothing => None,
        }
    }
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

    /// The offset that the next batch gets.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next.unwrap_or(Offset::ZERO)
    }

    /// Takes what a sealed journal has, at open; journals come in their order.
    pub(crate) fn load_sealed(&mut self, summary: &Summary) {
        self.bytes += summary.bytes;
        self.sealed.push(summary);
    }

    /// Takes what a segment has, at open, after all journals; segments come in their order. It
    /// takes the place of everything between the offsets that it answers for.
    pub(crate) fn load_segment(&mut self, summary: &Summary) {
        let between = (summary.base, summary.last);
        let replaced = self.sealed.replace(between, summary, |_| true).unwrap_or_default();
        self.bytes = self.bytes - bytes_of(&replaced) + summary.bytes;
    }

    /// Takes a batch of a journal without an index, at open.
    pub(crate) fn load(&mut self, entry: BatchEntry) {
        self.push_dense(entry);
    }

    /// Ends loading: the partition begins at `start`, or where its first batch does. What is left
    /// must be without gaps, unless they are forgiven: then it begins after the last of them.
    pub(crate) fn settle(&mut self, start: Option<Start>, forgive: bool) -> Result<(), Gap> {
        let known = start.map(|start| start.offset);
        let floor = if forgive { known } else { Some(known.unwrap_or(Offset::ZERO)) };
        self.bytes -= floor.map_or(0, |floor| self.sealed.drop_all_below(floor));
        let sealed = self.sealed.iter().map(|s| (s.base, s.last, s.journal));
        let dense = self.dense.iter().flat_map(|dense| &dense.entries);
        let dense = dense.filter(|entry| floor.is_none_or(|floor| entry.last_offset >= floor));
        let dense = dense.map(|entry| (entry.base_offset, entry.last_offset, entry.journal));
        let (mut first, mut next, mut passed) = (floor, floor, 0);
        for (at, (base, last, file)) in sealed.chain(dense).enumerate() {
            let reached =
                first.is_none() || next == Some(base) || (next == floor && next >= Some(base));
            if !reached && !forgive {
                return Err(Gap { expected: next.unwrap_or(base), came: base, file });
            }
            if !reached || first.is_none() {
                (first, passed) = (Some(base), at);
            }
            next = Some(last.next());
        }
        (self.start, self.next, self.end) = (first, next, next);
        let first = first.unwrap_or(Offset::ZERO);
        // By place: one that is out of order may claim offsets that came later.
        self.bytes -= self.sealed.drop_first(passed);
        let front = self.sealed.first();
        let of_front = start.zip(front).filter(|(start, front)| start.file == front.journal);
        let of_front = of_front.map_or(0, |(start, front)| start.hidden.min(front.bytes));
        self.hidden = of_front + self.dense_bytes_below(first);
        Ok(())
    }

    fn dense_bytes_below(&self, offset: Offset) -> u64 {
        let entries = self.dense.iter().flat_map(|dense| &dense.entries);
        let below = entries.take_while(|entry| entry.last_offset < offset);
        below.map(|entry| u64::from(entry.length)).sum()
    }

    /// The sealed file in which a cut at `to` would leave batches on both sides.
    pub(crate) fn cut_within(&self, to: Offset) -> Option<Summary> {
        self.sealed.at_or_after(to).filter(|summary| summary.base < to)
    }

    /// Moves the start up to `to`, which is not beyond the end. `within` are the bytes that the
    /// file of [`cut_within`](Self::cut_within) has below it.
    pub(crate) fn trim(&mut self, to: Offset, within: u64) {
        if self.start.is_some_and(|start| to <= start) {
            return;
        }
        self.start = Some(to);
        self.bytes -= self.sealed.drop_below(to);
        self.hidden = within + self.dense_bytes_below(to);
    }

    /// What of [`trim`](Self::trim) must be durable before it is done.
    pub(crate) fn start_at(&self, offset: Offset, within: u64) -> Start {
        Start { offset, file: self.cut_within(offset).map_or(0, |s| s.journal), hidden: within }
    }

    /// Bytes of the batches that can be read.
    pub(crate) fn readable_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.hidden)
    }

    /// What sealed files have of it.
    pub(crate) fn sealed(&self) -> &Summaries {
        &self.sealed
    }

    /// Puts what a segment has in the place of what is there between the same offsets; false if
    /// that is something else by now.
    pub(crate) fn replace(&mut self, replaced: &[Summary], summary: Summary) -> bool {
        let (Some(first), Some(last)) = (replaced.first(), replaced.last()) else {
            return false;
        };
        let at_front = self.sealed.first().is_some_and(|front| front.base >= first.base);
        let fits = |found: &[Summary]| {
            // The first ones may have been cut off meanwhile, and then all of them.
            let expected = replaced.len().checked_sub(found.len()).map(|cut| &replaced[cut..]);
            let alike =
                |expected: &[Summary]| found.iter().zip(expected).all(|(a, b)| a.answers_like(b));
            !found.is_empty() && expected.is_some_and(alike)
        };
        let Some(was) = self.sealed.replace((first.base, last.last), &summary, fits) else {
            return false;
        };
        self.bytes = self.bytes - bytes_of(&was) + summary.bytes;
        if at_front {
            self.hidden = self.dense_bytes_below(self.start.unwrap_or(Offset::ZERO));
        }
        true
    }

    /// As [`replace`](Self::replace), by fewer batches.
    pub(crate) fn clean(&mut self, replaced: &[Summary], summary: Summary) -> bool {
        let is_replaced = self.replace(replaced, summary);
        if is_replaced {
            self.cleaned_until = self.cleaned_until.max(Some(summary.last.next()));
        }
        is_replaced
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
        self.bytes += u64::from(entry.length);
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

    /// What the index of a sealed file says of it.
    pub(crate) fn summary_of(&self, file: u64) -> Option<Summary> {
        self.sealed.of_file(file)
    }

    /// Puts the line of an index in the place of the batches, or of an earlier line.
    pub(crate) fn install(&mut self, summary: Summary) {
        if self.dense.front().is_some_and(|dense| dense.journal == summary.journal) {
            self.dense.pop_front();
            if self.start.is_some_and(|start| summary.last < start) {
                self.bytes -= summary.bytes;
                self.hidden = self.hidden.saturating_sub(summary.bytes);
            } else {
                self.sealed.push(&summary);
            }
            return;
        }
        let between = (summary.base, summary.last);
        let alike = |found: &[Summary]| found.len() == 1 && found[0].answers_like(&summary);
        if let Some(was) = self.sealed.replace(between, &summary, alike) {
            self.bytes = self.bytes - bytes_of(&was) + summary.bytes;
        }
    }

    /// The sealed file that answers for an offset, or the next one that does.
    pub(crate) fn sealed_with(&self, offset: Offset) -> Option<Summary> {
        self.sealed.at_or_after(offset)
    }

    /// The batches of journals without an index from the one with `offset` on.
    pub(crate) fn dense_from(&self, offset: Offset) -> impl Iterator<Item = &BatchEntry> {
        let entries = self.dense.iter().flat_map(|dense| &dense.entries);
        entries.skip_while(move |entry| entry.last_offset < offset)
    }

    /// The files that have its batches, and how many bytes those above the start would take; of a
    /// journal without an index, more than any file has: it is not to be touched.
    pub(crate) fn live_bytes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let dense = self.dense.iter().map(|dense| (dense.journal, u64::MAX));
        let hidden = std::iter::once(self.hidden).chain(std::iter::repeat(0));
        let sealed = self.sealed.iter().zip(hidden);
        let moved = |(s, hidden): (Summary, u64)| {
            let around = u64::from(s.count) * MOST_AROUND_BATCH;
            (s.journal, s.bytes.saturating_sub(hidden) + around)
        };
        sealed.map(moved).chain(dense)
    }

    /// Where batches from the one with `from` on are, up to `max_bytes`.
    pub(crate) fn plan_read(&self, from: Offset, max_bytes: usize) -> Result<Plan, ReadError> {
        if self.removed {
            return Err(ReadError::Removed);
        }
        let Extent { start, end } = self.extent();
        if from < start || from > end {
            return Err(ReadError::OutOfRange { from, start, end });
        }
        if from == end {
            return Ok(Plan::Nothing);
        }
        let in_tail = self.tail.front().is_some_and(|oldest| oldest.entry.base_offset <= from);
        if in_tail && Some(from) >= self.cleaned_until {
            return Ok(Plan::Tail(self.read_tail(from, max_bytes)));
        }
        if self.sealed.last_offset() >= Some(from) {
            return Ok(self.sealed.at_or_after(from).map_or(Plan::Nothing, Plan::Sealed));
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

    /// Where the first batch from `from` on is whose largest timestamp is `time` or later.
    pub(crate) fn plan_time(&self, time: Timestamp, from: Offset) -> Plan {
        let start = self.extent().start.max(from);
        if let Some(summary) = self.sealed.first_since(start, time) {
            return Plan::Sealed(summary);
        }
        let entries = self.dense.iter().flat_map(|dense| &dense.entries);
        let mut entries = entries.skip_while(|entry| entry.last_offset < start);
        let Some(entry) = entries.find(|entry| entry.max_timestamp >= time) else {
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
        dense.map(|entry| entry.max_timestamp).max().max(self.sealed.max_timestamp())
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

fn bytes_of(summaries: &[Summary]) -> u64 {
    summaries.iter().map(|summary| summary.bytes).sum()
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

#[cfg(test)]
mod tests {
    use factum_event::Partition;
    use uuid::Uuid;

    use super::*;
    use crate::journal::index::{Cleaned, Coverage};

    fn offset(number: i64) -> Offset {
        Offset::new(number).unwrap()
    }

    fn piece(file: u64, base: i64, last: i64) -> Summary {
        let covered = Coverage { base: offset(base), last: offset(last), cleaned: Cleaned::No };
        Summary { bytes: 100, ..Summary::answering(file, covered) }
    }

    /// An index claimed offsets that later journals had: moved into a segment, the claim took
    /// their place, and what was acknowledged meanwhile was gone.
    #[test]
    fn where_gaps_are_forgiven_nothing_before_the_last_of_them_stays() {
        let id = PartitionId { topic: TopicId(Uuid::nil()), partition: Partition::ZERO };
        let state = PartitionState::new(id);
        let mut inner = state.lock();
        for piece in [piece(1, 0, 1 << 40), piece(2, 7, 9), piece(3, 10, 12)] {
            inner.load_sealed(&piece);
        }
        assert!(inner.settle(None, false).is_err(), "it is a gap where it is not forgiven");
        inner.settle(None, true).unwrap();
        assert_eq!(inner.extent(), Extent { start: offset(7), end: offset(13) });
        let files: Vec<_> = inner.sealed().iter().map(|piece| piece.journal).collect();
        assert_eq!((files, inner.readable_bytes()), (vec![2, 3], 200));
    }
}
