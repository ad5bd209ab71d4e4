//! ElectLeaders, API 43.
//!
//! * 1: kinds of elections (KIP-460), and an error code for the whole answer. 2: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to elect leaders.
    pub struct ElectLeadersRequest {
        /// 0: the preferred replica; 1: a live one, if none is in sync.
        election_type: i8 [1..];
        /// The partitions; null for all.
        topic_partitions: Option<Vec<ElectLeadersTopic>> [0..];
        /// How long the broker may take.
        timeout_ms: i32 [0..] = 60000;
    }

    /// Partitions of one topic; Kafka calls it `TopicPartitions`.
    pub struct ElectLeadersTopic {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions' numbers.
        partitions: Vec<i32> [0..];
    }

    /// Tells which leaders were elected.
    pub struct ElectLeadersResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong with the whole request, or 0.
        error_code: i16 [1..];
        /// The topics.
        replica_election_results: Vec<ReplicaElectionResult> [0..];
    }

    /// What became of one topic.
    pub struct ReplicaElectionResult {
        /// The topic's name.
        topic: Str [0..];
        /// The partitions.
        partition_result: Vec<PartitionElectionResult> [0..];
    }

    /// What became of one partition; Kafka calls it `PartitionResult`.
    pub struct PartitionElectionResult {
        /// The partition's number.
        partition_id: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
