//! Leaving: for good, or as a static member for a while, whose partitions wait for it until its
//! session ends. LeaveGroup is in `classic`.

use tracing::info;

use super::member::Progress;
use super::request::{LEAVE, LEAVE_FOR_A_WHILE};
use super::{Assignment, ConsumerBeat, ConsumerGroup, ConsumerHeartbeat};
use crate::groups::group::Turn;
use crate::groups::{Cause, GroupError};

impl ConsumerGroup {
    pub(super) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        beat: &ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        if let Some(instance_id) = &beat.instance_id {
            let holder = self.instances.get(instance_id).ok_or(GroupError::UnknownMemberId)?;
            if *holder != beat.member_id {
                return Err(GroupError::FencedInstanceId);
            }
        }
        if self.members.get(&beat.member_id).is_none_or(|member| member.classic.is_some()) {
            return Err(GroupError::UnknownMemberId);
        }
        info!(group = %self.name, epoch = self.epoch, member = %beat.member_id,
            for_a_while = beat.member_epoch == LEAVE_FOR_A_WHILE, "member leaves");
        if beat.member_epoch == LEAVE {
            self.remove(turn, &beat.member_id);
            self.bump(turn, Cause::MemberLeft, vec![beat.member_id.clone()]);
        } else {
            self.leave_for_a_while(turn, &beat.member_id);
        }
        Ok(ConsumerBeat {
            member_id: beat.member_id.clone(),
            member_epoch: beat.member_epoch,
            heartbeat_interval: turn.settings.consumer_heartbeat_interval,
            assignment: None,
        })
    }

    /// Its partitions wait for it, but for those that it was giving up: it has none any more.
    fn leave_for_a_while(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.epoch = LEAVE_FOR_A_WHILE;
        member.previous_epoch = LEAVE_FOR_A_WHILE;
        member.progress = Progress::Stable;
        member.revoke_deadline = None;
        let assigned = member.assigned.clone();
        self.hand(turn.now, member_id, assigned, Assignment::default());
        self.settled(turn, member_id);
    }
}
