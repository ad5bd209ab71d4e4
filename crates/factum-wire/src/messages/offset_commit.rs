//! OffsetCommit, API 8.
//!
//! * 2 to 4: a retention time, which brokers ignore today (KIP-211).
//! * 6: leader epoch (KIP-320). 7: static members (KIP-345). 8: flexible.
//! * 9: the generation may be a member's epoch (KIP-848).
//! * 10: topics are named by id only (KIP-848).

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks to keep how far a group has read.
    pub struct OffsetCommitRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The group's generation, or the member's epoch in the newer protocol; -1 outside any.
        generation_id_or_member_epoch: i32 [0..] = -1;
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [7..];
        /// How long to keep the offsets; -1 for the broker's rule.
        retention_time_ms: i64 [0..=4] = -1;
        /// The topics.
        topics: Vec<OffsetCommitRequestTopic> [0..];
    }

    /// Offsets of one topic.
    pub struct OffsetCommitRequestTopic {
        /// The topic's name.
        name: Str [0..=9];
        /// The topic's id.
        topic_id: Uuid [10..];
        /// The partitions.
        partitions: Vec<OffsetCommitRequestPartition> [0..];
    }

    /// The offset of one partition.
    pub struct OffsetCommitRequestPartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The offset of the record to read next.
        committed_offset: i64 [0..];
        /// The leader's epoch of the record before the committed offset, or -1.
        committed_leader_epoch: i32 [6..] = -1;
        /// Whatever the client wants to keep with the offset.
        committed_metadata: Option<Str> [0..];
    }

    /// Tells which offsets are kept.
    pub struct OffsetCommitResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [3..];
        /// The topics.
        topics: Vec<OffsetCommitResponseTopic> [0..];
    }

    /// What became of one topic's offsets.
    pub struct OffsetCommitResponseTopic {
        /// The topic's name.
        name: Str [0..=9];
        /// The topic's id.
        topic_id: Uuid [10..];
        /// The partitions.
        partitions: Vec<OffsetCommitResponsePartition> [0..];
    }

    /// What became of one partition's offset.
    pub struct OffsetCommitResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
