//! EndTxn, API 26.
//!
//! * 2: a fenced producer is told so. 3: flexible. 4: another error code (KIP-890).
//! * 5: every transaction ends with a new epoch, which the answer has (KIP-890).

use crate::Str;
use crate::table::message;

message! {
    /// Asks to end a transaction.
    pub struct EndTxnRequest {
        /// The transactional id.
        transactional_id: Str [0..];
        /// The producer's id.
        producer_id: i64 [0..];
        /// The producer's epoch.
        producer_epoch: i16 [0..];
        /// Whether what was written counts.
        committed: bool [0..];
    }

    /// Tells whether the transaction has ended.
    pub struct EndTxnResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The producer's id from now on.
        producer_id: i64 [5..] = -1;
        /// The producer's epoch from now on.
        producer_epoch: i16 [5..] = -1;
    }
}
