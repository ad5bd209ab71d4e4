//! DescribeUserScramCredentials, API 50 (KIP-554).

use crate::Str;
use crate::table::message;

message! {
    /// Asks how users log in.
    pub struct DescribeUserScramCredentialsRequest {
        /// Which; null is all.
        users: Option<Vec<UserName>> [0..];
    }

    /// A user.
    pub struct UserName {
        /// The name.
        name: Str [0..];
    }

    /// Tells how users log in.
    pub struct DescribeUserScramCredentialsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// One for each user.
        results: Vec<DescribeUserScramCredentialsResult> [0..];
    }

    /// How a user logs in.
    pub struct DescribeUserScramCredentialsResult {
        /// The user.
        user: Str [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// One for each mechanism.
        credential_infos: Vec<CredentialInfo> [0..];
    }

    /// What there is for a mechanism.
    pub struct CredentialInfo {
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..];
        /// How often the password was hashed.
        iterations: i32 [0..];
    }
}
