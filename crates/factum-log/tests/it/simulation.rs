//! The log on the simulated disk against a model, with crashes, from seeds.
//!
//! `FACTUM_SEED=7` runs one seed, `FACTUM_SEEDS=10000` that many, both that many from there on.
//! Threads of the log run freely, so that a seed fixes the workload and the accidents but not
//! every interleaving.

use std::env;
use std::sync::Arc;

use factum_event::batch::Batch;
use factum_event::{Offset, Timestamp};
use factum_log::disk::sim::{Faults, Random, SimDisk, SimStats};
use factum_log::{
    Appending, Fault, Log, LogSettings, PartitionId, StoredBatch, VerifyError, VerifyOptions,
    verify,
};
use parking_lot::Mutex;
use pollster::block_on;

use crate::support::{batch, is_same, offset, open_on, partition, small, start};

const PARTITIONS: usize = 6;
const TOPICS: usize = 2;
const WORKERS: usize = 2;
const ROUNDS: u64 = 4;
const OPERATIONS: u64 = 40;

/// Something that the log must never do.
type Violation = String;

#[derive(Clone)]
struct Attempt {
    base: Offset,
    batch: Batch,
    acknowledged: bool,
}

impl Attempt {
    fn next(&self) -> Offset {
        self.base.plus(self.batch.header().offsets())
    }
}

/// What a partition may and must hold.
struct Model {
    id: PartitionId,
    attempts: Vec<Attempt>,
    /// Everything before was seen by a reader.
    seen: Offset,
}

impl Model {
    fn new(id: PartitionId) -> Self {
        Self { id, attempts: Vec::new(), seen: Offset::ZERO }
    }

    /// Checks what was read, and notes that it was seen.
    fn check(&mut self, read: &[StoredBatch]) -> Result<(), Violation> {
        for stored in read {
            let base = stored.entry.base_offset;
            let at = self.attempts.binary_search_by_key(&base, |attempt| attempt.base);
            let Ok(at) = at else {
                return Err(format!("offset {base} was never appended"));
            };
            if !is_same(stored, &self.attempts[at].batch) {
                return Err(format!("offset {base} has other bytes than were appended"));
            }
            self.seen = self.seen.max(self.attempts[at].next());
        }
        Ok(())
    }

    /// After opening: nothing acknowledged or seen is lost; what else is gone is forgotten.
    fn settle(&mut self, log: &Log) -> Result<(), Violation> {
        let end = log.extent(self.id).end;
        if end < self.seen {
            return Err(format!("offset {} was seen, but the log ends at {end}", self.seen));
        }
        let lost = self.attempts.iter().find(|a| a.acknowledged && a.base >= end);
        if let Some(lost) = lost {
            return Err(format!("offset {} was acknowledged and is lost", lost.base));
        }
        self.attempts.retain(|attempt| attempt.base < end);
        let expected = self.attempts.last().map_or(Offset::ZERO, Attempt::next);
        if end != expected {
            return Err(format!("the log ends at {end}, not at {expected}"));
        }
        for attempt in &mut self.attempts {
            attempt.acknowledged = true;
        }
        Ok(())
    }
}

struct World {
    models: Vec<Mutex<Model>>,
    topics: Vec<u128>,
    removed: Vec<u128>,
}

impl World {
    fn new() -> Self {
        let topics: Vec<u128> = (1..=TOPICS as u128).collect();
        let model = |at: usize| {
            Mutex::new(Model::new(partition(topics[at % TOPICS], i32::try_from(at).unwrap())))
        };
        Self { models: (0..PARTITIONS).map(model).collect(), topics, removed: Vec::new() }
    }

    /// Removes a topic, and goes on with a new one in its place.
    fn remove_topic(&mut self, log: &Log, which: usize) {
        let old = self.topics[which];
        let new = old + TOPICS as u128;
        self.topics[which] = new;
        self.removed.push(old);
        log.remove_topic(partition(old, 0).topic);
        for at in (which..PARTITIONS).step_by(TOPICS) {
            *self.models[at].lock() = Model::new(partition(new, i32::try_from(at).unwrap()));
        }
    }

    /// Reads everything, in several ways.
    fn verify(&self, log: &Log, random: &mut Random) -> Result<(), Violation> {
        for model in &self.models {
            let mut model = model.lock();
            model.settle(log)?;
            let mut read = Vec::new();
            let mut next = Offset::ZERO;
            while next < log.extent(model.id).end {
                let max_bytes = usize::try_from(random.below(20_000)).unwrap();
                let some = block_on(log.read(model.id, next, max_bytes))
                    .map_err(|error| format!("offset {next} cannot be read: {error}"))?;
                let Some(last) = some.last() else {
                    return Err(format!("nothing at {next}"));
                };
                next = last.entry.next_offset();
                read.extend(some);
            }
            let bases: Vec<_> = read.iter().map(|stored| stored.entry.base_offset).collect();
            let expected: Vec<_> = model.attempts.iter().map(|attempt| attempt.base).collect();
            if bases != expected {
                return Err(format!("read offsets {bases:?}, not {expected:?}"));
            }
            model.check(&read)?;
            verify_time(log, &model, random)?;
        }
        let mut scanned = 0;
        for id in log.partitions() {
            let entries = log.entries(id, Offset::ZERO, usize::MAX);
            scanned += entries.map_err(|error| error.to_string())?.len();
        }
        let expected: usize = self.models.iter().map(|model| model.lock().attempts.len()).sum();
        if scanned == expected { Ok(()) } else { Err(format!("scanned {scanned}, not {expected}")) }
    }
}

fn verify_time(log: &Log, model: &Model, random: &mut Random) -> Result<(), Violation> {
    let time = Timestamp::from_millis(random.below(1100).cast_signed());
    let found =
        block_on(log.find_time(model.id, offset(0), time)).map_err(|error| error.to_string())?;
    let timestamp = |attempt: &Attempt| attempt.batch.header().max_timestamp;
    let expected = model.attempts.iter().find(|attempt| timestamp(attempt) >= time);
    let (found, expected) = (found.map(|b| b.entry.base_offset), expected.map(|a| a.base));
    if found != expected {
        return Err(format!("time {} found {found:?}, not {expected:?}", time.as_millis()));
    }
    let found = block_on(log.find_max_timestamp(model.id)).map_err(|error| error.to_string())?;
    let found = found.map(|stored| stored.entry.max_timestamp);
    let expected = model.attempts.iter().map(timestamp).max();
    if found == expected { Ok(()) } else { Err(format!("largest {found:?}, not {expected:?}")) }
}

/// One client: appends to its own partitions, reads from all.
fn work(log: &Log, world: &World, worker: usize, seed: u64) -> Result<(), Violation> {
    let mut random = Random::new(seed);
    let mut open: Vec<(usize, Appending)> = Vec::new();
    for _ in 0..random.below(OPERATIONS) {
        let at = usize::try_from(random.below(PARTITIONS as u64)).unwrap();
        match random.below(10) {
            0..=5 if at % WORKERS == worker => {
                let Some(appending) = append(log, &world.models[at], &mut random) else {
                    break;
                };
                open.push((at, appending));
            }
            6..=8 if !open.is_empty() => {
                let which = usize::try_from(random.below(open.len() as u64)).unwrap();
                let (at, appending) = open.swap_remove(which);
                acknowledge(&world.models[at], appending)?;
            }
            _ => read(log, &world.models[at], &mut random)?,
        }
    }
    for (at, appending) in open {
        acknowledge(&world.models[at], appending)?;
    }
    Ok(())
}

fn append(log: &Log, model: &Mutex<Model>, random: &mut Random) -> Option<Appending> {
    let length = if random.one_in(30) { 20_000 } else { random.below(2500) };
    let content: Vec<u8> = (0..length / 8 + 1).flat_map(|_| random.next().to_be_bytes()).collect();
    let records = i32::try_from(random.below(4) + 1).unwrap();
    let batch = batch(records, random.below(1000).cast_signed(), &content);
    // Held until the attempt is noted: whoever reads it must find it in the model.
    let mut model = model.lock();
    let appending = start(log, model.id, batch.clone()).ok()?;
    let base = appending.base_offset();
    model.attempts.push(Attempt { base, batch, acknowledged: false });
    Some(appending)
}

fn acknowledge(model: &Mutex<Model>, appending: Appending) -> Result<(), Violation> {
    let base = appending.base_offset();
    let Ok(appended) = block_on(appending) else {
        return Ok(());
    };
    let mut model = model.lock();
    let at = model.attempts.binary_search_by_key(&base, |attempt| attempt.base);
    let at = at.map_err(|_| format!("offset {base} is not the one that was given"))?;
    model.attempts[at].acknowledged = true;
    if appended.base_offset == base { Ok(()) } else { Err(format!("offset {base} has moved")) }
}

fn read(log: &Log, model: &Mutex<Model>, random: &mut Random) -> Result<(), Violation> {
    let id = model.lock().id;
    let end = log.extent(id).end;
    let from = offset(random.below(end.get().unsigned_abs() + 1).cast_signed());
    // The disk may have gone in between: then there is nothing to check.
    let Ok(read) = block_on(log.read(id, from, 5000)) else {
        return Ok(());
    };
    let mut model = model.lock();
    model.seen = model.seen.max(end);
    model.check(&read)?;
    match read.first() {
        Some(first) if first.entry.base_offset > from || first.entry.last_offset < from => {
            Err(format!("asked for {from}, got {}", first.entry.base_offset))
        }
        None if from < end => Err(format!("nothing at {from} before the end {end}")),
        _ => Ok(()),
    }
}

fn random_faults(random: &mut Random, ignore_syncs: bool) -> Faults {
    let mut faults = Faults { ignore_syncs, ..Faults::default() };
    let at = Some(random.below(25) + 1);
    match random.below(8) {
        0 | 1 => faults.crash_at_write = at,
        2 | 3 => faults.crash_at_sync = at,
        4 => faults.fail_write = at,
        5 => faults.fail_sync = at,
        6 => faults.kill_at_sync = at,
        _ => {}
    }
    faults
}

/// Opens, checks, works and crashes, several times.
fn run(seed: u64, ignore_syncs: bool) -> Result<SimStats, Violation> {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(random.next());
    let mut world = World::new();
    for _ in 0..ROUNDS {
        if random.one_in(3) {
            // Accidents while it opens: it must open afterwards all the same.
            let now = disk.restarted();
            now.set_faults(random_faults(&mut random, ignore_syncs));
            drop(open_on(now, settings(&mut random)));
            end(&disk, &mut random);
        }
        disk.set_faults(Faults { ignore_syncs, ..Faults::default() });
        verify_files(&disk.restarted())?;
        let opened = open_on(disk.restarted(), settings(&mut random));
        let (log, _) = opened.map_err(|error| format!("it does not open: {error}"))?;
        for &topic in &world.removed {
            log.remove_topic(partition(topic, 0).topic);
        }
        world.verify(&log, &mut random)?;
        disk.set_faults(random_faults(&mut random, ignore_syncs));
        let world_now = &world;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| (worker, random.next()))
                .map(|(worker, seed)| {
                    let log = &log;
                    scope.spawn(move || work(log, world_now, worker, seed))
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap())
        })?;
        if random.one_in(4) {
            let which = usize::try_from(random.below(TOPICS as u64)).unwrap();
            world.remove_topic(&log, which);
        }
        if random.one_in(4) {
            log.close();
        }
        end(&disk, &mut random);
    }
    Ok(disk.stats())
}

/// A crash damages nothing but indexes, which are not flushed.
fn verify_files(disk: &SimDisk) -> Result<(), Violation> {
    match verify(disk, &VerifyOptions::default(), &mut ()) {
        Ok(found) => match found.findings.iter().find(|one| one.fault != Fault::Index) {
            Some(finding) => Err(format!("verification has found {finding:?}")),
            None => Ok(()),
        },
        // Nothing was written yet.
        Err(VerifyError::NoLog { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The end of a process: with the machine, or alone.
fn end(disk: &SimDisk, random: &mut Random) {
    if random.one_in(3) {
        disk.kill();
    } else {
        disk.crash();
    }
}

fn settings(random: &mut Random) -> LogSettings {
    let tail_bytes = [0, 8 << 10, 1 << 20][usize::try_from(random.below(3)).unwrap()];
    LogSettings { queue_bytes: 64 << 10, tail_bytes, ..small() }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_crash_loses_or_invents_anything() {
    let first = number("FACTUM_SEED");
    let count = number("FACTUM_SEEDS").unwrap_or(if first.is_some() { 1 } else { 200 });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + count;
    let total = Arc::new(Mutex::new(SimStats::default()));
    for seed in seeds {
        match run(seed, false) {
            Ok(stats) => {
                let mut total = total.lock();
                total.crashes += stats.crashes;
                total.lost_writes += stats.lost_writes;
                total.torn_writes += stats.torn_writes;
                total.writes += stats.writes;
                total.syncs += stats.syncs;
            }
            Err(violation) => panic!("seed {seed}: {violation}; replay with FACTUM_SEED={seed}"),
        }
    }
    println!("{:?}", total.lock());
}

#[test]
fn the_checker_finds_a_log_whose_flushes_do_nothing() {
    let found = (0..100).find(|&seed| run(seed, true).is_err());
    assert!(found.is_some(), "no violation in 100 seeds: the checker checks nothing");
}
