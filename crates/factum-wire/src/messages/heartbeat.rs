//! Heartbeat, API 12.
//!
//! * 1: throttle time. 3: static members (KIP-345). 4: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Shows that a member is alive.
    pub struct HeartbeatRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The group's generation.
        generation_id: i32 [0..];
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [3..];
    }

    /// Tells whether the group has changed.
    pub struct HeartbeatResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
