//! DeleteAcls, API 31.
//!
//! * 1: kinds of patterns (KIP-290). 2: flexible. 3: resources of users.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to remove the rules that fit filters.
    pub struct DeleteAclsRequest {
        /// The filters.
        filters: Vec<DeleteAclsFilter> [0..];
    }

    /// Which rules go.
    pub struct DeleteAclsFilter {
        /// The type of the resource; 1 is any.
        resource_type_filter: i8 [0..];
        /// The name of the resource; null is any.
        resource_name_filter: Option<Str> [0..];
        /// How the name is meant: 1 any, 2 that matches, 3 literal, 4 prefixed.
        pattern_type_filter: i8 [1..] = 3;
        /// The principal; null is any.
        principal_filter: Option<Str> [0..];
        /// The host; null is any.
        host_filter: Option<Str> [0..];
        /// The operation; 1 is any.
        operation: i8 [0..];
        /// 1 any, 2 deny, 3 allow.
        permission_type: i8 [0..];
    }

    /// Tells which rules went.
    pub struct DeleteAclsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// One for each filter, in their order.
        filter_results: Vec<DeleteAclsFilterResult> [0..];
    }

    /// What one filter found.
    pub struct DeleteAclsFilterResult {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// The rules.
        matching_acls: Vec<DeleteAclsMatchingAcl> [0..];
    }

    /// A rule that was to go.
    pub struct DeleteAclsMatchingAcl {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// The type of the resource.
        resource_type: i8 [0..];
        /// The name of the resource.
        resource_name: Str [0..];
        /// How the name is meant.
        pattern_type: i8 [1..] = 3;
        /// Whom it is about.
        principal: Str [0..];
        /// From where.
        host: Str [0..];
        /// What may be done or not.
        operation: i8 [0..];
        /// 2 deny, 3 allow.
        permission_type: i8 [0..];
    }
}
