//! ListOffsets, API 2.
//!
//! * 2: isolation level. 4: leader epoch (KIP-320). 6: flexible.
//! * 7 to 9, 11: no new fields, but new special times -3 (KIP-734), -4 (KIP-405), -5 (KIP-1005)
//!   and -6 (KIP-1023).
//! * 10: a timeout (KIP-1075).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for offsets by time.
    pub struct ListOffsetsRequest {
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [0..];
        /// 0 reads everything, 1 leaves out what is not committed.
        isolation_level: i8 [2..];
        /// The topics.
        topics: Vec<ListOffsetsTopic> [0..];
        /// How long the broker may take.
        timeout_ms: i32 [10..];
    }

    /// The partitions of one topic to ask for.
    pub struct ListOffsetsTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<ListOffsetsPartition> [0..];
    }

    /// The time to look up in one partition.
    pub struct ListOffsetsPartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The leader's epoch as the client knows it, or -1.
        current_leader_epoch: i32 [4..] = -1;
        /// The time in milliseconds, or -1 latest, -2 earliest, -3 of the largest time, -4 earliest
        /// local, -5 latest tiered, -6 earliest to be uploaded.
        timestamp: i64 [0..];
    }

    /// Tells the offsets that were found.
    pub struct ListOffsetsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [2..];
        /// The topics.
        topics: Vec<ListOffsetsTopicResponse> [0..];
    }

    /// The offsets of one topic.
    pub struct ListOffsetsTopicResponse {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<ListOffsetsPartitionResponse> [0..];
    }

    /// The offset of one partition.
    pub struct ListOffsetsPartitionResponse {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The time of the record that was found, or -1.
        timestamp: i64 [0..] = -1;
        /// The offset that was found, or -1.
        offset: i64 [0..] = -1;
        /// The leader's epoch, or -1.
        leader_epoch: i32 [4..] = -1;
    }
}
