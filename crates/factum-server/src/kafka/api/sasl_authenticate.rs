//! SaslAuthenticate (36): on a listener without login, there is nothing to prove.

use factum_wire::ErrorCode;
use factum_wire::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _: &Call,
    _: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(text("this listener has no login; connect without SASL")),
        ..Default::default()
    }
}
