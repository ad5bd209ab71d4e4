//! Appending record batches: who may write what, at which sequence, and then into the log.
//!
//! It has two steps, so that a connection can keep the order of its requests and still overlap
//! them: [`Broker::enqueue`] fixes the offset, and the [`Pending`] that it returns completes once
//! the batch is durable.

use std::sync::Arc;

use factum_event::batch::{Batch, BatchBuilder, BatchError, Codec, Outcome, record_bytes};
use factum_event::{Offset, Partition, Record, Timestamp, TopicName};
use factum_log::{AppendError, Appending, Log, PartitionId, Reservation};
use thiserror::Error;

use crate::locate::UNPACKED_LIMIT;
use crate::producer_state::{SequenceError, Verdict};
use crate::topic::{Topic, TopicPartition};
use crate::topic_config::TimestampType;
use crate::transactions::RefusedTransaction;
use crate::{Broker, admission};

/// Where a batch was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// When the log took it; unknown for a repetition of an earlier batch.
    pub appended_at: Timestamp,
    /// The time that its records have, where the topic gives them the broker's; unknown for a
    /// repetition.
    pub append_time: Option<Timestamp>,
}

/// Why a batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The topic has no such partition, or is gone.
    #[error("topic {topic} has no partition {partition}, or was deleted")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: Partition,
    },
    /// Only Factum writes to its own topics.
    #[error("{0} is one of Factum's own topics; only Factum writes to it")]
    Internal(TopicName),
    /// Larger than `max.message.bytes` of the topic.
    #[error("a batch of {bytes} bytes is more than max.message.bytes of {topic}, which is {limit}")]
    TooLarge {
        /// The topic.
        topic: TopicName,
        /// What came.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not a batch that a producer may send.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Part of a transaction, and nobody says of which.
    #[error("the batch is part of a transaction; the request has no transactional id")]
    NoTransactionalId,
    /// Its producer's transaction does not take it.
    #[error(transparent)]
    Transaction(#[from] RefusedTransaction),
    /// Before or after what the topic takes.
    #[error(
        "timestamp {came} is not from {earliest} to {latest}, as {topic} asks for by \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms"
    )]
    Timestamp {
        /// The topic.
        topic: TopicName,
        /// Which records are to blame, from 0; none where it is the largest timestamp of the batch.
        records: Vec<i32>,
        /// What came first, in milliseconds.
        came: i64,
        /// The earliest that is taken, in milliseconds.
        earliest: i64,
        /// The latest that is taken, in milliseconds.
        latest: i64,
    },
    /// Timestamps of a kind that only a broker gives.
    #[error("the batch says that its timestamps are the broker's; only the broker sets that")]
    AppendTime,
    /// A compacted topic takes only what has a key.
    #[error("records {} without a key are not for {topic}: it is compacted", some(.records))]
    NoKey {
        /// The topic.
        topic: TopicName,
        /// Which records, from 0.
        records: Vec<i32>,
    },
    /// A topic that is a copy of another takes nothing else.
    #[error(
        "{topic} is a copy of {source_topic} and takes records from `factum mirror` only; unset its \
         setting factum.mirror.source to end that"
    )]
    Mirrored {
        /// The topic.
        topic: TopicName,
        /// What it is a copy of.
        source_topic: String,
    },
    /// Copies are only for a topic that is one.
    #[error("{0} is no copy of another topic: its setting factum.mirror.source is not set")]
    NotMirrored(TopicName),
    /// A copy belongs at the end of the partition.
    #[error("a copy has offset {came}; the partition goes on at {expected}")]
    CopyOffset {
        /// The end of the partition.
        expected: Offset,
        /// What came.
        came: i64,
    },
    /// Out of its producer's sequence.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The log takes nothing.
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl ProduceError {
    /// The records that are to blame, from 0; none where it is the batch as a whole.
    #[must_use]
    pub fn records(&self) -> &[i32] {
        match self {
            Self::Timestamp { records, .. } | Self::NoKey { records, .. } => records,
            Self::Batch(BatchError::Record { index, .. }) => std::slice::from_ref(index),
            _ => &[],
        }
    }
}

/// The first of these numbers, as text.
fn some(numbers: &[i32]) -> String {
    let first: Vec<_> = numbers.iter().take(3).map(ToString::to_string).collect();
    let more = if numbers.len() > first.len() { ", …" } else { "" };
    first.join(", ") + more
}

/// A batch that has its offset and is on its way to the disk.
pub enum Pending {
    /// Queued by this call.
    Appending {
        /// Tells when it is durable.
        appending: Appending,
        /// The time that its records have, where the topic gives them the broker's.
        append_time: Option<Timestamp>,
    },
    /// Queued by an earlier call, which may still be on its way.
    Duplicate {
        /// Where the log tells that it is durable.
        log: Log,
        /// The partition.
        partition: PartitionId,
        /// Offset of the first record.
        base_offset: Offset,
        /// Offset of the last record.
        last_offset: Offset,
    },
}

impl Pending {
    /// The offset that its first record has.
    pub(crate) const fn base_offset(&self) -> Offset {
        match self {
            Self::Appending { appending, .. } => appending.base_offset(),
            Self::Duplicate { base_offset, .. } => *base_offset,
        }
    }

    /// Waits until the batch is durable.
    ///
    /// # Errors
    /// [`ProduceError::Log`] if it never will be.
    pub async fn durable(self) -> Result<Produced, ProduceError> {
        match self {
            Self::Appending { appending, append_time } => {
                let appended = appending.await?;
                let (base_offset, appended_at) = (appended.base_offset, appended.appended_at);
                Ok(Produced { base_offset, appended_at, append_time })
            }
            Self::Duplicate { log, partition, base_offset, last_offset } => {
                wait_until_durable(&log, partition, last_offset).await?;
                Ok(Produced { base_offset, appended_at: Timestamp::UNKNOWN, append_time: None })
            }
        }
    }
}

pub(crate) async fn wait_until_durable(
    log: &Log,
    partition: PartitionId,
    last_offset: Offset,
) -> Result<(), AppendError> {
    let mut waiter = log.waiter(&[partition]);
    while log.extent(partition).end <= last_offset {
        if let Some(reason) = log.failure() {
            return Err(AppendError::Failed(reason));
        }
        // Neither becomes durable any more, and nobody would say so.
        if log.is_removed(partition.topic) {
            return Err(AppendError::Removed);
        }
        if log.is_closed() {
            return Err(AppendError::Closed);
        }
        waiter.changed().await;
    }
    Ok(())
}

impl Broker {
    /// Checks a client's batch and queues it; its offset is fixed when this returns.
    ///
    /// # Errors
    /// [`ProduceError`]; nothing was appended then.
    pub async fn enqueue(
        &self,
        topic: &Topic,
        partition: Partition,
        batch: Batch,
    ) -> Result<Pending, ProduceError> {
        if batch.is_copy() {
            return self.enqueue_copy(topic, partition, batch).await;
        }
        let batch = self.admit(topic, batch)?;
        if batch.header().attributes.is_transactional() {
            return Err(ProduceError::NoTransactionalId);
        }
        self.enqueue_checked(topic, partition, batch, Passing::Plain).await
    }

    /// Checks a client's batch against the settings of its topic; answers it as it is to be
    /// stored.
    pub(crate) fn admit(&self, topic: &Topic, batch: Batch) -> Result<Batch, ProduceError> {
        if topic.name.is_internal() {
            return Err(ProduceError::Internal(topic.name.clone()));
        }
        if let Some(source_topic) = topic.settings.mirror_source.clone() {
            return Err(ProduceError::Mirrored { topic: topic.name.clone(), source_topic });
        }
        batch.check_producible()?;
        let now = self.clock().now();
        admission::check(topic, &batch, now)?;
        check_size(topic, &batch)?;
        let batch = match topic.settings.compression {
            Some(codec) => batch.with_codec(codec, UNPACKED_LIMIT)?,
            None => batch,
        };
        Ok(match topic.settings.timestamp_type {
            TimestampType::CreateTime => batch,
            TimestampType::LogAppendTime => batch.with_append_time(now),
        })
    }

    /// A partition of a topic.
    pub(crate) fn target<'a>(
        &self,
        topic: &'a Topic,
        partition: Partition,
    ) -> Result<&'a Arc<TopicPartition>, ProduceError> {
        let gone = || ProduceError::UnknownPartition { topic: topic.name.clone(), partition };
        topic.partition(partition).ok_or_else(gone)
    }

    /// Queues a batch that Factum made itself, or that was checked.
    pub(crate) async fn enqueue_checked(
        &self,
        topic: &Topic,
        partition: Partition,
        batch: Batch,
        how: Passing,
    ) -> Result<Pending, ProduceError> {
        let target = self.target(topic, partition)?;
        check_size(topic, &batch)?;
        let room = self.log().reserve(batch.len()).await?;
        let passed = pass_gate(self.log(), target, batch, room, self.clock().now(), how)?;
        let gone = || ProduceError::UnknownPartition { topic: topic.name.clone(), partition };
        passed.ok_or_else(gone)
    }
}

fn check_size(topic: &Topic, batch: &Batch) -> Result<(), ProduceError> {
    let (bytes, limit) = (batch.len(), topic.settings.max_message_bytes);
    if bytes <= limit {
        return Ok(());
    }
    Err(ProduceError::TooLarge { topic: topic.name.clone(), bytes, limit })
}

/// As what a batch passes into a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Passing {
    /// As a batch of no transaction.
    Plain,
    /// As part of its producer's transaction; where the producer is not known there, its first
    /// sequence may have to be 0.
    Transactional { first_is_zero: bool },
    /// As the end of its producer's transaction.
    Marker(Outcome),
    /// As a copy, which must fit the partition's end.
    Copy,
}

/// Judges and queues in one step; none if the topic was deleted meanwhile.
pub(crate) fn pass_gate(
    log: &Log,
    target: &TopicPartition,
    batch: Batch,
    room: Reservation,
    now: Timestamp,
    how: Passing,
) -> Result<Option<Pending>, ProduceError> {
    let partition = target.id;
    let header = *batch.header();
    let producer_id = header.producer_id;
    let append_time = header.attributes.is_log_append_time().then_some(header.max_timestamp);
    let mut gate = target.gate.lock();
    if gate.closed {
        return Ok(None);
    }
    let verdict = match how {
        Passing::Plain if gate.transactions.is_open(producer_id) => {
            return Err(RefusedTransaction::NotTransactional { producer_id }.into());
        }
        Passing::Plain => gate.producers.judge(&header, false)?,
        Passing::Transactional { first_is_zero } => gate.producers.judge(&header, first_is_zero)?,
        Passing::Marker(_) => Verdict::Append,
        Passing::Copy => {
            let (expected, came) = (log.next_offset(partition), header.base_offset);
            if came != expected.get() {
                return Err(ProduceError::CopyOffset { expected, came });
            }
            Verdict::Append
        }
    };
    match verdict {
        Verdict::Append => {
            let appending = log.append(room, partition, batch)?;
            let base_offset = appending.base_offset();
            gate.producers.appended(&header, base_offset, now);
            match how {
                Passing::Plain | Passing::Copy => {}
                Passing::Transactional { .. } => {
                    let next = base_offset.plus(header.offsets());
                    gate.transactions.wrote(producer_id, base_offset, next);
                }
                Passing::Marker(outcome) => {
                    gate.transactions.ended(producer_id, base_offset, outcome);
                }
            }
            Ok(Some(Pending::Appending { appending, append_time }))
        }
        Verdict::Duplicate { base_offset, last_offset } => {
            let log = log.clone();
            Ok(Some(Pending::Duplicate { log, partition, base_offset, last_offset }))
        }
    }
}

/// Packs records, in their order, into uncompressed batches of at most `limit` bytes; a record
/// that is larger stands alone, for the broker to refuse.
pub(crate) fn batches<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    limit: usize,
) -> Result<Vec<Batch>, BatchError> {
    let mut done = Vec::new();
    let mut builder = BatchBuilder::new(Codec::None, None);
    for record in records {
        if !builder.is_empty() && builder.bytes() + record_bytes(record) > limit {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None, None));
            done.push(full.build()?);
        }
        builder.push(record);
    }
    if !builder.is_empty() {
        done.push(builder.build()?);
    }
    Ok(done)
}
