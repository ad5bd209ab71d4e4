//! AddPartitionsToTxn, API 24.
//!
//! * 2: a fenced producer is told so. 3: flexible.
//! * 4: several transactions at once, and asking without adding, both for brokers:
//!   `transactions` takes the place of the fields for one, whose names Kafka begins with
//!   `v3_and_below`. 5: another error code (KIP-890).

use crate::Str;
use crate::table::message;

message! {
    /// Asks to take partitions into transactions.
    pub struct AddPartitionsToTxnRequest {
        /// The transactions.
        transactions: Vec<AddPartitionsToTxnTransaction> [4..];
        /// The transactional id.
        v3_and_below_transactional_id: Str [0..=3];
        /// The producer's id.
        v3_and_below_producer_id: i64 [0..=3];
        /// The producer's epoch.
        v3_and_below_producer_epoch: i16 [0..=3];
        /// The partitions to add.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0..=3];
    }

    /// One of several transactions.
    pub struct AddPartitionsToTxnTransaction {
        /// The transactional id.
        transactional_id: Str [4..];
        /// The producer's id.
        producer_id: i64 [4..];
        /// The producer's epoch.
        producer_epoch: i16 [4..];
        /// Whether only to ask if the partitions are in the transaction.
        verify_only: bool [4..];
        /// The partitions.
        topics: Vec<AddPartitionsToTxnTopic> [4..];
    }

    /// Partitions of one topic.
    pub struct AddPartitionsToTxnTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions' numbers.
        partitions: Vec<i32> [0..];
    }

    /// Tells which partitions are in their transactions.
    pub struct AddPartitionsToTxnResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong with the whole request, or 0.
        error_code: i16 [4..];
        /// The transactions.
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4..];
        /// The topics of the one transaction.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0..=3];
    }

    /// What became of one of several transactions.
    pub struct AddPartitionsToTxnResult {
        /// The transactional id.
        transactional_id: Str [4..];
        /// The topics.
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4..];
    }

    /// What became of one topic.
    pub struct AddPartitionsToTxnTopicResult {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0..];
    }

    /// What became of one partition.
    pub struct AddPartitionsToTxnPartitionResult {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        partition_error_code: i16 [0..];
    }
}
