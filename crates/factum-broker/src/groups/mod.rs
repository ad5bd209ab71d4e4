//! Consumer groups by Kafka's classic protocol: members join, a leader assigns, all sync; and by
//! its consumer protocol (KIP-848), in `consumer`. A group is of one or the other, and changes from
//! one to the other while it has members, in `migration`.
//!
//! [`Groups`] is a state machine without I/O, clock or runtime: time comes in as an argument,
//! answers that have to wait come by [`Answer`], and what happens because time has passed happens
//! in [`Groups::expire`]. Kafka clients and members in this process are members of the same kind.
//!
//! What it promises:
//! * Members of a generation agree on it: a member is answered only for a generation that it is
//!   part of, and generations of a group only grow while the group is known.
//! * Every answer comes: at the latest when a deadline passes, if only as an error.
//! * What clients can make it hold is limited by [`GroupSettings`].
//!
//! What it does not do: membership lives in memory only, so after a restart members are unknown
//! and join again. Committed offsets are kept elsewhere; [`Groups::validate_commit`] says who may
//! change them.

mod answer;
mod consumer;
pub mod consumer_protocol;
mod deadline;
mod error;
mod group;
mod join;
mod kind;
mod leave;
mod member;
mod migration;
pub mod range_assignor;
mod rebalance;
mod report;
mod request;
mod settings;
mod state;
mod sync;
#[cfg(test)]
mod tests;

use std::time::Duration;

use factum_event::GroupName;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use uuid::Uuid;

pub use answer::Answer;
pub use consumer::{
    AssignedTopic, Assignment, ConsumerBeat, ConsumerDescription, ConsumerHeartbeat,
    DescribedConsumer, TopicInfo, TopicsView,
};
pub use error::GroupError;
pub use report::{
    Cause, DescribedMember, Description, GroupKind, GroupsMetrics, Listed, Rebalance, Standing,
};
pub use request::{
    JoinRequest, Joined, JoinedMember, Leaving, MemberRef, Protocol, SyncRequest, Synced,
};
pub use settings::{ConsumerTimes, GroupSettings, MigrationPolicy};

use answer::Waiter;
use consumer::{Checked, ConsumerGroup};
use kind::Kind;
use state::State;

/// All consumer groups. One lock: no call waits or works long under it.
#[derive(Debug)]
pub struct Groups {
    state: Mutex<State>,
    settings: GroupSettings,
    alarm: Condvar,
}

impl Groups {
    /// No groups yet.
    #[must_use]
    pub fn new(settings: GroupSettings) -> Self {
        Self::with_ids(settings, Uuid::now_v7)
    }

    /// No groups yet; the unique part of member ids comes from `ids`.
    #[must_use]
    pub fn with_ids(settings: GroupSettings, ids: impl FnMut() -> Uuid + Send + 'static) -> Self {
        let state = State::new(settings.clone(), Box::new(ids));
        Self { state: Mutex::new(state), settings, alarm: Condvar::new() }
    }

    /// Joins a group, or joins again for its next generation.
    ///
    /// # Errors
    /// By the answer: [`GroupError::MemberIdRequired`] gives a new member its id;
    /// [`GroupError::UnknownMemberId`] and [`GroupError::FencedInstanceId`] say that the id is
    /// none of the group's; the others that request, settings and group do not fit.
    pub fn join(
        &self,
        now: Duration,
        request: JoinRequest,
        topics: &dyn TopicsView,
    ) -> Answer<Joined> {
        let (waiter, answer) = Waiter::pair();
        self.change(|state| state.join(now, &request, waiter, topics));
        answer
    }

    /// Asks for the member's assignment, and brings those of all members if it leads.
    ///
    /// # Errors
    /// By the answer: [`GroupError::RebalanceInProgress`] and [`GroupError::IllegalGeneration`]
    /// ask to join again, [`GroupError::UnknownMemberId`] to do so as a new member.
    pub fn sync(&self, now: Duration, request: SyncRequest) -> Answer<Synced> {
        let (waiter, answer) = Waiter::pair();
        self.change(|state| state.sync(now, request, waiter));
        answer
    }

    /// A sign of life.
    ///
    /// # Errors
    /// [`GroupError::RebalanceInProgress`] asks the member to join again.
    pub fn heartbeat(
        &self,
        now: Duration,
        group: &GroupName,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        self.change(|state| state.heartbeat(now, group, member))
    }

    /// A heartbeat of the consumer protocol: a member joins, stays, or leaves.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`] and [`GroupError::FencedMemberEpoch`] ask the member to give
    /// up all it has and to join again; the others say that it cannot be a member as it is.
    pub fn consumer_heartbeat(
        &self,
        now: Duration,
        group: &GroupName,
        beat: ConsumerHeartbeat,
        topics: &dyn TopicsView,
    ) -> Result<ConsumerBeat, GroupError> {
        // Outside the lock: a regular expression is compiled.
        let checked = Checked::new(group.clone(), beat, &self.settings)?;
        self.change(|state| state.consumer_heartbeat(now, checked, topics))
    }

    /// Whether a member of a group of the consumer protocol may be told the group's offsets: whether
    /// it is in the epoch that it says. Of others nothing is asked.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`], [`GroupError::StaleMemberEpoch`],
    /// [`GroupError::IllegalGeneration`].
    pub fn validate_fetch(
        &self,
        group: &GroupName,
        member_id: &str,
        epoch: i32,
    ) -> Result<(), GroupError> {
        let state = self.state.lock();
        let group = state.group(group).and_then(Kind::consumer);
        group.map_or(Ok(()), |group| group.validate_epoch(member_id, epoch))
    }

    /// A group of the consumer protocol with its members; none if it is not known here.
    #[must_use]
    pub fn describe_consumer(&self, group: &GroupName) -> Option<ConsumerDescription> {
        let state = self.state.lock();
        state.group(group).and_then(Kind::consumer).map(ConsumerGroup::describe)
    }

    /// Which protocol a member speaks; none if it is not known here.
    #[must_use]
    pub fn member_kind(&self, group: &GroupName, member_id: &str) -> Option<GroupKind> {
        self.state.lock().group(group)?.member_kind(member_id)
    }

    /// Gives a group times of its own, from the next heartbeat of each member on.
    pub fn set_times(&self, group: GroupName, times: ConsumerTimes) {
        self.state.lock().set_times(group, times);
    }

    /// Of which protocol a group is; none if it is not known here.
    #[must_use]
    pub fn kind(&self, group: &GroupName) -> Option<GroupKind> {
        self.state.lock().group(group).map(|group| match group {
            Kind::Classic(_) => GroupKind::Classic,
            Kind::Consumer(_) => GroupKind::Consumer,
        })
    }

    /// Removes members, and answers for each of them.
    pub fn leave(
        &self,
        now: Duration,
        group: &GroupName,
        members: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        self.change(|state| state.leave(now, group, members))
    }

    /// Whether this member may commit offsets now. Who is no member (negative generation) may if
    /// the group has none.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`], [`GroupError::FencedInstanceId`],
    /// [`GroupError::IllegalGeneration`], [`GroupError::RebalanceInProgress`]; of a member of the
    /// consumer protocol [`GroupError::StaleMemberEpoch`].
    pub fn validate_commit(
        &self,
        now: Duration,
        group: &GroupName,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        self.state.lock().validate_commit(now, group, member)
    }

    /// A group of the classic protocol with its members; none if it is not known here, though it
    /// may have offsets.
    #[must_use]
    pub fn describe(&self, group: &GroupName) -> Option<Description> {
        self.state.lock().group(group).and_then(Kind::classic).map(group::Group::describe)
    }

    /// All groups known here, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        self.state.lock().list()
    }

    /// What to know of a group before its offsets are touched.
    #[must_use]
    pub fn standing(&self, group: &GroupName) -> Option<Standing> {
        self.state.lock().group(group).map(Kind::standing)
    }

    /// Knows a group that has no members from now on, if there is room; as long as others are known
    /// that have none.
    pub fn remember(&self, now: Duration, group: &GroupName) {
        self.change(|state| state.remember(now, group));
    }

    /// Forgets a group that has no members.
    ///
    /// # Errors
    /// [`GroupError::GroupNotEmpty`]; [`GroupError::GroupIdNotFound`] if it is not known here.
    pub fn delete(&self, group: &GroupName) -> Result<(), GroupError> {
        self.change(|state| state.delete(group))
    }

    /// How often members in this process were called to join again, to wait for the next time. The
    /// channel closes when the group is forgotten.
    #[must_use]
    pub fn watch(&self, group: &GroupName) -> Option<watch::Receiver<u64>> {
        self.state.lock().group(group).map(Kind::watch)
    }

    /// Counts over all groups.
    #[must_use]
    pub fn metrics(&self) -> GroupsMetrics {
        self.state.lock().metrics()
    }

    /// Applies every deadline that has come, and returns the next one.
    pub fn expire(&self, now: Duration) -> Option<Duration> {
        self.state.lock().expire(now)
    }

    /// The next deadline: when [`expire`](Self::expire) is due. It may be earlier than needed,
    /// but never later.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.state.lock().next_deadline()
    }

    /// Blocks this thread until there is an earlier deadline than [`expire`](Self::expire) last
    /// returned, or [`wake`](Self::wake) is called, or `timeout` has passed. What happened since
    /// that call counts. For one thread.
    pub fn park(&self, timeout: Option<Duration>) {
        let mut state = self.state.lock();
        if !state.take_alarm() {
            match timeout {
                Some(timeout) => {
                    self.alarm.wait_for(&mut state, timeout);
                }
                None => self.alarm.wait(&mut state),
            }
            state.take_alarm();
        }
    }

    /// Ends [`park`](Self::park) now, or at once when it is next called.
    pub fn wake(&self) {
        self.state.lock().raise_alarm();
        self.alarm.notify_one();
    }

    /// Makes a change after which the next deadline may be earlier.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        if state.is_alarming() {
            self.alarm.notify_one();
        }
        result
    }
}
