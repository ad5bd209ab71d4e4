//! SyncGroup, API 14.
//!
//! * 1: throttle time. 3: static members (KIP-345). 4: flexible.
//! * 5: type and name of the protocol are echoed (KIP-559).

use bytes::Bytes;

use crate::Str;
use crate::table::message;

message! {
    /// Brings the leader's assignment, or asks for one's own.
    pub struct SyncGroupRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The group's generation.
        generation_id: i32 [0..];
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [3..];
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Option<Str> [5..];
        /// The name of the assignor that was chosen.
        protocol_name: Option<Str> [5..];
        /// What each member is assigned; only the leader knows.
        assignments: Vec<SyncGroupRequestAssignment> [0..];
    }

    /// What one member is assigned.
    pub struct SyncGroupRequestAssignment {
        /// The member's id.
        member_id: Str [0..];
        /// What it is assigned, as the assignor encodes it.
        assignment: Bytes [0..];
    }

    /// Tells a member what it is assigned.
    pub struct SyncGroupResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Option<Str> [5..];
        /// The name of the assignor that was chosen.
        protocol_name: Option<Str> [5..];
        /// What the member is assigned, as the assignor encoded it.
        assignment: Bytes [0..];
    }
}
