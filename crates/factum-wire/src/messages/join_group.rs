//! JoinGroup, API 11.
//!
//! * 1: a rebalance timeout of its own. 4: the first attempt answers a member id (KIP-394).
//! * 5: static members (KIP-345). 6: flexible.
//! * 7: the answer names the protocol's type, and its name may be null.
//! * 8: the reason (KIP-800). 9: the leader may be told to keep the assignment (KIP-814).

use bytes::Bytes;

use crate::Str;
use crate::table::message;

message! {
    /// Asks to become, or stay, a member of a group.
    pub struct JoinGroupRequest {
        /// The group's name.
        group_id: Str [0..];
        /// How long the member may be silent before it counts as gone.
        session_timeout_ms: i32 [0..];
        /// How long to wait for the member while the group rebalances.
        rebalance_timeout_ms: i32 [1..] = -1;
        /// The member's id; empty at first.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [5..];
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Str [0..];
        /// The assignors that the member can use, best first.
        protocols: Vec<JoinGroupRequestProtocol> [0..];
        /// Why, in words (KIP-800).
        reason: Option<Str> [8..];
    }

    /// An assignor that the member can use.
    pub struct JoinGroupRequestProtocol {
        /// The assignor's name.
        name: Str [0..];
        /// What the member tells the assignor, as it encodes it.
        metadata: Bytes [0..];
    }

    /// Tells the member its id, and the leader all members.
    pub struct JoinGroupResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [2..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The group's generation.
        generation_id: i32 [0..] = -1;
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Option<Str> [7..];
        /// The name of the assignor that was chosen.
        protocol_name: Option<Str> [0..] null [7..] = Some(Str::new());
        /// The member that assigns partitions to all.
        leader: Str [0..];
        /// Whether the leader must leave the assignment as it is.
        skip_assignment: bool [9..];
        /// The member's id.
        member_id: Str [0..];
        /// All members with their metadata; only the leader gets them.
        members: Vec<JoinGroupResponseMember> [0..];
    }

    /// A member, for the leader.
    pub struct JoinGroupResponseMember {
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [5..];
        /// What the member told the assignor, as it encoded it.
        metadata: Bytes [0..];
    }
}
