//! Heartbeats: joining, staying, and what a member is told.
//!
//! * A member that joins again by its id goes on as the member that it was: it has lost an answer,
//!   or its partitions.
//! * A static member takes the place of its former self if that has left for a while, or speaks the
//!   classic protocol; while another is there, its instance id is not released.
//! * A member whose epoch is not its own was removed and came back, or has missed more than one
//!   answer: it is fenced, gives up all it has, and joins again.

use super::member::{Member, Progress};
use super::request::Checked;
use super::subscription::{Subscription, TopicsView};
use super::{Assignment, ConsumerBeat, ConsumerGroup};
use crate::groups::group::Turn;
use crate::groups::{Cause, GroupError};

/// The most regular expressions in a group: each is tried with every topic when topics change.
const MAX_PATTERNS: usize = 100;

impl ConsumerGroup {
    pub(in crate::groups) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        checked: Checked,
        view: &dyn TopicsView,
    ) -> Result<ConsumerBeat, GroupError> {
        if checked.leaves() {
            return self.leave(turn, &checked.beat);
        }
        self.refresh_topics(turn, view);
        let is_full = checked.is_full();
        let (member_id, is_new) = match checked.joins() {
            true => self.admit(turn, &checked)?,
            false => (self.recognize(&checked)?, false),
        };
        let owned = checked.beat.owned.clone();
        self.update(turn, &member_id, is_new, checked, view);
        self.assign_if_due();
        let changed = self.reconcile(turn, &member_id, owned.as_ref());
        let member = self.members.get_mut(&member_id).ok_or(GroupError::UnknownMemberId)?;
        let deadline = member.session_deadline;
        member.renew(turn);
        // The group's timeout may have become shorter: it is to be filed under this deadline then.
        self.deadlines_begun += u64::from(member.session_deadline < deadline);
        Ok(ConsumerBeat {
            member_epoch: member.epoch,
            heartbeat_interval: turn.settings.consumer_heartbeat_interval,
            assignment: (changed || is_full).then(|| member.assigned.clone()),
            member_id,
        })
    }

    /// Lets a member in; says under which id, and whether it was not there before.
    fn admit(
        &mut self,
        turn: &mut Turn<'_>,
        checked: &Checked,
    ) -> Result<(String, bool), GroupError> {
        let beat = &checked.beat;
        let known = self.members.get(&beat.member_id);
        let is_known = known.is_some();
        if known.is_some_and(|member| member.classic.is_some()) {
            return Err(GroupError::is_of_classic_member());
        }
        self.check_pattern(checked)?;
        let former = beat.instance_id.as_ref().and_then(|id| self.instances.get(id)).cloned();
        if let Some(former) = former {
            if former == beat.member_id {
                return Ok((former, false));
            }
            // One of the classic protocol does not say that it leaves for a while.
            let gives_way = |member: &Member| member.is_away() || member.classic.is_some();
            if !self.members.get(&former).is_some_and(gives_way) {
                return Err(GroupError::UnreleasedInstanceId);
            }
            // Who is there under another instance id cannot be two members.
            if is_known {
                return Err(GroupError::FencedInstanceId);
            }
            let member_id = self.new_id(turn, &beat.member_id);
            self.replace(turn, &former, &member_id);
            return Ok((member_id, false));
        }
        if is_known {
            return Ok((beat.member_id.clone(), false));
        }
        let limit = turn.settings.max_members;
        if self.members.len() >= limit {
            return Err(GroupError::GroupMaxSizeReached { limit });
        }
        let member_id = self.new_id(turn, &beat.member_id);
        self.members.insert(member_id.clone(), Member::new(member_id.clone()));
        self.empty_since = None;
        self.deadlines_begun += 1;
        Ok((member_id, true))
    }

    /// The id that the member made, or one for who made none.
    fn new_id(&self, turn: &mut Turn<'_>, came: &str) -> String {
        if came.is_empty() { (turn.ids)().to_string() } else { came.to_owned() }
    }

    /// Puts a static member that came back in the place of its former self.
    pub(super) fn replace(&mut self, turn: &mut Turn<'_>, former: &str, member_id: &str) {
        // The new one comes first, so that the group is not empty in between.
        self.members.insert(member_id.to_owned(), Member::new(member_id.to_owned()));
        let Some(former) = self.remove(turn, former) else { return };
        let Member { assigned, target, .. } = former;
        let member = Member {
            epoch: 0,
            previous_epoch: 0,
            id: member_id.to_owned(),
            assigned: Assignment::default(),
            progress: Progress::Stable,
            revoking: Assignment::default(),
            revoke_deadline: None,
            target,
            classic: None,
            ..former
        };
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), member_id.to_owned());
        }
        self.members.insert(member_id.to_owned(), member);
        self.deadlines_begun += 1;
        self.hand(turn.now, member_id, assigned, Assignment::default());
        self.reconciling.insert(member_id.to_owned());
    }

    /// The member that a heartbeat is of, if it may go on.
    fn recognize(&self, checked: &Checked) -> Result<String, GroupError> {
        let beat = &checked.beat;
        if let Some(instance_id) = &beat.instance_id {
            let holder = self.instances.get(instance_id).ok_or(GroupError::UnknownMemberId)?;
            if *holder != beat.member_id {
                return Err(GroupError::FencedInstanceId);
            }
        }
        let member = self.members.get(&beat.member_id).filter(|m| m.classic.is_none());
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        let came = beat.member_epoch;
        // It has not heard of its epoch yet, and has nothing that it must not have.
        let lags = came == member.previous_epoch
            && beat.owned.as_ref().is_some_and(|owned| owned.is_subset_of(&member.assigned));
        if came != member.epoch && !lags {
            return Err(GroupError::FencedMemberEpoch { came, current: member.epoch });
        }
        self.check_pattern(checked)?;
        Ok(beat.member_id.clone())
    }

    fn check_pattern(&self, checked: &Checked) -> Result<(), GroupError> {
        let Some(Some(pattern)) = &checked.pattern else { return Ok(()) };
        let is_known = |m: &Member| m.subscription.pattern.as_ref() == Some(pattern);
        if self.members.len() < MAX_PATTERNS || self.members.values().any(is_known) {
            return Ok(());
        }
        if self.patterns() < MAX_PATTERNS {
            return Ok(());
        }
        let refusal =
            format!("the group has {MAX_PATTERNS} regular expressions, no more are allowed");
        Err(GroupError::InvalidRegularExpression(refusal))
    }

    /// Notes what the member says of itself; another subscription begins a rebalance.
    fn update(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        is_new: bool,
        checked: Checked,
        view: &dyn TopicsView,
    ) {
        let Some(member) = self.members.get(member_id) else { return };
        let Checked { beat, assignor, pattern, .. } = checked;
        let mut subscription = Subscription::clone(&member.subscription);
        if let Some(names) = beat.topic_names {
            subscription.names = names.into_iter().collect();
        }
        if let Some(pattern) = pattern {
            subscription.pattern = pattern;
        }
        let is_other = subscription != *member.subscription;
        let resolved = is_other.then(|| self.resolve(subscription, view));
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some((subscription, topics)) = resolved {
            member.subscription = subscription;
            member.topics = topics;
        }
        member.assignor = assignor.or(member.assignor);
        member.rack_id = beat.rack_id.or(member.rack_id.take());
        member.rebalance_timeout = beat.rebalance_timeout.unwrap_or(member.rebalance_timeout);
        member.client_id = beat.client_id;
        member.client_host = beat.client_host;
        if let Some(instance_id) = beat.instance_id
            && member.instance_id.as_ref() != Some(&instance_id)
        {
            if let Some(former) = member.instance_id.replace(instance_id.clone()) {
                self.instances.remove(&former);
            }
            self.instances.insert(instance_id, member_id.to_owned());
        }
        let is_converted = std::mem::take(&mut self.is_converted);
        let cause = match is_new {
            true => Cause::MemberJoined,
            false if is_converted => Cause::StaticMemberReplaced,
            false => Cause::SubscriptionChanged,
        };
        if is_new || is_other || is_converted {
            self.bump(turn, cause, vec![member_id.to_owned()]);
        }
    }
}
