//! CreateAcls, API 30.
//!
//! * 1: kinds of patterns (KIP-290). 2: flexible. 3: resources of users.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to add rules.
    pub struct CreateAclsRequest {
        /// The rules.
        creations: Vec<AclCreation> [0..];
    }

    /// One rule.
    pub struct AclCreation {
        /// The type of the resource.
        resource_type: i8 [0..];
        /// The name of the resource.
        resource_name: Str [0..];
        /// How the name is meant: 3 literal, 4 prefixed.
        resource_pattern_type: i8 [1..] = 3;
        /// Whom it is about.
        principal: Str [0..];
        /// From where.
        host: Str [0..];
        /// What may be done or not.
        operation: i8 [0..];
        /// 2 deny, 3 allow.
        permission_type: i8 [0..];
    }

    /// Tells what became of the rules.
    pub struct CreateAclsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// One for each rule, in their order.
        results: Vec<AclCreationResult> [0..];
    }

    /// What became of one rule.
    pub struct AclCreationResult {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
