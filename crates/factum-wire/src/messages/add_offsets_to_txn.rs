//! AddOffsetsToTxn, API 25.
//!
//! * 2: a fenced producer is told so. 3: flexible. 4: another error code (KIP-890).

use crate::Str;
use crate::table::message;

message! {
    /// Announces that a transaction will commit offsets of a group.
    pub struct AddOffsetsToTxnRequest {
        /// The transactional id.
        transactional_id: Str [0..];
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i16 [0..];
        /// The group's name.
        group_id: Str [0..];
    }

    /// Tells whether it may.
    pub struct AddOffsetsToTxnResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
