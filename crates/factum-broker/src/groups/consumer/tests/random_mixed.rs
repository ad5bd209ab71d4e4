//! Members of both protocols that come, go, die and change their protocol at random: nobody ever
//! has what another has, and once all is quiet, all of it is shared.

use proptest::prelude::*;

use super::classics::ClassicClient;
use super::*;
use crate::groups::GroupKind;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Joins, by the consumer protocol or the classic one.
    Join(usize, bool),
    /// What is next: a heartbeat, a join, a sync, an answer.
    Go(usize),
    Leave(usize),
    Die(usize),
    Grow(i32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    prop_oneof![
        4 => (who.clone(), any::<bool>()).prop_map(|(who, new)| Step::Join(who, new)),
        20 => who.clone().prop_map(Step::Go),
        1 => who.clone().prop_map(Step::Leave),
        1 => who.prop_map(Step::Die),
        1 => (5..9_i32).prop_map(Step::Grow),
        2 => (1..20_u64).prop_map(Step::Pass),
    ]
}

#[derive(Debug)]
enum Player {
    New(Client),
    Old(ClassicClient),
}

impl Player {
    fn id(&self) -> &str {
        match self {
            Self::New(client) => &client.id,
            Self::Old(client) => &client.id,
        }
    }

    fn owned(&self) -> &Assignment {
        match self {
            Self::New(client) => &client.owned,
            Self::Old(client) => &client.owned,
        }
    }
}

/// Players by number: those with an even one are static, the last one is in this process.
struct Play {
    scene: Scene,
    players: Vec<Option<Player>>,
    eager: bool,
    born: usize,
}

impl Play {
    fn take(&mut self, step: Step) {
        match step {
            Step::Join(who, is_new) if self.players[who].is_none() => self.join(who, is_new),
            Step::Join(who, _) | Step::Go(who) => self.go(who),
            Step::Leave(who) => match self.players[who].take() {
                Some(Player::New(client)) => drop(self.scene.ask(client.leaving(-1))),
                Some(Player::Old(client)) => drop(client.leave(&self.scene)),
                None => {}
            },
            // Who is in this process does not die without it.
            Step::Die(5) => self.take(Step::Leave(5)),
            Step::Die(who) => self.players[who] = None,
            Step::Grow(count) => {
                let has = self.scene.world.by_name("orders").unwrap().partitions;
                self.scene.world.grow("orders", has.max(count));
            }
            Step::Pass(seconds) => self.scene.pass(seconds),
        }
        self.check();
    }

    fn join(&mut self, who: usize, is_new: bool) {
        let instance_id = who.is_multiple_of(2).then(|| who.to_string());
        self.born += 1;
        let player = if is_new && who != 5 {
            let id = format!("{who} {}", self.born);
            let mut client = Client { instance_id, ..Client::new(&id) };
            self.scene.join(&mut client).is_ok().then_some(Player::New(client))
        } else if self.eager || who == 5 {
            let silent = who == 5;
            Some(Player::Old(ClassicClient { instance_id, silent, ..ClassicClient::eager() }))
        } else {
            Some(Player::Old(ClassicClient { instance_id, ..ClassicClient::cooperative() }))
        };
        // All speak one protocol, as a group of the classic protocol wants it.
        self.players[who] = player.map(|player| match player {
            Player::Old(client) => Player::Old(ClassicClient { protocol: "range", ..client }),
            new => new,
        });
    }

    fn go(&mut self, who: usize) {
        match &mut self.players[who] {
            Some(Player::Old(client)) => client.step(&self.scene),
            Some(Player::New(client)) => match self.scene.beat(client) {
                Ok(()) => {}
                Err(
                    GroupError::UnknownMemberId
                    | GroupError::FencedMemberEpoch { .. }
                    | GroupError::FencedInstanceId,
                ) => {
                    if self.scene.join(client).is_err() {
                        self.players[who] = None;
                    }
                }
                Err(error) => panic!("{who}: {error}"),
            },
            None => {}
        }
    }

    fn known(&self) -> BTreeSet<String> {
        let (groups, group) = (&self.scene.groups, &self.scene.group);
        let classic = groups.describe(group).into_iter().flat_map(|described| described.members);
        let consumer = groups.describe_consumer(group).into_iter().flat_map(|of| of.members);
        let classic = classic.map(|member| member.member_id);
        classic.chain(consumer.map(|member| member.member_id)).collect()
    }

    /// Among players that the group knows, nobody has what another has.
    fn check(&self) {
        let known = self.known();
        let mut owners: HashMap<(TopicId, i32), &str> = HashMap::new();
        for player in self.players.iter().flatten().filter(|player| known.contains(player.id())) {
            for partition in player.owned().iter() {
                let other = owners.insert(partition, player.id());
                assert_eq!(other, None, "{partition:?} is {}'s as well", player.id());
            }
        }
    }

    fn come_to_rest(&mut self) {
        for _ in 0..50 {
            for _ in 0..4 {
                (0..self.players.len()).for_each(|who| {
                    self.go(who);
                    self.check();
                });
            }
            self.scene.pass(4);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nobody_has_what_another_has(
        eager: bool, steps in prop::collection::vec(step(), 1..120), last: bool,
    ) {
        let scene = Scene::with(|settings| settings.initial_rebalance_delay = Duration::ZERO);
        let players = (0..6).map(|_| None).collect();
        let mut play = Play { scene, players, eager, born: 0 };
        for step in steps {
            play.take(step);
        }
        play.take(Step::Join(1, last));
        play.come_to_rest();
        let alive: Vec<_> = play.players.iter().flatten().collect();
        let is_new = |player: &&&Player| matches!(player, Player::New(_));
        let kind = match alive.iter().any(|player| is_new(&player)) {
            true => GroupKind::Consumer,
            false => GroupKind::Classic,
        };
        prop_assert_eq!(play.scene.groups.kind(&play.scene.group), Some(kind));
        let standing = play.scene.groups.standing(&play.scene.group).unwrap();
        prop_assert_eq!(standing.state.as_str(), "Stable");
        prop_assert_eq!(standing.members, alive.len());
        let partitions = play.scene.world.by_name("orders").unwrap().partitions as usize;
        let sizes: Vec<_> = alive.iter().map(|player| player.owned().len()).collect();
        prop_assert_eq!(sizes.iter().sum::<usize>(), partitions, "{:?}", sizes);
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    }
}
