//! A group of either protocol, as the table of groups holds it.

use std::time::Duration;

use factum_event::GroupName;
use tokio::sync::watch;

use super::answer::Waiter;
use super::consumer::{self, Checked, ConsumerGroup};
use super::group::{Group, Turn};
use super::{
    ConsumerBeat, GroupError, GroupKind, GroupSettings, JoinRequest, Joined, Leaving, Listed,
    MemberRef, Standing, SyncRequest, Synced, TopicsView,
};

/// A group of one protocol or the other. How it changes is in `migration`; the rebalances that it
/// counts go on.
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

    pub(super) fn consumer(&self) -> Option<&ConsumerGroup> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
        topics: &dyn TopicsView,
    ) {
        match self {
            Self::Classic(group) => group.join(turn, request, waiter),
            Self::Consumer(group) => waiter.answer(group.classic_join(turn, request, topics)),
        }
        self.follow_members(turn);
    }

    pub(super) fn sync(
        &mut self,
        turn: &mut Turn<'_>,
        request: SyncRequest,
        waiter: Waiter<Synced>,
    ) {
        match self {
            Self::Classic(group) => group.sync(turn, request, waiter),
            Self::Consumer(group) => waiter.answer(group.classic_sync(turn, &request)),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        turn: &Turn<'_>,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.heartbeat(turn, member),
            Self::Consumer(group) => group.classic_heartbeat(turn, member),
        }
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        checked: Checked,
        topics: &dyn TopicsView,
    ) -> Result<ConsumerBeat, GroupError> {
        let beat = match self {
            Self::Classic(_) if checked.joins() => self.upgrade(turn, checked, topics),
            Self::Classic(_) => Err(GroupError::UnknownMemberId),
            Self::Consumer(group) => group.heartbeat(turn, checked, topics),
        };
        self.follow_members(turn);
        beat
    }

    pub(super) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        members: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        let left = match self {
            Self::Classic(group) => group.leave(turn, members),
            Self::Consumer(group) => group.classic_leave(turn, members),
        };
        self.follow_members(turn);
        left
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
        self.follow_members(turn);
    }

    /// Changes whenever the earliest deadline may have come nearer by a heartbeat.
    pub(super) fn deadlines_begun(&self) -> u64 {
        match self {
            Self::Classic(_) => 0,
            Self::Consumer(group) => group.deadlines_begun(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        match self {
            Self::Classic(group) => group.rebalances.subscribe(),
            Self::Consumer(group) => group.rebalances.subscribe(),
        }
    }

    pub(super) fn member_kind(&self, member_id: &str) -> Option<GroupKind> {
        match self {
            Self::Classic(group) => group.members.get(member_id).map(|_| GroupKind::Classic),
            Self::Consumer(group) => group.members.get(member_id).map(consumer::Member::kind),
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
