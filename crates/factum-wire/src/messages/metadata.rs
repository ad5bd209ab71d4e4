//! Metadata, API 3.
//!
//! * 1: null asks for all topics, an empty list for none; in version 0 an empty list asks for all.
//! * 4: whether to create missing topics. 5: offline replicas. 7: leader epoch.
//! * 8: authorized operations (KIP-430); those of the cluster moved to DescribeCluster with 11.
//! * 9: flexible. 10: topic ids (KIP-516). 12: topics may be asked for by id alone.
//! * 13: an error code for the whole answer.

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks for brokers and topics.
    pub struct MetadataRequest {
        /// The topics to describe; null for all, in version 0 empty for all.
        topics: Option<Vec<MetadataRequestTopic>> [0..] null [1..];
        /// Whether topics that do not exist may be created, if the broker does that.
        allow_auto_topic_creation: bool [4..] = true;
        /// Whether to tell what the caller may do to the cluster.
        include_cluster_authorized_operations: bool [8..=10];
        /// Whether to tell what the caller may do to each topic.
        include_topic_authorized_operations: bool [8..];
    }

    /// A topic to describe, by id or name.
    pub struct MetadataRequestTopic {
        /// The topic's id.
        topic_id: Uuid [10..];
        /// The topic's name; null if it is named by id.
        name: Option<Str> [0..] null [10..];
    }

    /// Describes brokers and topics.
    pub struct MetadataResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [3..];
        /// The brokers that are alive.
        brokers: Vec<MetadataResponseBroker> [0..];
        /// The cluster's id.
        cluster_id: Option<Str> [2..];
        /// The broker that administers the cluster.
        controller_id: i32 [1..] = -1;
        /// The topics.
        topics: Vec<MetadataResponseTopic> [0..];
        /// What the caller may do to the cluster, as bits; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [8..=10] = i32::MIN;
        /// What went wrong, or 0.
        error_code: i16 [13..];
    }

    /// A broker and where to reach it.
    pub struct MetadataResponseBroker {
        /// The broker's number.
        node_id: i32 [0..];
        /// Where to connect.
        host: Str [0..];
        /// The port there.
        port: i32 [0..];
        /// The rack that the broker stands in.
        rack: Option<Str> [1..];
    }

    /// A topic and its partitions.
    pub struct MetadataResponseTopic {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The topic's name; null if only its unknown id was named.
        name: Option<Str> [0..] null [12..];
        /// The topic's id.
        topic_id: Uuid [10..];
        /// Whether the topic belongs to the broker itself.
        is_internal: bool [1..];
        /// The partitions.
        partitions: Vec<MetadataResponsePartition> [0..];
        /// What the caller may do to the topic, as bits; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 [8..] = i32::MIN;
    }

    /// A partition and its replicas.
    pub struct MetadataResponsePartition {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The partition's number.
        partition_index: i32 [0..];
        /// The leader's number, or -1 if there is none.
        leader_id: i32 [0..];
        /// The leader's epoch, or -1.
        leader_epoch: i32 [7..] = -1;
        /// The brokers of the replicas.
        replica_nodes: Vec<i32> [0..];
        /// The replicas in sync.
        isr_nodes: Vec<i32> [0..];
        /// The replicas that are not there.
        offline_replicas: Vec<i32> [5..];
    }
}
