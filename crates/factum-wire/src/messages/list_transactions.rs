//! ListTransactions, API 66 (KIP-664).
//!
//! * 1: filter by duration (KIP-994). 2: filter by a pattern of the id (KIP-1152).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for the transactional ids that are known.
    pub struct ListTransactionsRequest {
        /// Only those in these states; all if empty.
        state_filters: Vec<Str> [0..];
        /// Only those of these producers; all if empty.
        producer_id_filters: Vec<i64> [0..];
        /// Only those that have run for more milliseconds than this; all if negative.
        duration_filter: i64 [1..] = -1;
        /// Only ids that match this regular expression; all if null or empty.
        transactional_id_pattern: Option<Str> [2..];
    }

    /// Lists the transactional ids that are known.
    pub struct ListTransactionsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// Filters of the request that are no states.
        unknown_state_filters: Vec<Str> [0..];
        /// The transactions.
        transaction_states: Vec<ListedTransaction> [0..];
    }

    /// A transactional id; Kafka calls it `TransactionState`.
    pub struct ListedTransaction {
        /// The transactional id.
        transactional_id: Str [0..];
        /// The producer's id.
        producer_id: i64 [0..];
        /// The transaction's state, in Kafka's words.
        transaction_state: Str [0..];
    }
}
