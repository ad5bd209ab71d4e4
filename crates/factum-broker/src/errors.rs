//! What the broker's errors are to users of the [`EventLog`](factum_event::EventLog).

use factum_event::{LogError, TopicName};
use factum_log::{AppendError, ReadError};

use crate::groups::GroupError;
use crate::{AdminError, CommitError, FoldError, LocateError, ProduceError};

impl From<AdminError> for LogError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::UnknownTopic(topic) => Self::UnknownTopic(topic),
            AdminError::TopicExists(topic) => Self::TopicExists(topic),
            AdminError::UnknownPartition { topic, partition, partitions } => {
                Self::UnknownPartition { topic, partition, partitions: partitions as usize }
            }
            AdminError::OffsetOutOfRange { from, start, end } => {
                Self::OffsetOutOfRange { from, start, end }
            }
            AdminError::Trim(_) => Self::Storage(error.to_string()),
            AdminError::Internal(_)
            | AdminError::NameCollides { .. }
            | AdminError::Compacted(_)
            | AdminError::Partitions { .. }
            | AdminError::Config(_)
            | AdminError::BrokerConfig(_)
            | AdminError::GroupConfig(_)
            | AdminError::Event(_) => Self::InvalidRequest(error.to_string()),
            AdminError::Produce(error) => error.into(),
            AdminError::Fold(error) => error.into(),
        }
    }
}

impl From<ProduceError> for LogError {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::UnknownPartition { topic, .. } => Self::UnknownTopic(topic),
            ProduceError::TooLarge { topic, bytes, limit } => {
                Self::RecordTooLarge { topic, bytes, limit }
            }
            ProduceError::Log(error) => append_error(&error),
            ProduceError::Internal(_)
            | ProduceError::Batch(_)
            | ProduceError::NoTransactionalId
            | ProduceError::Transaction(_)
            | ProduceError::Timestamp { .. }
            | ProduceError::AppendTime
            | ProduceError::NoKey { .. }
            | ProduceError::Mirrored { .. }
            | ProduceError::NotMirrored(_)
            | ProduceError::CopyOffset { .. }
            | ProduceError::Sequence(_) => Self::InvalidRequest(error.to_string()),
        }
    }
}

impl From<CommitError> for LogError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::UnknownPartition { .. }
            | CommitError::MetadataTooLarge { .. }
            | CommitError::TooMany { .. } => Self::InvalidRequest(error.to_string()),
            CommitError::Group(error) => group_error(&error),
            CommitError::Produce(error) => error.into(),
            CommitError::Fold(error) => error.into(),
        }
    }
}

impl From<FoldError> for LogError {
    fn from(error: FoldError) -> Self {
        Self::Storage(error.to_string())
    }
}

fn append_error(error: &AppendError) -> LogError {
    match error {
        AppendError::Closed => LogError::Closed,
        _ => LogError::Storage(error.to_string()),
    }
}

/// What a failed look-up in a topic is.
pub(crate) fn locate_error(topic: &TopicName, error: LocateError) -> LogError {
    match error {
        LocateError::Read(error) => read_error(topic, error),
        LocateError::Batch(_) => LogError::Storage(error.to_string()),
    }
}

/// What a failed read of a topic is.
pub(crate) fn read_error(topic: &TopicName, error: ReadError) -> LogError {
    match error {
        ReadError::Removed => LogError::UnknownTopic(topic.clone()),
        ReadError::OutOfRange { from, start, end } => {
            LogError::OffsetOutOfRange { from, start, end }
        }
        ReadError::Closed => LogError::Closed,
        _ => LogError::Storage(error.to_string()),
    }
}

/// What a coordinator's refusal is to a member in this process.
pub(crate) fn group_error(error: &GroupError) -> LogError {
    match error {
        GroupError::UnknownMemberId
        | GroupError::IllegalGeneration { .. }
        | GroupError::RebalanceInProgress => LogError::Fenced,
        _ => LogError::InvalidRequest(error.to_string()),
    }
}
