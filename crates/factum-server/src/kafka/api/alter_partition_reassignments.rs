//! AlterPartitionReassignments (45): partitions are on the one broker, and stay there (KIP-455).
//!
//! * That broker alone is where a partition is already; other brokers are refused, and null, which
//!   stops a move, finds none.
//! * 1: whether the number of replicas may change (KIP-860). It never can; the answer repeats it.

use factum_event::Partition;
use factum_event::access::Operation;
use factum_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    if let Err(error) = call.may_with_cluster(Operation::Alter) {
        let error_code = error.code();
        return AlterPartitionReassignmentsResponse { error_code, ..Default::default() };
    }
    // One text for all: a request may name many partitions.
    let elsewhere = text(format!("every partition is to be on broker {NODE_ID} alone"));
    let responses = request.topics.iter().map(|topic| reassign_in(call, topic, &elsewhere));
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: responses.collect(),
        ..Default::default()
    }
}

fn reassign_in(
    call: &Call,
    topic: &ReassignableTopic,
    elsewhere: &Str,
) -> ReassignableTopicResponse {
    let result = |asked: &ReassignablePartition| {
        let error = reassign(call, &topic.name, asked);
        ReassignablePartitionResponse {
            partition_index: asked.partition_index,
            error_code: error.code(),
            error_message: (error == ErrorCode::InvalidReplicaAssignment)
                .then(|| elsewhere.clone()),
        }
    };
    let partitions = topic.partitions.iter().map(result).collect();
    ReassignableTopicResponse { name: text(&*topic.name), partitions }
}

fn reassign(call: &Call, name: &str, asked: &ReassignablePartition) -> ErrorCode {
    let topic = call.door.broker.topic(name);
    let number = Partition::new(asked.partition_index);
    let id = topic.and_then(|topic| topic.partition_id(number?));
    match (id, asked.replicas.as_deref()) {
        (None, _) => ErrorCode::UnknownTopicOrPartition,
        (Some(_), Some([NODE_ID])) => ErrorCode::None,
        (Some(_), Some(_)) => ErrorCode::InvalidReplicaAssignment,
        (Some(_), None) => ErrorCode::NoReassignmentInProgress,
    }
}
