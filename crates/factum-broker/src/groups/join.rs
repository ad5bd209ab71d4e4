//! Joining: who is let in, and whether that begins a rebalance.
//!
//! * A new dynamic member may have to come twice: first it is given an id, then it joins with it
//!   (KIP-394). So a client that lost an answer does not leave a ghost behind.
//! * A static member (KIP-345) that comes back takes over the place of its former self, and
//!   while the group is stable and its choice of protocol stands, nobody else notices.
//! * A follower that joins again with the same metadata while the group is stable is told the
//!   current generation. A leader that does so always begins a rebalance: it may have seen new
//!   partitions, and cooperative assignors count on it.

use std::time::Duration;

use factum_event::log::GroupState;

use super::answer::Waiter;
use super::consumer_protocol::Subscription;
use super::group::{Group, Turn};
use super::member::Member;
use super::{Cause, GroupError, JoinRequest, Joined};

/// How much of a client id becomes part of a member id, in bytes, so that the latter fits the
/// protocol's strings and logs.
const MAX_ID_PREFIX: usize = 255;

/// How long who was told to give up all that it has, and its id, is waited for.
const RETURN: Duration = Duration::from_secs(10);

impl JoinRequest {
    /// An id for the new member.
    pub(super) fn new_id(&self, turn: &mut Turn<'_>) -> String {
        let prefix = self.instance_id.as_deref().unwrap_or(&self.client_id);
        let prefix = &prefix[..prefix.floor_char_boundary(MAX_ID_PREFIX)];
        format!("{prefix}-{}", (turn.ids)())
    }

    /// Whether the protocols are of a group's type, and one of them is spoken by all others.
    pub(super) fn check_common(
        &self,
        protocol_type: &str,
        all_speak: impl Fn(&str) -> bool,
    ) -> Result<(), GroupError> {
        let refusal = if self.protocol_type != protocol_type {
            let came = &self.protocol_type;
            format!(
                "the group's protocol type is {protocol_type:?}, not {came:?}; use another group"
            )
        } else if !self.protocols.iter().any(|protocol| all_speak(&protocol.name)) {
            let offered: Vec<_> = self.protocols.iter().map(|p| p.name.as_str()).collect();
            let offered = offered.join(", ");
            format!("no protocol of {offered} is spoken by all members; choose one that is")
        } else {
            return Ok(());
        };
        Err(GroupError::InconsistentGroupProtocol(refusal))
    }

    /// Whether the member has not given up all that it had.
    fn says_that_it_owns(&self) -> bool {
        let said = self.protocols.iter().map(|p| Subscription::decode(&p.metadata));
        said.flatten().any(|said| !said.owned.is_empty())
    }
}

impl Group {
    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
    ) {
        if let Err(error) = self.admit(turn, request).and_then(|()| self.check_protocols(request)) {
            waiter.fail(error);
        } else if request.member_id.is_empty() {
            self.join_new(turn, request, waiter);
        } else {
            self.join_known(turn, request, waiter);
        }
    }

    /// Whether there is room. While a rebalance is prepared, those who have joined it count, so
    /// that the last to come are the ones that are turned away.
    fn admit(&mut self, turn: &mut Turn<'_>, request: &JoinRequest) -> Result<(), GroupError> {
        let limit = turn.settings.max_members;
        let came_back = request.instance_id.as_deref().and_then(|id| self.static_member(id));
        let member = self.members.get(&request.member_id).or(came_back);
        let room = match self.state {
            GroupState::PreparingRebalance => {
                member.is_some_and(|m| m.joining.is_some())
                    || self.members.values().filter(|m| m.joining.is_some()).count() < limit
            }
            _ => member.is_some() || self.members.len() < limit,
        };
        if room {
            return Ok(());
        }
        // Who is turned away is not waited for.
        self.pending.remove(&request.member_id);
        self.remove(&request.member_id);
        self.complete_join_if_all_came(turn);
        Err(GroupError::GroupMaxSizeReached { limit })
    }

    /// Whether the member speaks a protocol that all members speak.
    fn check_protocols(&self, request: &JoinRequest) -> Result<(), GroupError> {
        if self.members.is_empty() {
            return Ok(());
        }
        request.check_common(&self.protocol_type, |protocol| self.all_speak(protocol))
    }

    pub(super) fn all_speak(&self, protocol: &str) -> bool {
        self.members.values().all(|m| m.speaks(protocol))
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, request: &JoinRequest, waiter: Waiter<Joined>) {
        let member_id = request.new_id(turn);
        let former = request.instance_id.as_deref().and_then(|id| self.static_member(id));
        if let Some(former) = former.map(|m| m.id.clone()) {
            self.replace_static(turn, &former, member_id, request, waiter);
        } else if request.instance_id.is_none() && request.require_member_id {
            waiter.fail(self.give_id(turn, member_id, request));
        } else {
            self.add(turn, member_id, request, waiter);
        }
    }

    fn give_id(&mut self, turn: &Turn<'_>, member_id: String, request: &JoinRequest) -> GroupError {
        let limit = turn.settings.max_members;
        if self.pending.len() >= limit {
            return GroupError::GroupMaxSizeReached { limit };
        }
        let patience = request.session_timeout.unwrap_or(turn.settings.new_member_join_timeout);
        self.pending.insert(member_id.clone(), turn.now.saturating_add(patience));
        GroupError::MemberIdRequired { member_id }
    }

    fn add(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: String,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
    ) {
        self.pending.remove(&member_id);
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        if let Some(deadline) = &mut self.join_deadline {
            deadline.note_new_member();
        }
        let mut member = Member::new(member_id.clone(), request, waiter);
        member.expect_by(turn.now.saturating_add(turn.settings.new_member_join_timeout));
        self.members.insert(member_id.clone(), member);
        self.rebalance_for(turn, Cause::MemberJoined, member_id, request);
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, request: &JoinRequest, waiter: Waiter<Joined>) {
        let member_id = &request.member_id;
        if self.pending.contains_key(member_id) {
            if request.instance_id.is_some() {
                let refusal = "a member id was given without group.instance.id; use it so";
                return waiter.fail(GroupError::InvalidRequest(refusal.to_owned()));
            }
            return self.add(turn, member_id.clone(), request, waiter);
        }
        if let Err(error) = self.check_member(member_id, request.instance_id.as_deref()) {
            return waiter.fail(error);
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        if std::mem::take(&mut member.is_fenced) && request.says_that_it_owns() {
            self.remove(member_id);
            // Under another id it comes back at once, with nothing, or not at all.
            if let Some(deadline) = &mut self.join_deadline {
                deadline.end_by(turn.now.saturating_add(RETURN));
            } else {
                self.rebalance_for(turn, Cause::MemberLeft, member_id.clone(), request);
            }
            return waiter.fail(GroupError::UnknownMemberId);
        }
        member.renew(turn.now);
        let same = member.offers(&request.protocols);
        let leads = self.is_leader(member_id);
        match self.state {
            GroupState::Stable if leads => {
                self.update(turn, Cause::LeaderRejoined, request, waiter);
            }
            // The answer to its join was lost, or it has nothing new to say.
            GroupState::Stable | GroupState::CompletingRebalance if same => {
                waiter.answer(Ok(self.joined(member_id)));
            }
            _ => self.update(turn, Cause::MetadataChanged, request, waiter),
        }
    }

    fn update(
        &mut self,
        turn: &mut Turn<'_>,
        cause: Cause,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
    ) {
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.update(request, waiter);
        }
        self.rebalance_for(turn, cause, request.member_id.clone(), request);
    }

    /// Puts a static member that came back in the place of its former self, which is fenced.
    fn replace_static(
        &mut self,
        turn: &mut Turn<'_>,
        former_id: &str,
        member_id: String,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
    ) {
        let Some(mut former) = self.members.remove(former_id) else { return };
        former.fail(&GroupError::FencedInstanceId);
        let former_leader = self.leader.clone();
        if self.is_leader(former_id) {
            self.leader = Some(member_id.clone());
        }
        let mut member = Member::new(member_id.clone(), request, waiter);
        member.assignment = former.assignment;
        member.synced = former.synced;
        member.settle(turn.now);
        self.members.insert(member_id.clone(), member);
        if self.state == GroupState::Stable && self.select_protocol() == self.protocol {
            self.answer_static(&member_id, former_leader, request.skip_assignment);
        } else {
            self.rebalance_for(turn, Cause::StaticMemberReplaced, member_id, request);
        }
    }

    /// Tells a static member that came back the current generation. One that cannot be told to
    /// skip the assignment is not told that it leads: it would assign, and nobody waits for that.
    fn answer_static(&mut self, member_id: &str, former_leader: Option<String>, can_skip: bool) {
        let mut joined = self.joined(member_id);
        if can_skip {
            joined.skip_assignment = joined.is_leader();
        } else {
            joined.leader = former_leader.unwrap_or_default();
            joined.members.clear();
        }
        let waiter = self.members.get_mut(member_id).and_then(|m| m.joining.take());
        if let Some(waiter) = waiter {
            waiter.answer(Ok(joined));
        }
    }
}
