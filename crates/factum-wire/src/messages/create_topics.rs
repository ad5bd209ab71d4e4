//! CreateTopics, API 19.
//!
//! * 4: -1 asks for the default number of partitions and replicas (KIP-464).
//! * 5: flexible; the answer has configuration and counts (KIP-525).
//! * 6: may be throttled by a quota (KIP-599). 7: the answer has the topic's id (KIP-516).
//!
//! `configs` of the answer is nullable, but null makes the Java client fail; its default is an
//! empty list.

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks to create topics.
    pub struct CreateTopicsRequest {
        /// The topics.
        topics: Vec<CreatableTopic> [0..];
        /// How long the broker may take.
        timeout_ms: i32 [0..] = 60000;
        /// Whether to check only, and change nothing.
        validate_only: bool [0..];
    }

    /// A topic to create.
    pub struct CreatableTopic {
        /// The topic's name.
        name: Str [0..];
        /// How many partitions; -1 for the default.
        num_partitions: i32 [0..];
        /// How many replicas; -1 for the default.
        replication_factor: i16 [0..];
        /// Which brokers take which partitions; the counts above are then -1.
        assignments: Vec<CreatableReplicaAssignment> [0..];
        /// Configuration that differs from the default.
        configs: Vec<CreatableTopicConfig> [0..];
    }

    /// The brokers of one partition.
    pub struct CreatableReplicaAssignment {
        /// The partition's number.
        partition_index: i32 [0..];
        /// The brokers of the partition's replicas, the preferred leader first.
        broker_ids: Vec<i32> [0..];
    }

    /// One configuration of a new topic.
    pub struct CreatableTopicConfig {
        /// The configuration's name.
        name: Str [0..];
        /// The value; null if it is a secret, or the default is meant.
        value: Option<Str> [0..];
    }

    /// Tells which topics were created.
    pub struct CreateTopicsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The topics.
        topics: Vec<CreatableTopicResult> [0..];
    }

    /// What became of one topic.
    pub struct CreatableTopicResult {
        /// The topic's name.
        name: Str [0..];
        /// The topic's id.
        topic_id: Uuid [7..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// Why the configuration is not shown, or 0.
        topic_config_error_code: i16 [5..] tag 0;
        /// How many partitions it has, or -1 if that is not shown.
        num_partitions: i32 [5..] = -1;
        /// How many replicas they have, or -1 if that is not shown.
        replication_factor: i16 [5..] = -1;
        /// The topic's configuration as it became.
        configs: Option<Vec<CreatableTopicConfigs>> [5..] = Some(Vec::new());
    }

    /// One configuration of the topic as it became.
    pub struct CreatableTopicConfigs {
        /// The configuration's name.
        name: Str [5..];
        /// The value; null if it is a secret, or the default is meant.
        value: Option<Str> [5..];
        /// Whether the value cannot be changed.
        read_only: bool [5..];
        /// Who set the value, as a number (KIP-226).
        config_source: i8 [5..] = -1;
        /// Whether the value is a secret, and therefore not shown.
        is_sensitive: bool [5..];
    }
}
