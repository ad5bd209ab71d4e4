//! Compaction of partitions of the log: which are due, and what the cleaner's decisions do to them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use factum_event::batch::{Batch, BatchError};
use factum_event::{Offset, Timestamp};
use factum_log::{CleanError, Cleaning, Log, PartitionId, ReadError, StoredBatch};
use thiserror::Error;

use super::entries::Entries;
use crate::cleaner::{
    CompactionError, CompactionJob, CompactionPlan, CompactionSettings, CompactionStats, Fate,
    KeyMap, Sink, Source, SourceBatch, compact_partition, plan,
};
use crate::locate::UNPACKED_LIMIT;
use crate::mutants::BrokerMutant;
use crate::topic::{Topic, TopicPartition};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// The memory that it has at least: compressed batches may have more keys than their size says.
const LEAST_KEY_MAP_BYTES: usize = 1 << 20;

/// A record with a key is no smaller than this.
const LEAST_RECORD_BYTES: u64 = 8;

/// Bytes of an entry of the key map.
const KEY_BYTES: u64 = 27;

/// Why a partition was not compacted.
#[derive(Debug, Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Clean(#[from] CleanError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the source of batches went backwards: {0}")]
    Backwards(String),
    #[error("it was interrupted")]
    Cancelled,
}

impl From<CompactionError<Failed>> for Failed {
    fn from(error: CompactionError<Failed>) -> Self {
        match error {
            CompactionError::Log(error) => error,
            CompactionError::Cancelled => Self::Cancelled,
            CompactionError::Backwards { .. } => Self::Backwards(error.to_string()),
        }
    }
}

/// A partition that is due.
pub(super) struct Due {
    pub(super) partition: Arc<TopicPartition>,
    pub(super) plan: CompactionPlan,
    delete_retention_ms: i64,
}

/// What a compaction came to.
pub(super) enum Outcome {
    /// It is clean up to this offset.
    Clean(Offset, CompactionStats),
    /// What is to be compacted is in the open journal: it must be sealed first.
    Unsealed,
    /// What is to be compacted is of transactions that are under way.
    HeldBack,
}

/// Where the compaction of each partition ended, as far as this process has done it.
#[derive(Default)]
pub(super) struct Progress {
    clean_until: HashMap<PartitionId, Offset>,
    not_due: HashMap<PartitionId, NotDue>,
}

/// When a partition was last found not to be due, by which settings, and where it ended.
struct NotDue {
    end: Offset,
    settings: CompactionSettings,
    at: Timestamp,
}

/// A partition to which nothing was appended is looked at again after this time, or the shortest
/// time that its topic sets: its batches may have become old enough. Milliseconds.
const LOOK_AGAIN_MS: i64 = 60_000;

impl NotDue {
    /// Whether it is still so, as far as can be said without looking.
    fn holds(&self, end: Offset, settings: &CompactionSettings, now: Timestamp) -> bool {
        let lags = [settings.segment.ms, settings.max_compaction_lag_ms];
        let min_lag = Some(settings.min_compaction_lag_ms).filter(|lag| *lag > 0);
        let shortest = lags.into_iter().chain(min_lag).min().unwrap_or(LOOK_AGAIN_MS);
        let age = now.as_millis().saturating_sub(self.at.as_millis());
        self.end == end && self.settings == *settings && age < shortest.min(LOOK_AGAIN_MS)
    }
}

impl Progress {
    /// The partitions of a topic that are due.
    pub(super) fn due(&mut self, log: &Log, topic: &Topic, now: Timestamp) -> Vec<Due> {
        let Some(settings) = super::compaction_of(&topic.settings) else { return Vec::new() };
        let mut due = Vec::new();
        for partition in topic.partitions() {
            let id = partition.id;
            let end = log.extent(id).end;
            if self.not_due.get(&id).is_some_and(|known| known.holds(end, &settings, now)) {
                continue;
            }
            let start = log.extent(id).start;
            let first_dirty = self.clean_until.get(&id).copied();
            let first_dirty = first_dirty.unwrap_or_else(|| log.cleaned_end(id)).max(start);
            let mut entries = Entries::of(log, id);
            let plan = plan(&settings, now, first_dirty, &mut entries);
            if let Some(error) = entries.into_error() {
                tracing::warn!(topic = %topic.name, partition = %id.partition, %error, "not compacted");
                continue;
            }
            if plan.due {
                let kept_ms = topic.settings.delete_retention_ms;
                let delete_retention_ms = i64::try_from(kept_ms).unwrap_or(i64::MAX);
                due.push(Due { partition: Arc::clone(partition), plan, delete_retention_ms });
            } else {
                self.not_due.insert(id, NotDue { end, settings, at: now });
            }
        }
        due
    }

    pub(super) fn cleaned(&mut self, id: PartitionId, until: Offset) {
        self.clean_until.insert(id, until);
    }

    /// Forgets partitions that are gone.
    pub(super) fn retain(&mut self, exists: impl Fn(&PartitionId) -> bool) {
        self.clean_until.retain(|id, _| exists(id));
        self.not_due.retain(|id, _| exists(id));
    }
}

/// Compacts a partition with so much memory for keys. `pace` is called after every batch; it may
/// wait, or end it.
pub(super) fn compact(
    log: &Log,
    due: &Due,
    now: Timestamp,
    (key_bytes, mutant): (usize, BrokerMutant),
    pace: &mut dyn FnMut(&CompactionStats) -> ControlFlow<()>,
) -> Result<Outcome, Failed> {
    let id = due.partition.id;
    let (start, producers, stable, aborted) = {
        let mut gate = due.partition.gate.lock();
        let extent = log.extent(id);
        let stable = gate.transactions.last_stable(extent);
        let aborted = gate.transactions.aborted(extent.start, stable);
        (extent.start, gate.producers.oldest_batches(extent.end), stable, aborted)
    };
    let first_uncleanable = due.plan.first_uncleanable.min(stable);
    if first_uncleanable <= due.plan.first_dirty {
        return Ok(Outcome::HeldBack);
    }
    let Some(cleaning) = log.clean(id, first_uncleanable)? else {
        return Ok(Outcome::Unsealed);
    };
    let end = cleaning.end();
    if end <= due.plan.first_dirty {
        return Ok(Outcome::Unsealed);
    }
    let job = CompactionJob {
        start,
        first_dirty: due.plan.first_dirty,
        first_uncleanable: first_uncleanable.min(end),
        aborted: &aborted,
        now,
        delete_retention_ms: due.delete_retention_ms,
        unpack_limit: UNPACKED_LIMIT,
        producers: &producers,
    };
    let mut map = KeyMap::with_budget(key_map_bytes(due.plan.dirty_bytes).min(key_bytes));
    let mut source = LogSource { log, id, read: VecDeque::new() };
    let mut sink = LogSink { cleaning, next: None, removed_markers: BTreeSet::new(), mutant };
    let done = compact_partition(&job, &mut map, &mut source, &mut sink, pace)?;
    // What the map had no room for stays as it is until the next time, and so does what a file
    // has behind what may be compacted.
    let mut next = sink.pushed_until(done.clean_until);
    while let Some(batch) = source.read(next)?.filter(|batch| batch.last_offset < end) {
        next = batch.last_offset.next();
        sink.push(batch, Fate::Kept)?;
    }
    // Before they are gone, as what they ended is already: a reader that is told of an aborted
    // transaction, and finds no marker, takes what the same producer wrote later for aborted.
    let gone = |marker| sink.removed_markers.contains(&marker);
    due.partition.gate.lock().transactions.forget(gone);
    sink.cleaning.commit(done.clean_until >= end)?;
    Ok(Outcome::Clean(done.clean_until, done.stats))
}

/// The memory that the keys of so many bytes need.
fn key_map_bytes(dirty_bytes: u64) -> usize {
    // Compressed batches may have more keys than this: then the map is full, and goes on later.
    let keys = dirty_bytes / LEAST_RECORD_BYTES;
    let bytes = usize::try_from(keys.saturating_mul(KEY_BYTES)).unwrap_or(usize::MAX);
    bytes.max(LEAST_KEY_MAP_BYTES)
}

/// The batches of a partition, as they are now.
struct LogSource<'a> {
    log: &'a Log,
    id: PartitionId,
    read: VecDeque<StoredBatch>,
}

impl Source for LogSource<'_> {
    type Error = Failed;

    fn read(&mut self, from: Offset) -> Result<Option<SourceBatch>, Failed> {
        while self.read.front().is_some_and(|batch| batch.entry.last_offset < from) {
            self.read.pop_front();
        }
        // The second pass begins again before what is here.
        let behind = self.read.front().is_some_and(|batch| batch.entry.base_offset > from);
        if self.read.is_empty() || behind {
            self.read = self.log.read_blocking(self.id, from, READ_BYTES)?.into();
        }
        let Some(stored) = self.read.front() else { return Ok(None) };
        Ok(Some(SourceBatch {
            base_offset: stored.entry.base_offset,
            last_offset: stored.entry.last_offset,
            appended_at: stored.entry.appended_at,
            bytes: stored.to_batch()?.bytes().clone(),
        }))
    }
}

/// The segment that takes the place of what was read.
struct LogSink<'a> {
    cleaning: Cleaning<'a>,
    next: Option<Offset>,
    /// Where the markers were that are removed.
    removed_markers: BTreeSet<Offset>,
    mutant: BrokerMutant,
}

impl LogSink<'_> {
    /// Where the next batch begins, of which the fate was not said before `end`.
    fn pushed_until(&self, end: Offset) -> Offset {
        self.next.map_or(end, |next| next.max(end))
    }
}

impl Sink for LogSink<'_> {
    type Error = Failed;

    fn push(&mut self, stored: SourceBatch, fate: Fate) -> Result<(), Failed> {
        self.next = Some(stored.last_offset.next());
        let batch = match fate {
            Fate::Removed => {
                if Batch::parse(stored.bytes)?.header().attributes.is_control() {
                    self.removed_markers.insert(stored.base_offset);
                }
                return Ok(());
            }
            Fate::Rewritten(_) if !self.mutant.keeps_the_last() => return Ok(()),
            Fate::Rewritten(batch) => batch,
            Fate::Unopened(why) => {
                let (first, last) = (stored.base_offset, stored.last_offset);
                tracing::warn!("the batch of offsets {first} to {last} {why}");
                Batch::parse(stored.bytes)?
            }
            Fate::Kept => Batch::parse(stored.bytes)?,
        };
        Ok(self.cleaning.push(batch, stored.appended_at)?)
    }
}
