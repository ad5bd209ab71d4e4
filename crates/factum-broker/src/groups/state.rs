//! All groups and their deadlines, under the lock.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use factum_event::GroupName;
use tracing::info;
use uuid::Uuid;

use super::answer::Waiter;
use super::consumer::{Checked, ConsumerGroup};
use super::group::{Counters, Group, Turn};
use super::kind::Kind;
use super::{
    ConsumerBeat, ConsumerTimes, GroupError, GroupSettings, GroupsMetrics, JoinRequest, Joined,
    Leaving, Listed, MemberRef, SyncRequest, Synced, TopicsView,
};

pub(super) struct State {
    settings: GroupSettings,
    /// Settings of groups that have times of their own, whether or not they are there.
    own_settings: HashMap<GroupName, GroupSettings>,
    ids: Box<dyn FnMut() -> Uuid + Send>,
    counters: Counters,
    groups: HashMap<GroupName, Filed>,
    /// One deadline of each group that has any; never later than its earliest.
    deadlines: BTreeSet<(Duration, GroupName)>,
    /// The deadline that the timer's thread knows of.
    known_deadline: Option<Duration>,
    /// The timer's thread is to look again.
    alarm: bool,
}

/// A group, and the deadline under which it is filed.
struct Filed {
    group: Kind,
    deadline: Option<Duration>,
}

impl State {
    pub(super) fn new(settings: GroupSettings, ids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            settings,
            own_settings: HashMap::new(),
            ids,
            counters: Counters::default(),
            groups: HashMap::new(),
            deadlines: BTreeSet::new(),
            known_deadline: None,
            alarm: false,
        }
    }

    pub(super) fn set_times(&mut self, group: GroupName, times: ConsumerTimes) {
        if times == ConsumerTimes::default() {
            self.own_settings.remove(&group);
        } else {
            self.own_settings.insert(group, times.over(&self.settings));
        }
    }

    pub(super) fn group(&self, name: &GroupName) -> Option<&Kind> {
        self.groups.get(name).map(|filed| &filed.group)
    }

    pub(super) fn join(
        &mut self,
        now: Duration,
        request: &JoinRequest,
        waiter: Waiter<Joined>,
        topics: &dyn TopicsView,
    ) {
        if let Err(error) = request.check(&self.settings).and_then(|()| self.open(now, request)) {
            return waiter.fail(error);
        }
        self.change(now, &request.group, |group, turn| group.join(turn, request, waiter, topics));
    }

    /// Makes sure that there is such a group, if the request may create it.
    fn open(&mut self, now: Duration, request: &JoinRequest) -> Result<(), GroupError> {
        if let Some(filed) = self.groups.get_mut(&request.group) {
            filed.group.become_classic_if_empty(now);
            return Ok(());
        }
        if !request.member_id.is_empty() {
            return Err(GroupError::UnknownMemberId);
        }
        self.insert(Kind::Classic(Group::new(request.group.clone(), now)), &request.group)
    }

    pub(super) fn remember(&mut self, now: Duration, name: &GroupName) {
        // Where there is no room, the group ends: nobody is in it, and others are not to go for it.
        if self.groups.contains_key(name) || self.groups.len() >= self.settings.max_groups {
            return;
        }
        let group = Kind::Classic(Group::new(name.clone(), now));
        self.groups.insert(name.clone(), Filed { group, deadline: None });
        self.file(name);
    }

    fn insert(&mut self, group: Kind, name: &GroupName) -> Result<(), GroupError> {
        if self.groups.len() >= self.settings.max_groups {
            self.forget_longest_empty()?;
        }
        self.groups.insert(name.clone(), Filed { group, deadline: None });
        Ok(())
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Duration,
        checked: Checked,
        topics: &dyn TopicsView,
    ) -> Result<ConsumerBeat, GroupError> {
        let name = checked.group.clone();
        if !self.groups.contains_key(&name) && checked.joins() {
            let group = ConsumerGroup::new(name.clone(), 0, now);
            self.insert(Kind::Consumer(group), &name)?;
        }
        self.beat(now, &name, |group, turn| group.consumer_heartbeat(turn, checked, topics))
            .unwrap_or(Err(GroupError::UnknownMemberId))
    }

    /// Makes room for a group by forgetting one that has no members.
    fn forget_longest_empty(&mut self) -> Result<(), GroupError> {
        let idle = self.groups.values().filter_map(|filed| filed.group.idle_since());
        let longest = idle.min().map(|(_, name)| name.clone());
        match longest {
            Some(name) => self.forget(&name),
            None => return Err(GroupError::TooManyGroups { limit: self.settings.max_groups }),
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, now: Duration, request: SyncRequest, waiter: Waiter<Synced>) {
        if !self.groups.contains_key(&request.group) {
            return waiter.fail(GroupError::UnknownMemberId);
        }
        let name = request.group.clone();
        self.change(now, &name, |group, turn| group.sync(turn, request, waiter));
    }

    pub(super) fn heartbeat(
        &mut self,
        now: Duration,
        name: &GroupName,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        self.beat(now, name, |group, turn| group.heartbeat(turn, member))
            .unwrap_or(Err(GroupError::UnknownMemberId))
    }

    pub(super) fn validate_commit(
        &mut self,
        now: Duration,
        name: &GroupName,
        member: &MemberRef<'_>,
    ) -> Result<(), GroupError> {
        // A client that makes its id itself names it although it has not joined (KIP-1082).
        let outside = member.generation < 0;
        let unknown = if outside { Ok(()) } else { Err(GroupError::UnknownMemberId) };
        self.touch(now, name, |group, turn| group.validate_commit(turn, member)).unwrap_or(unknown)
    }

    pub(super) fn leave(
        &mut self,
        now: Duration,
        name: &GroupName,
        members: &[Leaving],
    ) -> Vec<Result<(), GroupError>> {
        self.change(now, name, |group, turn| group.leave(turn, members))
            .unwrap_or_else(|| vec![Err(GroupError::UnknownMemberId); members.len()])
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        let mut list: Vec<_> = self.groups.values().map(|filed| filed.group.listed()).collect();
        list.sort_by(|a, b| a.group.cmp(&b.group));
        list
    }

    pub(super) fn delete(&mut self, name: &GroupName) -> Result<(), GroupError> {
        let group = self.group(name).ok_or(GroupError::GroupIdNotFound)?;
        if !group.standing().is_empty() {
            return Err(GroupError::GroupNotEmpty);
        }
        self.forget(name);
        Ok(())
    }

    fn forget(&mut self, name: &GroupName) {
        if let Some(filed) = self.groups.remove(name) {
            let generation = filed.group.standing().generation;
            info!(group = %name, generation, "group forgotten");
            if let Some(at) = filed.deadline {
                self.deadlines.remove(&(at, name.clone()));
            }
        }
    }

    pub(super) fn metrics(&self) -> GroupsMetrics {
        GroupsMetrics {
            groups: self.groups.len(),
            members: self.groups.values().map(|filed| filed.group.member_count()).sum(),
            rebalances_begun: self.counters.rebalances_begun,
            rebalances_completed: self.counters.rebalances_completed,
            members_evicted: self.counters.members_evicted,
        }
    }

    pub(super) fn expire(&mut self, now: Duration) -> Option<Duration> {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<_> = due.map(|(_, name)| name.clone()).collect();
        for name in due {
            let ended = self.change(now, &name, |group, turn| {
                group.expire(turn);
                group.has_ended(turn)
            });
            if ended == Some(true) {
                self.forget(&name);
            }
        }
        self.known_deadline = self.next_deadline();
        self.alarm = false;
        self.known_deadline
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn is_alarming(&self) -> bool {
        self.alarm
    }

    pub(super) fn raise_alarm(&mut self) {
        self.alarm = true;
    }

    pub(super) fn take_alarm(&mut self) -> bool {
        std::mem::take(&mut self.alarm)
    }

    /// Lets a group do something that moves its deadlines away at most.
    fn touch<T>(
        &mut self,
        now: Duration,
        name: &GroupName,
        act: impl FnOnce(&mut Kind, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let filed = self.groups.get_mut(name)?;
        let settings = self.own_settings.get(name).unwrap_or(&self.settings);
        let counters = &mut self.counters;
        let mut turn = Turn { now, settings, counters, ids: &mut *self.ids };
        Some(act(&mut filed.group, &mut turn))
    }

    /// Lets a group hear a heartbeat. Most of them only move a deadline away, and there may be
    /// thousands of members.
    fn beat<T>(
        &mut self,
        now: Duration,
        name: &GroupName,
        act: impl FnOnce(&mut Kind, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let before = self.group(name)?.deadlines_begun();
        let result = self.touch(now, name, act)?;
        if self.group(name).is_some_and(|group| group.deadlines_begun() != before) {
            self.file(name);
        }
        Some(result)
    }

    /// Lets a group do something, and files it anew under its earliest deadline.
    fn change<T>(
        &mut self,
        now: Duration,
        name: &GroupName,
        act: impl FnOnce(&mut Kind, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let result = self.touch(now, name, act)?;
        self.file(name);
        Some(result)
    }

    /// Files a group under its earliest deadline.
    fn file(&mut self, name: &GroupName) {
        let Some(filed) = self.groups.get_mut(name) else { return };
        let next = filed.group.next_deadline(&self.settings);
        if next != filed.deadline {
            if let Some(at) = filed.deadline {
                self.deadlines.remove(&(at, name.clone()));
            }
            if let Some(at) = next {
                self.deadlines.insert((at, name.clone()));
            }
            filed.deadline = next;
        }
        if next.is_some_and(|at| self.known_deadline.is_none_or(|known| at < known)) {
            self.known_deadline = next;
            self.alarm = true;
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}
