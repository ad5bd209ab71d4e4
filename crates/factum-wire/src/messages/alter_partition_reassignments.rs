//! AlterPartitionReassignments, API 45 (KIP-455).
//!
//! * 1: whether the number of replicas may change (KIP-860).

use crate::Str;
use crate::table::message;

message! {
    /// Asks to move partitions to other brokers.
    pub struct AlterPartitionReassignmentsRequest {
        /// How long the broker may take.
        timeout_ms: i32 [0..] = 60000;
        /// Whether the number of replicas may change.
        allow_replication_factor_change: bool [1..] = true;
        /// The topics.
        topics: Vec<ReassignableTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct ReassignableTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<ReassignablePartition> [0..];
    }

    /// A partition to move.
    pub struct ReassignablePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The brokers to move it to; null to stop a move.
        replicas: Option<Vec<i32>> [0..];
    }

    /// Tells which partitions are moving.
    pub struct AlterPartitionReassignmentsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// Whether the number of replicas was allowed to change.
        allow_replication_factor_change: bool [1..] = true;
        /// What went wrong with the whole request, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// The topics.
        responses: Vec<ReassignableTopicResponse> [0..];
    }

    /// What became of one topic.
    pub struct ReassignableTopicResponse {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<ReassignablePartitionResponse> [0..];
    }

    /// What became of one partition.
    pub struct ReassignablePartitionResponse {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
