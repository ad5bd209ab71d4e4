//! CreatePartitions (37): raises the number of partitions of topics (KIP-195).

use factum_event::TopicName;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::{Refusal, text};
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let (error, message) = match grow(call, asked, request.validate_only).await {
            Ok(()) => (ErrorCode::None, None),
            Err((error, message)) => (error, Some(text(message))),
        };
        results.push(CreatePartitionsTopicResult {
            name: text(&*asked.name),
            error_code: error.code(),
            error_message: message,
        });
    }
    CreatePartitionsResponse { results, ..Default::default() }
}

async fn grow(call: &Call, asked: &CreatePartitionsTopic, dry_run: bool) -> Result<(), Refusal> {
    let name = TopicName::new(&asked.name)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    call.may_with_topic(Operation::Alter, name.as_str())
        .map_err(|refused| (refused, format!("ALTER of topic {name} is not allowed")))?;
    let total = u32::try_from(asked.count).map_err(|_| {
        (ErrorCode::InvalidPartitions, format!("{} partitions: expected 1 or more", asked.count))
    })?;
    let assigned = asked.assignments.iter().flatten();
    if !assigned.map(|one| one.broker_ids.as_slice()).all(|brokers| brokers == [NODE_ID]) {
        let message = format!("every partition is to be on broker {NODE_ID} alone");
        return Err((ErrorCode::InvalidReplicaAssignment, message));
    }
    let grown = call.door.broker.grow_topic(&call.caller.author(), &name, total, dry_run).await;
    grown.map(drop).map_err(|error| (errors::admin(&error), error.to_string()))
}
