//! How a group changes its protocol: an empty one with its next member, one with members while they
//! go on reading, as an application is restarted member by member (KIP-848).
//!
//! * *Upgrade*: the first member of the consumer protocol makes the group one of that. The others
//!   stay, as members of the classic protocol in it, with what they have; they are told to join
//!   again. Nothing of it has happened if that first member is refused.
//! * *Downgrade*: when the last member of the consumer protocol goes and others are left, the group
//!   is one of the classic protocol again, and rebalances. Until they have joined again, members
//!   in the highest epoch are heard in that. Those that lag behind are told that their generation
//!   is over, as in Kafka: they give up all that they have and join with nothing.

use std::time::Duration;

use factum_event::log::GroupState;
use tracing::info;

use super::consumer::{Checked, ConsumerGroup};
use super::consumer_protocol::PROTOCOL_TYPE;
use super::group::{Group, Turn};
use super::kind::Kind;
use super::{Cause, ConsumerBeat, GroupError, Rebalance, TopicsView};

impl Kind {
    /// Makes it one of the classic protocol if it has no members.
    pub(super) fn become_classic_if_empty(&mut self, now: Duration) {
        if let Self::Consumer(group) = self
            && group.members.is_empty()
        {
            let generation = group.epoch;
            *self = Self::Classic(Group { generation, ..Group::new(group.name.clone(), now) });
        }
    }

    /// Makes it one of the consumer protocol by its first member of that.
    pub(super) fn upgrade(
        &mut self,
        turn: &mut Turn<'_>,
        checked: Checked,
        topics: &dyn TopicsView,
    ) -> Result<ConsumerBeat, GroupError> {
        let Self::Classic(classic) = self else { return Err(GroupError::UnknownMemberId) };
        let mut group = ConsumerGroup::from_classic(classic, turn, &checked, topics)?;
        let beat = group.heartbeat(turn, checked, topics)?;
        let begun = *group.rebalances.borrow();
        std::mem::swap(&mut group.rebalances, &mut classic.rebalances);
        group.rebalances.send_replace(begun);
        let members = std::mem::take(&mut classic.members);
        info!(group = %group.name, epoch = group.epoch, members = members.len(),
            "group is one of the consumer protocol");
        for mut member in members.into_values() {
            if let Some(waiter) = member.joining.take() {
                let instance_id = member.instance_id.as_deref();
                waiter.answer(group.classic_rejoin(turn, &member.id, instance_id, topics));
            }
            member.fail(&GroupError::RebalanceInProgress);
        }
        *self = Self::Consumer(group);
        Ok(beat)
    }

    /// Makes it one of the classic protocol once it has only members of that.
    pub(super) fn follow_members(&mut self, turn: &mut Turn<'_>) {
        let Self::Consumer(group) = self else { return };
        if !group.is_to_become_classic(turn.settings) {
            return;
        }
        let cause = group.downgrade.take();
        let mut classic = group.take_classic(turn.now);
        info!(group = %classic.name, generation = classic.generation,
            members = classic.members.len(), "group is one of the classic protocol");
        let cause = cause.unwrap_or_else(|| {
            Rebalance::new(Cause::MemberLeft, Vec::new(), None, classic.generation, turn.now)
        });
        let Rebalance { cause, members, client_reason, .. } = cause;
        classic.rebalance(turn, cause, members, client_reason.as_deref());
        *self = Self::Classic(classic);
    }
}

impl Group {
    /// A stable group of members that are there already.
    pub(super) fn of(
        group: Self,
        members: impl IntoIterator<Item = super::member::Member>,
    ) -> Self {
        let members = members.into_iter().map(|member| (member.id.clone(), member)).collect();
        let protocol_type = PROTOCOL_TYPE.to_owned();
        let state = GroupState::Stable;
        let mut group = Self { state, protocol_type, members, empty_since: None, ..group };
        group.leader = group.members.keys().next().cloned();
        group.protocol = group.select_protocol();
        group
    }
}
