//! What the broker's errors are on Kafka's wire: the one mapping to its codes.

use factum_broker::groups::GroupError;
use factum_broker::{AdminError, CommitError, LocateError, ProduceError, SequenceError};
use factum_event::batch::BatchError;
use factum_log::ReadError;
use factum_wire::ErrorCode;

pub(super) fn produce(error: &ProduceError) -> ErrorCode {
    match error {
        ProduceError::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
        ProduceError::Internal(_) => ErrorCode::TopicAuthorizationFailed,
        ProduceError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        ProduceError::Batch(error) => batch(error),
        ProduceError::Sequence(SequenceError::OutOfOrder { .. }) => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        ProduceError::Sequence(SequenceError::StaleEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        ProduceError::Transactional => ErrorCode::InvalidRequest,
        ProduceError::Timestamp { .. } | ProduceError::AppendTime => ErrorCode::InvalidTimestamp,
        ProduceError::NoKey { .. } => ErrorCode::InvalidRecord,
        ProduceError::Log(_) => ErrorCode::KafkaStorageError,
        _ => ErrorCode::UnknownServerError,
    }
}

pub(super) fn batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Crc { .. } | BatchError::Truncated { .. } | BatchError::Length { .. } => {
            ErrorCode::CorruptMessage
        }
        BatchError::Magic { .. } => ErrorCode::UnsupportedForMessageFormat,
        BatchError::Codec { .. } => ErrorCode::UnsupportedCompressionType,
        _ => ErrorCode::InvalidRecord,
    }
}

pub(super) fn admin(error: &AdminError) -> ErrorCode {
    match error {
        AdminError::UnknownTopic(_) | AdminError::UnknownPartition { .. } => {
            ErrorCode::UnknownTopicOrPartition
        }
        AdminError::TopicExists(_) => ErrorCode::TopicAlreadyExists,
        AdminError::Internal(_) => ErrorCode::TopicAuthorizationFailed,
        AdminError::Partitions { .. } => ErrorCode::InvalidPartitions,
        AdminError::Config(_) => ErrorCode::InvalidConfig,
        AdminError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        AdminError::Compacted(_) => ErrorCode::PolicyViolation,
        AdminError::Produce(_) | AdminError::Fold(_) | AdminError::Trim(_) => {
            ErrorCode::KafkaStorageError
        }
        _ => ErrorCode::UnknownServerError,
    }
}

pub(super) fn commit(error: &CommitError) -> ErrorCode {
    match error {
        CommitError::UnknownPartition { .. } => ErrorCode::UnknownTopicOrPartition,
        CommitError::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
        CommitError::TooMany { .. } => ErrorCode::PolicyViolation,
        CommitError::Group(error) => group(error),
        CommitError::Produce(_) | CommitError::Fold(_) => ErrorCode::KafkaStorageError,
        _ => ErrorCode::UnknownServerError,
    }
}

pub(super) fn group(error: &GroupError) -> ErrorCode {
    ErrorCode::try_from(error.code()).unwrap_or(ErrorCode::UnknownServerError)
}

pub(super) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
        _ => ErrorCode::KafkaStorageError,
    }
}

pub(super) fn locate(error: &LocateError) -> ErrorCode {
    match error {
        LocateError::Read(error) => read(error),
        LocateError::Batch(error) => batch(error),
        _ => ErrorCode::UnknownServerError,
    }
}
