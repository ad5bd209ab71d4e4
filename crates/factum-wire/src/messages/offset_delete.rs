//! OffsetDelete, API 47.
//!
//! KIP-496. The one version is not flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to forget committed offsets.
    pub struct OffsetDeleteRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The topics.
        topics: Vec<OffsetDeleteRequestTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct OffsetDeleteRequestTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<OffsetDeleteRequestPartition> [0..];
    }

    /// A partition whose offset to forget.
    pub struct OffsetDeleteRequestPartition {
        /// The partition's number.
        partition_index: i32 [0..];
    }

    /// Tells which offsets are forgotten.
    pub struct OffsetDeleteResponse {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<OffsetDeleteResponseTopic> [0..];
    }

    /// What became of one topic's offsets.
    pub struct OffsetDeleteResponseTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<OffsetDeleteResponsePartition> [0..];
    }

    /// What became of one partition's offset.
    pub struct OffsetDeleteResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
