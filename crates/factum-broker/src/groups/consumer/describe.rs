//! What a group of the consumer protocol says of itself.

use std::collections::BTreeSet;

use factum_event::log::GroupState;
use factum_event::{GroupName, TopicId};

use super::member::Member;
use super::{Assignment, ConsumerGroup};
use crate::groups::consumer_protocol::PROTOCOL_TYPE;
use crate::groups::{GroupKind, Listed, Rebalance, Standing};

/// A group of the consumer protocol with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Its name.
    pub group: GroupName,
    /// Its state.
    pub state: GroupState,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that the members' targets belong to.
    pub assignment_epoch: i32,
    /// The assignor that made them.
    pub assignor: &'static str,
    /// Its members, by id.
    pub members: Vec<DescribedConsumer>,
    /// Rebalances begun since the group is known.
    pub rebalances: u64,
    /// The last of them.
    pub last_rebalance: Option<Rebalance>,
}

/// A member of a described group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Its id.
    pub member_id: String,
    /// Which protocol it speaks.
    pub kind: GroupKind,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// How its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// The topics that it subscribes to by name.
    pub topic_names: Vec<String>,
    /// The regular expression of topics that it subscribes to.
    pub topic_regex: Option<String>,
    /// What it has.
    pub assignment: Vec<AssignedTopic>,
    /// What it is to have.
    pub target: Vec<AssignedTopic>,
}

/// Partitions of a topic that a member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedTopic {
    /// The topic.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

impl ConsumerGroup {
    pub(in crate::groups) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.reconciling.is_empty() {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    pub(in crate::groups) fn listed(&self) -> Listed {
        Listed {
            group: self.name.clone(),
            kind: GroupKind::Consumer,
            state: self.state(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
        }
    }

    pub(in crate::groups) fn standing(&self) -> Standing {
        let read: BTreeSet<_> = self.members.values().flat_map(|m| m.topics.iter()).collect();
        let name = |id: &&TopicId| self.topics.get(id).map(|topic| topic.name.clone());
        Standing {
            state: self.state(),
            generation: self.epoch,
            members: self.members.len(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            topics: Some(read.iter().filter_map(name).collect()),
            empty_since: self.empty_since,
        }
    }

    pub(in crate::groups) fn describe(&self) -> ConsumerDescription {
        let is_stable = self.epoch == self.assignment_epoch;
        let assignor = if is_stable { self.assignor } else { self.preferred_assignor() };
        ConsumerDescription {
            group: self.name.clone(),
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: assignor.name(),
            members: self.members.values().map(|member| self.describe_member(member)).collect(),
            rebalances: *self.rebalances.borrow(),
            last_rebalance: self.last_rebalance.clone(),
        }
    }

    fn describe_member(&self, member: &Member) -> DescribedConsumer {
        let pattern = member.subscription.pattern.as_ref();
        DescribedConsumer {
            member_id: member.id.clone(),
            kind: member.kind(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topic_names: member.subscription.names.iter().cloned().collect(),
            topic_regex: pattern.map(|pattern| pattern.as_str().to_owned()),
            assignment: self.named(&member.assigned),
            target: self.named(&member.target),
        }
    }

    /// The partitions of topics that exist.
    fn named(&self, assignment: &Assignment) -> Vec<AssignedTopic> {
        let named = |(id, partitions): (TopicId, &BTreeSet<i32>)| {
            let name = self.topics.get(&id)?.name.clone();
            Some(AssignedTopic { id, name, partitions: partitions.iter().copied().collect() })
        };
        assignment.by_topic().filter_map(named).collect()
    }
}
