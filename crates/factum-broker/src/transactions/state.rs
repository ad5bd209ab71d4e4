//! What is known of a transactional id, and the record that states it.
//!
//! Each change is a record of the topic [`TRANSACTIONS_TOPIC`], with the id as its key; the last
//! one of an id counts. A record without a value says that the id is forgotten.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use factum_event::batch::Outcome;
use factum_event::{GroupName, Header, Offset, Partition, Record, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::offsets::CommitChange;

/// The name of the topic that holds the states of transactions.
pub const TRANSACTIONS_TOPIC: &str = "__factum_transactions";

/// The identity of [`TRANSACTIONS_TOPIC`].
pub const TRANSACTIONS_TOPIC_ID: TopicId =
    TopicId(Uuid::from_u128(0x6661_6374_756d_8000_8000_0000_0000_0003));

/// Longest transactional id, in bytes.
const MAX_ID_BYTES: usize = 4_096;

/// The name under which an application writes in transactions, over all restarts
/// (`transactional.id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionalId(String);

/// Not a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a transactional id of {came} bytes; it has 1 to {MAX_ID_BYTES}")]
pub struct InvalidTransactionalId {
    /// How long it is, in bytes.
    pub came: usize,
}

impl FromStr for TransactionalId {
    type Err = InvalidTransactionalId;

    fn from_str(id: &str) -> Result<Self, InvalidTransactionalId> {
        match id.len() {
            1..=MAX_ID_BYTES => Ok(Self(id.to_owned())),
            came => Err(InvalidTransactionalId { came }),
        }
    }
}

impl fmt::Display for TransactionalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl AsRef<str> for TransactionalId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Who a transactional producer is: the id and epoch that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// The producer id.
    pub id: i64,
    /// Its epoch: a new one fences off all before it.
    pub epoch: i16,
}

/// The largest epoch that is given; the one above it is for fencing off.
const LAST_EPOCH: i16 = i16::MAX - 1;

impl Producer {
    /// The same producer fenced off.
    pub(super) const fn fenced(self) -> Self {
        Self { id: self.id, epoch: self.epoch.saturating_add(1) }
    }

    /// Whether there is no epoch left to give.
    pub(super) const fn is_exhausted(self) -> bool {
        self.epoch >= LAST_EPOCH
    }
}

/// Where a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TransactionStatus {
    /// It had no transaction yet.
    Empty,
    /// A transaction is under way.
    Ongoing,
    /// It was decided to commit it; not all of its partitions may know.
    PrepareCommit,
    /// It was decided to abort it; not all of its partitions may know.
    PrepareAbort,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted.
    CompleteAbort,
}

impl TransactionStatus {
    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    pub(super) const fn prepared(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Commit => Self::PrepareCommit,
            Outcome::Abort => Self::PrepareAbort,
        }
    }

    pub(super) const fn complete(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Commit => Self::CompleteCommit,
            Outcome::Abort => Self::CompleteAbort,
        }
    }

    /// Whether a transaction has ended, and none has begun since.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::CompleteCommit | Self::CompleteAbort)
    }

    /// What was decided, if not all partitions may know of it.
    pub(super) const fn decided(self) -> Option<Outcome> {
        match self {
            Self::PrepareCommit => Some(Outcome::Commit),
            Self::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }
}

/// A partition that a transaction writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransactionPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: Partition,
}

/// What is known of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionState {
    /// Who may write.
    pub producer: Producer,
    /// Who it was before; a client that has not heard of the change may ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Producer>,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: u32,
    /// Where it stands.
    pub status: TransactionStatus,
    /// When the transaction that is under way has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When something of this has changed.
    pub changed_at: Timestamp,
    /// What it writes to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub partitions: BTreeSet<TransactionPartition>,
    /// The groups whose offsets it commits.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupName>,
    /// The offsets that count once it is committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) offsets: Vec<CommitChange>,
    /// Where it was decided how the transaction ends: in whose name the markers are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marked_by: Option<Producer>,
}

impl TransactionState {
    /// Of an id that nobody has used.
    pub(super) fn new(producer: Producer, timeout_ms: u32, now: Timestamp) -> Self {
        Self {
            producer,
            previous: None,
            timeout_ms,
            status: TransactionStatus::Empty,
            started_at: None,
            changed_at: now,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            offsets: Vec::new(),
            marked_by: None,
        }
    }

    pub(super) fn is_ongoing(&self) -> bool {
        self.status == TransactionStatus::Ongoing
    }

    /// The same with a transaction under way.
    pub(super) fn begun(&self, now: Timestamp) -> Self {
        if self.is_ongoing() {
            return Self { changed_at: now, ..self.clone() };
        }
        let fresh = Self::new(self.producer, self.timeout_ms, now);
        let status = TransactionStatus::Ongoing;
        Self { status, started_at: Some(now), previous: self.previous, ..fresh }
    }

    /// The same without a transaction.
    pub(super) fn ended(&self, status: TransactionStatus, now: Timestamp) -> Self {
        let fresh = Self::new(self.producer, self.timeout_ms, now);
        Self { status, previous: self.previous, ..fresh }
    }

    /// When the transaction that is under way has taken too long.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let started = self.started_at.filter(|_| self.is_ongoing())?.as_millis();
        Some(Timestamp::from_millis(started.saturating_add(self.timeout_ms.into())))
    }
}

/// A record of the transactions topic that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the state of a transaction at {TRANSACTIONS_TOPIC}@{offset} is not understood ({reason}); \
     a newer version may have written it"
)]
pub struct UnknownTransaction {
    /// Where it stands.
    pub offset: Offset,
    /// Why.
    pub reason: String,
}

/// The record of a state; of none, that the id is forgotten.
pub(super) fn encode(
    id: &TransactionalId,
    state: Option<&TransactionState>,
    now: Timestamp,
) -> Record {
    let json = |state| serde_json::to_vec(state).expect("names and numbers are JSON").into();
    Record {
        key: Some(Bytes::copy_from_slice(id.0.as_bytes())),
        value: state.map(json),
        headers: vec![Header::new("content-type", "application/json")],
        timestamp: now,
    }
}

/// The state that a record has.
pub(super) fn decode(
    offset: Offset,
    record: &Record,
) -> Result<(TransactionalId, Option<TransactionState>), UnknownTransaction> {
    let unknown = |reason: String| UnknownTransaction { offset, reason };
    let key = record.key.as_deref().ok_or_else(|| unknown("it has no key".to_owned()))?;
    let id = std::str::from_utf8(key).map_err(|error| unknown(error.to_string()))?;
    let id = id.parse().map_err(|error: InvalidTransactionalId| unknown(error.to_string()))?;
    let state = record.value.as_ref().map(|value| serde_json::from_slice(value));
    Ok((id, state.transpose().map_err(|error| unknown(error.to_string()))?))
}

#[cfg(test)]
mod tests {
    use factum_event::TopicName;

    use super::*;
    use crate::offsets::{CommitKey, Committed};

    fn ongoing() -> TransactionState {
        let now = Timestamp::from_millis(5);
        let topic = TopicId(Uuid::from_u128(9));
        let group = GroupName::new("billing").unwrap();
        let key = CommitKey {
            group: group.clone(),
            topic: TopicName::new("orders").unwrap(),
            partition: Partition::ZERO,
        };
        let committed = Committed {
            offset: Offset::ZERO.plus(7),
            leader_epoch: 0,
            metadata: "größe".to_owned(),
            committed_at: now,
            topic_id: topic,
        };
        let mut state = TransactionState::new(Producer { id: 3, epoch: 4 }, 60_000, now).begun(now);
        state.partitions.insert(TransactionPartition { topic, partition: Partition::ZERO });
        state.groups.insert(group);
        state.offsets.push((key, Some(committed)));
        state
    }

    #[test]
    fn every_state_survives_its_record() {
        let id: TransactionalId = "größe-1".parse().unwrap();
        let now = Timestamp::from_millis(9);
        let ongoing = ongoing();
        let ended = ongoing.ended(TransactionStatus::CompleteCommit, now);
        let prepared = TransactionState {
            status: TransactionStatus::PrepareAbort,
            marked_by: Some(Producer { id: 3, epoch: 5 }),
            previous: Some(Producer { id: 3, epoch: 4 }),
            ..ongoing.clone()
        };
        for state in [Some(ongoing), Some(ended), Some(prepared), None] {
            let record = encode(&id, state.as_ref(), now);
            assert_eq!(decode(Offset::ZERO, &record), Ok((id.clone(), state)));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let id: TransactionalId = "a".parse().unwrap();
        let mut record = encode(&id, Some(&ongoing()), Timestamp::from_millis(9));
        record.value = Some(Bytes::from_static(b"{}"));
        let error = decode(Offset::ZERO.plus(9), &record).unwrap_err().to_string();
        assert!(error.contains("__factum_transactions@9") && error.contains("producer"), "{error}");
        record.key = Some(Bytes::new());
        assert!(decode(Offset::ZERO, &record).is_err());
    }

    #[test]
    fn a_transaction_expires_by_when_it_has_begun() {
        let state = ongoing();
        assert_eq!(state.expires_at(), Some(Timestamp::from_millis(60_005)));
        let later = state.begun(Timestamp::from_millis(1_000));
        assert_eq!(later.expires_at(), state.expires_at());
        assert_eq!(
            state.ended(TransactionStatus::CompleteAbort, state.changed_at).expires_at(),
            None
        );
    }
}
