//! What the broker does by itself, on a thread of its own: retention, compaction, checkpoints, the
//! end of transactions that take too long.
//!
//! [`Upkeep::step`] does what is due at a moment; the thread only calls it, and so does whoever
//! drives a broker by hand. It reads and writes at a pace that leaves the disk to producers.

mod compacting;
mod entries;
mod metrics;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use factum_event::{Clock, Offset, Timestamp};
use factum_log::disk::Disk;
use factum_log::{Log, PartitionId, ReadError};

use crate::checkpoint::Checkpoint;
use crate::cleaner::{
    CompactionSettings, CompactionStats, RetentionSettings, SegmentSettings, new_start,
};
use crate::control_checkpoint::{ControlCheckpoint, ControlState};
use crate::mutants::BrokerMutant;
use crate::settings::BrokerSettings;
use crate::topic_config::TopicSettings;
use crate::transactions::Coordinator;

use compacting::{Due, Failed, Outcome, Progress};
use entries::Entries;
pub(crate) use metrics::UpkeepCounters;
pub use metrics::UpkeepMetrics;
pub(crate) use thread::UpkeepThread;

/// A checkpoint is taken when this much was appended since the last one.
const CHECKPOINT_BYTES: u64 = 256 << 20;

/// What is due, and what it works on.
pub(crate) struct Upkeep {
    disk: Arc<dyn Disk>,
    log: Log,
    state: ControlState,
    transactions: Arc<Coordinator>,
    /// After how long without a transaction an id is forgotten.
    id_expiration: Duration,
    clock: Arc<dyn Clock>,
    /// Bytes that compaction reads in a second.
    rate: u64,
    /// Memory for the keys of a compaction.
    key_bytes: usize,
    seal_interval: Duration,
    progress: Progress,
    sealed_at: Option<Duration>,
    /// Bytes that the log had appended when the last checkpoint was taken.
    checkpointed: u64,
    /// Whether the checkpoint on the disk lacks what was there when the broker was opened.
    is_behind: bool,
    /// Set when it is to end: a compaction that never has to wait looks here.
    ending: Arc<AtomicBool>,
    counters: Arc<UpkeepCounters>,
    mutant: BrokerMutant,
}

/// How the thread lets the upkeep wait: for so long, or until it is to end.
pub(crate) type Wait<'a> = dyn FnMut(Duration) -> ControlFlow<()> + 'a;

impl Upkeep {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        log: Log,
        (state, transactions): (ControlState, Arc<Coordinator>),
        clock: Arc<dyn Clock>,
        settings: &BrokerSettings,
        counters: Arc<UpkeepCounters>,
    ) -> Self {
        Self {
            disk,
            log,
            state,
            transactions,
            id_expiration: settings.transactional_id_expiration,
            clock,
            rate: settings.compaction_bytes_per_second.max(1),
            key_bytes: settings.compaction_key_bytes,
            seal_interval: settings.seal_interval,
            progress: Progress::default(),
            sealed_at: None,
            checkpointed: 0,
            is_behind: false,
            ending: Arc::default(),
            counters,
            mutant: BrokerMutant::None,
        }
    }

    /// The same after an opening that has read so many batches behind the last checkpoint.
    pub(crate) fn after(self, read: u64) -> Self {
        Self { is_behind: read > 0, ..self }
    }

    /// The same, broken on purpose.
    pub(crate) fn broken(self, mutant: BrokerMutant) -> Self {
        Self { mutant, ..self }
    }

    /// Does what is due now.
    pub(crate) fn step(&mut self, wait: &mut Wait<'_>) {
        if self.log.is_closed() {
            return;
        }
        let now = self.clock.now();
        self.transactions.expire(now, self.id_expiration);
        self.retain(now);
        self.compact(now, wait);
        self.checkpoint();
    }

    /// `cleanup.policy=delete`: moves the starts of partitions up.
    fn retain(&self, now: Timestamp) {
        let mut cuts: Vec<(PartitionId, Offset)> = Vec::new();
        let mut bytes = 0;
        for topic in self.state.topics.all() {
            let Some(settings) = retention_of(&topic.settings) else { continue };
            for partition in topic.partitions() {
                let id = partition.id;
                let total = self.log.size(id);
                if total == 0 {
                    continue;
                }
                match self.retained_start(id, &settings, now, total) {
                    Ok(Some(start)) => {
                        bytes += total;
                        cuts.push((id, start));
                    }
                    Err(error) => {
                        tracing::warn!(
                            topic = %topic.name, partition = %id.partition, %error,
                            "cannot see which records are too old"
                        );
                        self.counters.failed(now);
                    }
                    Ok(None) => {}
                }
            }
        }
        self.cut_off(&cuts, bytes, now);
    }

    /// Where a partition of so many bytes is to begin.
    fn retained_start(
        &self,
        id: PartitionId,
        settings: &RetentionSettings,
        now: Timestamp,
        total: u64,
    ) -> Result<Option<Offset>, ReadError> {
        let start = self.new_start(id, settings, now, total)?;
        if start.is_none() || settings.retention_bytes.is_none() {
            return Ok(start);
        }
        // The log may count what was cut off from a file whose index was not there, or came
        // later. So before anything goes because of it, what is there is counted.
        let mut entries = Entries::of(&self.log, id);
        let counted = entries.by_ref().map(|entry| u64::from(entry.length)).sum();
        entries.into_error().map_or(Ok(()), Err)?;
        if counted >= total { Ok(start) } else { self.new_start(id, settings, now, counted) }
    }

    fn new_start(
        &self,
        id: PartitionId,
        settings: &RetentionSettings,
        now: Timestamp,
        total: u64,
    ) -> Result<Option<Offset>, ReadError> {
        let mut entries = Entries::of(&self.log, id);
        let start = new_start(settings, now, total, &mut entries);
        entries.into_error().map_or(Ok(start), Err)
    }

    /// Moves starts up, of partitions that have so many bytes together.
    fn cut_off(&self, cuts: &[(PartitionId, Offset)], bytes: u64, now: Timestamp) {
        let starts: u64 = cuts.iter().map(|(id, _)| self.start_of(*id)).sum();
        if let Err(error) = self.log.trim(cuts) {
            tracing::warn!(%error, "what is too old was not cut off; tried again later");
            self.counters.failed(now);
            return;
        }
        let later: u64 = cuts.iter().map(|(id, _)| self.start_of(*id)).sum();
        let left: u64 = cuts.iter().map(|(id, _)| self.log.size(*id)).sum();
        self.counters.cut_off(later.saturating_sub(starts), bytes.saturating_sub(left));
    }

    fn start_of(&self, id: PartitionId) -> u64 {
        self.log.extent(id).start.get().unsigned_abs()
    }

    /// `cleanup.policy=compact`: compacts what is due, the dirtiest partition first.
    fn compact(&mut self, now: Timestamp, wait: &mut Wait<'_>) {
        let mut due: Vec<Due> = Vec::new();
        for topic in self.state.topics.all() {
            due.extend(self.progress.due(&self.log, &topic, now));
        }
        due.sort_by(|a, b| b.plan.dirty_ratio().total_cmp(&a.plan.dirty_ratio()));
        let mut unsealed = false;
        for due in &due {
            match self.compact_one(due, now, wait) {
                Ok(Outcome::Clean(until, stats)) => {
                    self.progress.cleaned(due.partition.id, until);
                    self.counters.compacted(&stats);
                    tracing::info!(partition = ?due.partition.id, %until, ?stats, "compacted");
                }
                Ok(Outcome::Unsealed) => unsealed = true,
                Ok(Outcome::HeldBack) => {}
                Err(Failed::Cancelled) => return,
                Err(error) => {
                    tracing::warn!(partition = ?due.partition.id, %error, "not compacted");
                    self.counters.failed(now);
                }
            }
        }
        let topics = &self.state.topics;
        self.progress.retain(|id| topics.by_id(id.topic).is_some());
        if unsealed {
            self.seal();
        }
    }

    fn compact_one(
        &self,
        due: &Due,
        now: Timestamp,
        wait: &mut Wait<'_>,
    ) -> Result<Outcome, Failed> {
        let started = self.clock.monotonic();
        let mut pace = |stats: &CompactionStats| {
            let bytes = stats.indexed_bytes + stats.bytes_read;
            let planned = Duration::from_millis(bytes.saturating_mul(1000) / self.rate);
            let early = planned.saturating_sub(self.clock.monotonic().saturating_sub(started));
            if self.ending.load(Relaxed) {
                return ControlFlow::Break(());
            }
            if early.is_zero() { ControlFlow::Continue(()) } else { wait(early) }
        };
        compacting::compact(&self.log, due, now, (self.key_bytes, self.mutant), &mut pace)
    }

    /// Asks for what is in the open journal to be sealed; not often: a journal is a large file.
    fn seal(&mut self) {
        let now = self.clock.monotonic();
        if self.sealed_at.is_none_or(|at| now.saturating_sub(at) >= self.seal_interval) {
            self.sealed_at = Some(now);
            self.log.seal();
        }
    }

    fn checkpoint(&mut self) {
        let appended = self.log.metrics().bytes_appended;
        if appended - self.checkpointed < CHECKPOINT_BYTES {
            return;
        }
        self.take_checkpoint(appended);
    }

    /// Takes a checkpoint now, whatever was appended since the last one.
    pub(crate) fn checkpoint_now(&mut self) {
        if !self.log.is_closed() {
            self.take_checkpoint(self.log.metrics().bytes_appended);
        }
    }

    /// Takes a checkpoint at the end, if there is anything that the last one does not know.
    pub(crate) fn last_checkpoint(&mut self) {
        let is_sound = !self.log.is_closed() && self.log.failure().is_none();
        if is_sound && (self.is_behind || self.log.metrics().bytes_appended > self.checkpointed) {
            self.checkpoint_now();
        }
    }

    fn take_checkpoint(&mut self, appended: u64) {
        match self.write_checkpoints() {
            Ok(()) => {
                (self.checkpointed, self.is_behind) = (appended, false);
                self.counters.checkpointed();
            }
            Err(error) => {
                tracing::warn!("cannot write a checkpoint: {error}; opening will take longer");
                self.counters.failed(self.clock.now());
            }
        }
    }
}

impl Upkeep {
    fn write_checkpoints(&self) -> io::Result<()> {
        Checkpoint::take(&self.log, &self.state.topics).write(self.disk.as_ref())?;
        match ControlCheckpoint::take(&self.log, &self.state) {
            Some(checkpoint) => checkpoint.write(self.disk.as_ref()),
            None => Ok(()),
        }
    }
}

/// How a topic's records are retained; none where they are kept.
fn retention_of(settings: &TopicSettings) -> Option<RetentionSettings> {
    let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    settings.cleanup.delete.then(|| RetentionSettings {
        retention_ms: settings.retention_ms.map(millis),
        retention_bytes: settings.retention_bytes,
        segment: SegmentSettings { bytes: settings.segment_bytes, ms: millis(settings.segment_ms) },
    })
}

/// How a topic's records are compacted; none where they are not.
fn compaction_of(settings: &TopicSettings) -> Option<CompactionSettings> {
    let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    settings.cleanup.compact.then(|| CompactionSettings {
        segment: SegmentSettings { bytes: settings.segment_bytes, ms: millis(settings.segment_ms) },
        min_cleanable_dirty_ratio: settings.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: millis(settings.min_compaction_lag_ms),
        max_compaction_lag_ms: millis(settings.max_compaction_lag_ms),
    })
}
