//! Leaving: by member id, or of a static member by its instance id alone, as an administrator
//! does it (KIP-345).

use factum_event::log::GroupState;
use tracing::info;

use super::group::{Group, Turn};
use super::{Cause, GroupError, Leaving};

impl Group {
    pub(super) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        members: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        let mut left = Vec::new();
        let answers = members.iter().map(|leaving| self.leave_one(leaving, &mut left)).collect();
        let reason = members.iter().find_map(|leaving| leaving.reason.as_deref());
        if !left.is_empty() {
            self.rebalance(turn, Cause::MemberLeft, left, reason);
        } else if self.state == GroupState::PreparingRebalance {
            // An id that was never used may have been all that the group waited for.
            self.complete_join_if_all_came(turn);
        }
        answers
    }

    fn leave_one(&mut self, leaving: &Leaving, left: &mut Vec<String>) -> Result<(), GroupError> {
        if self.pending.remove(&leaving.member_id).is_some() {
            return Ok(());
        }
        let instance_id = leaving.instance_id.as_deref();
        let member_id = if leaving.member_id.is_empty() {
            let member = instance_id.and_then(|id| self.static_member(id));
            member.ok_or(GroupError::UnknownMemberId)?.id.clone()
        } else {
            self.check_member(&leaving.member_id, instance_id)?;
            leaving.member_id.clone()
        };
        info!(group = %self.name, generation = self.generation, member = %member_id,
            reason = leaving.reason.as_deref().unwrap_or("not given"), "member leaves");
        self.remove(&member_id);
        left.push(member_id);
        Ok(())
    }
}
