//! CreatePartitions, API 37.
//!
//! * 2: flexible. 3: may be throttled by a quota (KIP-599).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for more partitions.
    pub struct CreatePartitionsRequest {
        /// The topics.
        topics: Vec<CreatePartitionsTopic> [0..];
        /// How long the broker may take.
        timeout_ms: i32 [0..];
        /// Whether to check only, and change nothing.
        validate_only: bool [0..];
    }

    /// A topic that shall have more partitions.
    pub struct CreatePartitionsTopic {
        /// The topic's name.
        name: Str [0..];
        /// How many partitions there shall be in all.
        count: i32 [0..];
        /// Which brokers take the new partitions; null lets the broker choose.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0..];
    }

    /// The brokers of one new partition.
    pub struct CreatePartitionsAssignment {
        /// The brokers of the partition's replicas, the preferred leader first.
        broker_ids: Vec<i32> [0..];
    }

    /// Tells which topics have more partitions.
    pub struct CreatePartitionsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What became of each topic.
        results: Vec<CreatePartitionsTopicResult> [0..];
    }

    /// What became of one topic.
    pub struct CreatePartitionsTopicResult {
        /// The topic's name.
        name: Str [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
