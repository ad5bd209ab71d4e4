//! AlterPartitionReassignments (45): partitions are on the one broker, and stay there (KIP-455).
//!
//! * That broker alone is where a partition is already; other brokers are refused, and null, which
//!   stops a move, finds none.
//! * 1: whether the number of replicas may change (KIP-860). It never can; the answer repeats it.

use factum_event::Partition;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};

use super::alter_configs::outcome;
use super::create_topics::Refusal;
use super::{find_topic, text};
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: request.topics.iter().map(|topic| reassign_in(call, topic)).collect(),
        ..Default::default()
    }
}

fn reassign_in(call: &Call, topic: &ReassignableTopic) -> ReassignableTopicResponse {
    let result = |asked: &ReassignablePartition| {
        let (error_code, error_message) = outcome(reassign(call, &topic.name, asked));
        let partition_index = asked.partition_index;
        ReassignablePartitionResponse { partition_index, error_code, error_message }
    };
    let partitions = topic.partitions.iter().map(result).collect();
    ReassignableTopicResponse { name: text(&*topic.name), partitions }
}

fn reassign(call: &Call, name: &str, asked: &ReassignablePartition) -> Result<(), Refusal> {
    let number = asked.partition_index;
    let topic = find_topic(&call.door.broker, name, uuid::Uuid::nil(), false);
    let id = topic.ok().and_then(|topic| topic.partition_id(Partition::new(number)?));
    if id.is_none() {
        let message = format!("there is no partition {name}-{number}");
        return Err((ErrorCode::UnknownTopicOrPartition, message));
    }
    match asked.replicas.as_deref() {
        Some([NODE_ID]) => Ok(()),
        Some(_) => {
            let message = format!("every partition is to be on broker {NODE_ID} alone");
            Err((ErrorCode::InvalidReplicaAssignment, message))
        }
        None => {
            let message = format!("{name}-{number} is not moving");
            Err((ErrorCode::NoReassignmentInProgress, message))
        }
    }
}
