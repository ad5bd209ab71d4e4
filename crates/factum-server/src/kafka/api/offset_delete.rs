//! OffsetDelete (47): forgets committed offsets of topics that the group no longer reads (KIP-496).

use std::collections::BTreeSet;

use factum_broker::CommitError;
use factum_broker::groups::consumer_protocol::PROTOCOL_TYPE;
use factum_event::access::Operation;
use factum_event::{GroupName, Partition, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let failed =
        |error: ErrorCode| OffsetDeleteResponse { error_code: error.code(), ..Default::default() };
    let (group, subscribed) = match subscriptions(call, &request.group_id) {
        Ok(found) => found,
        Err(error) => return failed(error),
    };
    let mut deleted = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        topics.push(topic(call, asked, &subscribed, &mut deleted));
    }
    match call.door.broker.delete_offsets(&group, deleted).await {
        Ok(()) => OffsetDeleteResponse { topics, ..Default::default() },
        Err(error) => failed(errors::commit(&error)),
    }
}

/// The topics that members of the group read now: their offsets stay.
fn subscriptions(call: &Call, group: &str) -> Result<(GroupName, BTreeSet<String>), ErrorCode> {
    let group = call.group(Operation::Delete, group)?;
    let broker = &call.door.broker;
    let Some(standing) = broker.groups().standing(&group) else {
        let known = !broker.all_committed(&group).is_empty();
        return if known { Ok((group, BTreeSet::new())) } else { Err(ErrorCode::GroupIdNotFound) };
    };
    if standing.is_empty() {
        return Ok((group, BTreeSet::new()));
    }
    match standing.topics {
        Some(topics) if standing.protocol_type == PROTOCOL_TYPE => Ok((group, topics)),
        _ => Err(errors::commit(&CommitError::Group(
            factum_broker::groups::GroupError::GroupNotEmpty,
        ))),
    }
}

fn topic(
    call: &Call,
    asked: &OffsetDeleteRequestTopic,
    subscribed: &BTreeSet<String>,
    deleted: &mut Vec<(TopicName, Partition)>,
) -> OffsetDeleteResponseTopic {
    let found = call.topic_named(Operation::Read, &asked.name);
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    for of in &asked.partitions {
        let number = Partition::new(of.partition_index);
        let error = match (&found, number) {
            (Err(error), _) => *error,
            (Ok(_), _) if subscribed.contains(&*asked.name) => ErrorCode::GroupSubscribedToTopic,
            (Ok(topic), Some(number)) if topic.partition_id(number).is_some() => {
                deleted.push((topic.name.clone(), number));
                ErrorCode::None
            }
            (Ok(_), _) => ErrorCode::UnknownTopicOrPartition,
        };
        partitions.push(OffsetDeleteResponsePartition {
            partition_index: of.partition_index,
            error_code: error.code(),
        });
    }
    OffsetDeleteResponseTopic { name: text(&*asked.name), partitions }
}
