//! Why something of a transaction is refused.

use std::time::Duration;

use thiserror::Error;

use super::state::{Producer, TransactionStatus};
use crate::admin::AdminError;
use crate::commits::CommitError;
use crate::fold::FoldError;
use crate::produce::ProduceError;

/// Why a producer may not do something in a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefusedTransaction {
    /// The id is not known, or another producer has it.
    #[error("transactional id {id} does not have producer {came}; initialize the producer again")]
    NotItsProducer {
        /// The transactional id.
        id: String,
        /// The producer id that came.
        came: i64,
    },
    /// A newer instance has taken the id over, or the transaction took too long.
    #[error(
        "transactional id {id}: producer {} epoch {} is fenced off; the current epoch is {current}",
        came.id, came.epoch
    )]
    Fenced {
        /// The transactional id.
        id: String,
        /// Who came.
        came: Producer,
        /// The epoch that may write.
        current: i16,
    },
    /// The transaction does not stand where this can be done.
    #[error("transactional id {id} is {}: {expected}", status.name())]
    State {
        /// The transactional id.
        id: String,
        /// Where it stands.
        status: TransactionStatus,
        /// What would have to be.
        expected: &'static str,
    },
    /// What is to be part of the transaction was not added to it before.
    #[error("transactional id {id} is {}: {what} must be added to its transaction before", status.name())]
    NotAdded {
        /// The transactional id.
        id: String,
        /// Where it stands.
        status: TransactionStatus,
        /// What was not added.
        what: &'static str,
    },
    /// The batch is not part of the transaction that its producer has open in the partition.
    #[error(
        "producer {producer_id} has an open transaction in the partition; this is not part of it"
    )]
    NotTransactional {
        /// The producer.
        producer_id: i64,
    },
}

/// Why something was not done in a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The producer may not.
    #[error(transparent)]
    Refused(#[from] RefusedTransaction),
    /// A transaction may not take so long.
    #[error("transaction.timeout.ms of {} ms; it is 1 to {} ms", came.as_millis(), max.as_millis())]
    Timeout {
        /// What came.
        came: Duration,
        /// The longest that is allowed.
        max: Duration,
    },
    /// As many ids as are kept.
    #[error("{limit} transactional ids are kept already; those not used for some days go")]
    TooManyIds {
        /// The limit.
        limit: usize,
    },
    /// An offset cannot be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The log takes nothing.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// No producer id could be given.
    #[error(transparent)]
    ProducerId(#[from] Box<AdminError>),
    /// It is durable, but could not be applied; a restart applies it.
    #[error(transparent)]
    Fold(#[from] FoldError),
}
