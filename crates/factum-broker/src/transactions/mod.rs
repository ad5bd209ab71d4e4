//! Transactions: what a producer writes to several partitions, and the offsets that it commits,
//! count together or not at all (KIP-98, KIP-447, KIP-890).
//!
//! [`TransactionState`] is what is known of a transactional id, a record of Factum's own topic
//! [`TRANSACTIONS_TOPIC`]. [`Coordinator`] is the one way to change it. [`PartitionTransactions`]
//! is what a partition knows: which transactions are open in it, and which were aborted. Here is
//! what producers ask for.

mod coordinator;
mod error;
mod expiry;
mod metrics;
mod partition;
mod state;
mod unstable;

use std::time::Duration;

use factum_event::batch::{Batch, Outcome};
use factum_event::{GroupName, Offset, Partition, TopicName};
use factum_log::PartitionId;

use crate::Broker;
use crate::broker::first_partition;
use crate::commits::{Commit, CommitError};
use crate::fold::{Fold, FoldError};
use crate::offsets::CommitKey;
use crate::produce::{Passing, Pending, ProduceError};
use crate::producer_state::ActiveProducer;
use crate::topic::Topic;

pub(crate) use coordinator::Coordinator;
use coordinator::{Ending, Turn, not_its_producer};
pub use error::{RefusedTransaction, TransactionError};
pub use metrics::TransactionMetrics;
pub use partition::AbortedTransaction;
pub(crate) use partition::PartitionTransactions;
pub use state::{
    InvalidTransactionalId, Producer, TRANSACTIONS_TOPIC, TRANSACTIONS_TOPIC_ID,
    TransactionPartition, TransactionState, TransactionStatus, TransactionalId, UnknownTransaction,
};

/// Which rules a producer's client follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionProtocol {
    /// It says before it writes where it will, and keeps its epoch from transaction to transaction.
    V1,
    /// It only writes, and every transaction has an epoch of its own (KIP-890).
    V2,
}

impl Broker {
    /// Makes a producer the only one that may write under a transactional id; what an earlier one
    /// has not committed is aborted. `known` is who the producer was, where it asks for a new
    /// epoch (KIP-360).
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn init_transactions(
        &self,
        id: &TransactionalId,
        timeout: Duration,
        known: Option<Producer>,
    ) -> Result<Producer, TransactionError> {
        let max = self.settings().max_transaction_timeout;
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        if timeout_ms == 0 || timeout > max {
            return Err(TransactionError::Timeout { came: timeout, max });
        }
        let turn =
            self.coordinator().turn_of_any(id, self.settings().max_transactional_ids).await?;
        let now = self.clock().now();
        let Some(state) = turn.state() else {
            let producer = self.fresh_producer().await?;
            let state = TransactionState::new(producer, timeout_ms, now);
            self.coordinator().put(&turn, state).await?.durable().await?;
            return Ok(producer);
        };
        if let Some(known) = known {
            if state.previous == Some(known) && !state.is_ongoing() {
                self.coordinator().durable(&turn).await?;
                return Ok(state.producer);
            }
            turn.check(&state, known)?;
        }
        let producer = self.next_producer(state.producer).await?;
        let next = TransactionState {
            producer,
            previous: known,
            timeout_ms,
            ..state.ended(TransactionStatus::Empty, now)
        };
        if !state.is_ongoing() {
            self.coordinator().put(&turn, next).await?.durable().await?;
            return Ok(producer);
        }
        let ending = Ending { outcome: Outcome::Abort, marked_by: state.producer.fenced() };
        self.end_and_apply(turn, state, ending, next).await?;
        Ok(producer)
    }

    /// Says that a transaction will write to partitions; it begins with that, if none is under way.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn add_partitions_to_transaction(
        &self,
        id: &TransactionalId,
        producer: Producer,
        partitions: impl IntoIterator<Item = TransactionPartition>,
    ) -> Result<(), TransactionError> {
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state_of(producer)?;
        let mut next = state.begun(self.clock().now());
        next.partitions.extend(partitions);
        self.put_if_changed(turn, &state, next).await
    }

    /// Whether the transaction under way writes to a partition.
    ///
    /// # Errors
    /// [`TransactionError::Refused`] where it does not.
    pub async fn verify_transaction(
        &self,
        id: &TransactionalId,
        producer: Producer,
        partition: TransactionPartition,
    ) -> Result<(), TransactionError> {
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state_of(producer)?;
        if state.is_ongoing() && state.partitions.contains(&partition) {
            return Ok(());
        }
        Err(turn.not_added(&state, "the partition").into())
    }

    /// Says that a transaction will commit offsets of a group.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn add_group_to_transaction(
        &self,
        id: &TransactionalId,
        producer: Producer,
        group: &GroupName,
    ) -> Result<(), TransactionError> {
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state_of(producer)?;
        let mut next = state.begun(self.clock().now());
        next.groups.insert(group.clone());
        self.put_if_changed(turn, &state, next).await
    }

    /// Commits offsets of a group with a transaction: they count once it is committed. Says for
    /// each, in their order, whether it was taken. Whether the committer may is for the caller to
    /// ask ([`Groups::validate_commit`](crate::groups::Groups::validate_commit)).
    ///
    /// # Errors
    /// [`TransactionError`] where none was.
    pub async fn commit_in_transaction(
        &self,
        (id, producer, protocol): (&TransactionalId, Producer, TransactionProtocol),
        group: &GroupName,
        commits: Vec<Commit>,
    ) -> Result<Vec<Result<(), CommitError>>, TransactionError> {
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state_of(producer)?;
        let added = state.is_ongoing() && state.groups.contains(group);
        if !added && protocol == TransactionProtocol::V1 {
            return Err(turn.not_added(&state, "the group").into());
        }
        let (changes, results) = self.check_commits(group, commits)?;
        let mut next = state.begun(self.clock().now());
        next.groups.insert(group.clone());
        next.offsets.retain(|(key, _)| changes.iter().all(|(newer, _)| newer != key));
        next.offsets.extend(changes.iter().cloned());
        let pending = self.coordinator().put(&turn, next).await?;
        self.coordinator().unstable.add(producer.id, &changes);
        drop(turn);
        pending.durable().await?;
        Ok(results)
    }

    /// Queues a batch that is part of its producer's transaction, as [`Broker::enqueue`] does.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub async fn enqueue_in_transaction(
        &self,
        (id, protocol): (&TransactionalId, TransactionProtocol),
        topic: &Topic,
        partition: Partition,
        batch: Batch,
    ) -> Result<Pending, ProduceError> {
        let batch = self.admit(topic, batch)?;
        let header = batch.header();
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state_of(producer)?;
        let place = TransactionPartition { topic: topic.id, partition };
        if !state.is_ongoing() || !state.partitions.contains(&place) {
            if protocol == TransactionProtocol::V1 {
                return Err(turn.not_added(&state, "the partition").into());
            }
            self.target(topic, partition)?;
            let mut next = state.begun(self.clock().now());
            next.partitions.insert(place);
            // It stands in the log before the batch: who has that, has this.
            drop(self.coordinator().put(&turn, next).await?);
        }
        let first_is_zero = protocol == TransactionProtocol::V2;
        let how = Passing::Transactional { first_is_zero };
        self.enqueue_checked(topic, partition, batch, how).await
    }

    /// Ends the transaction that is under way; answers who writes the next one.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn end_transaction(
        &self,
        (id, producer, protocol): (&TransactionalId, Producer, TransactionProtocol),
        outcome: Outcome,
    ) -> Result<Producer, TransactionError> {
        let turn = self.its_turn(id, producer).await?;
        let state = turn.state().ok_or_else(|| not_its_producer(id, producer))?;
        let done = TransactionStatus::complete(outcome);
        let is_v2 = protocol == TransactionProtocol::V2;
        // The answer to the first request was lost, or is on its way.
        if is_v2 && state.previous == Some(producer) && state.status == done {
            return self.has_ended(&turn).await.map(|()| state.producer);
        }
        // The producer is not fenced off: it asks for another end than the one that it has had.
        if is_v2 && state.previous == Some(producer) && state.status.is_complete() {
            return Err(turn.refused(&state, "it has ended, and cannot end otherwise").into());
        }
        turn.check(&state, producer)?;
        if !is_v2 && state.status == done {
            return self.has_ended(&turn).await.map(|()| producer);
        }
        let next = self.next_after(&state, done, is_v2).await?;
        let next_producer = next.producer;
        if state.is_ongoing() {
            let marked_by = if is_v2 { producer.fenced() } else { producer };
            let ending = Ending { outcome, marked_by };
            self.end_and_apply(turn, state, ending, next).await?;
        } else if is_v2 && outcome == Outcome::Abort {
            // The client cannot know whether something of what it wrote has begun a transaction.
            self.coordinator().put(&turn, next).await?.durable().await?;
        } else {
            return Err(turn.refused(&state, "no transaction is under way").into());
        }
        Ok(next_producer)
    }

    /// Waits until the end of a transaction, which somebody else has asked for, is durable, and
    /// applies the offsets that it has committed.
    async fn has_ended(&self, turn: &Turn) -> Result<(), TransactionError> {
        self.coordinator().durable(turn).await?;
        Ok(self.apply_commits().await?)
    }

    /// The state after a transaction of `state`.
    async fn next_after(
        &self,
        state: &TransactionState,
        status: TransactionStatus,
        is_v2: bool,
    ) -> Result<TransactionState, TransactionError> {
        let ended = state.ended(status, self.clock().now());
        if !is_v2 {
            return Ok(TransactionState { previous: None, ..ended });
        }
        let producer = self.next_producer(state.producer).await?;
        Ok(TransactionState { producer, previous: Some(state.producer), ..ended })
    }

    /// Ends what a producer has open in one partition, whatever its transactional id says: for
    /// transactions that nobody ends any more.
    ///
    /// # Errors
    /// [`ProduceError`].
    pub async fn mark_partition(
        &self,
        topic: &Topic,
        partition: Partition,
        (producer, outcome): (Producer, Outcome),
    ) -> Result<(), ProduceError> {
        if topic.name.is_internal() {
            return Err(ProduceError::Internal(topic.name.clone()));
        }
        self.target(topic, partition)?;
        let place = TransactionPartition { topic: topic.id, partition };
        match self.coordinator().mark(place, (producer, outcome)).await? {
            Some(pending) => pending.durable().await.map(drop),
            None => Ok(()),
        }
    }

    async fn its_turn(
        &self,
        id: &TransactionalId,
        producer: Producer,
    ) -> Result<Turn, ProduceError> {
        let turn = self.coordinator().turn(id).await;
        let turn = turn.ok_or_else(|| not_its_producer(id, producer))?;
        self.complete_decided(&turn).await?;
        Ok(turn)
    }

    /// Does what is left of a transaction that was decided when the disk took nothing more.
    async fn complete_decided(&self, turn: &Turn) -> Result<(), ProduceError> {
        let Some(state) = turn.state() else { return Ok(()) };
        if let Some(outcome) = state.status.decided() {
            drop(self.coordinator().complete(turn, &state, outcome).await?);
        }
        Ok(())
    }

    async fn put_if_changed(
        &self,
        turn: Turn,
        state: &TransactionState,
        next: TransactionState,
    ) -> Result<(), TransactionError> {
        if next == (TransactionState { changed_at: next.changed_at, ..state.clone() }) {
            return Ok(self.coordinator().durable(&turn).await?);
        }
        self.coordinator().put(&turn, next).await?.durable().await?;
        Ok(())
    }

    /// Ends a transaction, waits until that is durable, and applies the offsets that it commits.
    async fn end_and_apply(
        &self,
        turn: Turn,
        state: TransactionState,
        ending: Ending,
        next: TransactionState,
    ) -> Result<(), TransactionError> {
        let pending = self.coordinator().end(&turn, &state, ending, next).await?;
        // Others may go on; what they do becomes durable after this.
        drop(turn);
        pending.durable().await?;
        if ending.outcome == Outcome::Commit && !state.offsets.is_empty() {
            self.apply_commits().await?;
        }
        Ok(())
    }

    async fn fresh_producer(&self) -> Result<Producer, TransactionError> {
        let id = self.new_producer_id().await.map_err(Box::new)?;
        Ok(Producer { id, epoch: 0 })
    }

    /// The same producer with a new epoch; a new one, where there is none left.
    async fn next_producer(&self, producer: Producer) -> Result<Producer, TransactionError> {
        if producer.is_exhausted() { self.fresh_producer().await } else { Ok(producer.fenced()) }
    }

    /// All transactional ids with their states, by name.
    #[must_use]
    pub fn transactions(&self) -> Vec<(TransactionalId, TransactionState)> {
        self.coordinator().all()
    }

    /// What is known of a transactional id.
    #[must_use]
    pub fn transaction(&self, id: &TransactionalId) -> Option<TransactionState> {
        self.coordinator().state(id)
    }

    /// What has happened to transactions since the broker was opened.
    #[must_use]
    pub fn transaction_metrics(&self) -> TransactionMetrics {
        let all = self.coordinator().all();
        let ongoing = all.iter().filter(|(_, state)| state.is_ongoing()).count() as u64;
        TransactionMetrics { ongoing, ids: all.len() as u64, ..self.coordinator().counters.read() }
    }

    /// Whether a transaction that is under way may commit an offset of a group.
    #[must_use]
    pub fn is_unstable(&self, group: &GroupName, topic: &TopicName, partition: Partition) -> bool {
        let key = CommitKey { group: group.clone(), topic: topic.clone(), partition };
        self.coordinator().unstable.is_unstable(&key, self.end_of_transactions())
    }

    /// The offsets of a group that transactions under way may commit.
    #[must_use]
    pub fn unstable_offsets(&self, group: &GroupName) -> Vec<(TopicName, Partition)> {
        self.coordinator().unstable.of_group(group.as_str(), self.end_of_transactions())
    }

    fn end_of_transactions(&self) -> Offset {
        self.log().extent(first_partition(TRANSACTIONS_TOPIC_ID)).end
    }

    /// Up to where all transactions of a partition have ended: the end for who reads only what was
    /// committed.
    #[must_use]
    pub fn last_stable_offset(&self, id: PartitionId) -> Offset {
        // The end first: what ends meanwhile has a marker behind it.
        let extent = self.log().extent(id);
        let topic = self.topic_by_id(id.topic);
        let Some(partition) = topic.as_ref().and_then(|topic| topic.partition(id.partition)) else {
            return extent.end;
        };
        let mut gate = partition.gate.lock();
        if !self.mutant().waits_for_markers() {
            let open = gate.transactions.open().map(|(_, first)| first).min();
            return open.map_or(extent.end, |first| first.min(extent.end)).max(extent.start);
        }
        gate.transactions.last_stable(extent)
    }

    /// The transactions that were aborted, of those with something from `from` on and before `to`.
    #[must_use]
    pub fn aborted_transactions(
        &self,
        id: PartitionId,
        from: Offset,
        to: Offset,
    ) -> Vec<AbortedTransaction> {
        if !self.mutant().tells_aborts() {
            return Vec::new();
        }
        let topic = self.topic_by_id(id.topic);
        let partition = topic.as_ref().and_then(|topic| topic.partition(id.partition));
        partition.map_or_else(Vec::new, |known| known.gate.lock().transactions.aborted(from, to))
    }

    /// Who writes to a partition, as far as that is remembered; none if there is no such partition.
    #[must_use]
    pub fn producers(&self, topic: &Topic, partition: Partition) -> Option<Vec<ActiveProducer>> {
        let gate = topic.partition(partition)?.gate.lock();
        let mut producers = gate.producers.list();
        for (id, first) in gate.transactions.open() {
            if let Ok(at) = producers.binary_search_by_key(&id, |producer| producer.id) {
                producers[at].transaction = Some(first);
            }
        }
        Some(producers)
    }

    /// Computes the states of all ids, and makes whole what was decided and not done.
    pub(crate) async fn recover_transactions(&self) -> Result<(), RecoverError> {
        let fold = Fold::new(first_partition(TRANSACTIONS_TOPIC_ID));
        let apply = |offset, record: &_| {
            let (id, state) = state::decode(offset, record)?;
            self.coordinator().load(id, state);
            Ok(())
        };
        fold.catch_up(self.log(), apply).await?;
        for (id, state) in self.transactions() {
            if let Some(outcome) = state.status.decided() {
                if !self.mutant().completes_transactions() {
                    continue;
                }
                let Some(turn) = self.coordinator().turn(&id).await else { continue };
                let pending = self.coordinator().complete(&turn, &state, outcome).await?;
                pending.durable().await?;
            } else if state.is_ongoing() {
                self.coordinator().unstable.add(state.producer.id, &state.offsets);
            }
        }
        Ok(())
    }
}

/// Why the transactions could not be recovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error(transparent)]
    Produce(#[from] ProduceError),
}
