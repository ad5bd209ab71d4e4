//! DescribeTopicPartitions, API 75 (KIP-966).
//!
//! The eligible leaders of a partition are nullable, but null makes the Java client fail; their
//! default is an empty list.

use uuid::Uuid;

use crate::Str;
use crate::codec::nullable;
use crate::table::message;

message! {
    /// Asks for the partitions of topics, some at a time.
    pub struct DescribeTopicPartitionsRequest {
        /// The topics; all if empty.
        topics: Vec<DescribeTopicPartitionsRequestTopic> [0..];
        /// The most partitions to answer with.
        response_partition_limit: i32 [0..] = 2000;
        /// Where to begin; null for the beginning.
        cursor: Option<Cursor> [0..];
    }

    /// A topic to describe; Kafka calls it `TopicRequest`.
    pub struct DescribeTopicPartitionsRequestTopic {
        /// The topic's name.
        name: Str [0..];
    }

    /// A place among the partitions of all topics, by name and number.
    pub struct Cursor {
        /// The topic's name.
        topic_name: Str [0..];
        /// The partition's number.
        partition_index: i32 [0..];
    }

    /// Describes the partitions of topics.
    pub struct DescribeTopicPartitionsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0..];
        /// Where to go on; null if that was all.
        next_cursor: Option<Cursor> [0..];
    }

    /// A topic, with some of its partitions.
    pub struct DescribeTopicPartitionsResponseTopic {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The topic's name.
        name: Option<Str> [0..] = Some(Str::new());
        /// The topic's id.
        topic_id: Uuid [0..];
        /// Whether it is one of the broker's own.
        is_internal: bool [0..];
        /// The partitions.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..];
        /// What the client may do, as bits; the smallest number if that is not shown.
        topic_authorized_operations: i32 [0..] = i32::MIN;
    }

    /// A partition.
    pub struct DescribeTopicPartitionsResponsePartition {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The partition's number.
        partition_index: i32 [0..];
        /// The leader's number, or -1.
        leader_id: i32 [0..];
        /// The leader's epoch.
        leader_epoch: i32 [0..] = -1;
        /// The brokers that have the partition.
        replica_nodes: Vec<i32> [0..];
        /// Those of them that are in sync.
        isr_nodes: Vec<i32> [0..];
        /// Those that may lead although they are not in sync.
        eligible_leader_replicas: Option<Vec<i32>> [0..] = Some(Vec::new());
        /// Those that last were so.
        last_known_elr: Option<Vec<i32>> [0..] = Some(Vec::new());
        /// Those that are not there.
        offline_replicas: Vec<i32> [0..];
    }
}

nullable!(Cursor);
