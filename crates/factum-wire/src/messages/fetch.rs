//! Fetch, API 1.
//!
//! * 4: batches of magic 2, isolation level, aborted transactions. 5: log start offset.
//! * 7: fetch sessions (KIP-227), with an error code for the whole answer.
//! * 9: leader epoch (KIP-320). 10: zstd is allowed. 11: racks (KIP-392).
//! * 12: flexible; diverging epochs. 13: topics are named by id only (KIP-516).
//! * 15: `replica_state` takes the place of `replica_id` (KIP-903).
//! * 16: where to reach new leaders (KIP-951). 17: the follower's directory (KIP-853).
//! * 18: the client's high watermark (KIP-1166).
//!
//! Stored batches go into the answer as chunks that are not copied ([`Records`]).

use uuid::Uuid;

use super::current_leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::table::message;
use crate::{Records, Str};

message! {
    /// Asks for record batches.
    pub struct FetchRequest {
        /// The cluster's id, between brokers.
        cluster_id: Option<Str> [12..] tag 0;
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [0..=14] = -1;
        /// The follower that asks.
        replica_state: ReplicaState [15..] tag 1;
        /// How long to wait for `min_bytes`.
        max_wait_ms: i32 [0..];
        /// How many bytes are worth an answer before `max_wait_ms` is over.
        min_bytes: i32 [0..];
        /// The most bytes in the answer; the first batch comes even if it is longer.
        max_bytes: i32 [0..] = i32::MAX;
        /// 0 reads everything, 1 leaves out what is not committed.
        isolation_level: i8 [0..];
        /// The fetch session (KIP-227), or 0.
        session_id: i32 [7..];
        /// The request's place in the fetch session; 0 begins one, -1 wants none.
        session_epoch: i32 [7..] = -1;
        /// The topics.
        topics: Vec<FetchTopic> [0..];
        /// Partitions to drop from the fetch session.
        forgotten_topics_data: Vec<ForgottenTopic> [7..];
        /// The rack that the client stands in.
        rack_id: Str [11..];
    }

    /// The follower that fetches.
    pub struct ReplicaState {
        /// The follower that asks, or -1 for a consumer.
        replica_id: i32 [15..] = -1;
        /// The follower's epoch, or -1.
        replica_epoch: i64 [15..] = -1;
    }

    /// A topic to fetch.
    pub struct FetchTopic {
        /// The topic's name.
        topic: Str [0..=12];
        /// The topic's id.
        topic_id: Uuid [13..];
        /// The partitions.
        partitions: Vec<FetchPartition> [0..];
    }

    /// A partition to fetch.
    pub struct FetchPartition {
        /// The partition's number.
        partition: i32 [0..];
        /// The leader's epoch as the client knows it, or -1.
        current_leader_epoch: i32 [9..] = -1;
        /// The offset of the first record wanted.
        fetch_offset: i64 [0..];
        /// The leader's epoch of the last record that the client has, or -1.
        last_fetched_epoch: i32 [12..] = -1;
        /// The first offset that the follower keeps; -1 for a consumer.
        log_start_offset: i64 [5..] = -1;
        /// The most bytes of this partition; its first batch comes even if it is longer.
        partition_max_bytes: i32 [0..];
        /// The directory of the follower that fetches.
        replica_directory_id: Uuid [17..] tag 0;
        /// The high watermark as the client knows it (KIP-1166).
        high_watermark: i64 [18..] tag 1 = i64::MAX;
    }

    /// Partitions to drop from the fetch session.
    pub struct ForgottenTopic {
        /// The topic's name.
        topic: Str [7..=12];
        /// The topic's id.
        topic_id: Uuid [13..];
        /// The partitions.
        partitions: Vec<i32> [7..];
    }

    /// Carries record batches.
    pub struct FetchResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [7..];
        /// The fetch session (KIP-227), or 0.
        session_id: i32 [7..];
        /// What each topic has.
        responses: Vec<FetchableTopicResponse> [0..];
        /// Where to reach the leaders that are named above.
        node_endpoints: Vec<NodeEndpoint> [16..] tag 0;
    }

    /// What one topic has.
    pub struct FetchableTopicResponse {
        /// The topic's name.
        topic: Str [0..=12];
        /// The topic's id.
        topic_id: Uuid [13..];
        /// The partitions.
        partitions: Vec<PartitionData> [0..];
    }

    /// What one partition has.
    pub struct PartitionData {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The offset after the last record that consumers may see.
        high_watermark: i64 [0..];
        /// The offset below which every transaction is decided.
        last_stable_offset: i64 [0..] = -1;
        /// The offset of the first record that is kept.
        log_start_offset: i64 [5..] = -1;
        /// Where the client's log and this one part, if they do.
        diverging_epoch: EpochEndOffset [12..] tag 0;
        /// Who leads now, if that is news to the client.
        current_leader: LeaderIdAndEpoch [12..] tag 1;
        /// The snapshot to read instead, between brokers.
        snapshot_id: SnapshotId [12..] tag 2;
        /// Aborted transactions among the records, by first offset; null unless reading committed.
        aborted_transactions: Option<Vec<AbortedTransaction>> [0..];
        /// A nearer replica to read from, or -1.
        preferred_read_replica: i32 [11..] = -1;
        /// The record batches; null and empty both mean none, empty is understood by more clients.
        records: Option<Records> [0..] = Some(Records::default());
    }

    /// The end of an epoch, where two logs part.
    pub struct EpochEndOffset {
        /// The leader's epoch.
        epoch: i32 [12..] = -1;
        /// The offset after its last record.
        end_offset: i64 [12..] = -1;
    }

    /// A snapshot of the cluster's metadata.
    pub struct SnapshotId {
        /// The offset after its last record.
        end_offset: i64 [0..] = -1;
        /// The leader's epoch.
        epoch: i32 [0..] = -1;
    }

    /// A transaction whose records are to be left out.
    pub struct AbortedTransaction {
        /// The producer's id.
        producer_id: i64 [0..];
        /// The first offset of the transaction.
        first_offset: i64 [0..];
    }
}
