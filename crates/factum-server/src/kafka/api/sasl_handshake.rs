//! SaslHandshake (17): on a listener without login, there is nothing to agree on.

use factum_wire::ErrorCode;
use factum_wire::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(_: &Call, _: SaslHandshakeRequest) -> SaslHandshakeResponse {
    let error_code = ErrorCode::IllegalSaslState.code();
    SaslHandshakeResponse { error_code, ..Default::default() }
}
