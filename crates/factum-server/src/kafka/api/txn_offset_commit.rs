//! TxnOffsetCommit (28): commits offsets of a group with a transaction (KIP-98): they count once it
//! is committed.
//!
//! * 2: leader epoch. 3: the member that commits, so that one that was left behind is refused
//!   (KIP-447); who does not say which member it is, is believed.
//! * 4: what was not added to the transaction is to be aborted; before, it ends the producer.
//! * 5: the group need not be added to the transaction before (KIP-890).

use factum_broker::groups::{GroupError, MemberRef};
use factum_broker::{Commit, CommitError, Producer, TransactionProtocol};
use factum_event::access::Operation;
use factum_event::{GroupName, Offset, Partition};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::{text, to_its_end};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which clients know that they are to abort, and can go on then.
const ABORTABLE_SINCE: i16 = 4;

/// The first version of KIP-890.
const V2_SINCE: i16 = 5;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let group = match admit(call, &request) {
        Ok(group) => group,
        Err(error) => return answer(&request.topics, || error),
    };
    let mut commits = Vec::new();
    // Where in `commits` each partition is, or why it is not there.
    let mut places = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            places.push(commit(call, topic, partition).map(|commit| {
                commits.push(commit);
                commits.len() - 1
            }));
        }
    }
    let committed = put(call, &request, group, commits).await;
    let code = |result: &Result<(), CommitError>| {
        result.as_ref().map_or_else(errors::commit, |()| ErrorCode::None)
    };
    let mut places = places.into_iter();
    answer(&request.topics, || match (places.next(), &committed) {
        (Some(Err(error)), _) => error,
        (_, Err(error)) => *error,
        (Some(Ok(place)), Ok(results)) => {
            results.get(place).map_or(ErrorCode::UnknownServerError, code)
        }
        (None, Ok(_)) => ErrorCode::UnknownServerError,
    })
}

async fn put(
    call: &Call,
    request: &TxnOffsetCommitRequest,
    group: GroupName,
    commits: Vec<Commit>,
) -> Result<Vec<Result<(), CommitError>>, ErrorCode> {
    let id = call.transactional_id(Operation::Write, &request.transactional_id)?;
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let is_v2 = call.version() >= V2_SINCE;
    let protocol = if is_v2 { TransactionProtocol::V2 } else { TransactionProtocol::V1 };
    let broker = call.door.broker.clone();
    let commit = async move {
        broker.commit_in_transaction((&id, producer, protocol), &group, commits).await
    };
    // Clients take the code of a stale epoch here for what it is in every version.
    to_its_end(commit).await.map_err(|error| {
        let code = errors::transaction(&error, false);
        errors::unless_abortable(code, call.version() >= ABORTABLE_SINCE)
    })
}

/// Whether the caller may commit for the group.
fn admit(call: &Call, request: &TxnOffsetCommitRequest) -> Result<GroupName, ErrorCode> {
    call.transactional_id(Operation::Write, &request.transactional_id)?;
    let group = call.group(Operation::Read, &request.group_id)?;
    if request.generation_id < 0 && request.member_id.is_empty() {
        return Ok(group);
    }
    let member = MemberRef {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let broker = &call.door.broker;
    match broker.groups().validate_commit(broker.clock().monotonic(), &group, &member) {
        // The transaction is of the generation that is being handed over.
        Ok(()) | Err(GroupError::RebalanceInProgress) => Ok(group),
        // This API does not know the epochs of the consumer protocol.
        Err(GroupError::StaleMemberEpoch { .. }) => Err(ErrorCode::IllegalGeneration),
        Err(error) => Err(errors::group(&error)),
    }
}

fn commit(
    call: &Call,
    topic: &TxnOffsetCommitRequestTopic,
    asked: &TxnOffsetCommitRequestPartition,
) -> Result<Commit, ErrorCode> {
    let topic = call.topic_named(Operation::Read, &topic.name)?;
    let partition = Partition::new(asked.partition_index);
    Ok(Commit {
        topic: topic.name.clone(),
        partition: partition.ok_or(ErrorCode::UnknownTopicOrPartition)?,
        offset: Offset::new(asked.committed_offset).ok_or(ErrorCode::InvalidCommitOffsetSize)?,
        leader_epoch: asked.committed_leader_epoch,
        metadata: String::from(asked.committed_metadata.as_deref().unwrap_or_default()),
    })
}

fn answer(
    topics: &[TxnOffsetCommitRequestTopic],
    mut code: impl FnMut() -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let partitions = topic.partitions.iter().map(|asked| TxnOffsetCommitResponsePartition {
            partition_index: asked.partition_index,
            error_code: code().code(),
        });
        let partitions = partitions.collect();
        responses.push(TxnOffsetCommitResponseTopic { name: text(&*topic.name), partitions });
    }
    TxnOffsetCommitResponse { topics: responses, ..Default::default() }
}
