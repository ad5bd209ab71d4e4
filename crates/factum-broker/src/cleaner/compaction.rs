//! `cleanup.policy=compact`: keeps the last record of every key in a range of a partition.
//!
//! Two passes, as in Kafka's log cleaner:
//!
//! 1. The dirty part is read, and the last offset of every key noted, until the range ends or the
//!    [`KeyMap`] is full. What did not fit is left for the next time.
//! 2. Everything from the partition's start to where the first pass ended is read again, and for
//!    every batch its [`Fate`] is said.
//!
//! # What stays
//!
//! * A record, unless a later one of its key is noted. Offsets, order and timestamps never change.
//! * A tombstone as well, until its delete horizon: `delete.retention.ms` after the compaction
//!   that first found it to be the last of its key and removed what was before it. Who reads from
//!   the start and is done within that time misses no deletion.
//! * The header of a batch without records, if it is the last of the range, so that no offset is
//!   forgotten, or one that a producer's sequences hang on.
//! * A batch that cannot be looked into, whole. An older value of any key may be in it, so
//!   tombstones after it get no delete horizon, and stay.
//! * Of what a transaction wrote that was aborted, nothing, but for such headers.
//! * A transaction's marker, while anything that it wrote is left, and for `delete.retention.ms`
//!   after the first compaction that has found nothing: who is in the middle of it must learn how
//!   it ends. What has not ended is not touched.
//! * Not a record without a key: such records are refused where a topic is compacted, and those
//!   from before it was are removed, as in Kafka.
//!
//! # What makes it safe
//!
//! A record is removed only because a later one of its key is in the log, durable, or a tombstone
//! because its time has passed and nothing before it is left. Fates come in the order of offsets,
//! so that whatever of them has taken effect from the start on, and the rest not, is consistent:
//! it may end anywhere, and begin again.
//!
//! Memory: the map, one batch with what it unpacks to, and one rewritten.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use factum_event::batch::{
    Batch, BatchError, BatchRecord, CompactOptions, Compacted, Records, compact,
};
use factum_event::{Offset, Timestamp};
use thiserror::Error;

use super::key_map::KeyMap;
use crate::transactions::AbortedTransaction;

/// Where batches come from.
pub trait Source {
    /// Why a batch could not be had.
    type Error;

    /// The first batch whose last offset is `from` or later; none at the partition's end.
    ///
    /// # Errors
    /// Where it cannot be had at all; bytes that are damaged may be returned as they are.
    fn read(&mut self, from: Offset) -> Result<Option<SourceBatch>, Self::Error>;
}

/// Where it is said what becomes of them.
pub trait Sink {
    /// Why a batch could not be taken.
    type Error;

    /// Takes the fate of the next batch: every batch of the range, by ascending offsets.
    ///
    /// # Errors
    /// What ends the compaction; see [the module](self) for why it may end anywhere.
    fn push(&mut self, batch: SourceBatch, fate: Fate) -> Result<(), Self::Error>;
}

/// A batch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBatch {
    /// The offset of its first record, as the log knows it.
    pub base_offset: Offset,
    /// The offset of its last record, as the log knows it.
    pub last_offset: Offset,
    /// When the log took it; what is left of it keeps that.
    pub appended_at: Timestamp,
    /// All its bytes.
    pub bytes: Bytes,
}

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Kept,
    /// It stays as it is because it cannot be looked into: worth a warning.
    Unopened(Unopened),
    /// It is replaced, at the same offsets, by one with fewer records, or with a delete horizon.
    Rewritten(Batch),
    /// It is removed; its offsets stay unused.
    Removed,
}

/// Why a batch is not looked into.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unopened {
    /// It is damaged, or packed in a way that is not known.
    #[error("cannot be read, so it is kept whole: {0}")]
    Unreadable(#[from] BatchError),
    /// Its own offsets are not those at which it is stored.
    #[error("says that it has offsets {base_offset} to {last_offset}, so it is kept whole")]
    Misplaced {
        /// Its own base offset.
        base_offset: i64,
        /// Its own last offset.
        last_offset: i64,
    },
}

/// What is to be compacted, and how.
#[derive(Debug, Clone, Copy)]
pub struct CompactionJob<'a> {
    /// The partition's first offset.
    pub start: Offset,
    /// Where the compaction before ended: `start`, where that is not known.
    pub first_dirty: Offset,
    /// No batch that ends at this offset or later is touched. Before it, every transaction has
    /// ended.
    pub first_uncleanable: Offset,
    /// The transactions that were aborted, of those with something in the range.
    pub aborted: &'a [AbortedTransaction],
    /// The time.
    pub now: Timestamp,
    /// `delete.retention.ms`: how long tombstones stay that are the last of their key.
    pub delete_retention_ms: i64,
    /// How many bytes a batch may unpack to; a larger one is kept whole.
    pub unpack_limit: usize,
    /// For every live producer the last offset of the oldest batch that its sequences hang on:
    /// of that and its later ones the header stays. With each producer's very last batch, it is
    /// as in Kafka.
    pub producers: &'a HashMap<i64, Offset>,
}

/// What a compaction has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Where the dirty part begins now; less than `first_uncleanable` where the key map was full.
    /// It grows with every compaction that has something to do.
    pub clean_until: Offset,
    /// Counts.
    pub stats: CompactionStats,
}

/// Counts of a compaction, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactionStats {
    /// Bytes of batches read to note their keys.
    pub indexed_bytes: u64,
    /// Keys noted.
    pub keys: u64,
    /// Batches whose fate was said.
    pub batches_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Bytes of what they leave.
    pub bytes_left: u64,
    /// Bytes of what they leave that is written anew.
    pub bytes_rewritten: u64,
    /// Records read, but those in batches that were not looked into.
    pub records_read: u64,
    /// Records removed because a later one has their key.
    pub superseded: u64,
    /// Tombstones removed because their time has passed.
    pub expired_tombstones: u64,
    /// Records removed because they have no key.
    pub keyless: u64,
    /// Records removed because their transaction was aborted.
    pub aborted: u64,
    /// Batches that were kept whole because they cannot be looked into.
    pub unopened: u64,
}

/// Why a compaction ended early. What it has pushed is good.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompactionError<E> {
    /// The source or the sink failed.
    #[error("compaction has ended early: {0}")]
    Log(E),
    /// The source has returned a batch before the one asked for.
    #[error(
        "compaction asked for the batch at offset {from}, and got {base_offset} to {last_offset}"
    )]
    Backwards {
        /// What was asked for.
        from: Offset,
        /// Where the batch begins.
        base_offset: Offset,
        /// Where it ends.
        last_offset: Offset,
    },
    /// The caller wants no more.
    #[error("compaction was cancelled")]
    Cancelled,
}

/// Compacts a range of a partition.
///
/// `map` is cleared first. `pace` is called after every batch of either pass: it may wait, so that
/// others get the disk, and it may end the compaction.
///
/// # Errors
/// [`CompactionError`], for what its source, its sink or `pace` say.
pub fn compact_partition<S, T>(
    job: &CompactionJob<'_>,
    map: &mut KeyMap,
    source: &mut S,
    sink: &mut T,
    pace: &mut dyn FnMut(&CompactionStats) -> ControlFlow<()>,
) -> Result<Compaction, CompactionError<S::Error>>
where
    S: Source,
    T: Sink<Error = S::Error>,
{
    map.clear();
    let stats = CompactionStats::default();
    let left = HashSet::new();
    let mut pass = Pass { job, map, source, pace, stats, first_unopened: None, left };
    let clean_until = pass.index()?;
    pass.rewrite(clean_until, sink)?;
    Ok(Compaction { clean_until, stats: pass.stats })
}

/// A compaction under way.
struct Pass<'a, S> {
    job: &'a CompactionJob<'a>,
    map: &'a mut KeyMap,
    source: &'a mut S,
    pace: &'a mut dyn FnMut(&CompactionStats) -> ControlFlow<()>,
    stats: CompactionStats,
    /// The first batch, as far as is known, that may hide an older value of any key.
    first_unopened: Option<Offset>,
    /// The producers of whose transaction under way something is left.
    left: HashSet<i64>,
}

impl<S: Source> Pass<'_, S> {
    /// The first pass. Returns the offset up to which the map knows every key.
    fn index(&mut self) -> Result<Offset, CompactionError<S::Error>> {
        let mut end = self.job.first_dirty;
        while let Some(stored) = self.read(end)? {
            self.stats.indexed_bytes += stored.bytes.len() as u64;
            match self.index_batch(&stored) {
                Indexed::Whole => end = stored.last_offset.next(),
                // A batch with more keys than the map has room for: part of it is better than
                // never going on.
                Indexed::UpTo(offset) if end == self.job.first_dirty => return Ok(offset),
                Indexed::UpTo(_) => return Ok(end),
            }
            self.pace()?;
        }
        Ok(end)
    }

    fn index_batch(&mut self, stored: &SourceBatch) -> Indexed {
        let Ok((batch, records)) = records_of(stored, self.job.unpack_limit) else {
            self.note_unopened(stored);
            return Indexed::Whole;
        };
        // What does not count must not supersede what does.
        if batch.header().attributes.is_control() || self.is_aborted(&batch) {
            return Indexed::Whole;
        }
        // They were all read once: none is an error.
        for found in records.flatten() {
            let dirty = found.offset >= self.job.first_dirty;
            let Some(key) = found.record.key.filter(|_| dirty) else { continue };
            if self.map.put(&key, found.offset).is_err() {
                return Indexed::UpTo(found.offset);
            }
            self.stats.keys = self.map.len() as u64;
        }
        Indexed::Whole
    }

    /// The second pass, over every batch with an offset before `end`.
    fn rewrite<T: Sink<Error = S::Error>>(
        &mut self,
        end: Offset,
        sink: &mut T,
    ) -> Result<(), CompactionError<S::Error>> {
        let mut next = self.job.start;
        while let Some(stored) = self.read(next)? {
            if stored.base_offset >= end {
                break;
            }
            next = stored.last_offset.next();
            let fate = self.judge(&stored, end);
            self.count(&stored, &fate);
            sink.push(stored, fate).map_err(CompactionError::Log)?;
            self.pace()?;
        }
        Ok(())
    }

    fn judge(&mut self, stored: &SourceBatch, end: Offset) -> Fate {
        match self.try_judge(stored, end) {
            Ok(fate) => fate,
            Err(why) => {
                self.note_unopened(stored);
                Fate::Unopened(why)
            }
        }
    }

    fn try_judge(&mut self, stored: &SourceBatch, end: Offset) -> Result<Fate, Unopened> {
        let batch = open(stored)?;
        let retain_empty = self.is_header_needed(&batch, stored, end);
        let attributes = batch.header().attributes;
        if attributes.is_control() {
            return self.judge_marker(&batch, stored, retain_empty);
        }
        let mut judge = Judge {
            map: self.map,
            is_aborted: self.is_aborted(&batch),
            tombstones_expired: batch
                .header()
                .delete_horizon()
                .is_some_and(|at| at <= self.job.now),
            stats: self.stats,
        };
        let delete_horizon = self.delete_horizon(stored, end);
        let options = CompactOptions { retain_empty, delete_horizon };
        let mut keep = |found: &BatchRecord| judge.keeps(found);
        let compacted = compact(&batch, self.job.unpack_limit, options, &mut keep)?;
        // Only now: a batch that could not be packed again has lost nothing.
        self.stats = judge.stats;
        if attributes.is_transactional() && compacted != Compacted::Gone {
            self.left.insert(batch.header().producer_id);
        }
        Ok(fate(compacted))
    }

    /// The end of a transaction goes after everything that it has written.
    fn judge_marker(
        &mut self,
        batch: &Batch,
        stored: &SourceBatch,
        is_needed: bool,
    ) -> Result<Fate, Unopened> {
        let something_left = self.left.remove(&batch.header().producer_id);
        if something_left || is_needed || !self.nothing_hides_before(stored) {
            return Ok(Fate::Kept);
        }
        match batch.header().delete_horizon() {
            Some(horizon) if horizon <= self.job.now => Ok(Fate::Removed),
            Some(_) => Ok(Fate::Kept),
            None => {
                let delete_horizon = Some(self.new_horizon());
                let options = CompactOptions { retain_empty: false, delete_horizon };
                Ok(fate(compact(batch, self.job.unpack_limit, options, &mut |_| true)?))
            }
        }
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        let header = batch.header();
        let base_offset = Offset::new(header.base_offset);
        let has = |known: &AbortedTransaction| {
            base_offset.is_some_and(|at| known.has(header.producer_id, at))
        };
        header.attributes.is_transactional() && self.job.aborted.iter().any(has)
    }

    fn is_header_needed(&self, batch: &Batch, stored: &SourceBatch, end: Offset) -> bool {
        let producer = self.job.producers.get(&batch.header().producer_id);
        stored.last_offset.next() >= end
            || producer.is_some_and(|&oldest| stored.last_offset >= oldest)
    }

    /// When the tombstones of a batch may go. A batch gets it only from a compaction that has
    /// noted all its keys and could judge everything before it. So where there is a horizon,
    /// nothing older than the tombstones is left.
    fn delete_horizon(&self, stored: &SourceBatch, end: Offset) -> Option<Timestamp> {
        let first = stored.base_offset.max(self.job.start);
        let noted = first >= self.job.first_dirty && stored.last_offset < end;
        (noted && self.nothing_hides_before(stored)).then(|| self.new_horizon())
    }

    fn new_horizon(&self) -> Timestamp {
        let now = self.job.now.as_millis();
        Timestamp::from_millis(now.saturating_add(self.job.delete_retention_ms))
    }

    fn nothing_hides_before(&self, stored: &SourceBatch) -> bool {
        self.first_unopened.is_none_or(|unopened| stored.base_offset < unopened)
    }

    fn note_unopened(&mut self, stored: &SourceBatch) {
        let known = self.first_unopened.unwrap_or(stored.base_offset);
        self.first_unopened = Some(known.min(stored.base_offset));
    }

    /// The next batch that may be touched.
    fn read(&mut self, from: Offset) -> Result<Option<SourceBatch>, CompactionError<S::Error>> {
        let stored = self.source.read(from).map_err(CompactionError::Log)?;
        let Some(stored) = stored.filter(|found| found.last_offset < self.job.first_uncleanable)
        else {
            return Ok(None);
        };
        let SourceBatch { base_offset, last_offset, .. } = stored;
        if last_offset < from || last_offset < base_offset {
            return Err(CompactionError::Backwards { from, base_offset, last_offset });
        }
        Ok(Some(stored))
    }

    fn count(&mut self, stored: &SourceBatch, fate: &Fate) {
        let bytes = stored.bytes.len() as u64;
        let stats = &mut self.stats;
        stats.batches_read += 1;
        stats.bytes_read += bytes;
        match fate {
            Fate::Kept => stats.bytes_left += bytes,
            Fate::Unopened(_) => {
                stats.bytes_left += bytes;
                stats.unopened += 1;
            }
            Fate::Rewritten(batch) => {
                stats.bytes_left += batch.len() as u64;
                stats.bytes_rewritten += batch.len() as u64;
            }
            Fate::Removed => {}
        }
    }

    fn pace(&mut self) -> Result<(), CompactionError<S::Error>> {
        match (self.pace)(&self.stats) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(CompactionError::Cancelled),
        }
    }
}

/// How much of a batch the map has taken.
enum Indexed {
    Whole,
    /// Up to this record, for which there was no room.
    UpTo(Offset),
}

/// Judges the records of one batch.
struct Judge<'a> {
    map: &'a KeyMap,
    is_aborted: bool,
    tombstones_expired: bool,
    stats: CompactionStats,
}

impl Judge<'_> {
    fn keeps(&mut self, found: &BatchRecord) -> bool {
        self.stats.records_read += 1;
        if self.is_aborted {
            self.stats.aborted += 1;
            return false;
        }
        let Some(key) = &found.record.key else {
            self.stats.keyless += 1;
            return false;
        };
        if self.map.latest(key).is_some_and(|latest| latest > found.offset) {
            self.stats.superseded += 1;
            return false;
        }
        let expired = found.record.value.is_none() && self.tombstones_expired;
        self.stats.expired_tombstones += u64::from(expired);
        !expired
    }
}

/// The batch, if its records may be judged.
fn open(stored: &SourceBatch) -> Result<Batch, Unopened> {
    let batch = Batch::parse(stored.bytes.clone())?;
    let header = batch.header();
    // The batch's CRC does not cover its base offset.
    let last_offset = header.base_offset.saturating_add(header.last_offset_delta.into());
    let own = (header.base_offset, last_offset);
    if own != (stored.base_offset.get(), stored.last_offset.get()) {
        return Err(Unopened::Misplaced { base_offset: own.0, last_offset: own.1 });
    }
    Ok(batch)
}

fn fate(compacted: Compacted) -> Fate {
    match compacted {
        Compacted::Unchanged => Fate::Kept,
        Compacted::Batch(batch) | Compacted::Empty(batch) => Fate::Rewritten(batch),
        Compacted::Gone => Fate::Removed,
    }
}

/// A batch and its records, all of which can be read: what nobody can read must not supersede
/// what somebody can.
fn records_of(stored: &SourceBatch, limit: usize) -> Result<(Batch, Records), Unopened> {
    let batch = open(stored)?;
    let records = batch.decode(limit)?;
    records.clone().try_for_each(|found| found.map(drop))?;
    Ok((batch, records))
}
