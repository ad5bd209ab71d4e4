//! ConsumerGroupHeartbeat, API 68 (KIP-848).
//!
//! * Null says that a field is as it was last said.
//! * 1: topics by a regular expression; the member makes its own id (KIP-1082).

use uuid::Uuid;

use crate::Str;
use crate::codec::nullable;
use crate::table::message;

message! {
    /// Joins a consumer group, stays in it, or leaves it.
    pub struct ConsumerGroupHeartbeatRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The member's id; from 1 on made by the member.
        member_id: Str [0..];
        /// The member's epoch; 0 to join, -1 to leave, -2 for a static member to leave for a while.
        member_epoch: i32 [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        instance_id: Option<Str> [0..];
        /// The member's rack, or null.
        rack_id: Option<Str> [0..];
        /// How long the group waits for the member to give up partitions, or -1.
        rebalance_timeout_ms: i32 [0..] = -1;
        /// The topics that the member subscribes to, or null.
        subscribed_topic_names: Option<Vec<Str>> [0..];
        /// A regular expression of the topics that it subscribes to, or null.
        subscribed_topic_regex: Option<Str> [1..];
        /// The assignor that the member prefers, or null.
        server_assignor: Option<Str> [0..];
        /// The partitions that the member has, or null.
        topic_partitions: Option<Vec<ConsumerGroupHeartbeatRequestTopicPartitions>> [0..];
    }

    /// Partitions of a topic that a member has; Kafka calls it `TopicPartitions`.
    pub struct ConsumerGroupHeartbeatRequestTopicPartitions {
        /// The topic's id.
        topic_id: Uuid [0..];
        /// The partitions.
        partitions: Vec<i32> [0..];
    }

    /// Tells a member its epoch, and its partitions if they have changed.
    pub struct ConsumerGroupHeartbeatResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words, or null.
        error_message: Option<Str> [0..];
        /// The member's id, or null.
        member_id: Option<Str> [0..];
        /// The member's epoch.
        member_epoch: i32 [0..];
        /// How long the member is to wait before its next heartbeat.
        heartbeat_interval_ms: i32 [0..];
        /// The partitions that the member is to have; null if that has not changed.
        assignment: Option<ConsumerGroupHeartbeatResponseAssignment> [0..];
    }

    /// The partitions that a member is to have; Kafka calls it `Assignment`.
    pub struct ConsumerGroupHeartbeatResponseAssignment {
        /// They, by topic.
        topic_partitions: Vec<ConsumerGroupHeartbeatResponseTopicPartitions> [0..];
    }

    /// Partitions of a topic that a member is to have; Kafka calls it `TopicPartitions`.
    pub struct ConsumerGroupHeartbeatResponseTopicPartitions {
        /// The topic's id.
        topic_id: Uuid [0..];
        /// The partitions.
        partitions: Vec<i32> [0..];
    }
}

nullable!(ConsumerGroupHeartbeatResponseAssignment);
