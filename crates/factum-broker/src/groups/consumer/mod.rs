//! Groups of the consumer protocol (KIP-848): the coordinator assigns, and members follow.
//!
//! All a member does is send heartbeats. What it subscribes to, the members there are and the
//! topics that exist make an *epoch* of the group; whenever one of them changes, the epoch grows.
//! For an epoch, an [assignor](assignors) computes the *target*: what each member is to have.
//! Each member is led there by itself ([`reconcile`]): first it gives up what it is not to have any
//! more, and only when it has said so does somebody else get it. A member that has come to the
//! group's epoch has everything but what others have not given up yet.
//!
//! * A target is computed when the next heartbeat comes after the epoch has grown, not when
//!   members leave: if a hundred leave at once, it is computed once.
//! * Topics are looked at when a heartbeat comes and they have changed since
//!   ([`TopicsView::changes`]), so there is nothing to be told of them.
//! * A member is in memory only. After a restart it is unknown, is told so, and joins again.
//! * Members of the classic protocol may be among them ([`classic`]), while an application goes from
//!   one protocol to the other.

pub(super) mod assignment;
mod assignors;
mod classic;
mod classic_join;
mod conversion;
mod deadline;
mod describe;
mod heartbeat;
mod leave;
mod member;
mod reconcile;
mod request;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use factum_event::{GroupName, TopicId};
use tokio::sync::watch;
use tracing::info;

pub use assignment::Assignment;
pub use describe::{AssignedTopic, ConsumerDescription, DescribedConsumer};
pub use request::{ConsumerBeat, ConsumerHeartbeat};
pub use subscription::{TopicInfo, TopicsView};

pub(super) use request::Checked;

use super::group::Turn;
use super::{Cause, GroupError, GroupKind, MemberRef, Rebalance};
use assignors::{Assignor, Counts, Topics};
pub(super) use member::Member;
use subscription::Subscription;

/// One group of the consumer protocol.
#[derive(Debug)]
pub(super) struct ConsumerGroup {
    pub(super) name: GroupName,
    /// Grows with every change that may ask for another assignment.
    pub(super) epoch: i32,
    /// The epoch that the members' targets belong to.
    assignment_epoch: i32,
    /// The assignor that made them.
    assignor: Assignor,
    pub(super) members: BTreeMap<String, Member>,
    /// The ids of those that speak the classic protocol.
    classics: BTreeSet<String>,
    /// Member ids by instance id.
    instances: BTreeMap<String, String>,
    /// Who has each partition, or has not given it up yet.
    owners: HashMap<(TopicId, i32), String>,
    /// Members that have not come to their target yet.
    reconciling: BTreeSet<String>,
    /// The topics that members subscribe to.
    topics: BTreeMap<TopicId, TopicInfo>,
    /// [`TopicsView::changes`] when they were looked at.
    topics_seen: Option<u64>,
    /// When the group became empty.
    pub(super) empty_since: Option<Duration>,
    pub(super) last_rebalance: Option<Rebalance>,
    /// Rebalances begun, and other reasons for which members in this process were to join again.
    pub(super) rebalances: watch::Sender<u64>,
    /// It had members when it was one of the classic protocol, and has made no epoch since: they may
    /// not have been at rest, and its topics may have changed unseen.
    is_converted: bool,
    /// What left only members of the classic protocol, to be their rebalance.
    pub(super) downgrade: Option<Rebalance>,
    /// How many deadlines have begun that may be earlier than those before.
    deadlines_begun: u64,
}

impl ConsumerGroup {
    /// A group without members, whose epochs go on after `epoch`.
    pub(super) fn new(name: GroupName, epoch: i32, now: Duration) -> Self {
        Self {
            name,
            epoch,
            assignment_epoch: epoch,
            assignor: Assignor::default(),
            members: BTreeMap::new(),
            classics: BTreeSet::new(),
            instances: BTreeMap::new(),
            owners: HashMap::new(),
            reconciling: BTreeSet::new(),
            topics: BTreeMap::new(),
            topics_seen: None,
            empty_since: Some(now),
            last_rebalance: None,
            rebalances: watch::Sender::new(0),
            is_converted: false,
            downgrade: None,
            deadlines_begun: 0,
        }
    }

    /// Changes whenever the earliest deadline may have come nearer.
    pub(super) fn deadlines_begun(&self) -> u64 {
        self.deadlines_begun
    }

    /// Whether a member may commit offsets. Who is no member may if the group has none.
    pub(super) fn validate_commit(&self, member: &MemberRef<'_>) -> Result<(), GroupError> {
        if member.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.validate_epoch(member.member_id, member.generation)
    }

    pub(super) fn validate_epoch(&self, member_id: &str, came: i32) -> Result<(), GroupError> {
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMemberId)?;
        let current = member.epoch;
        match member.kind() {
            _ if came == current => Ok(()),
            GroupKind::Classic => Err(GroupError::IllegalGeneration { came, current }),
            GroupKind::Consumer => Err(GroupError::StaleMemberEpoch { came, current }),
        }
    }

    /// Another epoch of the group, because of something that members did or that befell them.
    fn bump(&mut self, turn: &mut Turn<'_>, cause: Cause, members: Vec<String>) {
        self.bump_for(turn, cause, members, None);
    }

    fn bump_for(
        &mut self,
        turn: &mut Turn<'_>,
        cause: Cause,
        members: Vec<String>,
        reason: Option<&str>,
    ) {
        let rebalance = Rebalance::new(cause, members, reason, self.epoch, turn.now);
        if self.is_to_become_classic(turn.settings) {
            // What members are in becomes a generation, which the rebalance ends.
            self.downgrade.get_or_insert(rebalance);
            return;
        }
        self.downgrade = None;
        self.epoch = self.epoch.saturating_add(1);
        info!(group = %self.name, epoch = self.epoch, member = %rebalance.members.join(", "),
            reason = %rebalance, "rebalance begins");
        self.last_rebalance = Some(rebalance);
        self.rebalances.send_modify(|count| *count += 1);
        turn.counters.rebalances_begun += 1;
        self.expect_silent(turn.now);
    }

    /// Looks at the topics if they have changed; a change of those that somebody subscribes to
    /// begins a rebalance.
    #[allow(clippy::mutable_key_type, reason = "a pattern is equal to another by its text alone")]
    fn refresh_topics(&mut self, turn: &mut Turn<'_>, view: &dyn TopicsView) {
        // Asked first: what changes while they are looked at is looked at again.
        let changes = view.changes();
        if self.topics_seen.replace(changes).is_none_or(|seen| seen == changes) {
            return;
        }
        let mut resolved: HashMap<Arc<Subscription>, Topics> = HashMap::new();
        let (mut read, mut topics) = (BTreeSet::new(), BTreeMap::new());
        for member in self.members.values_mut() {
            let of_it = resolved.entry(Arc::clone(&member.subscription)).or_insert_with(|| {
                read.extend(member.topics.iter().copied());
                let found = member.subscription.resolve(view);
                let ids = found.iter().map(|topic| topic.id).collect();
                topics.extend(found.into_iter().map(|topic| (topic.id, topic)));
                Arc::new(ids)
            });
            member.topics = Arc::clone(of_it);
        }
        // What nobody subscribes to any more does not matter.
        self.topics.retain(|id, _| read.contains(id));
        let changed = |id: &TopicId| topics.get(id) != self.topics.get(id);
        let changed: BTreeSet<_> =
            topics.keys().chain(self.topics.keys()).filter(|id| changed(id)).collect();
        let name = |id: &&TopicId| topics.get(id).or(self.topics.get(id)).map(|t| t.name.clone());
        let names: Vec<_> = changed.iter().filter_map(name).collect();
        self.topics = topics;
        if !names.is_empty() {
            self.bump(turn, Cause::TopicsChanged, names);
        }
    }

    /// The topics of a subscription, which another member may have as well.
    fn resolve(
        &mut self,
        subscription: Subscription,
        view: &dyn TopicsView,
    ) -> (Arc<Subscription>, Topics) {
        let same = self.members.values().find(|member| *member.subscription == subscription);
        if let Some(same) = same {
            return (Arc::clone(&same.subscription), Arc::clone(&same.topics));
        }
        let found = subscription.resolve(view);
        let ids = found.iter().map(|topic| topic.id).collect();
        self.topics.extend(found.into_iter().map(|topic| (topic.id, topic)));
        (Arc::new(subscription), Arc::new(ids))
    }

    /// Computes the members' targets, if the group has come to another epoch.
    fn assign_if_due(&mut self) {
        if self.epoch == self.assignment_epoch {
            return;
        }
        self.assignor = self.preferred_assignor();
        let counts: Counts =
            self.topics.values().map(|topic| (topic.id, topic.partitions)).collect();
        let candidates: Vec<_> = self.members.values().map(Member::candidate).collect();
        let targets = self.assignor.assign(&candidates, &counts);
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target;
        }
        self.assignment_epoch = self.epoch;
        let present = self.members.values().filter(|member| !member.is_away());
        self.reconciling = present.map(|member| member.id.clone()).collect();
        info!(group = %self.name, epoch = self.epoch, members = self.members.len(),
            assignor = self.assignor.name(), "target assigned");
    }

    /// The assignor that most members prefer.
    fn preferred_assignor(&self) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for preferred in self.members.values().filter_map(|member| member.assignor) {
            *votes.entry(preferred).or_default() += 1;
        }
        let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map(|(assignor, _)| assignor).unwrap_or_default()
    }

    /// Takes a member out, with all that it has.
    fn remove(&mut self, turn: &mut Turn<'_>, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        for partition in member.holds() {
            self.owners.remove(&partition);
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        self.classics.remove(member_id);
        if self.members.is_empty() {
            self.empty_since = Some(turn.now);
            self.deadlines_begun += 1;
            info!(group = %self.name, epoch = self.epoch, "group is empty");
        }
        self.settled(turn, member_id);
        if member.holds().next().is_some() {
            self.call_silent(turn.now);
        }
        Some(member)
    }

    /// A member has come to its target, or is not waited for any more.
    fn settled(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        let was_last = self.reconciling.remove(member_id) && self.reconciling.is_empty();
        if was_last && !self.members.is_empty() && self.epoch == self.assignment_epoch {
            turn.counters.rebalances_completed += 1;
            info!(group = %self.name, epoch = self.epoch, members = self.members.len(),
                "all members have their partitions");
        }
    }

    /// How many regular expressions the members have.
    fn patterns(&self) -> usize {
        let patterns = self.members.values().filter_map(|m| m.subscription.pattern.as_deref());
        patterns.map(subscription::Pattern::as_str).collect::<HashSet<_>>().len()
    }
}
