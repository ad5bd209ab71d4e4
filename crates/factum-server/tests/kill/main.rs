//! `kill -9` under mixed load: what was acknowledged is there, once, in order, whatever happens.
//!
//! Actors use the server at the same time, each in its own way: idempotent, transactional and plain
//! producers, publishing over HTTP, members of a consumer group, a tool that commits, somebody who
//! creates and deletes topics, one who deletes records, one who changes settings, readers that
//! follow. The server is killed after a random number of acknowledgements, sometimes while it is
//! still opening, and started again on what it left, with journals of another size. In every life
//! the actors first compare what they find with what was acknowledged to them; at the end
//! everything is compared once more.
//!
//! `FACTUM_KILLS` sets the number of kills, `FACTUM_SEED` the seed of all random choices:
//!
//! ```sh
//! FACTUM_KILLS=500 cargo test -p factum-server --test kill -- --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::cast_possible_wrap, reason = "numbers of a test are small")]
#![allow(clippy::cast_sign_loss, reason = "numbers of a test are not negative")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]
#![allow(unreachable_pub, reason = "`pub` marks what a module of the test offers")]

#[path = "../common/mod.rs"]
mod common;

mod commits;
mod follower;
mod http;
mod idempotent;
mod ledger;
mod member;
mod plain;
mod reading;
mod settings;
mod tear;
mod topics;
mod transfers;
mod trim;
mod world;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::client::Client;
use common::server::{Home, Server};
use common::work::create;
use common::{DEADLINE, Dice};
use tear::{Torn, tear};
use world::{Actor, Life, Tally, Working, World};

const KILLS: u64 = 100;
/// Of how many acknowledgements a life has the most.
const ACKNOWLEDGEMENTS: u64 = 250;

/// Written by idempotent producers alone, each in its own partitions.
const ORDERS: &str = "orders";
const ORDERS_PARTITIONS: i32 = 200;
const IDEMPOTENT_PRODUCERS: i32 = 4;
/// Written by several plain producers.
const CLICKS: &str = "clicks";
const CLICKS_PARTITIONS: i32 = 4;
const PLAIN_PRODUCERS: u64 = 2;
/// Published over HTTP.
const EVENTS: &str = "events";
const EVENTS_PARTITIONS: i32 = 2;
const MEMBERS: usize = 2;

/// Small journals, so that they are sealed under load too.
const JOURNALS: &[&str] = &["1MiB", "4MiB"];

/// Those whom a drained world lets finish.
fn writers(client: &mut Client, dice: &mut Dice) -> Vec<Box<dyn Actor>> {
    let mut actors: Vec<Box<dyn Actor>> = Vec::new();
    let mut fresh = || Dice::new(dice.roll());
    let each = ORDERS_PARTITIONS / IDEMPOTENT_PRODUCERS;
    for number in 0..IDEMPOTENT_PRODUCERS {
        let own = number * each..(number + 1) * each;
        let producer = idempotent::IdempotentProducer::new(client, ORDERS, own, fresh());
        actors.push(Box::new(producer));
    }
    for writer in 0..PLAIN_PRODUCERS {
        let producer = plain::PlainProducer::new(CLICKS, CLICKS_PARTITIONS, writer, fresh());
        actors.push(Box::new(producer));
    }
    actors.push(Box::new(http::HttpPublisher::new(EVENTS, EVENTS_PARTITIONS, 7, fresh())));
    actors.push(Box::new(commits::CommitTool::new("tool", ORDERS)));
    actors.push(Box::new(topics::TopicKeeper::new(fresh())));
    actors.push(Box::new(trim::Trimmer::new(client, "trimmed", fresh())));
    actors.push(Box::new(settings::Settler::new(client, "configured")));
    for (topic, is_v2) in [("transfers-v1", false), ("transfers-v2", true)] {
        create(client, topic, transfers::PARTITIONS);
        actors.push(Box::new(transfers::Transfers::new(topic, is_v2, fresh())));
    }
    let committed = Arc::new(member::Committed::default());
    for _ in 0..MEMBERS {
        let member = member::Member::new(("billing", ORDERS), ORDERS_PARTITIONS, &committed);
        actors.push(Box::new(member));
    }
    actors
}

/// Those who go on until the others have finished.
fn readers(dice: &mut Dice) -> Vec<Box<dyn Actor>> {
    let topics =
        [(ORDERS, ORDERS_PARTITIONS), (CLICKS, CLICKS_PARTITIONS), (EVENTS, EVENTS_PARTITIONS)];
    let follower = |(topic, partitions)| -> Box<dyn Actor> {
        Box::new(follower::Follower::new(topic, partitions, Dice::new(dice.roll())))
    };
    topics.into_iter().map(follower).collect()
}

/// The one who starts and kills the server.
struct Killer {
    home: Home,
    /// An address of this test's own: nobody else is to be reached where a server was killed.
    address: String,
    dice: Dice,
    torn: Torn,
    /// How long it took each life from its start to being ready.
    openings: Vec<Duration>,
    killed_at_opening: u64,
}

impl Killer {
    fn new(dice: Dice) -> Self {
        let [.., a, b, c] = std::process::id().to_be_bytes();
        let (address, torn) = (format!("127.{}.{b}.{c}:0", a | 0x80), Torn::default());
        Self { home: Home::new(), address, dice, torn, openings: Vec::new(), killed_at_opening: 0 }
    }

    fn start(&mut self) -> Server {
        let journal = JOURNALS[self.dice.below(JOURNALS.len() as u64) as usize];
        let flags = ["--journal-bytes", journal, "--group-initial-rebalance-delay-ms", "0"];
        if self.dice.below(8) == 0 && self.openings.len() > 1 {
            let usual = self.openings[self.openings.len() - 1].as_micros() as u64;
            let patience = Duration::from_micros(self.dice.below(usual));
            self.home.kill_while_opening([&self.address, &self.address], &flags, patience);
            self.killed_at_opening += 1;
        }
        let started = Instant::now();
        let server = self.home.serve_at([&self.address, &self.address], &flags);
        self.openings.push(started.elapsed());
        server
    }

    /// Kills a life; the next.
    fn kill(&mut self, server: Server) -> Server {
        server.kill();
        let tearing = self.dice.below(4) == 0;
        if tearing {
            tear(&self.home, &mut self.dice);
        }
        let killed_before = self.killed_at_opening;
        let server = self.start();
        let told = self.torn.note(&server);
        // A life that was killed while it opened may have cut it off already.
        let cut_before = self.killed_at_opening > killed_before;
        assert!(told || cut_before || !tearing, "a torn end was not told of");
        server
    }

    fn opening_times(&self) -> String {
        let mut sorted = self.openings.clone();
        sorted.sort();
        let millis = |at: usize| sorted[at].as_millis();
        let last = sorted.len() - 1;
        format!("p50 {} ms, max {} ms", millis(last / 2), millis(last))
    }
}

/// Waits until a life has had its share of acknowledgements, now and then none.
fn wait(dice: &mut Dice, acknowledged: &mpsc::Receiver<()>, working: &[Working]) {
    acknowledged.try_iter().for_each(drop);
    let wanted = if dice.below(8) == 0 { 0 } else { dice.below(ACKNOWLEDGEMENTS) };
    for _ in 0..wanted {
        assert!(acknowledged.recv_timeout(DEADLINE).is_ok(), "nothing is acknowledged");
    }
    assert!(!working.iter().any(Working::has_ended), "an actor has failed");
}

fn kills() -> u64 {
    let kills = std::env::var("FACTUM_KILLS").ok();
    kills.map_or(KILLS, |kills| kills.parse().expect("FACTUM_KILLS is a number"))
}

#[test]
fn every_acknowledged_record_is_there_once_and_in_order_after_many_kills() {
    let mut dice = Dice::from_environment("kill");
    let mut killer = Killer::new(Dice::new(dice.roll()));
    let mut server = killer.start();
    let client = &mut Client::connect(server.kafka);
    create(client, ORDERS, ORDERS_PARTITIONS);
    create(client, CLICKS, CLICKS_PARTITIONS);
    create(client, EVENTS, EVENTS_PARTITIONS);
    let (world, acknowledged) = World::new();
    let start = |actor| Working::start(actor, &world);
    let writing: Vec<_> = writers(client, &mut dice).into_iter().map(start).collect();
    let reading: Vec<_> = readers(&mut dice).into_iter().map(start).collect();
    world.begin_life(&server);

    for _ in 1..kills() {
        wait(&mut dice, &acknowledged, &writing);
        server = killer.kill(server);
        world.begin_life(&server);
    }
    world.drain();
    let mut actors: Vec<_> = writing.into_iter().map(Working::join).collect();
    world.end();
    actors.extend(reading.into_iter().map(Working::join));
    // Once more: what is compared now comes from the disk.
    let server = killer.kill(server);
    let life = Life::of(&server);
    let tallies: Vec<_> = actors.iter_mut().map(|actor| actor.check(&life)).collect();
    report(&killer, &tallies);
    server.stop();
}

fn report(killer: &Killer, tallies: &[Tally]) {
    println!(
        "kill: {} kills, {} more while opening; {} torn tails ({} bytes) cut off; ready after {}",
        killer.openings.len() - 1,
        killer.killed_at_opening,
        killer.torn.tails,
        killer.torn.bytes,
        killer.opening_times(),
    );
    for Tally { what, acknowledged, found } in tallies {
        println!("kill: {acknowledged} acknowledged, {found} found: {what}");
    }
}
