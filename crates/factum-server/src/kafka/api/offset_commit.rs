//! OffsetCommit (8): a group commits how far it has come.
//!
//! * The answer follows the flush, as for records. Partitions are answered one by one.
//! * Generation -1 without a member id is for who has no membership; it is taken while the group
//!   is empty.
//! * A member of a group that is not there is told that it is none; before 9, as in Kafka, that its
//!   generation is not the group's. Kafka's GROUP_ID_NOT_FOUND would end clients where they are to
//!   join again: members are in memory, and after a restart no group is there.
//! * 2 to 4: a retention time, which is not heeded (KIP-211). 6: leader epoch. 7: static members.
//!   9: the epoch of a member of the consumer protocol (KIP-848), which cannot commit in older
//!   versions. 10: topics by id.

use factum_broker::groups::{GroupError, GroupKind, MemberRef};
use factum_broker::{Commit, CommitError};
use factum_event::access::Operation;
use factum_event::{GroupName, Offset, Partition};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which members of the consumer protocol commit.
const EPOCHS_SINCE: i16 = 9;

/// The first version that names topics by id.
const IDS_SINCE: i16 = 10;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
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
    let committed = call.door.broker.commit_offsets(&group, commits).await;
    let code = |result: &Result<(), CommitError>| {
        result.as_ref().map_or_else(errors::commit, |()| ErrorCode::None)
    };
    let mut places = places.into_iter();
    answer(&request.topics, || match (places.next(), &committed) {
        (Some(Err(error)), _) => error,
        (_, Err(error)) => errors::commit(error),
        (Some(Ok(place)), Ok(results)) => {
            results.get(place).map_or(ErrorCode::UnknownServerError, code)
        }
        (None, Ok(_)) => ErrorCode::UnknownServerError,
    })
}

/// Whether the caller may commit for the group.
fn admit(call: &Call, request: &OffsetCommitRequest) -> Result<GroupName, ErrorCode> {
    let group = call.group(Operation::Read, &request.group_id)?;
    let member = MemberRef {
        generation: request.generation_id_or_member_epoch,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let broker = &call.door.broker;
    let valid = broker.groups().validate_commit(broker.clock().monotonic(), &group, &member);
    let kind = broker.groups().member_kind(&group, &request.member_id);
    if call.version() < EPOCHS_SINCE && kind == Some(GroupKind::Consumer) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    match valid {
        Ok(()) => Ok(group),
        Err(GroupError::UnknownMemberId)
            if call.version() < EPOCHS_SINCE && !broker.knows_group(&group) =>
        {
            Err(ErrorCode::IllegalGeneration)
        }
        Err(error) => Err(errors::group(&error)),
    }
}

fn commit(
    call: &Call,
    topic: &OffsetCommitRequestTopic,
    asked: &OffsetCommitRequestPartition,
) -> Result<Commit, ErrorCode> {
    let by_id = call.version() >= IDS_SINCE;
    let topic = call.find_topic(Operation::Read, (&topic.name, topic.topic_id), by_id)?;
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
    topics: &[OffsetCommitRequestTopic],
    mut code: impl FnMut() -> ErrorCode,
) -> OffsetCommitResponse {
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let partitions = topic.partitions.iter().map(|asked| OffsetCommitResponsePartition {
            partition_index: asked.partition_index,
            error_code: code().code(),
        });
        let partitions = partitions.collect();
        let (name, topic_id) = (text(&*topic.name), topic.topic_id);
        responses.push(OffsetCommitResponseTopic { name, topic_id, partitions });
    }
    OffsetCommitResponse { topics: responses, ..Default::default() }
}
