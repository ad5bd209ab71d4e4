//! ListPartitionReassignments, API 46 (KIP-455).

use crate::Str;
use crate::table::message;

message! {
    /// Asks which partitions are moving.
    pub struct ListPartitionReassignmentsRequest {
        /// How long the broker may take.
        timeout_ms: i32 [0..] = 60000;
        /// The topics; null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0..];
    }

    /// Partitions of one topic.
    pub struct ListPartitionReassignmentsTopics {
        /// The topic's name.
        name: Str [0..];
        /// The partitions' numbers.
        partition_indexes: Vec<i32> [0..];
    }

    /// Lists which partitions are moving.
    pub struct ListPartitionReassignmentsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// The topics.
        topics: Vec<OngoingTopicReassignment> [0..];
    }

    /// The moves in one topic.
    pub struct OngoingTopicReassignment {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<OngoingPartitionReassignment> [0..];
    }

    /// A partition that is moving.
    pub struct OngoingPartitionReassignment {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The brokers that have it.
        replicas: Vec<i32> [0..];
        /// Those of them that are new.
        adding_replicas: Vec<i32> [0..];
        /// Those of them that will have it no longer.
        removing_replicas: Vec<i32> [0..];
    }
}
