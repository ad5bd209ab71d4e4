//! TxnOffsetCommit, API 28.
//!
//! * 2: leader epoch. 3: flexible; which member commits, so that others are refused (KIP-447).
//! * 4: another error code (KIP-890). 5: the group is taken into the transaction (KIP-890).

use crate::Str;
use crate::table::message;

message! {
    /// Asks to commit offsets if the transaction commits.
    pub struct TxnOffsetCommitRequest {
        /// The transactional id.
        transactional_id: Str [0..];
        /// The group's name.
        group_id: Str [0..];
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i16 [0..];
        /// The group's generation, or -1.
        generation_id: i32 [3..] = -1;
        /// The member's id.
        member_id: Str [3..];
        /// The member's own name for itself, which outlives a restart.
        group_instance_id: Option<Str> [3..];
        /// The topics.
        topics: Vec<TxnOffsetCommitRequestTopic> [0..];
    }

    /// Offsets of one topic.
    pub struct TxnOffsetCommitRequestTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<TxnOffsetCommitRequestPartition> [0..];
    }

    /// The offset of one partition.
    pub struct TxnOffsetCommitRequestPartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The offset of the record to read next.
        committed_offset: i64 [0..];
        /// The leader's epoch of the record before the committed offset, or -1.
        committed_leader_epoch: i32 [2..] = -1;
        /// What the client keeps with the offset.
        committed_metadata: Option<Str> [0..];
    }

    /// Tells which offsets are taken into the transaction.
    pub struct TxnOffsetCommitResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<TxnOffsetCommitResponseTopic> [0..];
    }

    /// What became of one topic's offsets.
    pub struct TxnOffsetCommitResponseTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<TxnOffsetCommitResponsePartition> [0..];
    }

    /// What became of one partition's offset.
    pub struct TxnOffsetCommitResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
