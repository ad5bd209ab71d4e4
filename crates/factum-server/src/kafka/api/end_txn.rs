//! EndTxn (26): commits or aborts a transaction (KIP-98).
//!
//! * The answer comes when all its partitions have their markers, durable: nobody is told to come
//!   back while a transaction ends.
//! * 2: a fenced producer has an error code of its own.
//! * 5: the producer gets a new epoch with every transaction (KIP-890).

use factum_broker::{Producer, TransactionProtocol};
use factum_event::access::Operation;
use factum_event::batch::Outcome;
use factum_wire::ErrorCode;
use factum_wire::messages::{EndTxnRequest, EndTxnResponse};

use super::to_its_end;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which a fenced producer is told so.
const FENCING_SINCE: i16 = 2;

/// The first version of KIP-890.
const V2_SINCE: i16 = 5;

pub(in crate::kafka) async fn handle(call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    match end(call, &request).await {
        Ok(producer) => EndTxnResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(error) => EndTxnResponse { error_code: error.code(), ..Default::default() },
    }
}

async fn end(call: &Call, request: &EndTxnRequest) -> Result<Producer, ErrorCode> {
    let id = call.transactional_id(Operation::Write, &request.transactional_id)?;
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let is_v2 = call.version() >= V2_SINCE;
    let protocol = if is_v2 { TransactionProtocol::V2 } else { TransactionProtocol::V1 };
    let broker = call.door.broker.clone();
    let end = async move { broker.end_transaction((&id, producer, protocol), outcome).await };
    let knows_fencing = call.version() >= FENCING_SINCE;
    to_its_end(end).await.map_err(|error| errors::transaction(&error, knows_fencing))
}
