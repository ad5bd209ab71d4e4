//! Deadlines of a group: sessions, ids that were given out, the two phases of a rebalance, and
//! the end of an empty group.

use std::time::Duration;

use factum_event::log::GroupState;

use super::group::{Group, Turn};
use super::{Cause, GroupSettings};

/// When the gathering of members ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JoinDeadline {
    at: Duration,
    /// The first rebalance of an empty group.
    initial: Option<Initial>,
}

/// The first rebalance waits in steps: while members keep coming, one more, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Initial {
    /// The step that ends at the deadline.
    step: Duration,
    /// What may be waited after it.
    remaining: Duration,
    new_member: bool,
}

impl JoinDeadline {
    pub(super) fn initial(now: Duration, delay: Duration, patience: Duration) -> Self {
        let remaining = patience.saturating_sub(delay);
        let initial = Initial { step: delay, remaining, new_member: false };
        Self { at: now.saturating_add(delay), initial: Some(initial) }
    }

    pub(super) fn last(now: Duration, patience: Duration) -> Self {
        Self { at: now.saturating_add(patience), initial: None }
    }

    pub(super) fn is_initial(&self) -> bool {
        self.initial.is_some()
    }

    /// Ends the gathering at `at`, if it would go on longer.
    pub(super) fn end_by(&mut self, at: Duration) {
        if at < self.at {
            *self = Self { at, initial: None };
        }
    }

    pub(super) fn note_new_member(&mut self) {
        if let Some(initial) = &mut self.initial {
            initial.new_member = true;
        }
    }

    /// One more step, if a member has come in this one and there is time left.
    fn extended(self, now: Duration, delay: Duration) -> Option<Self> {
        let initial = self.initial.filter(|i| i.new_member && !i.remaining.is_zero())?;
        let step = delay.min(initial.remaining);
        let remaining = initial.remaining.saturating_sub(initial.step);
        let initial = Initial { step, remaining, new_member: false };
        Some(Self { at: now.saturating_add(step), initial: Some(initial) })
    }
}

impl Group {
    /// The earliest deadline.
    pub(super) fn next_deadline(&self, settings: &GroupSettings) -> Option<Duration> {
        let sessions = self.members.values().filter_map(|m| m.deadline());
        let phases = [self.join_deadline.map(|d| d.at), self.sync_deadline, self.ends(settings)];
        let pending = self.pending.values().copied();
        sessions.chain(pending).chain(phases.into_iter().flatten()).min()
    }

    /// When an empty group is forgotten.
    fn ends(&self, settings: &GroupSettings) -> Option<Duration> {
        let since = self.empty_since.filter(|_| self.pending.is_empty())?;
        Some(since.saturating_add(settings.empty_group_retention))
    }

    /// Whether nothing of the group is worth remembering any more.
    pub(super) fn has_ended(&self, turn: &Turn<'_>) -> bool {
        self.ends(turn.settings).is_some_and(|at| at <= turn.now)
    }

    /// Applies every deadline that has come.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        self.expire_pending(turn);
        self.expire_sessions(turn);
        if self.join_deadline.is_some_and(|d| d.at <= turn.now) {
            self.expire_join(turn);
        }
        if self.sync_deadline.is_some_and(|at| at <= turn.now) {
            self.expire_sync(turn);
        }
    }

    fn expire_pending(&mut self, turn: &mut Turn<'_>) {
        let before = self.pending.len();
        self.pending.retain(|_, at| *at > turn.now);
        if self.pending.len() < before && self.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_came(turn);
        }
    }

    fn expire_sessions(&mut self, turn: &mut Turn<'_>) {
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= turn.now);
        let silent = self.members.values().filter(|m| due(m.deadline()));
        let silent: Vec<_> = silent.map(|m| m.id.clone()).collect();
        self.evict_all(turn, Cause::SessionExpired, silent);
    }

    fn expire_join(&mut self, turn: &mut Turn<'_>) {
        let delay = turn.settings.initial_rebalance_delay;
        match self.join_deadline.and_then(|deadline| deadline.extended(turn.now, delay)) {
            Some(extended) => self.join_deadline = Some(extended),
            None => self.complete_join(turn),
        }
    }

    fn expire_sync(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline = None;
        let missing = self.members.values().filter(|m| !m.synced);
        let missing: Vec<_> = missing.map(|m| m.id.clone()).collect();
        self.evict_all(turn, Cause::SyncMissing, missing);
    }

    fn evict_all(&mut self, turn: &mut Turn<'_>, cause: Cause, members: Vec<String>) {
        for member in &members {
            self.evict(turn, member, cause.as_str());
        }
        if !members.is_empty() {
            self.rebalance(turn, cause, members, None);
        }
    }
}
