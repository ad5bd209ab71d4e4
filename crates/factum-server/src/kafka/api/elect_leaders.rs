//! ElectLeaders (43): every partition has the only leader that there is, so that no election is
//! needed.
//!
//! * Null asks for all partitions: those that need no election are left out of the answer, so
//!   that it lists the topics alone.
//! * 1: two kinds of elections (KIP-460): 0 of the preferred leader, 1 of any.

use factum_event::Partition;
use factum_event::access::Operation;
use factum_wire::messages::{
    ElectLeadersRequest, ElectLeadersResponse, ElectLeadersTopic, PartitionElectionResult,
    ReplicaElectionResult,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;

/// The kinds of elections.
const KINDS: std::ops::RangeInclusive<i8> = 0..=1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    if let Err(error) = call.may_with_cluster(Operation::Alter) {
        let error_code = error.code();
        return ElectLeadersResponse { error_code, ..Default::default() };
    }
    let asked = request.topic_partitions.as_deref();
    if KINDS.contains(&request.election_type) || asked.is_some_and(<[_]>::is_empty) {
        let elect = |topic: &str, partition| (elect(call, topic, partition), None);
        let replica_election_results = match asked {
            None => all(call),
            Some(asked) => asked.iter().map(|topic| result(topic, elect)).collect(),
        };
        return ElectLeadersResponse { replica_election_results, ..Default::default() };
    }
    let error = ErrorCode::InvalidRequest;
    let refuse = |_: &str, _| (error, Some(Str::from_static("the election type is 0 or 1")));
    let results = asked.unwrap_or_default().iter().map(|topic| result(topic, refuse));
    ElectLeadersResponse {
        error_code: error.code(),
        replica_election_results: results.collect(),
        ..Default::default()
    }
}

/// All topics, none of whose partitions needs an election.
fn all(call: &Call) -> Vec<ReplicaElectionResult> {
    let topics = call.door.broker.all_topics();
    let named = |name| ReplicaElectionResult { topic: text(name), ..Default::default() };
    topics.iter().map(|topic| named(&topic.name)).collect()
}

fn result(
    asked: &ElectLeadersTopic,
    elect: impl Fn(&str, i32) -> (ErrorCode, Option<Str>),
) -> ReplicaElectionResult {
    let partition = |&partition_id: &i32| {
        let (error, error_message) = elect(&asked.topic, partition_id);
        PartitionElectionResult { partition_id, error_code: error.code(), error_message }
    };
    ReplicaElectionResult {
        topic: text(&*asked.topic),
        partition_result: asked.partitions.iter().map(partition).collect(),
    }
}

/// Why nothing is elected.
fn elect(call: &Call, name: &str, partition: i32) -> ErrorCode {
    let topic = call.door.broker.topic(name);
    let id = topic.and_then(|topic| topic.partition_id(Partition::new(partition)?));
    match id {
        Some(_) => ErrorCode::ElectionNotNeeded,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}
