//! [`EventLog`]: the one trait that everything above the log talks to.
//!
//! It has two verbs for events, *append* and *read*, and the administration of what they work
//! on. An implementation keeps three promises: what `append` has answered is durable; `read`
//! returns only what is durable; offsets of a partition grow and are never used twice.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use thiserror::Error;

use crate::access::{Operation, Principal};
use crate::record::Outgoing;
use crate::{
    GroupName, InvalidName, Offset, Partition, Place, Position, StoredRecord, Timestamp, TopicId,
    TopicName,
};

/// A boxed future, so that [`EventLog`] can be used as `dyn EventLog`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the operations of a log answer.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// A partition of a topic.
pub type TopicPartition = (TopicName, Partition);

/// A durable log of topics with partitions.
///
/// Dropping a future of this trait gives up waiting for the answer; an append that has begun may
/// still happen.
pub trait EventLog: Send + Sync + 'static {
    /// Creates a topic, durably.
    ///
    /// # Errors
    /// [`LogError::TopicExists`], [`LogError::InvalidRequest`].
    fn create_topic(&self, topic: NewTopic) -> BoxFuture<'_, Result<TopicInfo>>;

    /// Raises the number of partitions of a topic to `total`, durably.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`]; [`LogError::InvalidRequest`] if `total` is not larger than now.
    fn grow_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        total: u32,
    ) -> BoxFuture<'a, Result<TopicInfo>>;

    /// Deletes a topic with its records.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    fn delete_topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<()>>;

    /// Changes settings of a topic, durably: sets some, and puts others back to their defaults.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`]; [`LogError::InvalidRequest`] for a setting or value that the
    /// topic cannot have; nothing was changed then.
    fn configure_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        set: BTreeMap<String, String>,
        unset: BTreeSet<String>,
    ) -> BoxFuture<'a, Result<TopicInfo>>;

    /// All settings of a topic, defaults included, by name.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    fn topic_settings<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> BoxFuture<'a, Result<Vec<SettingInfo>>>;

    /// Deletes the records of partitions before an offset each, durably, for good. An offset
    /// below the start of its partition deletes nothing.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`],
    /// [`LogError::OffsetOutOfRange`] beyond the end, [`LogError::InvalidRequest`] on a topic
    /// that is only compacted; nothing was deleted then.
    fn delete_records<'a>(
        &'a self,
        topic: &'a TopicName,
        before: BTreeMap<Partition, Offset>,
    ) -> BoxFuture<'a, Result<TopicInfo>>;

    /// All topics, by name, Factum's own included.
    fn topics(&self) -> BoxFuture<'_, Result<Vec<TopicInfo>>>;

    /// One topic.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    fn topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<TopicInfo>>;

    /// Appends records, and answers once they are durable, with their positions in their order.
    ///
    /// What is refused (an unknown partition, a record that is too large) is refused before
    /// anything is appended. Records of one partition keep their order.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], [`LogError::RecordTooLarge`],
    /// [`LogError::Storage`].
    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'a, Result<Vec<Position>>>;

    /// Reads records from `from` on, without waiting. At the end of the partition the answer
    /// has no records. At least one record is returned if there is one, even above the limit.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], [`LogError::OffsetOutOfRange`],
    /// [`LogError::Undecodable`], [`LogError::Storage`].
    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<Chunk>>;

    /// Completes when there is something to read at `from`, or the topic is gone.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    fn arrival<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
    ) -> BoxFuture<'a, Result<()>>;

    /// Looks up a place in a partition.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], [`LogError::Storage`].
    fn locate<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        place: Place,
    ) -> BoxFuture<'a, Result<Located>>;

    /// Joins a consumer group as a member that shares the partitions of `topics` with the others,
    /// Kafka clients among them.
    ///
    /// # Errors
    /// [`LogError::InvalidRequest`] where the group's members speak another protocol.
    fn join<'a>(
        &'a self,
        group: &'a GroupName,
        topics: Vec<TopicName>,
        start: Start,
    ) -> BoxFuture<'a, Result<Box<dyn GroupMember>>>;

    /// All groups, by name.
    fn groups(&self) -> BoxFuture<'_, Result<Vec<GroupInfo>>>;

    /// One group with its members and committed offsets.
    ///
    /// # Errors
    /// [`LogError::UnknownGroup`].
    fn group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<GroupInfo>>;

    /// Sets committed offsets of a group that has no members, durably.
    ///
    /// # Errors
    /// [`LogError::GroupNotEmpty`], [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    fn commit<'a>(
        &'a self,
        group: &'a GroupName,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Deletes a group that has no members, with its offsets.
    ///
    /// # Errors
    /// [`LogError::UnknownGroup`], [`LogError::GroupNotEmpty`].
    fn delete_group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<()>>;
}

/// A member of a consumer group. Dropping it leaves the group.
pub trait GroupMember: Send {
    /// The next records of the partitions that this member has, in the order of each partition;
    /// waits for them, and takes part in rebalances while it waits.
    ///
    /// # Errors
    /// [`LogError::Storage`], [`LogError::Fenced`].
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<StoredRecord>>>;

    /// Commits, durably, that everything that [`next`](Self::next) has returned was processed.
    ///
    /// # Errors
    /// [`LogError::Fenced`] where the partitions have since gone to another member: what was
    /// not committed is delivered there again.
    fn commit(&mut self) -> BoxFuture<'_, Result<()>>;

    /// The partitions that this member has now.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Leaves the group, so that others take over at once.
    fn leave(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; without a number the log's default.
    pub partitions: Option<u32>,
    /// Settings by Kafka's names, such as `max.message.bytes`.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with one partition and the log's defaults.
    #[must_use]
    pub fn named(name: TopicName) -> Self {
        Self { name, partitions: Some(1), configs: BTreeMap::new() }
    }
}

/// What a log says of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Its identity; another one after it was deleted and created again.
    pub id: TopicId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Settings that differ from the defaults.
    pub configs: BTreeMap<String, String>,
    /// Its partitions in their order.
    pub partitions: Vec<PartitionInfo>,
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingInfo {
    /// Its name, as Kafka calls it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where the value comes from.
    pub source: SettingSource,
    /// What it does.
    pub doc: String,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The topic sets it.
    Topic,
    /// The topic does not set it, the broker does for all that do not.
    Broker,
    /// Nobody sets it.
    Default,
}

/// The extent of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// The partition's number.
    pub partition: Partition,
    /// The first offset that is kept.
    pub start: Offset,
    /// The offset that the next record will have; everything before it is durable.
    pub end: Offset,
}

/// How much one read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Bytes; at least one record is returned all the same.
    pub bytes: u32,
    /// Records.
    pub records: u32,
}

impl Default for ReadLimit {
    /// 1 MiB, 10,000 records.
    fn default() -> Self {
        Self { bytes: 1 << 20, records: 10_000 }
    }
}

/// What one read returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The records, in their order.
    pub records: Vec<StoredRecord>,
    /// Where to read on.
    pub next: Offset,
    /// The end of the partition when it was read.
    pub end: Offset,
}

/// A place that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The offset.
    pub offset: Offset,
    /// The timestamp of the record there, for lookups by time that found one.
    pub timestamp: Option<Timestamp>,
}

/// Where a group begins in a partition for which it has no committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the first record that is kept.
    #[default]
    Earliest,
    /// With records that come after it joined.
    Latest,
}

/// What a log says of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    /// Its name.
    pub name: GroupName,
    /// Its state.
    pub state: GroupState,
    /// Its members, by id.
    pub members: Vec<MemberInfo>,
    /// Committed offsets and how far they are behind.
    pub offsets: Vec<GroupOffset>,
}

/// The states of a group, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum GroupState {
    /// No members; it may have offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Members wait for the leader's assignment.
    CompletingRebalance,
    /// Members have come or gone, or topics have changed, and nothing is assigned anew yet; of the
    /// consumer protocol only.
    Assigning,
    /// Members give up and take over partitions; of the consumer protocol only.
    Reconciling,
    /// Every member has its partitions.
    Stable,
    /// Being deleted.
    Dead,
}

impl GroupState {
    /// Kafka's name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberInfo {
    /// The id that the coordinator gave it.
    pub id: String,
    /// How its client calls itself.
    pub client_id: String,
    /// Where it came from.
    pub client_host: String,
    /// The partitions that it has; empty where the protocol is not Kafka's consumer protocol.
    pub partitions: Vec<TopicPartition>,
}

/// A committed offset of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The offset of the next record to process.
    pub offset: Offset,
    /// Records between it and the end of the partition; none if the topic is gone.
    pub lag: Option<u64>,
}

/// Why a log refused or failed, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// No topic of this name.
    #[error("there is no topic {0}; create it first, or check the name")]
    UnknownTopic(TopicName),
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}; it has {partitions}, counted from 0")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition asked for.
        partition: Partition,
        /// How many it has.
        partitions: usize,
    },
    /// A topic of this name is there already.
    #[error("topic {0} exists already; choose another name, or delete it first")]
    TopicExists(TopicName),
    /// Not in the partition.
    #[error("offset {from} is not in the partition, which has {start} to {end}; read from there")]
    OffsetOutOfRange {
        /// The offset asked for.
        from: Offset,
        /// The first offset that is kept.
        start: Offset,
        /// The end of the partition.
        end: Offset,
    },
    /// A batch above the topic's `max.message.bytes`.
    #[error("{bytes} bytes are more than max.message.bytes of {topic}, which is {limit}")]
    RecordTooLarge {
        /// The topic.
        topic: TopicName,
        /// What came.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A batch that is as its producer sent it, but cannot be decoded.
    #[error(
        "the batch at {topic}/{partition}@{offset} cannot be decoded ({reason}); \
         its producer sent it so; read on from {next}"
    )]
    Undecodable {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: Partition,
        /// Where the batch begins.
        offset: Offset,
        /// Where the next one begins.
        next: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// A request that contradicts itself or the log.
    #[error("{0}")]
    InvalidRequest(String),
    /// No group of this name.
    #[error("there is no consumer group {0}")]
    UnknownGroup(GroupName),
    /// The group has members.
    #[error("consumer group {0} has members; stop them first")]
    GroupNotEmpty(GroupName),
    /// The member is no longer part of the group's generation.
    #[error("this member has lost its partitions in a rebalance; read on from where it is now")]
    Fenced,
    /// The client may not do that.
    #[error(
        "{principal} may not {operation} {resource}; `factum acl explain` says why, \
         `factum acl allow` changes it"
    )]
    Forbidden {
        /// Who asks.
        principal: Principal,
        /// What it wants to do.
        operation: Operation,
        /// With what.
        resource: String,
    },
    /// The disk failed, or holds what it should not.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}

impl From<InvalidName> for LogError {
    fn from(error: InvalidName) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}
