//! Random members that do anything at any time, from a seed, and what must hold all the same.

use std::ops::Range;

use super::*;

const SEEDS: Range<u64> = 0..200;
const STEPS: usize = 600;
const ACTORS: usize = 6;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) >> 33).unwrap() % sides
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

/// A client, which follows the protocol more often than not.
struct Actor {
    instance_id: Option<String>,
    session_timeout: Option<Duration>,
    member_id: String,
    joined: Option<Joined>,
    synced: bool,
    joins: Vec<Answer<Joined>>,
    syncs: Vec<Answer<Synced>>,
}

impl Actor {
    fn new(index: usize) -> Self {
        Self {
            instance_id: index.is_multiple_of(3).then(|| format!("i{}", index / 6)),
            session_timeout: (index % 5 != 4).then_some(SESSION),
            member_id: String::new(),
            joined: None,
            synced: false,
            joins: Vec::new(),
            syncs: Vec::new(),
        }
    }
}

impl Actor {
    fn forget(&mut self) {
        self.member_id.clear();
        self.joined = None;
    }
}

struct World {
    scene: Scene,
    dice: Dice,
    actors: Vec<Actor>,
    generation: i32,
}

impl World {
    fn new(seed: u64) -> Self {
        let scene = Scene::with(|settings| {
            settings.initial_rebalance_delay = Duration::from_secs(3 * (seed % 2));
            settings.max_members = 4 + usize::try_from(seed % 4).unwrap();
            settings.empty_group_retention = Duration::from_secs(1_000_000_000);
        });
        let actors = (0..ACTORS).map(Actor::new).collect();
        Self { scene, dice: Dice(seed), actors, generation: 0 }
    }

    fn step(&mut self) {
        let actor = self.dice.roll(ACTORS);
        match self.dice.roll(60) {
            0 => self.join(actor),
            1 => self.sync(actor),
            2 => self.heartbeat(actor),
            3 => self.leave(actor),
            4 => self.restart(actor),
            5 => self.lose_answers(actor),
            6..=50 => self.follow_protocol(actor),
            _ => {
                let seconds = [0, 1, 1, 1, 1, 3, 3, 9, 10, 60][self.dice.roll(10)];
                self.pass(seconds);
            }
        }
        self.hear();
        self.check();
    }

    /// Lets time pass; the actors hear at each deadline what came of it.
    fn pass(&mut self, seconds: u64) {
        let until = self.scene.now + Duration::from_secs(seconds);
        while self.scene.pass_one_deadline(until) {
            self.hear();
            self.check();
        }
    }

    /// What a client does that has nothing wrong with it.
    fn follow_protocol(&mut self, index: usize) {
        let actor = &self.actors[index];
        let waits = !actor.joins.is_empty() || !actor.syncs.is_empty();
        match &actor.joined {
            _ if waits => (),
            Some(_) if actor.synced => self.heartbeat(index),
            Some(_) => self.sync(index),
            None => self.join(index),
        }
    }

    fn join(&mut self, actor: usize) {
        let actor = &mut self.actors[actor];
        let names = [&["range"][..], &["range", "sticky"], &["sticky", "range"], &["sticky"]];
        actor.joined = None;
        let offer = if self.dice.one_in(20) { self.dice.roll(4) } else { 1 };
        let request = JoinRequest {
            instance_id: actor.instance_id.clone(),
            session_timeout: actor.session_timeout,
            rebalance_timeout: Duration::from_secs([5, 60][self.dice.roll(2)]),
            protocols: protocols(names[offer]),
            require_member_id: self.dice.one_in(2),
            skip_assignment: self.dice.one_in(2),
            ..self.scene.request(&actor.member_id)
        };
        actor.joins.push(self.scene.join(request));
    }

    fn sync(&mut self, actor: usize) {
        let actor = &mut self.actors[actor];
        let Some(joined) = &actor.joined else { return };
        let instance_id = actor.instance_id.clone();
        let sync = self.scene.sync_with(joined, |request| request.instance_id = instance_id);
        actor.syncs.push(sync);
    }

    fn heartbeat(&mut self, actor: usize) {
        let actor = &mut self.actors[actor];
        let Some(joined) = &actor.joined else { return };
        let commit = self.scene.commit(joined);
        match self.scene.heartbeat(joined) {
            Ok(()) => {
                assert_eq!(joined.generation, self.generation);
                let between = Err(GroupError::RebalanceInProgress);
                assert!(commit == Ok(()) || commit == between, "{commit:?}");
            }
            Err(GroupError::RebalanceInProgress) => {
                assert_eq!(commit, Ok(()));
                actor.joined = None;
            }
            Err(GroupError::IllegalGeneration { current, .. }) => {
                assert_eq!(current, self.generation);
                actor.joined = None;
            }
            Err(GroupError::UnknownMemberId) => actor.forget(),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn leave(&mut self, actor: usize) {
        let actor = &mut self.actors[actor];
        let member_id = std::mem::take(&mut actor.member_id);
        let leaving = Leaving { member_id, instance_id: actor.instance_id.clone(), reason: None };
        let answers = self.scene.groups.leave(self.scene.now, &self.scene.group, &[leaving]);
        assert_eq!(answers.len(), 1);
    }

    fn restart(&mut self, actor: usize) {
        self.actors[actor].forget();
    }

    fn lose_answers(&mut self, actor: usize) {
        self.actors[actor].joins.clear();
        self.actors[actor].syncs.clear();
    }

    /// Every actor reads its answers; what an answer says must be true now.
    fn hear(&mut self) {
        let described = self.scene.groups.describe(&self.scene.group);
        for actor in &mut self.actors {
            let mut answers = Vec::new();
            actor.joins.retain_mut(|join| join.now().map(|answer| answers.push(answer)).is_none());
            for answer in answers {
                match answer {
                    Ok(joined) => {
                        let described = described.as_ref().expect("there is a group");
                        assert_eq!(joined.generation, described.generation);
                        assert!(described.members.iter().any(|m| m.member_id == joined.member_id));
                        assert!(!joined.protocol.is_empty());
                        assert_eq!(joined.rebalances, described.rebalances);
                        actor.member_id.clone_from(&joined.member_id);
                        actor.joined = Some(joined);
                        actor.synced = false;
                    }
                    Err(GroupError::MemberIdRequired { member_id }) => actor.member_id = member_id,
                    Err(GroupError::CoordinatorNotAvailable) => (),
                    Err(_) => actor.forget(),
                }
            }
            let mut answers = Vec::new();
            actor.syncs.retain_mut(|sync| sync.now().map(|answer| answers.push(answer)).is_none());
            for answer in answers {
                let Ok(synced) = answer else {
                    actor.joined = None;
                    continue;
                };
                let described = described.as_ref().expect("there is a group");
                assert_eq!(described.state.as_str(), "Stable");
                let of = format!(" of {}", described.generation);
                assert!(synced.assignment.ends_with(of.as_bytes()), "{synced:?}");
                actor.synced = true;
            }
        }
    }

    fn check(&mut self) {
        let Some(described) = self.scene.groups.describe(&self.scene.group) else { return };
        assert!(described.generation >= self.generation, "generations only grow");
        self.generation = described.generation;
        let empty = described.state.as_str() == "Empty";
        assert!(!empty || described.members.is_empty());
        if described.state.as_str() == "Stable" {
            let leader = described.leader.as_ref().expect("a stable group has a leader");
            assert!(described.members.iter().any(|m| &m.member_id == leader));
            assert!(described.members.iter().all(|m| !m.assignment.is_empty()), "{described:?}");
            assert!(described.members.iter().all(|m| !m.metadata.is_empty()), "all speak it");
        }
        let instances = described.members.iter().filter_map(|m| m.instance_id.as_ref());
        let mut instances: Vec<_> = instances.collect();
        let count = instances.len();
        instances.sort();
        instances.dedup();
        assert_eq!(instances.len(), count, "an instance id has one member");
        let next = self.scene.groups.next_deadline();
        let steady = empty || described.state.as_str() == "Stable";
        assert!(steady || next.is_some(), "a rebalance always ends: {described:?}");
    }

    /// When all fall silent, nothing is left to wait for.
    fn finish(&mut self) {
        self.pass(24 * 3600);
        self.hear();
        self.check();
        for actor in &self.actors {
            assert!(actor.joins.is_empty() && actor.syncs.is_empty(), "a waiter left for ever");
        }
        if let Some(described) = self.scene.groups.describe(&self.scene.group) {
            let immortal = self.actors.iter().filter(|a| a.session_timeout.is_none()).count();
            assert!(described.members.len() <= immortal, "{described:?}");
        }
    }
}

#[test]
fn whatever_members_do_the_group_keeps_its_promises() {
    let mut completed = 0;
    for seed in SEEDS {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.finish();
            world.scene.groups.metrics()
        });
        match std::panic::catch_unwind(run) {
            Ok(metrics) => completed += metrics.rebalances_completed,
            Err(panic) => {
                println!("failed with seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{completed} rebalances completed");
    assert!(completed > 2 * SEEDS.end, "only {completed} rebalances: this shows nothing");
}
