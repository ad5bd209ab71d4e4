//! Members of the classic protocol in a group of the consumer protocol, while an application goes
//! from one to the other.
//!
//! Such a member cannot be told what it is to have when it sends a heartbeat. It is told to join
//! again; it says then what it still has, and gets what it is to have when it syncs. So it takes
//! the steps of [`reconcile`](super::reconcile) as others do, one with each join:
//! * One that gives up all before it joins (eager) comes to its target at once.
//! * One that keeps what it can (cooperative) is first given what it may keep, gives up the rest,
//!   and joins again.
//!
//! Its session has the length that it asked for. What it is told to do it has to do within its
//! rebalance timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::member::{Member, Progress};
use super::{Assignment, ConsumerGroup};
use crate::groups::consumer_protocol::{self, PROTOCOL_TYPE, TopicPartitions};
use crate::groups::group::Turn;
use crate::groups::{Cause, GroupError, Leaving, MemberRef, Protocol, SyncRequest, Synced};

/// What a member of the classic protocol has besides.
#[derive(Debug)]
pub(super) struct Classic {
    /// What it offers. In the first of them it is spoken to when it joins.
    pub(super) protocols: Vec<Protocol>,
    /// How long it may be silent; none for members in this process, which send no heartbeats.
    pub(super) session_timeout: Option<Duration>,
    /// What it has to do, and until when.
    pub(super) due: Option<(Due, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Join,
    Sync,
}

impl Classic {
    pub(super) fn protocol(&self) -> &str {
        self.protocols.first().map_or("", |protocol| &protocol.name)
    }

    pub(super) fn metadata(&self) -> Bytes {
        self.protocols.first().map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|spoken| spoken.name == protocol)
    }

    /// The protocol in which a member syncs, if it speaks that: it may have been told it by a leader.
    fn check_protocol(&self, request: &SyncRequest) -> Result<String, GroupError> {
        let protocol = request.protocol.as_deref().unwrap_or(self.protocol());
        let protocol_type = request.protocol_type.as_deref().unwrap_or(PROTOCOL_TYPE);
        let refusal = if protocol_type != PROTOCOL_TYPE {
            format!(
                "the member's protocol type is {PROTOCOL_TYPE:?}, not {protocol_type:?}; join again"
            )
        } else if !self.speaks(protocol) {
            format!("the member does not speak the protocol {protocol:?}; join again")
        } else {
            return Ok(protocol.to_owned());
        };
        Err(GroupError::InconsistentGroupProtocol(refusal))
    }
}

impl Member {
    /// Gives a member of the classic protocol its rebalance timeout to join again.
    fn expect_join(&mut self, now: Duration) {
        let at = now.saturating_add(self.rebalance_timeout);
        if let Some(classic) = &mut self.classic {
            classic.due.get_or_insert((Due::Join, at));
        }
    }

    pub(super) fn is_due(&self, due: Due) -> bool {
        let classic = self.classic.as_ref().and_then(|classic| classic.due);
        classic.is_some_and(|(what, _)| what == due)
    }

    /// Whether it is in this process, and not heard of unless it is called.
    fn is_silent(&self) -> bool {
        self.classic.as_ref().is_some_and(|classic| classic.session_timeout.is_none())
    }
}

impl ConsumerGroup {
    pub(in crate::groups) fn classic_heartbeat(
        &mut self,
        turn: &Turn<'_>,
        beat: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        self.check_classic(beat)?;
        let must_rejoin = self.members.get(beat.member_id).is_some_and(|m| self.must_rejoin(m));
        let Some(member) = self.members.get_mut(beat.member_id) else { return Ok(()) };
        member.renew(turn);
        if !must_rejoin {
            return Ok(());
        }
        member.expect_join(turn.now);
        self.deadlines_begun += 1;
        Err(GroupError::RebalanceInProgress)
    }

    pub(in crate::groups) fn classic_sync(
        &mut self,
        turn: &Turn<'_>,
        request: &SyncRequest,
    ) -> Result<Synced, GroupError> {
        let member = MemberRef {
            generation: request.generation,
            member_id: &request.member_id,
            instance_id: request.instance_id.as_deref(),
        };
        self.check_classic(&member)?;
        let epoch = self.epoch;
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return Err(GroupError::UnknownMemberId);
        };
        member.renew(turn);
        if let Some(classic) = &mut member.classic
            && classic.due.is_some_and(|(due, _)| due == Due::Sync)
        {
            classic.due = None;
        }
        // Who has to give up partitions is told which first, and joins again behind that anyway.
        if member.epoch < epoch && member.progress != Progress::Unrevoked {
            member.expect_join(turn.now);
            return Err(GroupError::RebalanceInProgress);
        }
        let protocol = member.classic.as_ref().map(|classic| classic.check_protocol(request));
        let protocol = protocol.ok_or(GroupError::UnknownMemberId)??;
        if member.is_silent() && member.progress == Progress::Unrevoked {
            member.expect_join(turn.now);
        }
        let member = self.members.get(&request.member_id).ok_or(GroupError::UnknownMemberId)?;
        let protocol_type = PROTOCOL_TYPE.to_owned();
        Ok(Synced { protocol_type, protocol, assignment: self.encoded(member, &member.assigned)? })
    }

    /// Removes members of the classic protocol; and static ones of either by their instance ids
    /// alone, as an administrator does it.
    pub(in crate::groups) fn classic_leave(
        &mut self,
        turn: &mut Turn<'_>,
        members: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        let mut left = Vec::new();
        let mut remove = |leaving: &Leaving| {
            let member_id = self.leaving(leaving)?;
            let member = self.remove(turn, &member_id);
            left.extend(member.map(|member| member.id));
            Ok(())
        };
        let answers = members.iter().map(&mut remove).collect();
        let reason = members.iter().find_map(|leaving| leaving.reason.as_deref());
        if !left.is_empty() {
            self.bump_for(turn, Cause::MemberLeft, left, reason);
        }
        answers
    }

    fn leaving(&self, leaving: &Leaving) -> Result<String, GroupError> {
        if leaving.member_id.is_empty() {
            let instance_id = leaving.instance_id.as_ref();
            let member_id = instance_id.and_then(|id| self.instances.get(id)).cloned();
            return member_id.ok_or(GroupError::UnknownMemberId);
        }
        self.classic_member(&leaving.member_id, leaving.instance_id.as_deref())?;
        Ok(leaving.member_id.clone())
    }

    /// The member of the classic protocol that this is, in the epoch that it says.
    fn check_classic(&self, member: &MemberRef<'_>) -> Result<&Classic, GroupError> {
        let classic = self.classic_member(member.member_id, member.instance_id)?;
        self.validate_epoch(member.member_id, member.generation)?;
        Ok(classic)
    }

    pub(super) fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&Classic, GroupError> {
        if let Some(instance_id) = instance_id {
            let holder = self.instances.get(instance_id).ok_or(GroupError::UnknownMemberId)?;
            if holder != member_id {
                return Err(GroupError::FencedInstanceId);
            }
        }
        let member = self.members.get(member_id).and_then(|member| member.classic.as_ref());
        member.ok_or(GroupError::UnknownMemberId)
    }

    /// Whether a member has to join again: to come to the group's epoch, to say that it has given
    /// up what it was to, or to get what others have given up.
    fn must_rejoin(&self, member: &Member) -> bool {
        let is_free = |partition| {
            let owner = self.owners.get(&partition);
            owner.is_none_or(|owner| *owner == member.id)
        };
        member.epoch < self.epoch
            || match member.progress {
                Progress::Stable => false,
                Progress::Unrevoked => true,
                Progress::Unreleased => member.target.iter().all(is_free),
            }
    }

    /// Calls the members in this process that have to join again: they send no heartbeats.
    pub(super) fn call_silent(&mut self, now: Duration) {
        if self.expect_silent(now) {
            self.rebalances.send_modify(|count| *count += 1);
        }
    }

    /// Gives members in this process their time to join again; whether there are such, and they
    /// had not been called.
    pub(super) fn expect_silent(&mut self, now: Duration) -> bool {
        let member = |id: &String| self.members.get(id);
        let is_called = |member: &&Member| {
            member.is_silent() && !member.is_due(Due::Join) && self.must_rejoin(member)
        };
        let called = self.classics.iter().filter_map(member).filter(is_called);
        let called: Vec<_> = called.map(|member| member.id.clone()).collect();
        for member_id in &called {
            if let Some(member) = self.members.get_mut(member_id) {
                member.expect_join(now);
            }
        }
        if !called.is_empty() {
            self.deadlines_begun += 1;
        }
        !called.is_empty()
    }

    /// Partitions as a member of the classic protocol reads them; what has been deleted is left out.
    pub(super) fn encoded(
        &self,
        member: &Member,
        assignment: &Assignment,
    ) -> Result<Bytes, GroupError> {
        let mut partitions = BTreeMap::new();
        for (id, of) in assignment.by_topic() {
            if let Some(topic) = self.topics.get(&id) {
                partitions.insert(&topic.name, of.iter().copied().collect());
            }
        }
        let partitions = partitions.into_iter();
        let assignment = consumer_protocol::Assignment {
            partitions: partitions
                .map(|(topic, partitions)| TopicPartitions { topic: topic.clone(), partitions })
                .collect(),
            user_data: None,
        };
        let metadata = member.classic.as_ref().map(Classic::metadata).unwrap_or_default();
        let version = consumer_protocol::version(&metadata).unwrap_or_default();
        let encoded = assignment.encode(version.min(consumer_protocol::MAX_VERSION));
        encoded.map_err(|error| GroupError::InvalidRequest(error.to_string()))
    }
}
