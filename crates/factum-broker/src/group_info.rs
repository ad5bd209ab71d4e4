//! What the broker says of its groups: memberships and committed offsets together.

use std::collections::BTreeSet;

use factum_event::log::{GroupInfo, GroupOffset, GroupState, MemberInfo, TopicPartition};
use factum_event::{GroupName, Partition, TopicName};

use crate::Broker;
use crate::groups::consumer_protocol::Assignment;
use crate::groups::{AssignedTopic, DescribedConsumer, DescribedMember};

/// All groups that have members, or had until recently, or have offsets; by name.
pub(crate) fn all(broker: &Broker) -> Vec<GroupInfo> {
    let mut names: BTreeSet<GroupName> = broker.groups_with_offsets().into_iter().collect();
    names.extend(broker.groups().list().into_iter().map(|listed| listed.group));
    names.iter().filter_map(|name| one(broker, name)).collect()
}

/// One group, if it is known.
pub(crate) fn one(broker: &Broker, name: &GroupName) -> Option<GroupInfo> {
    let classic = broker.groups().describe(name);
    let consumer = || broker.groups().describe_consumer(name);
    let described = classic
        .map(|group| (group.state, group.members.into_iter().map(member).collect()))
        .or_else(|| consumer().map(|group| (group.state, consumers(group.members))));
    let offsets = offsets(broker, name);
    if described.is_none() && offsets.is_empty() {
        return None;
    }
    let (state, members) = described.unwrap_or((GroupState::Empty, Vec::new()));
    Some(GroupInfo { name: name.clone(), state, members, offsets })
}

fn offsets(broker: &Broker, name: &GroupName) -> Vec<GroupOffset> {
    let committed = broker.all_committed(name).into_iter();
    let info = |(topic, partition, committed): (TopicName, Partition, crate::Committed)| {
        let id = broker.topic(topic.as_str()).and_then(|topic| topic.partition_id(partition));
        let behind = |end: i64| u64::try_from(end - committed.offset.get()).unwrap_or(0);
        let lag = id.map(|id| behind(broker.last_stable_offset(id).get()));
        GroupOffset { topic, partition, offset: committed.offset, lag }
    };
    committed.map(info).collect()
}

fn member(member: DescribedMember) -> MemberInfo {
    MemberInfo {
        id: member.member_id,
        client_id: member.client_id,
        client_host: member.client_host,
        partitions: assigned(&member.assignment),
    }
}

fn consumers(members: Vec<DescribedConsumer>) -> Vec<MemberInfo> {
    let partitions = |of: AssignedTopic| {
        let topic = TopicName::new(&of.name).ok();
        let numbers = of.partitions.into_iter().filter_map(Partition::new);
        numbers.filter_map(move |number| Some((topic.clone()?, number)))
    };
    let info = |member: DescribedConsumer| MemberInfo {
        id: member.member_id,
        client_id: member.client_id,
        client_host: member.client_host,
        partitions: member.assignment.into_iter().flat_map(partitions).collect(),
    };
    members.into_iter().map(info).collect()
}

/// The partitions that an assignment of Kafka's consumer protocol names; none for any other.
pub(crate) fn assigned(assignment: &[u8]) -> Vec<TopicPartition> {
    let assignment = Assignment::decode(assignment).map(|decoded| decoded.partitions);
    let mut partitions = Vec::new();
    for of_topic in assignment.unwrap_or_default() {
        let Ok(topic) = TopicName::new(&of_topic.topic) else { continue };
        let numbers = of_topic.partitions.into_iter().filter_map(Partition::new);
        partitions.extend(numbers.map(|partition| (topic.clone(), partition)));
    }
    partitions
}
