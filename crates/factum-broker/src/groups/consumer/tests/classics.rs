//! A member of the classic protocol as its client keeps it: of a Kafka client, or in this process.

use bytes::Bytes;
use tokio::sync::watch;

use super::*;
use crate::groups::consumer_protocol::{
    Assignment as Encoded, Subscription as Said, TopicPartitions,
};
use crate::groups::{
    Answer, JoinRequest, Joined, Leaving, MemberRef, Protocol, SyncRequest, Synced,
};

pub(super) const SESSION: Duration = Duration::from_secs(10);

/// What the client waits for.
#[derive(Debug)]
pub(super) enum Wait {
    Nothing,
    /// It is to join, or to join again.
    Turn,
    Join(Answer<Joined>),
    Sync(Answer<Synced>),
}

#[derive(Debug)]
pub(super) struct ClassicClient {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) generation: i32,
    pub(super) owned: Assignment,
    pub(super) topics: Vec<String>,
    /// It gives up all that it has before it joins.
    pub(super) eager: bool,
    /// It is in this process: it sends no heartbeats, and is called instead.
    pub(super) silent: bool,
    pub(super) protocol: &'static str,
    /// What it has it keeps when it is told that its id is unknown, as franz-go does.
    pub(super) keeps: bool,
    pub(super) lost: usize,
    pub(super) wait: Wait,
    pub(super) calls: Option<(watch::Receiver<u64>, u64)>,
    pub(super) leads: Option<u64>,
}

impl ClassicClient {
    pub(super) fn eager() -> Self {
        Self {
            id: String::new(),
            instance_id: None,
            generation: -1,
            owned: Assignment::default(),
            topics: vec!["orders".to_owned()],
            eager: true,
            silent: false,
            protocol: "range",
            keeps: false,
            lost: 0,
            wait: Wait::Turn,
            calls: None,
            leads: None,
        }
    }

    pub(super) fn cooperative() -> Self {
        Self { eager: false, protocol: "cooperative-sticky", ..Self::eager() }
    }

    pub(super) fn rests(&self) -> bool {
        matches!(self.wait, Wait::Nothing)
    }

    pub(super) fn reference(&self) -> MemberRef<'_> {
        MemberRef {
            generation: self.generation,
            member_id: &self.id,
            instance_id: self.instance_id.as_deref(),
        }
    }

    pub(super) fn request(&self, scene: &Scene) -> JoinRequest {
        let mut said = Said::of(self.topics.iter().cloned());
        let numbers: Vec<i32> = self.owned.iter().map(|(_, partition)| partition).collect();
        if !numbers.is_empty() {
            said.owned = vec![TopicPartitions { topic: "orders".to_owned(), partitions: numbers }];
            said.generation = self.generation;
        }
        let metadata = said.encode(3).unwrap();
        JoinRequest {
            group: scene.group.clone(),
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: (!self.silent).then_some(SESSION),
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: self.protocol.to_owned(), metadata }],
            require_member_id: !self.silent,
            skip_assignment: false,
            reason: None,
        }
    }

    /// Joins, and does not sync.
    pub(super) fn join_by_hand(&self, scene: &Scene) -> Joined {
        let mut answer = scene.groups.join(scene.now, self.request(scene), &scene.world);
        answer.now().unwrap().unwrap()
    }

    /// Does what is next, if anything is: one request, or one answer.
    pub(super) fn step(&mut self, scene: &Scene) {
        match std::mem::replace(&mut self.wait, Wait::Nothing) {
            Wait::Nothing => self.beat(scene),
            Wait::Turn => {
                if self.eager {
                    self.owned = Assignment::default();
                }
                let request = self.request(scene);
                self.wait = Wait::Join(scene.groups.join(scene.now, request, &scene.world));
            }
            Wait::Join(mut answer) => match answer.now() {
                None => self.wait = Wait::Join(answer),
                Some(Ok(joined)) => self.joined(scene, &joined),
                Some(Err(error)) => self.refused(error),
            },
            Wait::Sync(mut answer) => match answer.now() {
                None => self.wait = Wait::Sync(answer),
                Some(Ok(synced)) => self.synced(scene, &synced),
                Some(Err(error)) => self.refused(error),
            },
        }
    }

    fn beat(&mut self, scene: &Scene) {
        let topics = scene.world.changes();
        if self.leads.is_some_and(|seen| seen != topics) {
            self.wait = Wait::Turn;
        } else if self.silent {
            let called = |(watch, seen): &(watch::Receiver<u64>, u64)| *watch.borrow() > *seen;
            if self.calls.as_ref().is_none_or(called) {
                self.wait = Wait::Turn;
            }
        } else {
            let beaten = scene.groups.heartbeat(scene.now, &scene.group, &self.reference());
            if let Err(error) = beaten {
                self.refused(error);
            }
        }
    }

    fn refused(&mut self, error: GroupError) {
        self.wait = Wait::Turn;
        match error {
            GroupError::MemberIdRequired { member_id } => self.id = member_id,
            GroupError::RebalanceInProgress => {}
            GroupError::IllegalGeneration { .. } => self.lose(),
            GroupError::UnknownMemberId | GroupError::FencedInstanceId => {
                self.id.clear();
                if !self.keeps {
                    self.lose();
                }
            }
            error => panic!("{}: {error}", self.id),
        }
    }

    fn lose(&mut self) {
        self.lost += self.owned.len();
        self.owned = Assignment::default();
        self.generation = -1;
    }

    fn joined(&mut self, scene: &Scene, joined: &Joined) {
        self.id.clone_from(&joined.member_id);
        self.generation = joined.generation;
        self.leads = joined.is_leader().then(|| scene.world.changes());
        self.calls = scene.groups.watch(&scene.group).map(|watch| (watch, joined.rebalances));
        let request = SyncRequest {
            group: scene.group.clone(),
            generation: joined.generation,
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            protocol_type: Some(joined.protocol_type.clone()),
            protocol: Some(joined.protocol.clone()),
            assignments: self.assignments(scene, joined),
        };
        self.wait = Wait::Sync(scene.groups.sync(scene.now, request));
    }

    /// What a leader hands out: in turn, and to nobody what another has not given up.
    fn assignments(&self, scene: &Scene, joined: &Joined) -> Vec<(String, Bytes)> {
        let count = scene.world.by_name("orders").map_or(0, |topic| topic.partitions);
        // As Java's sticky assignors: who says an older generation than another has nothing.
        let said = joined.members.iter().map(|m| Said::decode(&m.metadata).unwrap());
        let said: Vec<_> = said.collect();
        let highest = said.iter().map(|said| said.generation).max();
        let owned = |said: Said| {
            let is_new = Some(said.generation) == highest;
            let owned = said.owned.into_iter().filter(|_| is_new).flat_map(|of| of.partitions);
            owned.collect::<BTreeSet<i32>>()
        };
        let has: Vec<_> = said.into_iter().map(owned).collect();
        let assign = |(place, member): (usize, &crate::groups::JoinedMember)| {
            let is_its = |partition: &i32| {
                let others = has.iter().enumerate().filter(|(other, _)| *other != place);
                *partition as usize % joined.members.len() == place
                    && !others.into_iter().any(|(_, has)| has.contains(partition))
            };
            let partitions = (0..count).filter(is_its).collect();
            let partitions = vec![TopicPartitions { topic: "orders".to_owned(), partitions }];
            let encoded = Encoded { partitions, user_data: None };
            (member.member_id.clone(), encoded.encode(0).unwrap())
        };
        joined.members.iter().enumerate().map(assign).collect()
    }

    fn synced(&mut self, scene: &Scene, synced: &Synced) {
        let decoded = Encoded::decode(&synced.assignment).unwrap();
        let mut assigned = Assignment::default();
        for of in decoded.partitions {
            let topic = scene.world.by_name(&of.topic).unwrap();
            assigned.extend(of.partitions.into_iter().map(|partition| (topic.id, partition)));
        }
        // Who gives up something joins again once it has done so.
        let gives_up = !self.eager && !self.owned.is_subset_of(&assigned);
        self.owned = assigned;
        self.wait = if gives_up { Wait::Turn } else { Wait::Nothing };
    }

    pub(super) fn leave(&self, scene: &Scene) -> Result<(), GroupError> {
        let (member_id, instance_id) = (self.id.clone(), self.instance_id.clone());
        let leaving = Leaving { member_id, instance_id, reason: None };
        scene.groups.leave(scene.now, &scene.group, &[leaving]).remove(0)
    }

    pub(super) fn commit(&self, scene: &Scene) -> Result<(), GroupError> {
        scene.groups.validate_commit(scene.now, &scene.group, &self.reference())
    }
}

impl Scene {
    /// Lets all do what is next until all have nothing to do.
    pub(super) fn calm(&self, classics: &mut [&mut ClassicClient], clients: &mut [&mut Client]) {
        for _ in 0..60 {
            classics.iter_mut().for_each(|client| client.step(self));
            clients.iter_mut().for_each(|client| self.beat(client).unwrap());
        }
        assert!(classics.iter().all(|client| client.rests()), "{classics:?}");
    }
}
