//! Members that come, go, die and lag, and topics that change, at random: nobody ever has what
//! another has, and once all is quiet, all of it is shared.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Join(usize),
    Beat(usize),
    /// A heartbeat whose answer is lost.
    Lost(usize),
    Leave(usize),
    LeaveForAWhile(usize),
    /// The process ends without a word.
    Die(usize),
    Grow(i32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..5_usize;
    prop_oneof![
        3 => who.clone().prop_map(Step::Join),
        12 => who.clone().prop_map(Step::Beat),
        2 => who.clone().prop_map(Step::Lost),
        1 => who.clone().prop_map(Step::Leave),
        1 => who.clone().prop_map(Step::LeaveForAWhile),
        1 => who.prop_map(Step::Die),
        1 => (5..9_i32).prop_map(Step::Grow),
        2 => (1..30_u64).prop_map(Step::Pass),
    ]
}

/// Clients by number; those with an even one are static.
struct Play {
    scene: Scene,
    clients: Vec<Option<Client>>,
    born: usize,
}

impl Play {
    fn take(&mut self, step: Step) {
        match step {
            Step::Join(who) if self.clients[who].is_none() => {
                self.born += 1;
                let id = format!("{who} {}", self.born);
                let mut client = match who % 2 {
                    0 => Client::fixed(&id, &who.to_string()),
                    _ => Client::new(&id),
                };
                self.clients[who] = self.scene.join(&mut client).is_ok().then_some(client);
            }
            Step::Join(who) | Step::Beat(who) => self.beat(who),
            Step::Lost(who) => {
                if let Some(client) = &mut self.clients[who] {
                    let _ = self.scene.ask(client.beating());
                    client.unsure = true;
                }
            }
            Step::Leave(who) => self.leave(who, -1),
            Step::LeaveForAWhile(who) => self.leave(who, if who % 2 == 0 { -2 } else { -1 }),
            Step::Die(who) => self.clients[who] = None,
            Step::Grow(count) => self.scene.world.grow("orders", count),
            Step::Pass(seconds) => self.scene.pass(seconds),
        }
        self.check();
    }

    fn beat(&mut self, who: usize) {
        let Some(client) = &mut self.clients[who] else { return };
        match self.scene.beat(client) {
            Ok(()) => {}
            Err(GroupError::UnknownMemberId | GroupError::FencedMemberEpoch { .. }) => {
                if self.scene.join(client).is_err() {
                    self.clients[who] = None;
                }
            }
            Err(error) => panic!("{who}: {error}"),
        }
    }

    fn leave(&mut self, who: usize, epoch: i32) {
        if let Some(client) = self.clients[who].take() {
            let _ = self.scene.ask(client.leaving(epoch));
        }
    }

    /// Among clients that the group knows, nobody has what another has.
    fn check(&self) {
        let Some(described) = self.scene.groups.describe_consumer(&self.scene.group) else {
            return;
        };
        let mut owners: HashMap<(TopicId, i32), &str> = HashMap::new();
        let is_known =
            |client: &&Client| described.members.iter().any(|m| m.member_id == client.id);
        for client in self.clients.iter().flatten().filter(is_known) {
            for partition in client.owned.iter() {
                let other = owners.insert(partition, &client.id);
                assert_eq!(other, None, "{partition:?} is {}'s as well", client.id);
            }
        }
    }

    /// Heartbeats of all, for as long as who is gone is waited for.
    fn come_to_rest(&mut self) {
        for _ in 0..20 {
            (0..self.clients.len()).for_each(|who| self.beat(who));
            self.check();
            self.scene.pass(5);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nobody_has_what_another_has(steps in prop::collection::vec(step(), 1..80)) {
        let scene = Scene::new();
        let mut play = Play { scene, clients: vec![None; 5], born: 0 };
        for step in steps {
            play.take(step);
        }
        play.take(Step::Join(1));
        play.come_to_rest();
        prop_assert_eq!(play.scene.state(), "Stable");
        let described = play.scene.describe();
        let alive: Vec<_> = play.clients.iter().flatten().collect();
        prop_assert_eq!(described.members.len(), alive.len());
        let sizes: Vec<_> = alive.iter().map(|client| client.owned.len()).collect();
        let partitions = play.scene.world.by_name("orders").unwrap().partitions as usize;
        prop_assert_eq!(sizes.iter().sum::<usize>(), partitions);
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        for client in alive {
            prop_assert_eq!(client.epoch, described.epoch);
        }
    }
}
