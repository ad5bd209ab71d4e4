//! SaslAuthenticate, API 36.
//!
//! * 1: how long the session lives (KIP-368). 2: flexible.

use bytes::Bytes;

use crate::Str;
use crate::table::message;

message! {
    /// A step of logging in.
    pub struct SaslAuthenticateRequest {
        /// What the mechanism says.
        auth_bytes: Bytes [0..];
    }

    /// The answer to a step.
    pub struct SaslAuthenticateResponse {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// What the mechanism says.
        auth_bytes: Bytes [0..];
        /// After how many milliseconds the client must log in again; 0 is never.
        session_lifetime_ms: i64 [1..];
    }
}
