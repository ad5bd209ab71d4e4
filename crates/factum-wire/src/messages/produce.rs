//! Produce, API 0.
//!
//! Versions 0 to 2 carried older batches and are refused, but advertised: see
//! [`crate::ApiKey::advertised`].
//!
//! * 3: batches of magic 2, transactional id. 5: log start offset in the answer.
//! * 7: zstd is allowed. 8: the records to blame for an error (KIP-467).
//! * 9: flexible. 10: the new leader in the answer (KIP-951).
//! * 11, 12: the same on the wire; 12 adds partitions to transactions by itself (KIP-890).
//! * 13: topics are named by id only (KIP-516).
//!
//! A request with `acks` 0 gets no answer. `records` is nullable on the wire, never in meaning.

use uuid::Uuid;

use super::current_leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::table::message;
use crate::{Records, Str};

message! {
    /// Asks to append record batches.
    pub struct ProduceRequest {
        /// The transactional id, or null outside transactions.
        transactional_id: Option<Str> [0..];
        /// Who must have the records before the answer: 0 nobody (and no answer at all), 1 the
        /// leader, -1 all in sync.
        acks: i16 [0..];
        /// How long the broker may take.
        timeout_ms: i32 [0..];
        /// The records for each topic.
        topic_data: Vec<TopicProduceData> [0..];
    }

    /// The records for one topic.
    pub struct TopicProduceData {
        /// The topic's name.
        name: Str [0..=12];
        /// The topic's id.
        topic_id: Uuid [13..];
        /// The records for each partition.
        partition_data: Vec<PartitionProduceData> [0..];
    }

    /// The records for one partition.
    pub struct PartitionProduceData {
        /// The partition's number.
        index: i32 [0..];
        /// The record batches.
        records: Option<Records> [0..];
    }

    /// Tells what became of the batches.
    pub struct ProduceResponse {
        /// What became of each topic.
        responses: Vec<TopicProduceResponse> [0..];
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// Where to reach the leaders that are named above.
        node_endpoints: Vec<NodeEndpoint> [10..] tag 0;
    }

    /// What became of one topic's batches.
    pub struct TopicProduceResponse {
        /// The topic's name.
        name: Str [0..=12];
        /// The topic's id.
        topic_id: Uuid [13..];
        /// What became of each partition's records.
        partition_responses: Vec<PartitionProduceResponse> [0..];
    }

    /// What became of one partition's batch.
    pub struct PartitionProduceResponse {
        /// The partition's number.
        index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The offset of the first record.
        base_offset: i64 [0..];
        /// When the broker appended, or -1 if records keep their own time.
        log_append_time_ms: i64 [0..] = -1;
        /// The offset of the first record that is kept.
        log_start_offset: i64 [5..] = -1;
        /// The records that are to blame for a refused batch (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage> [8..];
        /// What went wrong, in words.
        error_message: Option<Str> [8..];
        /// Who leads now, if that is news to the client.
        current_leader: LeaderIdAndEpoch [10..] tag 0;
    }

    /// A record that is to blame for a refused batch.
    pub struct BatchIndexAndErrorMessage {
        /// The record's place in its batch, from 0.
        batch_index: i32 [8..];
        /// What is wrong with the record, in words.
        batch_index_error_message: Option<Str> [8..];
    }
}
