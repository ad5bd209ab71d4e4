//! Deadlines of a group: sessions, partitions that are to be given up, and the end of an empty
//! group.

use std::time::Duration;

use tracing::info;

use super::ConsumerGroup;
use super::classic::Due;
use super::member::Member;
use crate::groups::group::Turn;
use crate::groups::{Cause, GroupSettings};

impl ConsumerGroup {
    /// The earliest deadline.
    pub(in crate::groups) fn next_deadline(&self, settings: &GroupSettings) -> Option<Duration> {
        self.members.values().filter_map(Member::deadline).chain(self.ends(settings)).min()
    }

    fn ends(&self, settings: &GroupSettings) -> Option<Duration> {
        Some(self.empty_since?.saturating_add(settings.empty_group_retention))
    }

    /// Whether nothing of the group is worth remembering any more.
    pub(in crate::groups) fn has_ended(&self, turn: &Turn<'_>) -> bool {
        self.ends(turn.settings).is_some_and(|at| at <= turn.now)
    }

    /// Applies every deadline that has come.
    pub(in crate::groups) fn expire(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        self.evict(turn, Cause::SessionExpired, |member| member.session_deadline <= now);
        let overdue = |member: &Member| member.revoke_deadline.is_some_and(|at| at <= now);
        self.evict(turn, Cause::RevocationOverdue, overdue);
        self.evict(turn, Cause::JoinMissing, |member| member.is_overdue(Due::Join, now));
        self.evict(turn, Cause::SyncMissing, |member| member.is_overdue(Due::Sync, now));
    }

    fn evict(&mut self, turn: &mut Turn<'_>, cause: Cause, is_due: impl Fn(&Member) -> bool) {
        let due = self.members.values().filter(|member| is_due(member));
        let due: Vec<_> = due.map(|member| member.id.clone()).collect();
        for member in &due {
            self.remove(turn, member);
            turn.counters.members_evicted += 1;
            info!(group = %self.name, epoch = self.epoch, member, reason = cause.as_str(),
                "member removed");
        }
        if !due.is_empty() {
            self.bump(turn, cause, due);
        }
    }
}
