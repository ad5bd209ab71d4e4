//! A group of the classic protocol as one of the consumer protocol, and back.

use std::time::Duration;

use super::classic::{Classic, Due};
use super::classic_join::{existing, read_subscription};
use super::member::Member;
use super::subscription::Subscription;
use super::{Assignment, Checked, ConsumerGroup, TopicsView};
use crate::groups::consumer_protocol::{self, PROTOCOL_TYPE, STREAMS_PROTOCOL};
use crate::groups::group::{Group, Turn};
use crate::groups::member::Moved;
use crate::groups::{GroupError, GroupSettings};

impl ConsumerGroup {
    /// The group with the same members, in the epoch that its generation was. Each has what the
    /// last leader has given it; and what it said that it had when it joined, unless somebody
    /// else was given that: it may not have heard yet that it is to give it up.
    pub(in crate::groups) fn from_classic(
        group: &Group,
        turn: &Turn<'_>,
        checked: &Checked,
        view: &dyn TopicsView,
    ) -> Result<Self, GroupError> {
        let mut converted = Self::new(group.name.clone(), group.generation, turn.now);
        if group.members.is_empty() {
            converted.last_rebalance.clone_from(&group.last_rebalance);
            converted.rebalances.send_replace(*group.rebalances.borrow());
            return Ok(converted);
        }
        let streams = |member: &crate::groups::member::Member| member.speaks(STREAMS_PROTOCOL);
        if !turn.settings.migration_policy.upgrades()
            || group.protocol_type != PROTOCOL_TYPE
            || group.members.values().any(streams)
        {
            return Err(GroupError::NotConsumerGroup);
        }
        check_room(group, turn, checked)?;
        converted.is_converted = true;
        // Asked first: what changes while they are looked at is looked at again.
        converted.topics_seen = Some(view.changes());
        converted.rebalances.send_replace(*group.rebalances.borrow());
        let mut claims = Vec::new();
        for member in group.members.values().filter(|member| !member.is_abandoned()) {
            let decoded = consumer_protocol::Assignment::decode(&member.assignment);
            let given = decoded.map_err(|_| GroupError::NotConsumerGroup)?;
            let moved = member.moved(group.generation);
            let said = read_subscription(&moved.protocols, turn.settings)
                .map_err(|_| GroupError::NotConsumerGroup)?;
            claims.push((said.generation, moved.id.clone(), existing(&said.owned, view)));
            let given = existing(&given.partitions, view);
            converted.take_in(turn, moved, said, given, view);
        }
        claims.sort_by_key(|(generation, ..)| std::cmp::Reverse(*generation));
        for (_, member_id, owned) in claims {
            converted.claim(turn.now, &member_id, &owned);
        }
        Ok(converted)
    }

    fn take_in(
        &mut self,
        turn: &Turn<'_>,
        moved: Moved,
        said: consumer_protocol::Subscription,
        given: Assignment,
        view: &dyn TopicsView,
    ) {
        let names = said.topics.into_iter().collect();
        let (subscription, topics) = self.resolve(Subscription { names, pattern: None }, view);
        let Moved { id, protocols, session_timeout, .. } = moved;
        let mut member = Member {
            instance_id: moved.instance_id,
            rack_id: said.rack,
            client_id: moved.client_id,
            client_host: moved.client_host,
            rebalance_timeout: moved.rebalance_timeout,
            subscription,
            topics,
            epoch: moved.epoch,
            previous_epoch: moved.epoch,
            classic: Some(Classic { protocols, session_timeout, due: None }),
            ..Member::new(id.clone())
        };
        member.renew(turn);
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        self.empty_since = None;
        self.deadlines_begun += 1;
        self.classics.insert(id.clone());
        self.members.insert(id.clone(), member);
        self.claim(turn.now, &id, &given);
    }

    /// Makes a member the owner of what nobody has.
    fn claim(&mut self, now: Duration, member_id: &str, claimed: &Assignment) {
        let free = claimed.filtered(|topic, of| !self.owners.contains_key(&(topic, of)));
        let Some(member) = self.members.get_mut(member_id) else { return };
        let mut assigned = member.assigned.clone();
        assigned.extend(free.iter());
        member.target = assigned.clone();
        self.hand(now, member_id, assigned, Assignment::default());
    }

    /// Whether all members that are left speak the classic protocol, and that makes it the group's.
    pub(in crate::groups) fn is_to_become_classic(&self, settings: &GroupSettings) -> bool {
        !self.members.is_empty()
            && self.classics.len() == self.members.len()
            && settings.migration_policy.downgrades()
    }

    /// The group as one of the classic protocol, in a generation that nobody is in yet. Its members
    /// are taken out. Only those in the highest epoch are heard in theirs: leaders believe what
    /// members have only if no other says a higher generation, and give it away at once otherwise.
    /// Who has not asked for its assignment may not know of its epoch.
    pub(in crate::groups) fn take_classic(&mut self, now: Duration) -> Group {
        let mut members = Vec::new();
        for member in self.members.values() {
            let holds = member.holds().collect();
            members.push((self.encoded(member, &holds).unwrap_or_default(), member.id.clone()));
        }
        let known = self.members.values().filter(|member| !member.is_due(Due::Sync));
        let highest = known.map(|member| member.epoch).max();
        let arrive = |(assignment, id)| {
            let member = self.members.remove(&id)?;
            let is_fenced = member.is_due(Due::Sync) || Some(member.epoch) != highest;
            let moved = member.moved()?;
            Some(crate::groups::member::Member::arriving(moved, is_fenced, assignment, now))
        };
        let members: Vec<_> = members.into_iter().filter_map(arrive).collect();
        let group = Group {
            generation: self.epoch.saturating_add(1),
            rebalances: std::mem::take(&mut self.rebalances),
            last_rebalance: self.last_rebalance.take(),
            ..Group::new(self.name.clone(), now)
        };
        Group::of(group, members)
    }
}

/// Refuses the member for which the group is converted before that is done, as it takes its time.
fn check_room(group: &Group, turn: &Turn<'_>, checked: &Checked) -> Result<(), GroupError> {
    let beat = &checked.beat;
    let stays = |member: &&crate::groups::member::Member| !member.is_abandoned();
    if group.members.get(&beat.member_id).as_ref().is_some_and(stays) {
        return Err(GroupError::is_of_classic_member());
    }
    let replaces = beat.instance_id.as_deref().is_some_and(|id| group.static_member(id).is_some());
    let limit = turn.settings.max_members;
    match !replaces && group.members.values().filter(stays).count() >= limit {
        true => Err(GroupError::GroupMaxSizeReached { limit }),
        false => Ok(()),
    }
}

impl Member {
    /// What of a member of the classic protocol goes with it into a group of that.
    fn moved(self) -> Option<Moved> {
        let classic = self.classic?;
        Some(Moved {
            id: self.id,
            instance_id: self.instance_id,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout: classic.session_timeout,
            rebalance_timeout: self.rebalance_timeout,
            protocols: classic.protocols,
            epoch: self.epoch,
        })
    }
}
