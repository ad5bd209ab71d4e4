//! FindCoordinator, API 10.
//!
//! * 1: transactional ids too. 3: flexible.
//! * 4: several keys at once (KIP-699): `coordinators` takes the place of the fields for one.
//! * 5: another error code for transactions (KIP-890). 6: share groups (KIP-932).

use crate::Str;
use crate::table::message;

message! {
    /// Asks which broker looks after groups or transactions.
    pub struct FindCoordinatorRequest {
        /// The group or transactional id to find.
        key: Str [0..=3];
        /// What the keys are: 0 groups, 1 transactional ids, 2 share groups.
        key_type: i8 [1..];
        /// Groups or transactional ids to find.
        coordinator_keys: Vec<Str> [4..];
    }

    /// Names the broker that looks after each key.
    pub struct FindCoordinatorResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// What went wrong, or 0.
        error_code: i16 [0..=3];
        /// What went wrong, in words.
        error_message: Option<Str> [1..=3];
        /// The broker's number.
        node_id: i32 [0..=3];
        /// Where to connect.
        host: Str [0..=3];
        /// The port there.
        port: i32 [0..=3];
        /// One coordinator for each key.
        coordinators: Vec<Coordinator> [4..];
    }

    /// The broker that looks after one key.
    pub struct Coordinator {
        /// The group or transactional id.
        key: Str [4..];
        /// The broker's number.
        node_id: i32 [4..];
        /// Where to connect.
        host: Str [4..];
        /// The port there.
        port: i32 [4..];
        /// What went wrong, or 0.
        error_code: i16 [4..];
        /// What went wrong, in words.
        error_message: Option<Str> [4..];
    }
}
