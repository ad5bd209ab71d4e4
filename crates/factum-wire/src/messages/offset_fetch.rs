//! OffsetFetch, API 9.
//!
//! * 2: null asks for all topics; an error code for the whole answer.
//! * 5: leader epoch. 6: flexible. 7: only stable offsets, if so wanted (KIP-447).
//! * 8: several groups at once (KIP-709): `groups` takes the place of the fields for one group.
//! * 9: a member and its epoch (KIP-848). 10: topics are named by id only.

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks how far groups have read.
    pub struct OffsetFetchRequest {
        /// The group's name.
        group_id: Str [0..=7];
        /// The topics; null for all that the group has committed.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..=7] null [2..=7];
        /// The groups.
        groups: Vec<OffsetFetchRequestGroup> [8..];
        /// Whether offsets of open transactions are an error.
        require_stable: bool [7..];
    }

    /// Partitions of one topic, for the one group of versions 1 to 7.
    pub struct OffsetFetchRequestTopic {
        /// The topic's name.
        name: Str [0..=7];
        /// The partitions' numbers.
        partition_indexes: Vec<i32> [0..=7];
    }

    /// A group to ask for, from version 8 on.
    pub struct OffsetFetchRequestGroup {
        /// The group's name.
        group_id: Str [8..];
        /// The member's id.
        member_id: Option<Str> [9..];
        /// The member's epoch in the newer protocol, or -1.
        member_epoch: i32 [9..] = -1;
        /// The topics; null for all that the group has committed.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8..];
    }

    /// Partitions of one topic, for one of several groups.
    pub struct OffsetFetchRequestTopics {
        /// The topic's name.
        name: Str [8..=9];
        /// The topic's id.
        topic_id: Uuid [10..];
        /// The partitions' numbers.
        partition_indexes: Vec<i32> [8..];
    }

    /// Tells how far groups have read.
    pub struct OffsetFetchResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [3..];
        /// The topics.
        topics: Vec<OffsetFetchResponseTopic> [0..=7];
        /// What went wrong, or 0.
        error_code: i16 [2..=7];
        /// The groups.
        groups: Vec<OffsetFetchResponseGroup> [8..];
    }

    /// Offsets of one topic, for the one group of versions 1 to 7.
    pub struct OffsetFetchResponseTopic {
        /// The topic's name.
        name: Str [0..=7];
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartition> [0..=7];
    }

    /// The offset of one partition, for the one group of versions 1 to 7.
    pub struct OffsetFetchResponsePartition {
        /// The partition's number.
        partition_index: i32 [0..=7];
        /// The offset of the record to read next.
        committed_offset: i64 [0..=7];
        /// The leader's epoch of the record before the committed offset, or -1.
        committed_leader_epoch: i32 [5..=7] = -1;
        /// What the client kept with the offset.
        metadata: Option<Str> [0..=7];
        /// What went wrong, or 0.
        error_code: i16 [0..=7];
    }

    /// The offsets of one group, from version 8 on.
    pub struct OffsetFetchResponseGroup {
        /// The group's name.
        group_id: Str [8..];
        /// The topics.
        topics: Vec<OffsetFetchResponseTopics> [8..];
        /// What went wrong, or 0.
        error_code: i16 [8..];
    }

    /// Offsets of one topic, for one of several groups.
    pub struct OffsetFetchResponseTopics {
        /// The topic's name.
        name: Str [8..=9];
        /// The topic's id.
        topic_id: Uuid [10..];
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartitions> [8..];
    }

    /// The offset of one partition, for one of several groups.
    pub struct OffsetFetchResponsePartitions {
        /// The partition's number.
        partition_index: i32 [8..];
        /// The offset of the record to read next.
        committed_offset: i64 [8..];
        /// The leader's epoch of the record before the committed offset, or -1.
        committed_leader_epoch: i32 [8..] = -1;
        /// What the client kept with the offset.
        metadata: Option<Str> [8..];
        /// What went wrong, or 0.
        error_code: i16 [8..];
    }
}
