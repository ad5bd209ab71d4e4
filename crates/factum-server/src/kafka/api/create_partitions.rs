//! CreatePartitions (37): raises the number of partitions of topics (KIP-195).
//!
//! * A topic that comes more than once is one `INVALID_REQUEST`, and does not grow.

use factum_event::TopicName;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::{NAMED_TWICE, Refusal, text, times, told};
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    let mut unanswered = times(request.topics.iter().map(|topic| &*topic.name));
    for asked in &request.topics {
        let grown = match unanswered.remove(&*asked.name) {
            None => continue,
            Some(1) => grow(call, asked, request.validate_only).await,
            Some(_) => Err((ErrorCode::InvalidRequest, NAMED_TWICE.to_owned())),
        };
        let (error, message) = match grown {
            Ok(()) => (ErrorCode::None, None),
            Err((error, message)) => (error, Some(told(&message))),
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
    check_assignments(call, asked, total)?;
    let grown = call.door.broker.grow_topic(&call.caller.author(), &name, total, dry_run).await;
    grown.map(drop).map_err(|error| (errors::admin(&error), error.to_string()))
}

/// Assignments are of the partitions that come, one each, in order. What is wrong with their number
/// itself is said first, by who adds them.
fn check_assignments(
    call: &Call,
    asked: &CreatePartitionsTopic,
    total: u32,
) -> Result<(), Refusal> {
    let (Some(assigned), Some(topic)) = (&asked.assignments, call.door.broker.topic(&asked.name))
    else {
        return Ok(());
    };
    let added = total.saturating_sub(topic.partition_count()) as usize;
    if added == 0 {
        return Ok(());
    }
    let refuse = |message| Err((ErrorCode::InvalidReplicaAssignment, message));
    if assigned.len() != added {
        return refuse(format!(
            "{} assignments: expected {added}, one a new partition",
            assigned.len()
        ));
    }
    if assigned.iter().any(|one| one.broker_ids != [NODE_ID]) {
        return refuse(format!("every partition is to be on broker {NODE_ID} alone"));
    }
    Ok(())
}
