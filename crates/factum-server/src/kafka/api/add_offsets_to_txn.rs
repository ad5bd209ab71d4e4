//! AddOffsetsToTxn (25): a transaction will commit offsets of a group (KIP-98).
//!
//! * 2: a fenced producer has an error code of its own.

use factum_broker::Producer;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::to_its_end;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which a fenced producer is told so.
const FENCING_SINCE: i16 = 2;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let error_code = add(call, &request).await.err().unwrap_or(ErrorCode::None).code();
    AddOffsetsToTxnResponse { error_code, ..Default::default() }
}

async fn add(call: &Call, request: &AddOffsetsToTxnRequest) -> Result<(), ErrorCode> {
    let id = call.transactional_id(Operation::Write, &request.transactional_id)?;
    let group = call.group(Operation::Read, &request.group_id)?;
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let broker = call.door.broker.clone();
    let add = async move { broker.add_group_to_transaction(&id, producer, &group).await };
    let knows_fencing = call.version() >= FENCING_SINCE;
    to_its_end(add).await.map_err(|error| errors::transaction(&error, knows_fencing))
}
