//! Deleting the records of partitions before an offset.
//!
//! What is deleted is decided by a control event, so that it can be audited. The log is cut off
//! once the event is durable, by a thread, since that blocks for a flush. A crash in between
//! forgets nothing: opening applies the events again, and cuts off what is left to.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use factum_event::{Offset, Partition, TopicId, TopicName};
use factum_log::{Log, PartitionId, TrimError};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::admin::AdminError;
use crate::control::{Change, Cut};
use crate::topic::Topic;
use crate::{Broker, TopicSettings};

impl Broker {
    /// Deletes the records of a topic's partitions before an offset each, durably, for
    /// `principal`; without an offset, all that are durable. Answers, for each, what the
    /// partition then begins with.
    ///
    /// # Errors
    /// [`AdminError`] for the topic as a whole, or for a partition, which then stays as it is.
    pub async fn delete_records(
        &self,
        principal: &str,
        name: &TopicName,
        before: &[(Partition, Option<Offset>)],
    ) -> Result<Vec<Result<Offset, AdminError>>, AdminError> {
        self.decide_cuts(principal, name, before, false).await
    }

    /// As [`delete_records`](Self::delete_records), but nothing is deleted where one partition is
    /// refused.
    pub(crate) async fn delete_all_records(
        &self,
        principal: &str,
        name: &TopicName,
        before: &[(Partition, Option<Offset>)],
    ) -> Result<(), AdminError> {
        for deleted in self.decide_cuts(principal, name, before, true).await? {
            deleted?;
        }
        Ok(())
    }

    async fn decide_cuts(
        &self,
        principal: &str,
        name: &TopicName,
        before: &[(Partition, Option<Offset>)],
        all_or_nothing: bool,
    ) -> Result<Vec<Result<Offset, AdminError>>, AdminError> {
        let one_at_a_time = self.changes().lock().await;
        let topic = self.changeable(name)?;
        let TopicSettings { cleanup, .. } = &topic.settings;
        if cleanup.compact && !cleanup.delete {
            return Err(AdminError::Compacted(name.clone()));
        }
        let decided: Vec<_> =
            before.iter().map(|&(partition, to)| self.decide(&topic, partition, to)).collect();
        let cuts: Vec<_> = decided.iter().flatten().flatten().copied().collect();
        let refused = all_or_nothing && decided.iter().any(Result::is_err);
        if !cuts.is_empty() && !refused {
            let change = Change::RecordsDeleted { topic: name.clone(), id: topic.id, cuts };
            self.change(principal, &change).await?;
        }
        drop(one_at_a_time);
        // Also where nothing was decided now: an earlier deletion may still be under way.
        if self.mutant().waits_for_cuts() {
            self.cuts().made().await.map_err(AdminError::Trim)?;
        }
        let start = |(&(partition, _), decided): (&(Partition, _), Result<_, _>)| {
            let id = PartitionId { topic: topic.id, partition };
            decided.map(|_| self.log().extent(id).start)
        };
        Ok(before.iter().zip(decided).map(start).collect())
    }

    /// Where a partition is to begin; none where it begins there or later already.
    fn decide(
        &self,
        topic: &Topic,
        partition: Partition,
        to: Option<Offset>,
    ) -> Result<Option<Cut>, AdminError> {
        let unknown = || AdminError::UnknownPartition {
            topic: topic.name.clone(),
            partition,
            partitions: topic.partition_count(),
        };
        let extent = self.log().extent(topic.partition_id(partition).ok_or_else(unknown)?);
        let (start, end) = (extent.start, extent.end);
        let before = to.unwrap_or(end);
        if before > end {
            return Err(AdminError::OffsetOutOfRange { from: before, start, end });
        }
        Ok((before > start).then_some(Cut { partition, before }))
    }
}

/// Cuts that were decided, made or not.
#[derive(Default)]
pub(crate) struct Cuts {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    /// Those that are not made yet; at most one for each partition that exists.
    decided: BTreeMap<PartitionId, Offset>,
    /// The last one of each partition that exists.
    all: BTreeMap<PartitionId, Offset>,
    /// One for each request that waits.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    stopped: bool,
}

impl Cuts {
    /// Takes a cut that is durable as an event.
    pub(crate) fn decided(&self, partition: PartitionId, before: Offset) {
        let mut state = self.state.lock();
        let State { decided, all, .. } = &mut *state;
        for cuts in [decided, all] {
            let have = cuts.entry(partition).or_insert(before);
            *have = before.max(*have);
        }
    }

    /// The last cut that was decided of each partition, made or not.
    pub(crate) fn all(&self) -> BTreeMap<PartitionId, Offset> {
        self.state.lock().all.clone()
    }

    /// Forgets what was decided for a topic that is gone.
    pub(crate) fn forget_topic(&self, topic: TopicId) {
        let mut state = self.state.lock();
        state.decided.retain(|partition, _| partition.topic != topic);
        state.all.retain(|partition, _| partition.topic != topic);
    }

    /// Waits until everything that was decided is durable.
    async fn made(&self) -> Result<(), String> {
        self.ask().await.unwrap_or_else(|_| Err("the broker is closed".to_owned()))
    }

    fn ask(&self) -> oneshot::Receiver<Result<(), String>> {
        let (sender, made) = oneshot::channel();
        let mut state = self.state.lock();
        if !state.stopped {
            state.waiting.push(sender);
        }
        drop(state);
        self.wanted.notify_one();
        made
    }

    /// Makes everything that was decided; what fails stays decided. Blocks for a flush.
    /// False where there was nothing to do.
    pub(crate) fn make(&self, log: &Log) -> bool {
        let mut state = self.state.lock();
        let decided = std::mem::take(&mut state.decided);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        let due = !decided.is_empty() || !waiting.is_empty();
        let made = trim(log, decided.iter().map(|(id, to)| (*id, *to)).collect());
        if let Err(error) = &made {
            tracing::warn!("records were not deleted: {error}");
            decided.into_iter().for_each(|(partition, before)| self.decided(partition, before));
        }
        for waiter in waiting {
            // Who has gone away is not told.
            let _ = waiter.send(made.as_ref().copied().map_err(ToString::to_string));
        }
        due
    }

    /// Waits until somebody waits; false at the end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.stopped {
            self.wanted.wait(&mut state);
        }
        !state.stopped
    }

    fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.waiting.clear();
        drop(state);
        self.wanted.notify_one();
    }
}

/// Cuts the log off.
fn trim(log: &Log, cuts: Vec<(PartitionId, Offset)>) -> Result<(), TrimError> {
    if cuts.is_empty() { Ok(()) } else { log.trim(&cuts) }
}

/// The thread that makes cuts, until it is dropped.
pub(crate) struct Cutter {
    cuts: Arc<Cuts>,
    thread: Option<JoinHandle<()>>,
}

impl Cutter {
    pub(crate) fn start(cuts: Arc<Cuts>, log: Log) -> io::Result<Self> {
        let ours = Arc::clone(&cuts);
        let work = move || {
            while ours.wait() {
                ours.make(&log);
            }
        };
        let thread = thread::Builder::new().name("factum-cut".to_owned()).spawn(work)?;
        Ok(Self { cuts, thread: Some(thread) })
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.cuts.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own hook; closing goes on.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
