//! JoinGroup in a group of the consumer protocol: answered at once, as nobody waits for anybody.
//!
//! * Ids that new members are given are not remembered: they are of 128 random bits, and who comes
//!   with an unknown one is let in as Kafka does it. But who says that it has partitions was a
//!   member, and others have them by now: it is told that it is unknown, and gives them up.
//! * A static member takes the place of its former self, whatever that speaks.
//! * All members of the classic protocol have a protocol in common, as the group may become one of
//!   the classic protocol again.

use super::classic::{Classic, Due};
use super::member::Member;
use super::subscription::Subscription;
use super::{Assignment, ConsumerGroup, TopicsView};
use crate::groups::consumer_protocol::{self, PROTOCOL_TYPE, STREAMS_PROTOCOL};
use crate::groups::group::Turn;
use crate::groups::member::owned;
use crate::groups::{Cause, GroupError, GroupSettings, JoinRequest, Joined, Protocol, Rebalance};

/// The longest member id that is let in, in bytes: those that groups give have fewer.
const MAX_MEMBER_ID: usize = 512;

impl ConsumerGroup {
    pub(in crate::groups) fn classic_join(
        &mut self,
        turn: &mut Turn<'_>,
        request: &JoinRequest,
        view: &dyn TopicsView,
    ) -> Result<Joined, GroupError> {
        self.check_protocols(request)?;
        let said = read_subscription(&request.protocols, turn.settings)?;
        let owned = existing(&said.owned, view);
        self.refresh_topics(turn, view);
        let (member_id, is_new) = self.admit_classic(turn, request, &owned)?;
        self.update_classic(turn, (&member_id, is_new), request, said, view);
        self.assign_if_due();
        self.reconcile(turn, &member_id, Some(&owned));
        if self.is_to_become_classic(turn.settings) {
            let (cause, reason) = (Cause::StaticMemberReplaced, request.reason.as_deref());
            let members = vec![member_id.clone()];
            let rebalance = Rebalance::new(cause, members, reason, self.epoch, turn.now);
            self.downgrade.get_or_insert(rebalance);
        }
        self.joined(turn, &member_id)
    }

    /// Joins a member again by what it has said when it joined last.
    pub(in crate::groups) fn classic_rejoin(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        view: &dyn TopicsView,
    ) -> Result<Joined, GroupError> {
        let classic = self.classic_member(member_id, instance_id)?;
        let said = read_subscription(&classic.protocols, turn.settings)?;
        self.reconcile(turn, member_id, Some(&existing(&said.owned, view)));
        self.joined(turn, member_id)
    }

    fn joined(&mut self, turn: &Turn<'_>, member_id: &str) -> Result<Joined, GroupError> {
        let rebalances = *self.rebalances.borrow();
        let member = self.members.get_mut(member_id).ok_or(GroupError::UnknownMemberId)?;
        member.renew(turn);
        let until = turn.now.saturating_add(member.rebalance_timeout);
        let generation = member.epoch;
        let classic = member.classic.as_mut().ok_or(GroupError::UnknownMemberId)?;
        classic.due = Some((Due::Sync, until));
        self.deadlines_begun += 1;
        Ok(Joined {
            generation,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocol: classic.protocol().to_owned(),
            // Nobody leads: the coordinator assigns.
            leader: String::new(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members: Vec::new(),
            rebalances,
        })
    }

    fn check_protocols(&self, request: &JoinRequest) -> Result<(), GroupError> {
        let is_itself = |member: &Member| {
            member.id == request.member_id
                || (member.instance_id.is_some() && member.instance_id == request.instance_id)
        };
        if request.protocols.iter().any(|p| p.name == STREAMS_PROTOCOL) {
            let refusal = "Kafka Streams assigns by itself; use another group".to_owned();
            return Err(GroupError::InconsistentGroupProtocol(refusal));
        }
        let members = self.classics.iter().filter_map(|id| self.members.get(id));
        let others: Vec<_> = members
            .filter(|member| !is_itself(member))
            .filter_map(|member| member.classic.as_ref())
            .collect();
        request.check_common(PROTOCOL_TYPE, |protocol| others.iter().all(|m| m.speaks(protocol)))
    }

    /// Lets a member in, or recognizes it; says under which id, and whether it was not there before.
    fn admit_classic(
        &mut self,
        turn: &mut Turn<'_>,
        request: &JoinRequest,
        owned: &Assignment,
    ) -> Result<(String, bool), GroupError> {
        let member_id = &request.member_id;
        let former = request.instance_id.as_ref().and_then(|id| self.instances.get(id)).cloned();
        if !member_id.is_empty() && (self.members.contains_key(member_id) || former.is_some()) {
            self.classic_member(member_id, request.instance_id.as_deref())?;
            return Ok((member_id.clone(), false));
        }
        if let Some(former) = former {
            let member_id = request.new_id(turn);
            self.replace(turn, &former, &member_id);
            return Ok((member_id, false));
        }
        if !member_id.is_empty() && (request.instance_id.is_some() || !owned.is_empty()) {
            return Err(GroupError::UnknownMemberId);
        }
        let limit = turn.settings.max_members;
        if self.members.len() >= limit {
            return Err(GroupError::GroupMaxSizeReached { limit });
        }
        let member_id = match member_id.len() {
            0 => request.new_id(turn),
            1..=MAX_MEMBER_ID => member_id.clone(),
            came => {
                let refusal = format!("{came} bytes of a member id are more than {MAX_MEMBER_ID}");
                return Err(GroupError::InvalidRequest(refusal));
            }
        };
        // Ids that were given are not remembered: who comes with one and still has something is
        // unknown, so that it gives that up. Who keeps it all the same is let in without a second
        // join, or it would ask for ever.
        if request.instance_id.is_none()
            && request.require_member_id
            && request.member_id.is_empty()
            && owned.is_empty()
        {
            return Err(GroupError::MemberIdRequired { member_id });
        }
        self.members.insert(member_id.clone(), Member::new(member_id.clone()));
        self.empty_since = None;
        Ok((member_id, true))
    }

    /// Notes what the member says of itself; another subscription begins a rebalance.
    fn update_classic(
        &mut self,
        turn: &mut Turn<'_>,
        (member_id, is_new): (&str, bool),
        request: &JoinRequest,
        said: consumer_protocol::Subscription,
        view: &dyn TopicsView,
    ) {
        let subscription = Subscription { names: said.topics.into_iter().collect(), pattern: None };
        let is_other = self.members.get(member_id).is_some_and(|m| *m.subscription != subscription);
        let (subscription, topics) = self.resolve(subscription, view);
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.subscription = subscription;
        member.topics = topics;
        member.assignor = None;
        member.rack_id = said.rack.or(member.rack_id.take());
        member.rebalance_timeout = request.rebalance_timeout;
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        let (protocols, session_timeout) = (owned(&request.protocols), request.session_timeout);
        member.classic = Some(Classic { protocols, session_timeout, due: None });
        if let Some(instance_id) = &request.instance_id {
            member.instance_id = Some(instance_id.clone());
            self.instances.insert(instance_id.clone(), member_id.to_owned());
        }
        self.classics.insert(member_id.to_owned());
        let cause = if is_new { Cause::MemberJoined } else { Cause::SubscriptionChanged };
        if is_new || is_other {
            let members = vec![member_id.to_owned()];
            self.bump_for(turn, cause, members, request.reason.as_deref());
        }
    }
}

/// What a member says in the first of its protocols. In all of them it subscribes to the same.
pub(super) fn read_subscription(
    protocols: &[Protocol],
    settings: &GroupSettings,
) -> Result<consumer_protocol::Subscription, GroupError> {
    let metadata = protocols.first().map(|protocol| protocol.metadata.clone()).unwrap_or_default();
    let said = consumer_protocol::Subscription::decode(&metadata).map_err(|error| {
        GroupError::InconsistentGroupProtocol(format!(
            "the subscription is not one of protocol type {PROTOCOL_TYPE:?}: {error}"
        ))
    })?;
    let bytes: usize = said.topics.iter().map(|name| size_of::<String>() + name.len()).sum();
    let limit = settings.max_member_bytes;
    if bytes > limit {
        let refusal = format!("{bytes} bytes of subscriptions are more than the {limit} allowed");
        return Err(GroupError::InvalidRequest(refusal));
    }
    Ok(said)
}

/// The partitions that exist.
pub(super) fn existing(
    partitions: &[consumer_protocol::TopicPartitions],
    view: &dyn TopicsView,
) -> Assignment {
    let mut found = Assignment::default();
    for of in partitions {
        if let Some(topic) = view.by_name(&of.topic) {
            let exists = |partition: &&i32| (0..topic.partitions).contains(*partition);
            found.extend(of.partitions.iter().filter(exists).map(|of| (topic.id, *of)));
        }
    }
    found
}
