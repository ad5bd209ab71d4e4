//! Syncing: the leader brings the assignments, each member gets its own. And the calls of a
//! member that has its assignment: heartbeat and commit.

use std::collections::HashMap;

use bytes::Bytes;
use factum_event::log::GroupState;
use tracing::info;

use super::answer::Waiter;
use super::group::{Group, Turn};
use super::{GroupError, MemberRef, SyncRequest, Synced};

impl Group {
    pub(super) fn sync(
        &mut self,
        turn: &mut Turn<'_>,
        request: SyncRequest,
        waiter: Waiter<Synced>,
    ) {
        if let Err(error) = self.check_sync(turn, &request) {
            return waiter.fail(error);
        }
        let Some(member) = self.members.get_mut(&request.member_id) else { return };
        member.synced = true;
        member.renew(turn.now);
        member.syncing = Some(waiter);
        if self.state == GroupState::CompletingRebalance && self.is_leader(&request.member_id) {
            self.stabilise(turn, request.assignments);
        }
        if self.state == GroupState::Stable {
            self.answer_syncs(turn);
        }
        if self.members.values().all(|m| m.synced) {
            self.sync_deadline = None;
        }
    }

    fn check_sync(&self, turn: &Turn<'_>, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        self.check_generation(&request.member_id, request.generation)?;
        // Asked first: a member may sync in the protocol of a group of the other kind, which this was.
        if self.state == GroupState::PreparingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        let names = [
            ("protocol type", &request.protocol_type, &self.protocol_type),
            ("protocol", &request.protocol, &self.protocol),
        ];
        for (what, came, has) in names {
            if came.as_ref().is_some_and(|came| came != has) {
                let came = came.as_deref().unwrap_or_default();
                let refusal = format!("the group's {what} is {has:?}, not {came:?}; join again");
                return Err(GroupError::InconsistentGroupProtocol(refusal));
            }
        }
        let limit = turn.settings.max_member_bytes;
        match request.assignments.iter().find(|(_, assignment)| assignment.len() > limit) {
            Some((member, assignment)) => Err(GroupError::InvalidRequest(format!(
                "{} bytes of assignment for {member} are more than the {limit} allowed",
                assignment.len()
            ))),
            None => Ok(()),
        }
    }

    fn stabilise(&mut self, turn: &mut Turn<'_>, assignments: Vec<(String, Bytes)>) {
        let assignments: HashMap<_, _> = assignments.into_iter().collect();
        for member in self.members.values_mut() {
            // Copied, so that it does not keep the leader's whole request alive.
            let assigned = assignments.get(&member.id);
            member.assignment = assigned.map(|a| Bytes::copy_from_slice(a)).unwrap_or_default();
        }
        self.state = GroupState::Stable;
        turn.counters.rebalances_completed += 1;
        info!(group = %self.name, generation = self.generation, "group is stable");
    }

    fn answer_syncs(&mut self, turn: &Turn<'_>) {
        for member in self.members.values_mut() {
            let Some(waiter) = member.syncing.take() else { continue };
            waiter.answer(Ok(Synced {
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                assignment: member.assignment.clone(),
            }));
            member.renew(turn.now);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        turn: &Turn<'_>,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        self.check_member(member.member_id, member.instance_id)?;
        self.check_generation(member.member_id, member.generation)?;
        self.renew(turn, member.member_id);
        if self.state == GroupState::PreparingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether the member may commit. While a rebalance is prepared it may, as that is when it
    /// gives partitions away; between the generations it may not.
    pub(super) fn validate_commit(
        &mut self,
        turn: &Turn<'_>,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        if member.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_member(member.member_id, member.instance_id)?;
        self.check_generation(member.member_id, member.generation)?;
        self.renew(turn, member.member_id);
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn renew(&mut self, turn: &Turn<'_>, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.renew(turn.now);
        }
    }
}
