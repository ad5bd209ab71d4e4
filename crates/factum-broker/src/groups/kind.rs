//! A group of either protocol, as the table of groups holds it.

use std::time::Duration;

use factum_event::GroupName;

use super::consumer::ConsumerGroup;
use super::group::{Group, Turn};
use super::{GroupError, GroupSettings, Listed, MemberRef, Standing};

/// A group of one protocol or the other. An empty one becomes one of the protocol of the next
/// member; what it counts goes on.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all groups are of the larger or the smaller")]
pub(super) enum Kind {
    Classic(Group),
    Consumer(ConsumerGroup),
}

impl Kind {
    pub(super) fn classic(&self) -> Option<&Group> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// The group, for what only members of the classic protocol ask: others are unknown.
    pub(super) fn classic_mut(&mut self) -> Result<&mut Group, GroupError> {
        match self {
            Self::Classic(group) => Ok(group),
            Self::Consumer(_) => Err(GroupError::UnknownMemberId),
        }
    }

    pub(super) fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    pub(super) fn consumer_mut(&mut self) -> Result<&mut ConsumerGroup, GroupError> {
        match self {
            Self::Classic(_) => Err(GroupError::UnknownMemberId),
            Self::Consumer(group) => Ok(group),
        }
    }

    /// Makes it one of the classic protocol, if that changes nothing for anybody.
    pub(super) fn become_classic(&mut self, now: Duration) -> Result<(), GroupError> {
        if let Self::Consumer(group) = self {
            if !group.members.is_empty() {
                let refusal = "the group's members speak the consumer protocol (KIP-848), set \
                    group.protocol=consumer or stop them";
                return Err(GroupError::InconsistentGroupProtocol(refusal.to_owned()));
            }
            let generation = group.epoch;
            *self = Self::Classic(Group { generation, ..Group::new(group.name.clone(), now) });
        }
        Ok(())
    }

    /// Makes it one of the consumer protocol, if that changes nothing for anybody.
    pub(super) fn become_consumer(&mut self, now: Duration) -> Result<(), GroupError> {
        if let Self::Classic(group) = self {
            if !group.members.is_empty() {
                return Err(GroupError::NotConsumerGroup);
            }
            let (name, epoch) = (group.name.clone(), group.generation);
            *self = Self::Consumer(ConsumerGroup::new(name, epoch, now));
        }
        Ok(())
    }

    pub(super) fn validate_commit(
        &mut self,
        turn: &mut Turn<'_>,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.validate_commit(turn, member),
            Self::Consumer(group) => group.validate_commit(member),
        }
    }

    pub(super) fn next_deadline(&self, settings: &GroupSettings) -> Option<Duration> {
        match self {
            Self::Classic(group) => group.next_deadline(settings),
            Self::Consumer(group) => group.next_deadline(settings),
        }
    }

    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        match self {
            Self::Classic(group) => group.expire(turn),
            Self::Consumer(group) => group.expire(turn),
        }
    }

    /// Whether nothing of the group is worth remembering any more.
    pub(super) fn has_ended(&self, turn: &Turn<'_>) -> bool {
        match self {
            Self::Classic(group) => group.has_ended(turn),
            Self::Consumer(group) => group.has_ended(turn),
        }
    }

    /// Since when the group has had no members, and nobody is expected.
    pub(super) fn idle_since(&self) -> Option<(Duration, &GroupName)> {
        let (since, name) = match self {
            Self::Classic(group) => {
                (group.empty_since.filter(|_| group.pending.is_empty()), &group.name)
            }
            Self::Consumer(group) => (group.empty_since, &group.name),
        };
        since.map(|since| (since, name))
    }

    pub(super) fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.members.len(),
            Self::Consumer(group) => group.members.len(),
        }
    }

    pub(super) fn listed(&self) -> Listed {
        match self {
            Self::Classic(group) => group.listed(),
            Self::Consumer(group) => group.listed(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Classic(group) => group.standing(),
            Self::Consumer(group) => group.standing(),
        }
    }
}
