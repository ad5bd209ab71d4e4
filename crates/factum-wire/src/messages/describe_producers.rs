//! DescribeProducers, API 61 (KIP-664).
//!
//! Kafka's names of the parts (`TopicRequest`, `ProducerState`, …) are too short to stand beside
//! other messages, and are longer here.

use crate::Str;
use crate::table::message;

message! {
    /// Asks who has written to partitions.
    pub struct DescribeProducersRequest {
        /// The topics.
        topics: Vec<DescribeProducersRequestTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct DescribeProducersRequestTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions' numbers.
        partition_indexes: Vec<i32> [0..];
    }

    /// Lists who has written to partitions.
    pub struct DescribeProducersResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<DescribeProducersResponseTopic> [0..];
    }

    /// The producers of one topic.
    pub struct DescribeProducersResponseTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<DescribeProducersResponsePartition> [0..];
    }

    /// The producers of one partition.
    pub struct DescribeProducersResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// The producers.
        active_producers: Vec<ActiveProducer> [0..];
    }

    /// A producer, as one partition knows it.
    pub struct ActiveProducer {
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i32 [0..];
        /// The sequence of its last record, or -1.
        last_sequence: i32 [0..] = -1;
        /// The time of its last record, or -1.
        last_timestamp: i64 [0..] = -1;
        /// The epoch of the coordinator that ended its last transaction.
        coordinator_epoch: i32 [0..];
        /// Where its open transaction begins, or -1.
        current_txn_start_offset: i64 [0..] = -1;
    }
}
