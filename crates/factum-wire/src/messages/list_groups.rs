//! ListGroups, API 16.
//!
//! * 3: flexible. 4: state in the answer, filter by state (KIP-518).
//! * 5: type in the answer, filter by type (KIP-848).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for the groups that exist.
    pub struct ListGroupsRequest {
        /// Only groups in these states; all if empty.
        states_filter: Vec<Str> [4..];
        /// Only groups of these types; all if empty.
        types_filter: Vec<Str> [5..];
    }

    /// Lists the groups that exist.
    pub struct ListGroupsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The groups.
        groups: Vec<ListedGroup> [0..];
    }

    /// A group.
    pub struct ListedGroup {
        /// The group's name.
        group_id: Str [0..];
        /// What the members are: `consumer`, `connect`, …
        protocol_type: Str [0..];
        /// The group's state, in Kafka's words.
        group_state: Str [4..];
        /// The group's protocol: classic, consumer, share or streams.
        group_type: Str [5..];
    }
}
