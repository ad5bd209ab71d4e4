//! The coordinator: which transactional ids there are, and the one way to change one.
//!
//! A change is queued while its id has its turn, and the queue of the log is durable from its
//! front on: what was decided stands before everything that follows from it. So a transaction
//! ends with one flush. Its decision, a marker for each partition, the offsets that it commits and
//! its end are queued in this order, and whatever of it a crash leaves is made whole by opening.

use std::collections::HashMap;
use std::sync::Arc;

use factum_event::batch::{Batch, Outcome};
use factum_event::{Clock, Offset, Partition, Record, Timestamp, TopicId};
use factum_log::{AppendError, Log, Reservation};
use parking_lot::Mutex;
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

use super::error::{RefusedTransaction, TransactionError};
use super::metrics::TransactionCounters;
use super::state::{
    self, Producer, TRANSACTIONS_TOPIC_ID, TransactionPartition, TransactionState,
    TransactionStatus, TransactionalId,
};
use super::unstable::UnstableOffsets;
use crate::broker::first_partition;
use crate::offsets::{self, OFFSETS_TOPIC_ID};
use crate::produce::{Passing, Pending, ProduceError, batches, pass_gate, wait_until_durable};
use crate::topic::{TopicPartition, Topics};

/// Markers say in which term of the coordinator they were written; there is one term.
const COORDINATOR_EPOCH: i32 = 0;

/// All transactional ids.
pub(crate) struct Coordinator {
    pub(super) log: Log,
    pub(super) clock: Arc<dyn Clock>,
    topics: Arc<Topics>,
    ids: Mutex<HashMap<TransactionalId, Arc<Entry>>>,
    pub(super) unstable: UnstableOffsets,
    pub(super) counters: TransactionCounters,
}

/// A transactional id.
#[derive(Default)]
struct Entry {
    /// Held by whoever changes it.
    turn: Arc<TurnMutex<()>>,
    /// None before the first change.
    state: Mutex<Option<TransactionState>>,
    /// Where the record of that state is, if this process has written it.
    record: Mutex<Option<Offset>>,
}

impl Entry {
    fn is_now(&self, state: TransactionState, record: &Pending) {
        *self.state.lock() = Some(state);
        *self.record.lock() = Some(record.base_offset());
    }
}

/// The turn of a transactional id: nobody else changes it meanwhile.
pub(super) struct Turn {
    pub(super) id: TransactionalId,
    entry: Arc<Entry>,
    _held: OwnedMutexGuard<()>,
}

/// How a transaction ends, and in whose name its markers say so.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) marked_by: Producer,
}

/// Why pieces were not all queued.
enum NotQueued {
    /// None was.
    Nothing(ProduceError),
    /// The first ones were: they become durable, or are lost with the journal.
    Partly(ProduceError),
}

impl From<NotQueued> for ProduceError {
    fn from(why: NotQueued) -> Self {
        let (NotQueued::Nothing(error) | NotQueued::Partly(error)) = why;
        error
    }
}

/// Something to be appended.
struct Piece {
    target: Arc<TopicPartition>,
    batch: Batch,
    how: Passing,
}

impl Turn {
    pub(super) fn state(&self) -> Option<TransactionState> {
        self.entry.state.lock().clone()
    }

    /// The state, if this producer has the id.
    pub(super) fn state_of(&self, came: Producer) -> Result<TransactionState, RefusedTransaction> {
        let state = self.state().ok_or_else(|| not_its_producer(&self.id, came))?;
        self.check(&state, came)?;
        Ok(state)
    }

    pub(super) fn check(
        &self,
        state: &TransactionState,
        came: Producer,
    ) -> Result<(), RefusedTransaction> {
        if state.producer.id != came.id {
            return Err(not_its_producer(&self.id, came));
        }
        if state.producer.epoch != came.epoch {
            let (id, current) = (self.id.to_string(), state.producer.epoch);
            return Err(RefusedTransaction::Fenced { id, came, current });
        }
        Ok(())
    }

    pub(super) fn refused(
        &self,
        state: &TransactionState,
        expected: &'static str,
    ) -> RefusedTransaction {
        RefusedTransaction::State { id: self.id.to_string(), status: state.status, expected }
    }

    pub(super) fn not_added(
        &self,
        state: &TransactionState,
        what: &'static str,
    ) -> RefusedTransaction {
        RefusedTransaction::NotAdded { id: self.id.to_string(), status: state.status, what }
    }
}

pub(super) fn not_its_producer(id: &TransactionalId, came: Producer) -> RefusedTransaction {
    RefusedTransaction::NotItsProducer { id: id.to_string(), came: came.id }
}

impl Coordinator {
    pub(crate) fn new(log: Log, clock: Arc<dyn Clock>, topics: Arc<Topics>) -> Self {
        Self {
            log,
            clock,
            topics,
            ids: Mutex::default(),
            unstable: UnstableOffsets::default(),
            counters: TransactionCounters::default(),
        }
    }

    /// Applies the state that a record has, while opening.
    pub(super) fn load(&self, id: TransactionalId, state: Option<TransactionState>) {
        let mut ids = self.ids.lock();
        match state {
            Some(state) => *ids.entry(id).or_default().state.lock() = Some(state),
            None => drop(ids.remove(&id)),
        }
    }

    /// All ids, by name.
    pub(super) fn all(&self) -> Vec<(TransactionalId, TransactionState)> {
        let ids = self.ids.lock();
        let state = |(id, entry): (&TransactionalId, &Arc<Entry>)| {
            Some((id.clone(), entry.state.lock().clone()?))
        };
        let mut all: Vec<_> = ids.iter().filter_map(state).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    pub(super) fn state(&self, id: &TransactionalId) -> Option<TransactionState> {
        let entry = self.ids.lock().get(id).cloned();
        entry.and_then(|entry| entry.state.lock().clone())
    }

    /// The turn of an id that is known.
    pub(super) async fn turn(&self, id: &TransactionalId) -> Option<Turn> {
        loop {
            let entry = Arc::clone(self.ids.lock().get(id)?);
            if let Some(turn) = self.take_turn(id, entry).await {
                return Some(turn);
            }
        }
    }

    /// The turn of an id, which is new if there are fewer than `limit`.
    pub(super) async fn turn_of_any(
        &self,
        id: &TransactionalId,
        limit: usize,
    ) -> Result<Turn, TransactionError> {
        loop {
            let entry = {
                let mut ids = self.ids.lock();
                if ids.len() >= limit && !ids.contains_key(id) {
                    return Err(TransactionError::TooManyIds { limit });
                }
                Arc::clone(ids.entry(id.clone()).or_default())
            };
            if let Some(turn) = self.take_turn(id, entry).await {
                return Ok(turn);
            }
        }
    }

    /// Waits for the turn; none if the id was forgotten meanwhile.
    async fn take_turn(&self, id: &TransactionalId, entry: Arc<Entry>) -> Option<Turn> {
        let held = Arc::clone(&entry.turn).lock_owned().await;
        self.as_turn(id, entry, held)
    }

    fn as_turn(
        &self,
        id: &TransactionalId,
        entry: Arc<Entry>,
        held: OwnedMutexGuard<()>,
    ) -> Option<Turn> {
        let known = self.ids.lock().get(id).is_some_and(|known| Arc::ptr_eq(known, &entry));
        known.then(|| Turn { id: id.clone(), entry, _held: held })
    }

    /// The turn of an id, unless somebody has it.
    pub(super) fn try_turn(&self, id: &TransactionalId) -> Option<Turn> {
        let entry = Arc::clone(self.ids.lock().get(id)?);
        let held = Arc::clone(&entry.turn).try_lock_owned().ok()?;
        self.as_turn(id, entry, held)
    }

    /// Puts a state in the place of what is there.
    pub(super) async fn put(
        &self,
        turn: &Turn,
        next: TransactionState,
    ) -> Result<Pending, ProduceError> {
        let pieces = self.stated(&turn.id, Some(&next))?;
        let pending = self.append(pieces).await?;
        turn.entry.is_now(next, &pending);
        Ok(pending)
    }

    /// Waits until the state that an id has is durable.
    pub(super) async fn durable(&self, turn: &Turn) -> Result<(), ProduceError> {
        let record = *turn.entry.record.lock();
        let Some(record) = record else { return Ok(()) };
        Ok(wait_until_durable(&self.log, first_partition(TRANSACTIONS_TOPIC_ID), record).await?)
    }

    /// Forgets an id.
    pub(super) async fn forget(&self, turn: &Turn) -> Result<Pending, ProduceError> {
        let pending = self.append(self.stated(&turn.id, None)?).await?;
        self.ids.lock().remove(&turn.id);
        Ok(pending)
    }

    /// Ends the transaction of `state`, after which the id has the state `next`.
    pub(super) async fn end(
        &self,
        turn: &Turn,
        state: &TransactionState,
        ending: Ending,
        next: TransactionState,
    ) -> Result<Pending, ProduceError> {
        let prepared = TransactionState {
            status: TransactionStatus::prepared(ending.outcome),
            marked_by: Some(ending.marked_by),
            producer: next.producer,
            previous: next.previous,
            ..state.clone()
        };
        let mut pieces = self.stated(&turn.id, Some(&prepared))?;
        pieces.extend(self.consequences(&prepared, ending, |_| true)?);
        pieces.extend(self.stated(&turn.id, Some(&next))?);
        match self.append(pieces).await {
            Ok(pending) => {
                self.counters.ended(ending.outcome);
                self.has_ended(turn, state, next, &pending);
                Ok(pending)
            }
            Err(NotQueued::Nothing(error)) => Err(error),
            Err(NotQueued::Partly(error)) => {
                // It is decided: what is left of it is done before anything else.
                *turn.entry.state.lock() = Some(prepared);
                Err(error)
            }
        }
    }

    fn has_ended(
        &self,
        turn: &Turn,
        ended: &TransactionState,
        next: TransactionState,
        pending: &Pending,
    ) {
        let producer_id = ended.marked_by.unwrap_or(ended.producer).id;
        self.unstable.ended_at(producer_id, &ended.offsets, pending.base_offset());
        turn.entry.is_now(next, pending);
    }

    /// Does what is left to do of a transaction that was decided: after a restart, or where the
    /// disk took nothing in the middle of it.
    pub(super) async fn complete(
        &self,
        turn: &Turn,
        state: &TransactionState,
        outcome: Outcome,
    ) -> Result<Pending, ProduceError> {
        let marked_by = state.marked_by.unwrap_or(state.producer);
        let is_open =
            |partition: &TopicPartition| partition.gate.lock().transactions.is_open(marked_by.id);
        let now = self.clock.now();
        let next = state.ended(TransactionStatus::complete(outcome), now);
        let mut pieces = self.consequences(state, Ending { outcome, marked_by }, is_open)?;
        pieces.extend(self.stated(&turn.id, Some(&next))?);
        let pending = self.append(pieces).await?;
        self.has_ended(turn, state, next, &pending);
        Ok(pending)
    }

    /// The markers and commits of a transaction that was decided.
    fn consequences(
        &self,
        state: &TransactionState,
        Ending { outcome, marked_by }: Ending,
        needs_marker: impl Fn(&TopicPartition) -> bool,
    ) -> Result<Vec<Piece>, ProduceError> {
        let now = self.clock.now();
        let mut pieces = Vec::with_capacity(state.partitions.len());
        for place in &state.partitions {
            // A topic that is gone has nothing to mark.
            let Some(target) = self.partition(*place).filter(|target| needs_marker(target)) else {
                continue;
            };
            pieces.push(marker(target, marked_by, outcome, now)?);
        }
        if outcome == Outcome::Commit {
            let record = |change| offsets::encode(change, now);
            let records: Vec<_> = state.offsets.iter().map(record).collect();
            pieces.extend(self.own(OFFSETS_TOPIC_ID, &records)?);
        }
        Ok(pieces)
    }

    /// The record that states a state.
    fn stated(
        &self,
        id: &TransactionalId,
        state: Option<&TransactionState>,
    ) -> Result<Vec<Piece>, ProduceError> {
        let record = state::encode(id, state, self.clock.now());
        self.own(TRANSACTIONS_TOPIC_ID, &[record])
    }

    fn own(&self, topic: TopicId, records: &[Record]) -> Result<Vec<Piece>, ProduceError> {
        let topic = self.topics.by_id(topic).expect("Factum's own topics are never deleted");
        let target = topic.partition(Partition::ZERO).expect("they have one partition");
        let limit = topic.settings.max_message_bytes;
        let piece = |batch: Batch| {
            if batch.len() > limit {
                let (topic, bytes) = (topic.name.clone(), batch.len());
                return Err(ProduceError::TooLarge { topic, bytes, limit });
            }
            Ok(Piece { target: Arc::clone(target), batch, how: Passing::Plain })
        };
        batches(records, limit)?.into_iter().map(piece).collect()
    }

    fn partition(&self, place: TransactionPartition) -> Option<Arc<TopicPartition>> {
        self.topics.by_id(place.topic)?.partition(place.partition).cloned()
    }

    /// Ends what a producer has open in one partition, whatever the coordinator knows of it.
    pub(super) async fn mark(
        &self,
        place: TransactionPartition,
        (marked_by, outcome): (Producer, Outcome),
    ) -> Result<Option<Pending>, ProduceError> {
        let Some(target) = self.partition(place) else { return Ok(None) };
        let piece = marker(target, marked_by, outcome, self.clock.now())?;
        Ok(Some(self.append(vec![piece]).await?))
    }

    /// Queues pieces in their order, of which the last is always taken. Given up before there is
    /// room for all, nothing was queued.
    async fn append(&self, pieces: Vec<Piece>) -> Result<Pending, NotQueued> {
        let bytes = pieces.iter().map(|piece| piece.batch.len()).sum();
        let room = self.log.reserve(bytes).await;
        let mut room = room.map_err(|error| NotQueued::Nothing(error.into()))?;
        let mut last = None;
        for piece in pieces {
            match self.append_one(piece, &mut room) {
                Ok(pending) => last = pending.or(last),
                Err(error) if last.is_none() => return Err(NotQueued::Nothing(error)),
                Err(error) => return Err(NotQueued::Partly(error)),
            }
        }
        last.ok_or(NotQueued::Nothing(ProduceError::Log(AppendError::Removed)))
    }

    fn append_one(
        &self,
        Piece { target, batch, how }: Piece,
        room: &mut Reservation,
    ) -> Result<Option<Pending>, ProduceError> {
        // Where all together are larger than the queue, the last ones take what is left.
        let mut rest = batch.len();
        let own = loop {
            match room.split(rest) {
                Some(own) => break own,
                None => rest /= 2,
            }
        };
        let passed = pass_gate(&self.log, &target, batch, own, self.clock.now(), how);
        match passed {
            // Of a topic that is being deleted nothing needs a marker.
            Err(ProduceError::Log(AppendError::Removed)) => Ok(None),
            passed => passed,
        }
    }
}

fn marker(
    target: Arc<TopicPartition>,
    marked_by: Producer,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Piece, ProduceError> {
    let batch = Batch::marker((marked_by.id, marked_by.epoch), outcome, COORDINATOR_EPOCH, now)?;
    Ok(Piece { target, batch, how: Passing::Marker(outcome) })
}
