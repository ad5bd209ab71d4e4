//! WriteTxnMarkers, API 27. Brokers send it to brokers.
//!
//! * 1: flexible; the first that is left. 2: the marker's version of transactions (KIP-1228).

use crate::Str;
use crate::table::message;

message! {
    /// Asks to write where transactions end.
    pub struct WriteTxnMarkersRequest {
        /// The markers.
        markers: Vec<WritableTxnMarker> [0..];
    }

    /// The end of one transaction.
    pub struct WritableTxnMarker {
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i16 [0..];
        /// Whether what was written counts.
        transaction_result: bool [0..];
        /// Where to write the marker.
        topics: Vec<WritableTxnMarkerTopic> [0..];
        /// The epoch of the coordinator that sends it.
        coordinator_epoch: i32 [0..];
        /// The version of transactions: 0 and 1 older ones, 2 with an epoch for each (KIP-890).
        transaction_version: i8 [2..];
    }

    /// Partitions of one topic.
    pub struct WritableTxnMarkerTopic {
        /// The topic's name.
        name: Str [0..];
        /// The partitions' numbers.
        partition_indexes: Vec<i32> [0..];
    }

    /// Tells which markers are written.
    pub struct WriteTxnMarkersResponse {
        /// What became of each marker.
        markers: Vec<WritableTxnMarkerResult> [0..];
    }

    /// What became of one marker.
    pub struct WritableTxnMarkerResult {
        /// The producer's id.
        producer_id: i64 [0..];
        /// The topics.
        topics: Vec<WritableTxnMarkerTopicResult> [0..];
    }

    /// What became of a marker in one topic.
    pub struct WritableTxnMarkerTopicResult {
        /// The topic's name.
        name: Str [0..];
        /// The partitions.
        partitions: Vec<WritableTxnMarkerPartitionResult> [0..];
    }

    /// What became of a marker in one partition.
    pub struct WritableTxnMarkerPartitionResult {
        /// The partition's number.
        partition_index: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
