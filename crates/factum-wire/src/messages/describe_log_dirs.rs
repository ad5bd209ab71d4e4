//! DescribeLogDirs, API 35.
//!
//! * 2: flexible. 3: an error code for the whole answer.
//! * 4: how large the volume is (KIP-827). 5: whether new partitions go elsewhere (KIP-1066).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for the directories of the log.
    pub struct DescribeLogDirsRequest {
        /// The topics; null for all.
        topics: Option<Vec<DescribableLogDirTopic>> [0..];
    }

    /// Partitions of one topic.
    pub struct DescribableLogDirTopic {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions' numbers.
        partitions: Vec<i32> [0..];
    }

    /// Lists the directories of the log.
    pub struct DescribeLogDirsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [3..];
        /// The directories.
        results: Vec<DescribeLogDirsResult> [0..];
    }

    /// A directory of the log.
    pub struct DescribeLogDirsResult {
        /// What is wrong with it, or 0.
        error_code: i16 [0..];
        /// Its absolute path.
        log_dir: Str [0..];
        /// The topics in it.
        topics: Vec<DescribeLogDirsTopic> [0..];
        /// The size of its volume in bytes, or -1.
        total_bytes: i64 [4..] = -1;
        /// What of that may still be written, or -1.
        usable_bytes: i64 [4..] = -1;
        /// Whether new partitions go elsewhere.
        is_cordoned: bool [5..];
    }

    /// What a directory has of one topic.
    pub struct DescribeLogDirsTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<DescribeLogDirsPartition> [0..];
    }

    /// What a directory has of one partition.
    pub struct DescribeLogDirsPartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// Bytes of its batches.
        partition_size: i64 [0..];
        /// How far its end is beyond what readers may see.
        offset_lag: i64 [0..];
        /// Whether it is a copy that will take the place of the partition's log.
        is_future_key: bool [0..];
    }
}
