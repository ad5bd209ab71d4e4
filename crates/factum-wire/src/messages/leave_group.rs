//! LeaveGroup, API 13.
//!
//! * 0 to 2: one member. 3: several members, also static ones (KIP-345): `members` takes the place
//!   of `member_id`. 4: flexible. 5: the reason (KIP-800).

use crate::Str;
use crate::table::message;

message! {
    /// Takes members out of a group.
    pub struct LeaveGroupRequest {
        /// The group's name.
        group_id: Str [0..];
        /// The member's id.
        member_id: Str [0..=2];
        /// The members.
        members: Vec<MemberIdentity> [3..];
    }

    /// A member that leaves.
    pub struct MemberIdentity {
        /// The member's id.
        member_id: Str [3..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [3..];
        /// Why, in words (KIP-800).
        reason: Option<Str> [5..];
    }

    /// Tells who has left.
    pub struct LeaveGroupResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The members.
        members: Vec<MemberResponse> [3..];
    }

    /// What became of one member.
    pub struct MemberResponse {
        /// The member's id.
        member_id: Str [3..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [3..];
        /// What went wrong, or 0.
        error_code: i16 [3..];
    }
}
