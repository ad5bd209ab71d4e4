//! DescribeGroups, API 15.
//!
//! * 3: authorized operations (KIP-430). 4: static members (KIP-345). 5: flexible.
//! * 6: a group that does not exist is an error with a message (KIP-1043).

use bytes::Bytes;

use crate::Str;
use crate::table::message;

message! {
    /// Asks for groups and their members.
    pub struct DescribeGroupsRequest {
        /// The groups' names.
        groups: Vec<Str> [0..];
        /// Whether to tell what the caller may do to the groups.
        include_authorized_operations: bool [3..];
    }

    /// Describes groups and their members.
    pub struct DescribeGroupsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// The groups.
        groups: Vec<DescribedGroup> [0..];
    }

    /// A group.
    pub struct DescribedGroup {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [6..];
        /// The group's name.
        group_id: Str [0..];
        /// The group's state, in Kafka's words.
        group_state: Str [0..];
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Str [0..];
        /// The name of the assignor in use.
        protocol_data: Str [0..];
        /// The members.
        members: Vec<DescribedGroupMember> [0..];
        /// What the caller may do to the group, as bits; `i32::MIN` if not asked for.
        authorized_operations: i32 [3..] = i32::MIN;
    }

    /// A member of a group.
    pub struct DescribedGroupMember {
        /// The member's id.
        member_id: Str [0..];
        /// The name of a member that keeps its place over restarts (KIP-345), or null.
        group_instance_id: Option<Str> [4..];
        /// The name that the member's client gives itself.
        client_id: Str [0..];
        /// Where the member connected from.
        client_host: Str [0..];
        /// What the member told the assignor, as it encoded it.
        member_metadata: Bytes [0..];
        /// What the member was assigned, as its assignor encoded it.
        member_assignment: Bytes [0..];
    }
}
