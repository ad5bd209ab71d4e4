//! `kill -9` under load: what was acknowledged is there, once, in order, whatever happens.
//!
//! Idempotent producers write numbered records over several connections, with five batches in
//! flight on each; a tool commits offsets; a reader follows. The server is killed after a random
//! number of acknowledgements and started again on what it left, again and again. As real clients
//! do, producers then send again what was not acknowledged, with the same sequences.
//!
//! Each partition has one producer, so the record at offset `n` must be the one with number `n`.
//!
//! `FACTUM_KILL_ROUNDS` sets the number of kills, `FACTUM_SEED` the seed of all random choices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;

use bytes::Bytes;
use common::client::{Client, newest};
use common::server::{Home, Server};
use common::work::*;
use common::{DEADLINE, Dice};
use factum_event::batch::{Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::ApiKey;
use factum_wire::messages::*;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const ROUNDS: u64 = 100;
const PRODUCERS: i32 = 4;
const PARTITIONS_EACH: i32 = 2;
const PARTITIONS: i32 = PRODUCERS * PARTITIONS_EACH;
/// What librdkafka and the Java client allow an idempotent producer.
const IN_FLIGHT: usize = 5;
/// Small, so that journals are sealed under load too.
const FLAGS: &[&str] = &["--journal-bytes", "1MiB"];

/// What all threads know of the server: where its present life is to be found.
struct World {
    life: Mutex<(u64, SocketAddr)>,
    begun: Condvar,
    /// No new work: finish what is under way.
    draining: AtomicBool,
    /// The reader may stop.
    over: AtomicBool,
    acknowledged: Mutex<mpsc::Sender<()>>,
}

impl World {
    fn begin_life(&self, server: &Server) {
        let mut life = self.life.lock().unwrap();
        *life = (life.0 + 1, server.kafka);
        self.begun.notify_all();
    }

    /// Connects to a life after number `last`; the number and the connection.
    fn connect_after(&self, mut last: u64) -> (u64, Client) {
        loop {
            let life = self.life.lock().unwrap();
            let waited = self.begun.wait_timeout_while(life, DEADLINE, |life| life.0 <= last);
            let (life, timeout) = waited.unwrap();
            assert!(!timeout.timed_out(), "the server did not come back");
            let (number, address) = *life;
            drop(life);
            match Client::try_connect(address) {
                Ok(client) => return (number, client),
                Err(_) => last = number,
            }
        }
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A batch that was sent and not acknowledged yet.
struct Sent {
    partition: i32,
    first: i64,
    count: i64,
    batch: Bytes,
}

#[derive(Default)]
struct Produced {
    records: i64,
    batches: u64,
    sent_again: u64,
}

/// An idempotent producer that owns its partitions.
struct Producer {
    id: i64,
    partitions: Vec<(i32, i64)>,
    unacknowledged: VecDeque<Sent>,
    dice: Dice,
    produced: Produced,
}

impl Producer {
    fn run(mut self, world: &World) -> Produced {
        let (mut life, mut client) = world.connect_after(0);
        while let Err(error) = self.work(world, &mut client) {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the server does not answer");
            (life, client) = world.connect_after(life);
            self.produced.sent_again += self.unacknowledged.len() as u64;
        }
        self.produced
    }

    /// Works over one connection until all is done, or it breaks.
    fn work(&mut self, world: &World, client: &mut Client) -> io::Result<()> {
        let mut numbers = VecDeque::new();
        for sent in &self.unacknowledged {
            numbers.push_back(send(client, sent)?);
        }
        loop {
            while self.unacknowledged.len() < IN_FLIGHT && !world.draining() {
                let sent = self.next_batch();
                let number = send(client, &sent);
                self.unacknowledged.push_back(sent);
                numbers.push_back(number?);
            }
            let Some(number) = numbers.pop_front() else { return Ok(()) };
            let answer = of_partition(client.receive(number, newest(ApiKey::Produce))?);
            let sent = self.unacknowledged.pop_front().unwrap();
            let place = format!("{TOPIC}-{} number {}", sent.partition, sent.first);
            ok(&place, answer.error_code);
            assert_eq!(answer.base_offset, sent.first, "{place}: acknowledged at another offset");
            self.produced.records += sent.count;
            self.produced.batches += 1;
            world.acknowledged.lock().unwrap().send(()).unwrap();
        }
    }

    fn next_batch(&mut self) -> Sent {
        let chosen = self.dice.below(self.partitions.len() as u64) as usize;
        let (partition, first) = self.partitions[chosen];
        let count = 1 + self.dice.below(20) as i64;
        self.partitions[chosen].1 += count;
        let codec = Codec::ALL[self.dice.below(5) as usize];
        let base_sequence = i32::try_from(first).unwrap();
        let producer = ProducerState { id: self.id, epoch: 0, base_sequence };
        let records: Vec<_> = (first..first + count).map(|n| self.numbered(n)).collect();
        Sent { partition, first, count, batch: batch_of(codec, Some(producer), &records) }
    }

    fn numbered(&mut self, number: i64) -> Record {
        let length = self.dice.below(300) as usize;
        let mut value = format!("{number} ").into_bytes();
        value.extend(self.dice.bytes(length));
        Record {
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH + number),
        }
    }
}

fn send(client: &mut Client, sent: &Sent) -> io::Result<i32> {
    let request = produce_request(TOPIC, sent.partition, Some(sent.batch.clone()));
    client.send(&request, newest(ApiKey::Produce))
}

fn number_of(record: &Record) -> i64 {
    let value = record.value.as_ref().unwrap();
    let digits = value.split(|byte| *byte == b' ').next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// Commits 1, 2, 3, …; after each new life looks whether the last acknowledged one is there.
fn commit_offsets(world: &World) -> i64 {
    let (mut life, mut client) = world.connect_after(0);
    let mut acknowledged = 0;
    loop {
        match commit_over(world, &mut client, &mut acknowledged) {
            Ok(()) => return acknowledged,
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the server does not answer");
                (life, client) = world.connect_after(life);
            }
        }
    }
}

fn commit_over(world: &World, client: &mut Client, acknowledged: &mut i64) -> io::Result<()> {
    let version = newest(ApiKey::OffsetFetch);
    let found = client.try_call(&committed_request(GROUP, TOPIC, 0), version)?;
    let found = found.groups[0].topics[0].partitions[0].committed_offset.max(0);
    let possible = *acknowledged..=*acknowledged + 1;
    assert!(possible.contains(&found), "{found} is committed, but {acknowledged} was acknowledged");
    while !world.draining() {
        let next = *acknowledged + 1;
        let request = commit_request(GROUP, TOPIC, (0, next), &format!("at {next}"));
        let answer = client.try_call(&request, newest(ApiKey::OffsetCommit))?;
        ok("commit", answer.topics[0].partitions[0].error_code);
        *acknowledged = next;
    }
    Ok(())
}

/// Follows all partitions through all lives: what it has seen must not change or go.
fn follow(world: &World) -> i64 {
    let mut next = vec![0_i64; PARTITIONS as usize];
    let (mut life, mut client) = world.connect_after(0);
    while !world.over.load(Ordering::Relaxed) {
        if let Err(error) = follow_over(&mut client, &mut next) {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the server does not answer");
            if world.over.load(Ordering::Relaxed) {
                break;
            }
            (life, client) = world.connect_after(life);
        }
    }
    next.iter().sum()
}

fn follow_over(client: &mut Client, next: &mut [i64]) -> io::Result<()> {
    let mut request = fetch_request(TOPIC, 0, 0);
    (request.max_wait_ms, request.min_bytes) = (100, 1);
    let asked = (0..).zip(next.iter()).map(|(partition, &fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    request.topics[0].partitions = asked.collect();
    let answer = client.try_call(&request, newest(ApiKey::Fetch))?;
    for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
        let next = &mut next[data.partition_index as usize];
        let place = format!("{TOPIC}-{} at {next}", data.partition_index);
        ok(&place, data.error_code);
        assert!(data.high_watermark >= *next, "{place}: what was read is gone");
        for batch in batches(bytes_of(data)) {
            for record in batch.records(UNPACKED).unwrap() {
                if record.offset.get() >= *next {
                    assert_eq!(record.offset.get(), *next, "{place}");
                    assert_eq!(number_of(&record.record), *next, "{place}");
                    *next += 1;
                }
            }
        }
    }
    Ok(())
}

/// Leaves behind the last journal's end what a crash of the machine may leave there: a group of
/// which only a part was written. A killed process alone seldom does, because the page cache
/// outlives it.
fn tear(home: &Home, dice: &mut Dice) {
    const PAGE: usize = 4096;
    let journals = std::fs::read_dir(home.data().join("journal")).unwrap();
    let journals = journals.map(|entry| entry.unwrap().path());
    let journal =
        journals.filter(|path| path.extension().is_some_and(|end| end == "journal")).max();
    let journal = journal.expect("there is a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end.next_multiple_of(PAGE));
    bytes.resize(end.next_multiple_of(PAGE), 0);
    let length = 1 + dice.below(3000) as usize;
    bytes.extend(dice.bytes(length).into_iter().map(|byte| byte | 1));
    std::fs::write(&journal, bytes).unwrap();
}

/// Tails that recovery cut off, and their bytes.
#[derive(Default)]
struct Torn {
    tails: u64,
    bytes: u64,
}

impl Torn {
    fn note(&mut self, server: &Server) {
        if let Some(bytes) = server.recovery["truncated"]["bytes"].as_u64() {
            self.tails += 1;
            self.bytes += bytes;
        }
    }
}

/// Kills the server again and again; the last life, and what recovery cut off.
fn kill_often(
    home: &Home,
    mut server: Server,
    (rounds, dice): (u64, &mut Dice),
    (world, acknowledged): (&World, &mpsc::Receiver<()>),
) -> (Server, Torn) {
    let mut torn = Torn::default();
    for round in 0..rounds {
        // Now and then at once, while it has hardly begun.
        let wanted = if dice.below(8) == 0 { 0 } else { dice.below(150) };
        for _ in 0..wanted {
            let came = acknowledged.recv_timeout(DEADLINE);
            assert!(came.is_ok(), "round {round}: nothing is acknowledged");
        }
        server.kill();
        let tearing = dice.below(4) == 0;
        if tearing {
            tear(home, dice);
        }
        server = home.serve_with(FLAGS);
        let said = !server.recovery["truncated"].is_null();
        assert!(said || !tearing, "round {round}: a torn end was not told of");
        torn.note(&server);
        acknowledged.try_iter().for_each(drop);
        world.begin_life(&server);
    }
    (server, torn)
}

fn producers(client: &mut Client, dice: &mut Dice) -> Vec<Producer> {
    let producer = |number: i32| Producer {
        id: new_producer(client),
        partitions: (0..PARTITIONS_EACH).map(|p| (number * PARTITIONS_EACH + p, 0)).collect(),
        unacknowledged: VecDeque::new(),
        dice: Dice::new(dice.roll()),
        produced: Produced::default(),
    };
    (0..PRODUCERS).map(producer).collect()
}

/// Every partition's records must be 0, 1, 2, … at the offsets 0, 1, 2, …
fn count_records(client: &mut Client) -> i64 {
    let mut found = 0;
    for partition in 0..PARTITIONS {
        let mut expected = 0;
        for record in read_all(client, TOPIC, partition) {
            let came = (record.offset.get(), number_of(&record.record));
            assert_eq!(came, (expected, expected), "{TOPIC}-{partition}: (offset, number)");
            expected += 1;
        }
        found += expected;
    }
    found
}

#[test]
fn every_acknowledged_record_is_there_once_and_in_order_after_many_kills() {
    let rounds = std::env::var("FACTUM_KILL_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let mut dice = Dice::from_environment("kill");
    let home = Home::new();
    let server = home.serve_with(FLAGS);
    let mut client = Client::connect(server.kafka);
    create(&mut client, TOPIC, PARTITIONS);
    let producers = producers(&mut client, &mut dice);
    let (sender, acknowledged) = mpsc::channel();
    let world = Arc::new(World {
        life: Mutex::new((0, server.kafka)),
        begun: Condvar::new(),
        draining: AtomicBool::new(false),
        over: AtomicBool::new(false),
        acknowledged: Mutex::new(sender),
    });
    let start = |producer: Producer| {
        let world = Arc::clone(&world);
        thread::spawn(move || producer.run(&world))
    };
    let producing: Vec<_> = producers.into_iter().map(start).collect();
    let committing = thread::spawn({
        let world = Arc::clone(&world);
        move || commit_offsets(&world)
    });
    let following = thread::spawn({
        let world = Arc::clone(&world);
        move || follow(&world)
    });
    world.begin_life(&server);

    let (server, mut torn) =
        kill_often(&home, server, (rounds, &mut dice), (&world, &acknowledged));
    world.draining.store(true, Ordering::Relaxed);
    let mut produced = Produced::default();
    for one in producing {
        let one = one.join().unwrap();
        produced.records += one.records;
        produced.batches += one.batches;
        produced.sent_again += one.sent_again;
    }
    let commits = committing.join().unwrap();
    world.over.store(true, Ordering::Relaxed);
    let seen = following.join().unwrap();
    // Once more: what is counted now comes from the disk.
    server.kill();
    let server = home.serve_with(FLAGS);
    torn.note(&server);
    let mut client = Client::connect(server.kafka);
    let found = count_records(&mut client);

    println!(
        "kill: {} records in {} batches acknowledged, {found} records found, each once and in \
         order; {} kills, {} batches sent again, {} torn tails ({} bytes) cut off, {commits} \
         commits acknowledged, {seen} records seen by the reader meanwhile",
        produced.records,
        produced.batches,
        rounds + 1,
        produced.sent_again,
        torn.tails,
        torn.bytes,
    );
    assert_eq!(found, produced.records, "acknowledged, and found");
    assert!(seen <= found, "the reader saw {seen} records, of which {found} are left");
    // The commit under way at the last kill may have come through without its answer.
    let (last, metadata) = committed(&mut client, GROUP, TOPIC, 0);
    assert!((commits..=commits + 1).contains(&last), "committed {last}, acknowledged {commits}");
    assert_eq!(metadata, format!("at {last}"));
    server.stop();
}
