//! OffsetForLeaderEpoch, API 23.
//!
//! * 2: the epoch that the client believes current (KIP-320). 3: who asks. 4: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks where leader epochs end.
    pub struct OffsetForLeaderEpochRequest {
        /// The broker that asks, -1 for a consumer, -2 for a consumer that sees everything.
        replica_id: i32 [3..] = -2;
        /// The topics.
        topics: Vec<OffsetForLeaderTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct OffsetForLeaderTopic {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions.
        partitions: Vec<OffsetForLeaderPartition> [0..];
    }

    /// A leader epoch of one partition.
    pub struct OffsetForLeaderPartition {
        /// The partition's number.
        partition: i32 [0..];
        /// The leader's epoch that the client knows, or -1.
        current_leader_epoch: i32 [2..] = -1;
        /// The epoch whose end is asked for.
        leader_epoch: i32 [0..];
    }

    /// Tells where leader epochs end.
    pub struct OffsetForLeaderEpochResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [2..];
        /// The topics.
        topics: Vec<OffsetForLeaderTopicResult> [0..];
    }

    /// The ends in one topic.
    pub struct OffsetForLeaderTopicResult {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions.
        partitions: Vec<OffsetForLeaderPartitionResult> [0..];
    }

    /// The end in one partition; Kafka calls it `EpochEndOffset`.
    pub struct OffsetForLeaderPartitionResult {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The partition's number.
        partition: i32 [0..];
        /// The epoch asked for, or the largest below it that there was; -1 if none.
        leader_epoch: i32 [1..] = -1;
        /// The offset at which that epoch ends, or -1.
        end_offset: i64 [0..] = -1;
    }
}
