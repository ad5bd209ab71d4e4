//! InitProducerId (22): an id for an idempotent or transactional producer (KIP-98).
//!
//! * Without a transactional id every call gets a new id with epoch 0, also one that brings the id
//!   it had (3, KIP-360). Half of what it had, the id or the epoch alone, is an `INVALID_REQUEST`.
//! * With one, the id comes with the next epoch: whoever had it before is fenced off, and what it
//!   has not committed is aborted. The answer comes when that is done.
//! * 3: a producer that says who it was gets its next epoch only if nobody came after it.
//!   4: a fenced producer has an error code of its own.

use std::time::Duration;

use factum_broker::Producer;
use factum_event::access::{Operation, Resource, ResourceType};
use factum_wire::ErrorCode;
use factum_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::to_its_end;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which a fenced producer is told so.
const FENCING_SINCE: i16 = 4;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let given = match &request.transactional_id {
        Some(id) => transactional(call, id, &request).await,
        None => idempotent(call, &request).await,
    };
    match given {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.code(),
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

async fn idempotent(call: &Call, request: &InitProducerIdRequest) -> Result<Producer, ErrorCode> {
    let (broker, client) = (&call.door.broker, &call.caller.client);
    // Who may write somewhere may do so with an id (KIP-679).
    if !broker.may_with_any(client, Operation::Write, ResourceType::Topic)
        && !call.may(Operation::IdempotentWrite, Resource::CLUSTER)
    {
        return Err(ErrorCode::ClusterAuthorizationFailed);
    }
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    let id = call.door.broker.new_producer_id().await.map_err(|error| errors::admin(&error))?;
    Ok(Producer { id, epoch: 0 })
}

async fn transactional(
    call: &Call,
    id: &str,
    request: &InitProducerIdRequest,
) -> Result<Producer, ErrorCode> {
    let id = call.transactional_id(Operation::Write, id)?;
    let millis = u64::try_from(request.transaction_timeout_ms).unwrap_or(0);
    let known = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (id @ 0.., epoch @ 0..) => Some(Producer { id, epoch }),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let broker = call.door.broker.clone();
    let timeout = Duration::from_millis(millis);
    let init = async move { broker.init_transactions(&id, timeout, known).await };
    let knows_fencing = call.version() >= FENCING_SINCE;
    to_its_end(init).await.map_err(|error| errors::transaction(&error, knows_fencing))
}
