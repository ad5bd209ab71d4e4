//! DeleteGroups, API 42.
//!
//! * 1: throttle time only after the answer (KIP-219). 2: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to delete groups.
    pub struct DeleteGroupsRequest {
        /// The groups to delete.
        groups_names: Vec<Str> [0..];
    }

    /// Tells which groups were deleted.
    pub struct DeleteGroupsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What became of each group.
        results: Vec<DeletableGroupResult> [0..];
    }

    /// What became of one group.
    pub struct DeletableGroupResult {
        /// The group's name.
        group_id: Str [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
    }
}
