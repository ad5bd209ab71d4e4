//! Groups of the consumer protocol, driven by heartbeats in virtual time.

mod classics;
mod joining;
mod leaving;
mod migrating;
mod mixed;
mod random;
mod random_mixed;
mod revoking;
mod topics;
mod unsettled;

use std::cell::RefCell;
use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::groups::{GroupSettings, Groups};

const REBALANCE: Duration = Duration::from_secs(60);

/// Topics that a test creates and deletes.
#[derive(Default)]
struct World {
    topics: RefCell<BTreeMap<String, TopicInfo>>,
    changes: RefCell<u64>,
}

impl World {
    fn create(&self, name: &str, partitions: i32) -> TopicId {
        *self.changes.borrow_mut() += 1;
        let id = TopicId(Uuid::from_u128(u128::from(*self.changes.borrow())));
        let info = TopicInfo { id, name: name.to_owned(), partitions };
        self.topics.borrow_mut().insert(name.to_owned(), info);
        id
    }

    fn grow(&self, name: &str, partitions: i32) {
        self.topics.borrow_mut().get_mut(name).unwrap().partitions = partitions;
        *self.changes.borrow_mut() += 1;
    }

    fn delete(&self, name: &str) {
        self.topics.borrow_mut().remove(name).unwrap();
        *self.changes.borrow_mut() += 1;
    }
}

impl TopicsView for World {
    fn changes(&self) -> u64 {
        *self.changes.borrow()
    }

    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.topics.borrow().get(name).cloned()
    }

    fn matching(&self, passes: &dyn Fn(&str) -> bool) -> Vec<TopicInfo> {
        self.topics.borrow().values().filter(|topic| passes(&topic.name)).cloned().collect()
    }
}

/// One group, its topics and its time.
struct Scene {
    groups: Groups,
    group: GroupName,
    world: World,
    now: Duration,
}

/// A member as its client keeps it.
#[derive(Debug, Clone)]
struct Client {
    id: String,
    instance_id: Option<String>,
    epoch: i32,
    owned: Assignment,
    topics: Vec<String>,
    /// It does not know whether it was heard, and says all that it has to say.
    unsure: bool,
}

impl Scene {
    /// A group, and the topic "orders" of four partitions.
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(tune: impl FnOnce(&mut GroupSettings)) -> Self {
        let mut settings = GroupSettings::default();
        tune(&mut settings);
        let mut last = 0;
        let ids = move || {
            last += 1;
            Uuid::from_u128(last)
        };
        let groups = Groups::with_ids(settings, ids);
        let group = GroupName::new("g").unwrap();
        let scene = Self { groups, group, world: World::default(), now: Duration::from_secs(1000) };
        scene.world.create("orders", 4);
        scene
    }

    fn ask(&self, beat: ConsumerHeartbeat) -> Result<ConsumerBeat, GroupError> {
        self.groups.consumer_heartbeat(self.now, &self.group, beat, &self.world)
    }

    /// Joins, and takes what it is given.
    fn enter(&self, id: &str) -> Client {
        let mut client = Client::new(id);
        self.join(&mut client).unwrap();
        client
    }

    fn join(&self, client: &mut Client) -> Result<(), GroupError> {
        client.owned = Assignment::default();
        client.epoch = 0;
        let beat = self.ask(client.joining())?;
        client.follow(&beat);
        Ok(())
    }

    /// Sends a heartbeat, and does at once what the answer says.
    fn beat(&self, client: &mut Client) -> Result<(), GroupError> {
        let beat = self.ask(client.beating())?;
        client.follow(&beat);
        Ok(())
    }

    /// Lets all send heartbeats until nothing changes.
    fn settle(&self, clients: &mut [&mut Client]) {
        for _ in 0..20 {
            clients.iter_mut().for_each(|client| self.beat(client).unwrap());
            if self.state() == "Stable" {
                // The last revocation may have been acknowledged behind who waits for it.
                clients.iter_mut().for_each(|client| self.beat(client).unwrap());
                return;
            }
        }
        panic!("the group does not come to rest: {:?}", self.describe());
    }

    fn describe(&self) -> ConsumerDescription {
        self.groups.describe_consumer(&self.group).unwrap()
    }

    fn state(&self) -> &'static str {
        self.describe().state.as_str()
    }

    /// Lets time pass, as the timer's thread sees it.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.groups.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let next = self.groups.expire(self.now);
            assert!(next.is_none_or(|next| next > self.now), "what is due is done");
        }
        self.now = until;
    }

    fn cause(&self) -> (Cause, Vec<String>) {
        let last = self.describe().last_rebalance.unwrap();
        (last.cause, last.members)
    }
}

impl Client {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: None,
            epoch: 0,
            owned: Assignment::default(),
            topics: vec!["orders".to_owned()],
            unsure: false,
        }
    }

    fn fixed(id: &str, instance_id: &str) -> Self {
        Self { instance_id: Some(instance_id.to_owned()), ..Self::new(id) }
    }

    fn joining(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout: Some(REBALANCE),
            topic_names: Some(self.topics.clone()),
            owned: Some(Assignment::default()),
            makes_its_id: true,
            ..Default::default()
        }
    }

    fn beating(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout: self.unsure.then_some(REBALANCE),
            topic_names: self.unsure.then(|| self.topics.clone()),
            owned: Some(self.owned.clone()),
            makes_its_id: true,
            ..Default::default()
        }
    }

    fn leaving(&self, epoch: i32) -> ConsumerHeartbeat {
        ConsumerHeartbeat { member_epoch: epoch, ..self.beating() }
    }

    fn follow(&mut self, beat: &ConsumerBeat) {
        self.unsure = false;
        self.id.clone_from(&beat.member_id);
        self.epoch = beat.member_epoch;
        if let Some(assignment) = &beat.assignment {
            self.owned.clone_from(assignment);
        }
    }
}
