//! SaslAuthenticate (36): the messages of a login, whose mechanism SaslHandshake has named.
//!
//! * A login that fails: `SASL_AUTHENTICATION_FAILED`, after a delay, with a text that does not say
//!   whether there is such a user; the connection closes then.
//! * A message without a login: `ILLEGAL_SASL_STATE`; the connection closes then, unless nobody logs
//!   in there.
//! * 1: how long the login counts; the client has to log in again before that (KIP-368).
//! * 2: flexible.

use bytes::Bytes;
use factum_wire::ErrorCode;
use factum_wire::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::session::NoLogin;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    let step = call.caller.session.authenticate(&call.door, &request.auth_bytes).await;
    match step {
        Ok((message, lasts)) => SaslAuthenticateResponse {
            auth_bytes: Bytes::from(message),
            session_lifetime_ms: lasts
                .map_or(0, |lasts| i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)),
            ..Default::default()
        },
        Err(reason) => {
            let error = match reason {
                NoLogin::NotBegun => ErrorCode::IllegalSaslState,
                _ => ErrorCode::SaslAuthenticationFailed,
            };
            let error_message = Some(text(reason.to_string()));
            SaslAuthenticateResponse {
                error_code: error.code(),
                error_message,
                ..Default::default()
            }
        }
    }
}
