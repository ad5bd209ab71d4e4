//! AlterUserScramCredentials, API 51 (KIP-554).

use bytes::Bytes;

use crate::Str;
use crate::table::message;

message! {
    /// Asks to change how users log in.
    pub struct AlterUserScramCredentialsRequest {
        /// What is to go.
        deletions: Vec<ScramCredentialDeletion> [0..];
        /// What is new, or to be replaced.
        upsertions: Vec<ScramCredentialUpsertion> [0..];
    }

    /// A credential that is to go.
    pub struct ScramCredentialDeletion {
        /// The user.
        name: Str [0..];
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..];
    }

    /// A credential.
    pub struct ScramCredentialUpsertion {
        /// The user.
        name: Str [0..];
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..];
        /// How often the password was hashed.
        iterations: i32 [0..];
        /// With what.
        salt: Bytes [0..];
        /// What came of it.
        salted_password: Bytes [0..];
    }

    /// Tells what became of it.
    pub struct AlterUserScramCredentialsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// One for each user.
        results: Vec<AlterUserScramCredentialsResult> [0..];
    }

    /// What became of a user.
    pub struct AlterUserScramCredentialsResult {
        /// The user.
        user: Str [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
