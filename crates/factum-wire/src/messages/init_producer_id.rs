//! InitProducerId, API 22.
//!
//! * 2: flexible. 3: a producer may bring id and epoch, to go on with them (KIP-360).
//! * 4: a fenced producer is told so. 5: transactions of version 2 (KIP-890).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for a producer's identity.
    pub struct InitProducerIdRequest {
        /// The transactional id, or null outside transactions.
        transactional_id: Option<Str> [0..];
        /// How long a transaction may stay open before the broker aborts it.
        transaction_timeout_ms: i32 [0..];
        /// The id that the producer has, or -1 to get one.
        producer_id: i64 [3..] = -1;
        /// The epoch that the producer has, or -1.
        producer_epoch: i16 [3..] = -1;
    }

    /// Gives a producer its identity.
    pub struct InitProducerIdResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The producer's id from now on.
        producer_id: i64 [0..] = -1;
        /// The producer's epoch from now on.
        producer_epoch: i16 [0..];
    }
}
