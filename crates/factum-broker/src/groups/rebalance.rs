//! A rebalance: it begins for a cause, gathers the members, and makes the next generation.

use factum_event::log::GroupState;
use tracing::info;

use super::deadline::JoinDeadline;
use super::group::{Group, Turn};
use super::{Cause, GroupError, JoinRequest, Rebalance};

impl Group {
    /// Begins a rebalance because of what one member asked for, or goes on with the one that
    /// is being prepared.
    pub(super) fn rebalance_for(
        &mut self,
        turn: &mut Turn<'_>,
        cause: Cause,
        member_id: String,
        request: &JoinRequest,
    ) {
        self.rebalance(turn, cause, vec![member_id], request.reason.as_deref());
    }

    pub(super) fn rebalance(
        &mut self,
        turn: &mut Turn<'_>,
        cause: Cause,
        members: Vec<String>,
        reason: Option<&str>,
    ) {
        if self.state == GroupState::PreparingRebalance {
            return self.complete_join_if_all_came(turn);
        }
        let generation = self.generation;
        let rebalance = Rebalance::new(cause, members, reason, generation, turn.now);
        info!(group = %self.name, generation, member = %rebalance.members.join(", "),
            reason = %rebalance, "rebalance begins");
        self.last_rebalance = Some(rebalance);
        self.begin(turn);
    }

    fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.fail_syncs(turn);
        }
        let was_empty = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        self.empty_since = None;
        self.sync_deadline = None;
        turn.counters.rebalances_begun += 1;
        self.rebalances.send_modify(|count| *count += 1);
        let delay = turn.settings.initial_rebalance_delay;
        let patience = self.rebalance_timeout();
        self.join_deadline = Some(if was_empty && !delay.is_zero() {
            JoinDeadline::initial(turn.now, delay, patience)
        } else {
            JoinDeadline::last(turn.now, patience)
        });
        self.complete_join_if_all_came(turn);
    }

    /// Who waits for an assignment will not get it: it has to join again.
    fn fail_syncs(&mut self, turn: &Turn<'_>) {
        for member in self.members.values_mut() {
            member.assignment.clear();
            if let Some(waiter) = member.syncing.take() {
                waiter.fail(GroupError::RebalanceInProgress);
                member.renew(turn.now);
            }
        }
    }

    /// The group waits for its most patient member.
    pub(super) fn rebalance_timeout(&self) -> std::time::Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    /// Goes on once nobody is missing; but the first rebalance of a group takes its time, as more
    /// members are likely to come.
    pub(super) fn complete_join_if_all_came(&mut self, turn: &mut Turn<'_>) {
        let waits = self.join_deadline.as_ref().is_none_or(JoinDeadline::is_initial);
        let all_came = || {
            let all_joined = self.members.values().all(|m| m.joining.is_some());
            // Who was given an id is expected, but not by a group that nobody waits in.
            all_joined && (self.pending.is_empty() || self.members.is_empty())
        };
        if !waits && all_came() {
            self.complete_join(turn);
        }
    }

    /// Makes the next generation of those who have joined. Static members that have not keep
    /// their place until their session ends.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.evict_missing(turn);
        if !self.members.is_empty() && !self.elect_leader() {
            self.join_deadline = Some(JoinDeadline::last(turn.now, self.rebalance_timeout()));
            return;
        }
        self.join_deadline = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.become_empty(turn);
        } else {
            self.await_assignment(turn);
        }
    }

    fn evict_missing(&mut self, turn: &mut Turn<'_>) {
        let missing = self.members.values().filter(|m| {
            let absent = m.joining.is_none() && m.instance_id.is_none();
            absent || m.is_abandoned()
        });
        let missing: Vec<_> = missing.map(|m| m.id.clone()).collect();
        for member in &missing {
            self.evict(turn, member, "did not join again within the rebalance timeout");
        }
    }

    pub(super) fn evict(&mut self, turn: &mut Turn<'_>, member: &str, why: &str) {
        if self.remove(member) {
            turn.counters.members_evicted += 1;
            info!(group = %self.name, generation = self.generation, member, reason = why,
                "member removed");
        }
    }

    /// Whether there is a leader that takes part in the next generation.
    fn elect_leader(&mut self) -> bool {
        let takes_part = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(takes_part) {
            match self.members.values().find(|m| m.joining.is_some()) {
                Some(member) => self.leader = Some(member.id.clone()),
                None => return false,
            }
        }
        true
    }

    fn become_empty(&mut self, turn: &Turn<'_>) {
        self.state = GroupState::Empty;
        self.protocol.clear();
        self.leader = None;
        self.empty_since = Some(turn.now);
        info!(group = %self.name, generation = self.generation, "group is empty");
    }

    fn await_assignment(&mut self, turn: &Turn<'_>) {
        self.protocol = self.select_protocol();
        self.state = GroupState::CompletingRebalance;
        self.sync_deadline = Some(turn.now.saturating_add(self.rebalance_timeout()));
        info!(group = %self.name, generation = self.generation, members = self.members.len(),
            protocol = %self.protocol, "generation formed");
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.synced = false;
            member.settle(turn.now);
            if let Some(waiter) = member.joining.take() {
                waiter.answer(Ok(joined));
            }
        }
    }

    /// The protocol for which most members vote: each for the one it prefers of those that all
    /// speak. Where votes are equal, the leader's preference counts.
    pub(super) fn select_protocol(&self) -> String {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        let offered = leader.map(|m| m.protocols.as_slice()).unwrap_or_default();
        let common: Vec<_> =
            offered.iter().map(|p| p.name.as_str()).filter(|name| self.all_speak(name)).collect();
        let mut votes = vec![0_usize; common.len()];
        for member in self.members.values() {
            let mut preferred = member.protocols.iter();
            let vote = preferred.find_map(|p| common.iter().position(|name| *name == p.name));
            if let Some(vote) = vote {
                votes[vote] += 1;
            }
        }
        let most = votes.iter().max();
        let winner = votes.iter().position(|count| Some(count) == most);
        winner.map(|index| common[index].to_owned()).unwrap_or_default()
    }
}
