//! DeleteRecords, API 21.
//!
//! KIP-107. 2: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to delete records before an offset.
    pub struct DeleteRecordsRequest {
        /// The topics.
        topics: Vec<DeleteRecordsTopic> [0..];
        /// How long the broker may take.
        timeout_ms: i32 [0..];
    }

    /// Partitions of one topic.
    pub struct DeleteRecordsTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<DeleteRecordsPartition> [0..];
    }

    /// A partition whose beginning to delete.
    pub struct DeleteRecordsPartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The first offset that stays; -1 deletes everything up to the high watermark.
        offset: i64 [0..];
    }

    /// Tells what partitions begin with.
    pub struct DeleteRecordsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<DeleteRecordsTopicResult> [0..];
    }

    /// What became of one topic's partitions.
    pub struct DeleteRecordsTopicResult {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<DeleteRecordsPartitionResult> [0..];
    }

    /// What became of one partition.
    pub struct DeleteRecordsPartitionResult {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The first offset that is kept, or -1.
        low_watermark: i64 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
