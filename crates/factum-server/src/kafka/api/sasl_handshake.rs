//! SaslHandshake (17): by which mechanism a client logs in.
//!
//! * On a listener without logins: `ILLEGAL_SASL_STATE`, as Kafka.
//! * A mechanism that is not offered: `UNSUPPORTED_SASL_MECHANISM` with those that are; the
//!   connection closes then.
//! * 0: was followed by messages without a frame of the protocol. No client since Kafka 1.0 does
//!   that; it is refused with `UNSUPPORTED_VERSION`.
//! * 1: SaslAuthenticate follows (KIP-152).
//! * After a login it begins the next one (KIP-368).

use factum_wire::ErrorCode;
use factum_wire::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::session::NoLogin;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let session = &call.caller.session;
    let begun = session.handshake(&call.door, &request.mechanism, call.version());
    let error = match begun {
        Ok(()) => ErrorCode::None,
        Err(NoLogin::Mechanism) => ErrorCode::UnsupportedSaslMechanism,
        Err(NoLogin::Raw) => ErrorCode::UnsupportedVersion,
        Err(_) => ErrorCode::IllegalSaslState,
    };
    let offered = call.door.sasl.offered(session.listener().protocol);
    let mechanisms = offered.map(|mechanism| text(mechanism.name())).collect();
    SaslHandshakeResponse { error_code: error.code(), mechanisms }
}
