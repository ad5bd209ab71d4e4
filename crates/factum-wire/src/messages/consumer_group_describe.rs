//! ConsumerGroupDescribe, API 69 (KIP-848).
//!
//! * 1: of which protocol a member is (KIP-1099).

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks for groups of the consumer protocol with their members.
    pub struct ConsumerGroupDescribeRequest {
        /// The groups.
        group_ids: Vec<Str> [0..];
        /// Whether to say what the client may do.
        include_authorized_operations: bool [0..];
    }

    /// Describes groups.
    pub struct ConsumerGroupDescribeResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The groups.
        groups: Vec<ConsumerGroupDescribeResponseGroup> [0..];
    }

    /// A group; Kafka calls it `DescribedGroup`.
    pub struct ConsumerGroupDescribeResponseGroup {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words, or null.
        error_message: Option<Str> [0..];
        /// The group's name.
        group_id: Str [0..];
        /// The group's state.
        group_state: Str [0..];
        /// The group's epoch.
        group_epoch: i32 [0..];
        /// The epoch of the target assignment.
        assignment_epoch: i32 [0..];
        /// The assignor that made it.
        assignor_name: Str [0..];
        /// The members.
        members: Vec<ConsumerGroupDescribeResponseMember> [0..];
        /// What the client may do, as bits; the smallest number if that is not shown.
        authorized_operations: i32 [0..] = i32::MIN;
    }

    /// A member; Kafka calls it `Member`.
    pub struct ConsumerGroupDescribeResponseMember {
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        instance_id: Option<Str> [0..];
        /// The member's rack, or null.
        rack_id: Option<Str> [0..];
        /// The member's epoch.
        member_epoch: i32 [0..];
        /// How its client calls itself.
        client_id: Str [0..];
        /// Where it comes from.
        client_host: Str [0..];
        /// The topics that it subscribes to by name.
        subscribed_topic_names: Vec<Str> [0..];
        /// The regular expression of the topics that it subscribes to, or null.
        subscribed_topic_regex: Option<Str> [0..];
        /// The partitions that it has.
        assignment: ConsumerGroupDescribeResponseAssignment [0..];
        /// The partitions that it is to have.
        target_assignment: ConsumerGroupDescribeResponseAssignment [0..];
        /// 1 for a member of the consumer protocol, 0 for one of the classic, -1 for unknown.
        member_type: i8 [1..] = -1;
    }

    /// Partitions of a member; Kafka calls it `Assignment`.
    pub struct ConsumerGroupDescribeResponseAssignment {
        /// They, by topic.
        topic_partitions: Vec<ConsumerGroupDescribeResponseTopicPartitions> [0..];
    }

    /// Partitions of a topic; Kafka calls it `TopicPartitions`.
    pub struct ConsumerGroupDescribeResponseTopicPartitions {
        /// The topic's id.
        topic_id: Uuid [0..];
        /// The topic's name.
        topic_name: Str [0..];
        /// The partitions.
        partitions: Vec<i32> [0..];
    }
}
