//! ConsumerGroupDescribe (69): groups of the consumer protocol with their members (KIP-848). A group
//! of the classic protocol is not found here, as one of the consumer protocol is not by
//! DescribeGroups; tools ask both.
//!
//! * 0: what the client may do with the group (KIP-430), if it asks.
//! * 1: of which protocol a member is (KIP-1099).

use factum_broker::groups::{AssignedTopic, ConsumerDescription, DescribedConsumer, GroupKind};
use factum_event::access::{Operation, Resource};
use factum_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    ConsumerGroupDescribeResponseAssignment, ConsumerGroupDescribeResponseGroup,
    ConsumerGroupDescribeResponseMember, ConsumerGroupDescribeResponseTopicPartitions,
};
use factum_wire::{ErrorCode, Str};

use super::{text, told};
use crate::kafka::dispatch::Call;

/// A member of the classic protocol, in a group that is becoming one of the consumer protocol, or is
/// ceasing to be one.
const CLASSIC: i8 = 0;

/// A member of the consumer protocol.
const CONSUMER: i8 = 1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.iter().map(|group| describe(call, group));
    let mut groups: Vec<_> = groups.collect();
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = call.operations(true, Resource::group(&group.group_id));
        }
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}

fn describe(call: &Call, asked: &str) -> ConsumerGroupDescribeResponseGroup {
    let failed = |error: ErrorCode, message: String| ConsumerGroupDescribeResponseGroup {
        error_code: error.code(),
        error_message: Some(told(&message)),
        group_id: text(asked),
        ..Default::default()
    };
    let group = match call.group(Operation::Describe, asked) {
        Ok(group) => group,
        Err(error @ ErrorCode::GroupAuthorizationFailed) => {
            return failed(error, format!("DESCRIBE of group {asked} is not allowed"));
        }
        Err(error) => return failed(error, format!("{asked:?} is no name of a group")),
    };
    match call.door.broker.groups().describe_consumer(&group) {
        Some(described) if !may_know_topics(call, &described) => {
            let message = format!("DESCRIBE of a topic of group {asked} is not allowed");
            failed(ErrorCode::TopicAuthorizationFailed, message)
        }
        Some(described) => known(described),
        None => {
            let message = format!("there is no group {asked} of the consumer protocol");
            failed(ErrorCode::GroupIdNotFound, message)
        }
    }
}

/// Whether the caller may know of all topics that a description names.
fn may_know_topics(call: &Call, described: &ConsumerDescription) -> bool {
    described.members.iter().all(|member| {
        let assigned = member.assignment.iter().chain(&member.target).map(|topic| &topic.name);
        let mut names = assigned.chain(&member.topic_names);
        names.all(|name| call.may_with_topic(Operation::Describe, name).is_ok())
    })
}

fn known(described: ConsumerDescription) -> ConsumerGroupDescribeResponseGroup {
    ConsumerGroupDescribeResponseGroup {
        group_id: text(described.group),
        group_state: text(described.state.as_str()),
        group_epoch: described.epoch,
        assignment_epoch: described.assignment_epoch,
        assignor_name: text(described.assignor),
        members: described.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: DescribedConsumer) -> ConsumerGroupDescribeResponseMember {
    ConsumerGroupDescribeResponseMember {
        member_id: text(member.member_id),
        instance_id: member.instance_id.map(text),
        rack_id: member.rack_id.map(text),
        member_epoch: member.epoch,
        client_id: text(member.client_id),
        client_host: text(member.client_host),
        subscribed_topic_names: member.topic_names.iter().map(text).collect::<Vec<Str>>(),
        subscribed_topic_regex: member.topic_regex.map(text),
        assignment: assignment(member.assignment),
        target_assignment: assignment(member.target),
        member_type: match member.kind {
            GroupKind::Classic => CLASSIC,
            GroupKind::Consumer => CONSUMER,
        },
    }
}

fn assignment(topics: Vec<AssignedTopic>) -> ConsumerGroupDescribeResponseAssignment {
    let topic = |topic: AssignedTopic| ConsumerGroupDescribeResponseTopicPartitions {
        topic_id: topic.id.0,
        topic_name: text(topic.name),
        partitions: topic.partitions,
    };
    let topic_partitions = topics.into_iter().map(topic).collect();
    ConsumerGroupDescribeResponseAssignment { topic_partitions }
}
