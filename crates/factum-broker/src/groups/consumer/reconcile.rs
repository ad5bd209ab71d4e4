//! Leading a member from what it has to what it is to have.
//!
//! A member that is to give up partitions stays in its epoch until it says that it has done so:
//! it commits in that epoch meanwhile. Then it comes to the epoch of the target, with all of it
//! that nobody else still has, and gets the rest as others give it up.

use std::time::Duration;

use super::member::Progress;
use super::{Assignment, ConsumerGroup};
use crate::groups::group::Turn;

impl ConsumerGroup {
    /// Leads a member on, which says that it `owns` these partitions, or says nothing of it.
    /// Answers whether it is to have others than before.
    pub(super) fn reconcile(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        owned: Option<&Assignment>,
    ) -> bool {
        let Some(member) = self.members.get(member_id) else { return false };
        // What it does not speak of it may have.
        let still_has = |of: &Assignment| owned.is_none_or(|owned| owned.overlaps(of));
        let rests = match member.progress {
            Progress::Stable => member.epoch == self.assignment_epoch,
            Progress::Unrevoked => still_has(&member.revoking),
            Progress::Unreleased => false,
        };
        if rests {
            return false;
        }
        let kept = member.assigned.filtered(|topic, of| member.target.contains(topic, of));
        let lost = member.assigned.filtered(|topic, of| !member.target.contains(topic, of));
        if !lost.is_empty() && still_has(&lost) {
            let deadline = turn.now.saturating_add(member.rebalance_timeout);
            self.hand(turn.now, member_id, kept, lost);
            self.deadlines_begun += 1;
            if let Some(member) = self.members.get_mut(member_id) {
                member.progress = Progress::Unrevoked;
                member.revoke_deadline = Some(deadline);
            }
            return true;
        }
        let is_free = |topic, of| {
            let owner = self.owners.get(&(topic, of));
            owner.is_none_or(|owner| owner == member_id)
        };
        let free = member.target.filtered(is_free);
        let progress = match free.len() == member.target.len() {
            true => Progress::Stable,
            false => Progress::Unreleased,
        };
        let changed = free != member.assigned;
        self.hand(turn.now, member_id, free, Assignment::default());
        self.arrive(turn, member_id, progress);
        changed
    }

    /// The member has come to the epoch of the target.
    fn arrive(&mut self, turn: &mut Turn<'_>, member_id: &str, progress: Progress) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.progress = progress;
        member.revoke_deadline = None;
        if member.epoch != self.assignment_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = self.assignment_epoch;
        }
        if progress == Progress::Stable {
            self.settled(turn, member_id);
        }
    }

    /// Makes a member the owner of other partitions than before.
    pub(super) fn hand(
        &mut self,
        now: Duration,
        member_id: &str,
        assigned: Assignment,
        revoking: Assignment,
    ) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let mut is_less = false;
        for (topic, of) in member.holds() {
            self.owners.remove(&(topic, of));
            is_less |= !assigned.contains(topic, of) && !revoking.contains(topic, of);
        }
        member.assigned = assigned;
        member.revoking = revoking;
        self.owners.extend(member.holds().map(|partition| (partition, member_id.to_owned())));
        if is_less {
            self.call_silent(now);
        }
    }
}
