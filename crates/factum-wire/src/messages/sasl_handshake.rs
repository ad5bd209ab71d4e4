//! SaslHandshake, API 17.
//!
//! * 0: what follows are bare tokens. 1: they come in SaslAuthenticate (KIP-152).

use crate::Str;
use crate::table::message;

message! {
    /// Says how the client wants to log in.
    pub struct SaslHandshakeRequest {
        /// The mechanism.
        mechanism: Str [0..];
    }

    /// Tells whether that is possible.
    pub struct SaslHandshakeResponse {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The mechanisms that are possible.
        mechanisms: Vec<Str> [0..];
    }
}
