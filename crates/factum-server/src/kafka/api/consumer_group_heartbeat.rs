//! ConsumerGroupHeartbeat (68): all that a member of the consumer protocol says (KIP-848): it joins
//! with epoch 0, stays, and leaves with -1, or as a static member for a while with -2.
//!
//! * Null says that a field is as it was last said.
//! * 0: a member without an id gets one. 1: topics by a regular expression; the member makes its
//!   own id (KIP-1082).

use std::time::Duration;

use factum_broker::groups::{Assignment, ConsumerBeat, ConsumerHeartbeat};
use factum_event::access::Operation;
use factum_event::{GroupName, TopicId};
use factum_wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatResponseAssignment,
    ConsumerGroupHeartbeatResponseTopicPartitions,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which members make their ids.
const OWN_IDS_SINCE: i16 = 1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let group = match admit(call, &request) {
        Ok(group) => group,
        Err(error) => {
            let error_code = error.code();
            return ConsumerGroupHeartbeatResponse { error_code, ..Default::default() };
        }
    };
    let broker = &call.door.broker;
    let now = broker.clock().monotonic();
    match broker.groups().consumer_heartbeat(now, &group, heartbeat(call, request), broker) {
        Ok(beat) => accepted(beat),
        Err(error) => ConsumerGroupHeartbeatResponse {
            error_code: errors::group(&error).code(),
            error_message: Some(text(error.to_string())),
            ..Default::default()
        },
    }
}

/// Whether the caller may be a member, and know of what it subscribes to.
fn admit(call: &Call, request: &ConsumerGroupHeartbeatRequest) -> Result<GroupName, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let group = call.group(Operation::Read, &request.group_id)?;
    let mut names = request.subscribed_topic_names.iter().flatten();
    names.try_for_each(|name| call.may_with_topic(Operation::Describe, name))?;
    Ok(group)
}

fn heartbeat(call: &Call, request: ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let owned = |text: Str| String::from(&*text);
    // Every negative number means that there is none.
    let rebalance_timeout = u64::try_from(request.rebalance_timeout_ms).ok();
    let names = request.subscribed_topic_names;
    ConsumerHeartbeat {
        member_id: String::from(&*request.member_id),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.map(owned),
        rack_id: request.rack_id.map(owned),
        client_id: call.caller.client_id.clone(),
        client_host: format!("/{}", call.caller.client.host),
        rebalance_timeout: rebalance_timeout.map(Duration::from_millis),
        topic_names: names.map(|names| names.into_iter().map(owned).collect()),
        topic_regex: request.subscribed_topic_regex.map(owned),
        assignor: request.server_assignor.map(owned),
        owned: request.topic_partitions.map(assignment),
        makes_its_id: call.version() >= OWN_IDS_SINCE,
    }
}

fn assignment(topics: Vec<ConsumerGroupHeartbeatRequestTopicPartitions>) -> Assignment {
    let partitions = topics.into_iter().flat_map(|topic| {
        let id = TopicId(topic.topic_id);
        topic.partitions.into_iter().map(move |partition| (id, partition))
    });
    partitions.collect()
}

fn accepted(beat: ConsumerBeat) -> ConsumerGroupHeartbeatResponse {
    let interval = beat.heartbeat_interval.as_millis();
    ConsumerGroupHeartbeatResponse {
        member_id: Some(text(beat.member_id)),
        member_epoch: beat.member_epoch,
        heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
        assignment: beat.assignment.map(|assignment| {
            let topic = |(topic, partitions): (TopicId, &std::collections::BTreeSet<i32>)| {
                let partitions = partitions.iter().copied().collect();
                ConsumerGroupHeartbeatResponseTopicPartitions { topic_id: topic.0, partitions }
            };
            let topic_partitions = assignment.by_topic().map(topic).collect();
            ConsumerGroupHeartbeatResponseAssignment { topic_partitions }
        }),
        ..Default::default()
    }
}
