//! DescribeTransactions, API 65 (KIP-664).
//!
//! Kafka's names of the parts (`TransactionState`, `TopicData`) are others' too, and are longer
//! here.

use crate::Str;
use crate::table::message;

message! {
    /// Asks how transactions stand.
    pub struct DescribeTransactionsRequest {
        /// The transactional ids.
        transactional_ids: Vec<Str> [0..];
    }

    /// Tells how transactions stand.
    pub struct DescribeTransactionsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The transactions.
        transaction_states: Vec<DescribedTransaction> [0..];
    }

    /// How one transaction stands.
    pub struct DescribedTransaction {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The transactional id.
        transactional_id: Str [0..];
        /// The transaction's state, in Kafka's words.
        transaction_state: Str [0..];
        /// How long a transaction may stay open before the broker aborts it.
        transaction_timeout_ms: i32 [0..];
        /// When the transaction began, or -1.
        transaction_start_time_ms: i64 [0..];
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i16 [0..];
        /// The partitions in the transaction; while it ends, those without their marker.
        topics: Vec<DescribedTransactionTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct DescribedTransactionTopic {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions' numbers.
        partitions: Vec<i32> [0..];
    }
}
