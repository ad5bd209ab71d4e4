//! Groups driven by calls alone, in virtual time.

mod limits;
mod random;
mod rebalances;
mod sessions;
mod static_members;

use std::time::Duration;

use bytes::Bytes;
use factum_event::GroupName;
use uuid::Uuid;

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// What the classic protocol does not ask for.
struct NoTopics;

impl TopicsView for NoTopics {
    fn changes(&self) -> u64 {
        0
    }

    fn by_name(&self, _: &str) -> Option<TopicInfo> {
        None
    }

    fn matching(&self, _: &dyn Fn(&str) -> bool) -> Vec<TopicInfo> {
        Vec::new()
    }
}

/// One group and its time.
struct Scene {
    groups: Groups,
    group: GroupName,
    now: Duration,
}

impl Scene {
    /// A group whose first rebalance does not wait.
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(tune: impl FnOnce(&mut GroupSettings)) -> Self {
        let mut settings =
            GroupSettings { initial_rebalance_delay: Duration::ZERO, ..GroupSettings::default() };
        tune(&mut settings);
        let mut last = 0;
        let ids = move || {
            last += 1;
            Uuid::from_u128(last)
        };
        let groups = Groups::with_ids(settings, ids);
        Self { groups, group: GroupName::new("g").unwrap(), now: Duration::from_secs(1000) }
    }

    /// What a member of protocol "range" sends; of a Kafka client before version 4.
    fn request(&self, member_id: &str) -> JoinRequest {
        JoinRequest {
            group: self.group.clone(),
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: Some(SESSION),
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: protocols(&["range"]),
            require_member_id: false,
            skip_assignment: false,
            reason: None,
        }
    }

    fn join(&self, request: JoinRequest) -> Answer<Joined> {
        self.groups.join(self.now, request, &NoTopics)
    }

    fn rejoin(&self, member: &Joined) -> Answer<Joined> {
        self.join(self.request(&member.member_id))
    }

    /// A new member whose join is to be answered at once.
    fn enter(&self) -> Joined {
        self.join(self.request("")).now().expect("an answer at once").unwrap()
    }

    fn sync(&self, member: &Joined) -> Answer<Synced> {
        self.sync_with(member, |_| ())
    }

    fn sync_with(&self, member: &Joined, tune: impl FnOnce(&mut SyncRequest)) -> Answer<Synced> {
        let assign = |m: &JoinedMember| {
            (m.member_id.clone(), Bytes::from(format!("{} of {}", m.member_id, member.generation)))
        };
        let mut request = SyncRequest {
            group: self.group.clone(),
            generation: member.generation,
            member_id: member.member_id.clone(),
            instance_id: None,
            protocol_type: Some(member.protocol_type.clone()),
            protocol: Some(member.protocol.clone()),
            assignments: member.members.iter().map(assign).collect(),
        };
        tune(&mut request);
        self.groups.sync(self.now, request)
    }

    /// Members that have formed a stable group, the leader first.
    fn stable(&self, count: usize) -> Vec<Joined> {
        let mut members = vec![self.enter()];
        while members.len() < count {
            let mut newcomer = self.join(self.request(""));
            let mut others: Vec<_> = members.iter().map(|m| self.rejoin(m)).collect();
            members = others.iter_mut().map(expect_joined).collect();
            members.push(expect_joined(&mut newcomer));
        }
        members.sort_by_key(|m| !m.is_leader());
        self.sync_all(&members);
        members
    }

    /// All sync, the leader last.
    fn sync_all(&self, members: &[Joined]) {
        let mut last_first: Vec<_> = members.iter().collect();
        last_first.sort_by_key(|m| m.is_leader());
        let mut syncs: Vec<_> = last_first.iter().map(|m| (*m, self.sync(m))).collect();
        for (member, sync) in &mut syncs {
            let synced = sync.now().expect("the leader has synced").unwrap();
            assert_eq!(synced.assignment, assignment(member));
        }
        assert_eq!(self.state(), "Stable");
    }

    fn heartbeat(&self, member: &Joined) -> Result<(), GroupError> {
        self.groups.heartbeat(self.now, &self.group, &reference(member))
    }

    fn commit(&self, member: &Joined) -> Result<(), GroupError> {
        self.groups.validate_commit(self.now, &self.group, &reference(member))
    }

    fn leave(&self, member: &Joined) -> Result<(), GroupError> {
        let leaving = Leaving { member_id: member.member_id.clone(), ..Leaving::default() };
        self.groups.leave(self.now, &self.group, &[leaving]).remove(0)
    }

    /// Lets time pass, as the timer's thread sees it.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.pass_one_deadline(until) {}
    }

    /// Goes to the next deadline, or to `until` if there is none before.
    fn pass_one_deadline(&mut self, until: Duration) -> bool {
        let Some(at) = self.groups.next_deadline().filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(at);
        let next = self.groups.expire(self.now);
        assert!(next.is_none_or(|next| next > self.now), "a deadline that stays due");
        true
    }

    fn describe(&self) -> Description {
        self.groups.describe(&self.group).expect("the group is known")
    }

    fn state(&self) -> &'static str {
        self.groups.describe(&self.group).map_or("Dead", |d| d.state.as_str())
    }

    fn cause(&self) -> Cause {
        self.describe().last_rebalance.expect("there was a rebalance").cause
    }
}

fn protocols(names: &[&str]) -> Vec<Protocol> {
    let protocol = |name: &&str| Protocol {
        name: (*name).to_owned(),
        metadata: Bytes::from(format!("metadata of {name}")),
    };
    names.iter().map(protocol).collect()
}

fn reference(member: &Joined) -> MemberRef<'_> {
    MemberRef { generation: member.generation, member_id: &member.member_id, instance_id: None }
}

fn assignment(member: &Joined) -> Bytes {
    Bytes::from(format!("{} of {}", member.member_id, member.generation))
}

fn expect_joined(answer: &mut Answer<Joined>) -> Joined {
    answer.now().expect("an answer at once").unwrap()
}

fn expect_error<T: std::fmt::Debug>(answer: &mut Answer<T>) -> GroupError {
    answer.now().expect("an answer at once").unwrap_err()
}

fn id_given(answer: &mut Answer<Joined>) -> String {
    match expect_error(answer) {
        GroupError::MemberIdRequired { member_id } => member_id,
        other => panic!("expected a member id, got {other:?}"),
    }
}
