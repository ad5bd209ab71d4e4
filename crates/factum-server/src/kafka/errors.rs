//! What the broker's errors are on Kafka's wire: the one mapping to its codes.

use factum_broker::broker_config::InvalidBrokerConfig;
use factum_broker::groups::GroupError;
use factum_broker::{
    AdminError, CommitError, InvalidGroupConfig, LocateError, ProduceError, RefusedTransaction,
    SequenceError, TransactionError,
};
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
        // Odd, but what Kafka says.
        ProduceError::NoTransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        ProduceError::Transaction(error) => refused_write(error),
        ProduceError::Timestamp { .. } | ProduceError::AppendTime => ErrorCode::InvalidTimestamp,
        ProduceError::NoKey { .. } => ErrorCode::InvalidRecord,
        ProduceError::Mirrored { .. } | ProduceError::NotMirrored(_) => ErrorCode::PolicyViolation,
        ProduceError::CopyOffset { .. } => ErrorCode::OffsetOutOfRange,
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
        AdminError::NameCollides { .. } => ErrorCode::InvalidTopicException,
        AdminError::Internal(_) => ErrorCode::TopicAuthorizationFailed,
        AdminError::Partitions { .. } => ErrorCode::InvalidPartitions,
        AdminError::Config(_) | AdminError::BrokerConfig(InvalidBrokerConfig::Edit(_)) => {
            ErrorCode::InvalidConfig
        }
        AdminError::GroupConfig(InvalidGroupConfig::TooMany { .. }) => ErrorCode::PolicyViolation,
        AdminError::GroupConfig(_) => ErrorCode::InvalidConfig,
        // Kafka's code too, since nothing was wrong with the request but what it asks for.
        AdminError::BrokerConfig(_) => ErrorCode::InvalidRequest,
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

/// Why a producer may not write in a transaction; Produce has its own code for a stale epoch.
fn refused_write(error: &RefusedTransaction) -> ErrorCode {
    match error {
        RefusedTransaction::Fenced { .. } => ErrorCode::InvalidProducerEpoch,
        error => refused(error),
    }
}

fn refused(error: &RefusedTransaction) -> ErrorCode {
    match error {
        RefusedTransaction::NotItsProducer { .. } => ErrorCode::InvalidProducerIdMapping,
        RefusedTransaction::Fenced { .. } => ErrorCode::ProducerFenced,
        RefusedTransaction::NotAdded { .. } => ErrorCode::TransactionAbortable,
        RefusedTransaction::State { .. } | RefusedTransaction::NotTransactional { .. } => {
            ErrorCode::InvalidTxnState
        }
        _ => ErrorCode::UnknownServerError,
    }
}

/// Clients of before KIP-890 do not know that a transaction can be aborted and its producer go on.
pub(super) fn unless_abortable(code: ErrorCode, knows_abortable: bool) -> ErrorCode {
    match code {
        ErrorCode::TransactionAbortable if !knows_abortable => ErrorCode::InvalidTxnState,
        code => code,
    }
}

/// Clients of before `fencing` know no code for it but that of a stale epoch.
pub(super) fn transaction(error: &TransactionError, knows_fencing: bool) -> ErrorCode {
    match error {
        TransactionError::Refused(RefusedTransaction::Fenced { .. }) if !knows_fencing => {
            ErrorCode::InvalidProducerEpoch
        }
        TransactionError::Refused(error) => refused(error),
        TransactionError::Timeout { .. } => ErrorCode::InvalidTransactionTimeout,
        TransactionError::TooManyIds { .. } => ErrorCode::PolicyViolation,
        TransactionError::Commit(error) => commit(error),
        TransactionError::Produce(ProduceError::TooLarge { .. }) => ErrorCode::InvalidRequest,
        TransactionError::Produce(error) => produce(error),
        TransactionError::ProducerId(error) => admin(error),
        TransactionError::Fold(_) => ErrorCode::KafkaStorageError,
        _ => ErrorCode::UnknownServerError,
    }
}

pub(super) fn group(error: &GroupError) -> ErrorCode {
    ErrorCode::try_from(error.code()).unwrap_or(ErrorCode::UnknownServerError)
}

pub(super) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Removed => ErrorCode::UnknownTopicOrPartition,
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
