//! InitProducerId (22): an id for an idempotent producer (KIP-98).
//!
//! * Without a transactional id every call gets a new id with epoch 0, also one that brings the id
//!   it had (3, KIP-360).
//! * There are no transactions: a transactional id is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let failed = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.code(),
        producer_epoch: -1,
        ..Default::default()
    };
    if request.transactional_id.is_some() {
        return failed(ErrorCode::InvalidRequest);
    }
    match call.door.broker.new_producer_id().await {
        Ok(producer_id) => InitProducerIdResponse { producer_id, ..Default::default() },
        Err(error) => failed(errors::admin(&error)),
    }
}
