//! The state of one group and what can be read from it.
//!
//! The moves between the states are in `join`, `sync`, `leave`, `rebalance` and `deadline`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use factum_event::GroupName;
use factum_event::log::GroupState;
use tokio::sync::watch;
use uuid::Uuid;

use super::consumer_protocol::{PROTOCOL_TYPE, Subscription};
use super::deadline::JoinDeadline;
use super::member::Member;
use super::{
    DescribedMember, Description, GroupError, GroupKind, GroupSettings, Joined, Listed, Rebalance,
    Standing,
};

/// What one call works with: its time, the settings, and what all groups share.
pub(super) struct Turn<'a> {
    pub(super) now: Duration,
    pub(super) settings: &'a GroupSettings,
    pub(super) counters: &'a mut Counters,
    pub(super) ids: &'a mut (dyn FnMut() -> Uuid + Send),
}

/// Counts over all groups since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rebalances_begun: u64,
    pub(super) rebalances_completed: u64,
    pub(super) members_evicted: u64,
}

/// One group. It is never `Dead`: a group that is deleted is gone.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    /// Empty until the first member; kept when the last one goes.
    pub(super) protocol_type: String,
    /// Empty until the first generation and in an empty group.
    pub(super) protocol: String,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids that were given out and not used yet, with the time at which they lapse.
    pub(super) pending: BTreeMap<String, Duration>,
    /// While preparing a rebalance: when it goes on without who has not joined.
    pub(super) join_deadline: Option<JoinDeadline>,
    /// When members that have not asked for their assignment are removed.
    pub(super) sync_deadline: Option<Duration>,
    /// When the group became empty; only in `Empty`.
    pub(super) empty_since: Option<Duration>,
    /// How many rebalances have begun.
    pub(super) rebalances: watch::Sender<u64>,
    pub(super) last_rebalance: Option<Rebalance>,
}

impl Group {
    pub(super) fn new(name: GroupName, now: Duration) -> Self {
        Self {
            name,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            join_deadline: None,
            sync_deadline: None,
            empty_since: Some(now),
            rebalances: watch::Sender::new(0),
            last_rebalance: None,
        }
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.values().find(|m| m.instance_id.as_deref() == Some(instance_id))
    }

    /// Whether the group has this member, and under this instance id if one is given.
    pub(super) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        let member = self.members.get(member_id);
        let Some(instance_id) = instance_id else {
            return member.map(|_| ()).ok_or(GroupError::UnknownMemberId);
        };
        if member.is_some_and(|m| m.instance_id.as_deref() == Some(instance_id)) {
            Ok(())
        } else if self.static_member(instance_id).is_some() {
            Err(GroupError::FencedInstanceId)
        } else {
            Err(GroupError::UnknownMemberId)
        }
    }

    pub(super) fn check_generation(&self, member_id: &str, came: i32) -> Result<(), GroupError> {
        let member = self.members.get(member_id);
        let current = member.map_or(self.generation, |m| m.generation(self.generation));
        if came == current { Ok(()) } else { Err(GroupError::IllegalGeneration { came, current }) }
    }

    /// Removes a member, and answers what it waits for: if its client is still there, it is to
    /// start anew.
    pub(super) fn remove(&mut self, member_id: &str) -> bool {
        let Some(mut member) = self.members.remove(member_id) else { return false };
        member.fail(&GroupError::UnknownMemberId);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        true
    }

    /// What a member is told that is part of the current generation.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let leads = self.is_leader(member_id);
        let members = self.members.values().filter(|_| leads);
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members: members.map(|m| m.for_leader(&self.protocol)).collect(),
            rebalances: *self.rebalances.borrow(),
        }
    }

    pub(super) fn listed(&self) -> Listed {
        Listed {
            group: self.name.clone(),
            kind: GroupKind::Classic,
            state: self.state,
            protocol_type: self.protocol_type.clone(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            state: self.state,
            generation: self.generation,
            members: self.members.len(),
            protocol_type: self.protocol_type.clone(),
            topics: self.topics(),
            empty_since: self.empty_since,
        }
    }

    /// The topics that members subscribe to, if they speak the consumer protocol and all of them
    /// can be read.
    fn topics(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type != PROTOCOL_TYPE {
            return None;
        }
        let read = |m: &Member| Subscription::decode_topics(&m.metadata(&self.protocol)).ok();
        let topics: Option<Vec<_>> = self.members.values().map(read).collect();
        Some(topics?.into_iter().flatten().collect())
    }

    pub(super) fn describe(&self) -> Description {
        // As in Kafka: what members speak is shown once they agree, what they have until they have
        // something else.
        let stable = self.state == GroupState::Stable;
        Description {
            group: self.name.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: if stable { self.protocol.clone() } else { String::new() },
            leader: self.leader.clone(),
            members: self.members.values().map(|m| self.describe_member(m, stable)).collect(),
            rebalances: *self.rebalances.borrow(),
            last_rebalance: self.last_rebalance.clone(),
        }
    }

    fn describe_member(&self, member: &Member, stable: bool) -> DescribedMember {
        let if_stable = |bytes: Bytes| if stable { bytes } else { Bytes::new() };
        DescribedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if_stable(member.metadata(&self.protocol)),
            assignment: member.assignment.clone(),
        }
    }
}
