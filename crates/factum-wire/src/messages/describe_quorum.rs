//! DescribeQuorum, API 55 (KIP-595).
//!
//! * 1: when replicas were up to date (KIP-836). 2: errors in words, nodes and directories
//!   (KIP-853).
//!
//! Kafka's names of the parts (`TopicData`, `PartitionData`, `ReplicaState`, `Node`, `Listener`)
//! are too short to stand beside other messages, and are longer here.

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks who keeps the metadata.
    pub struct DescribeQuorumRequest {
        /// The topics: one, with the metadata.
        topics: Vec<DescribeQuorumRequestTopic> [0..];
    }

    /// Partitions of one topic.
    pub struct DescribeQuorumRequestTopic {
        /// The topic's name.
        topic_name: Str [0..];
        /// The partitions.
        partitions: Vec<DescribeQuorumRequestPartition> [0..];
    }

    /// A partition to describe.
    pub struct DescribeQuorumRequestPartition {
        /// The partition's number.
        partition_index: i32 [0..];
    }

    /// Tells who keeps the metadata.
    pub struct DescribeQuorumResponse {
        /// What went wrong with the whole request, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [2..];
        /// The topics.
        topics: Vec<DescribeQuorumResponseTopic> [0..];
        /// Where the nodes are that are named above.
        nodes: Vec<DescribeQuorumNode> [2..];
    }

    /// What is told of one topic.
    pub struct DescribeQuorumResponseTopic {
        /// The topic's name.
        topic_name: Str [0..];
        /// The partitions.
        partitions: Vec<DescribeQuorumResponsePartition> [0..];
    }

    /// Who keeps one partition.
    pub struct DescribeQuorumResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [2..];
        /// The leader's number, or -1.
        leader_id: i32 [0..];
        /// The leader's epoch.
        leader_epoch: i32 [0..];
        /// Up to where records are safe.
        high_watermark: i64 [0..];
        /// Those that decide.
        current_voters: Vec<QuorumReplica> [0..];
        /// Those that only follow.
        observers: Vec<QuorumReplica> [0..];
    }

    /// A node that has the partition.
    pub struct QuorumReplica {
        /// The node's number.
        replica_id: i32 [0..];
        /// The id of its directory.
        replica_directory_id: Uuid [2..];
        /// Its end, or -1.
        log_end_offset: i64 [0..];
        /// When it last fetched from the leader, or -1.
        last_fetch_timestamp: i64 [1..] = -1;
        /// When it last had everything, or -1.
        last_caught_up_timestamp: i64 [1..] = -1;
    }

    /// Where a node is.
    pub struct DescribeQuorumNode {
        /// The node's number.
        node_id: i32 [2..];
        /// Its addresses.
        listeners: Vec<DescribeQuorumListener> [2..];
    }

    /// An address of a node.
    pub struct DescribeQuorumListener {
        /// The address's name.
        name: Str [2..];
        /// Where to connect.
        host: Str [2..];
        /// The port there.
        port: u16 [2..];
    }
}
