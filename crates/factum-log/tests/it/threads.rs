//! The log with its threads, on the simulated disk: what clients that run at the same time see,
//! and what a crash leaves.
//!
//! `factum-sim` rules every interleaving of the log's parts, but has one thread. Here the threads
//! are real, so locks and wake-ups are; a seed fixes what clients do, and not when.

use factum_event::Offset;
use factum_event::batch::Batch;
use factum_log::disk::sim::{Faults, Random, SimDisk};
use factum_log::{Appending, Log, LogSettings, PartitionId, StoredBatch};
use parking_lot::Mutex;
use pollster::block_on;

use crate::support::{is_same, numbered, offset, open_on, partition, small, start};

const PARTITIONS: usize = 6;
const CLIENTS: usize = 2;
const SEEDS: u64 = 40;
const LIVES: u64 = 3;
const OPERATIONS: u64 = 60;

/// Batches that were given an offset, in order, and what somebody knows to be durable.
struct Model {
    id: PartitionId,
    attempts: Vec<(Offset, Batch)>,
    durable: Offset,
}

impl Model {
    /// Compares what was read with what was appended.
    fn check(&mut self, read: &[StoredBatch]) {
        for stored in read {
            let base = stored.entry.base_offset;
            let at = self.attempts.binary_search_by_key(&base, |(base, _)| *base);
            let (_, batch) = &self.attempts[at.expect("an offset that was given")];
            assert!(is_same(stored, batch), "offset {base} has other bytes");
            self.durable = self.durable.max(stored.entry.next_offset());
        }
    }

    /// After opening: nothing durable is lost; what else is gone is forgotten.
    fn reopened(&mut self, log: &Log) {
        let end = log.extent(self.id).end;
        assert!(end >= self.durable, "{} was durable, the end is {end}", self.durable);
        self.attempts.retain(|(base, _)| *base < end);
        let mut read = Vec::new();
        while let Some(next) = read.last().map_or(Some(Offset::ZERO), next_of).filter(|n| *n < end)
        {
            read.extend(block_on(log.read(self.id, next, 20_000)).unwrap());
        }
        assert!(read.iter().map(|stored| stored.entry.base_offset).eq(self.bases()));
        self.check(&read);
    }

    fn bases(&self) -> impl Iterator<Item = Offset> {
        self.attempts.iter().map(|(base, _)| *base)
    }
}

fn next_of(stored: &StoredBatch) -> Option<Offset> {
    Some(stored.entry.next_offset())
}

/// One client: appends to its own partitions, reads from all, until the disk has gone.
fn work(log: &Log, models: &[Mutex<Model>], client: usize, seed: u64) {
    let mut random = Random::new(seed);
    let mut open: Vec<(usize, Appending)> = Vec::new();
    for _ in 0..OPERATIONS {
        let at = usize::try_from(random.below(PARTITIONS as u64)).unwrap();
        match random.below(10) {
            0..5 if at % CLIENTS == client => match append(log, &models[at], &mut random) {
                Some(appending) => open.push((at, appending)),
                None => break,
            },
            5..8 if !open.is_empty() => {
                let (at, appending) = open.swap_remove(0);
                acknowledged(&models[at], appending);
            }
            _ => read(log, &models[at], &mut random),
        }
    }
    open.into_iter().for_each(|(at, appending)| acknowledged(&models[at], appending));
}

fn append(log: &Log, model: &Mutex<Model>, random: &mut Random) -> Option<Appending> {
    let batch = numbered(random.next(), usize::try_from(random.below(2500)).unwrap());
    // Held until the attempt is noted: whoever reads it must find it in the model.
    let mut model = model.lock();
    let appending = start(log, model.id, batch.clone()).ok()?;
    model.attempts.push((appending.base_offset(), batch));
    Some(appending)
}

fn acknowledged(model: &Mutex<Model>, appending: Appending) {
    if let Ok(appended) = block_on(appending) {
        let mut model = model.lock();
        model.durable = model.durable.max(appended.base_offset.next());
    }
}

fn read(log: &Log, model: &Mutex<Model>, random: &mut Random) {
    let id = model.lock().id;
    let end = log.extent(id).end;
    let from = offset(random.below(end.get().unsigned_abs() + 1).cast_signed());
    // The disk may have gone in between: then there is nothing to check.
    let Ok(read) = block_on(log.read(id, from, 5000)) else { return };
    assert!(from == end || !read.is_empty(), "nothing at {from} before the end {end}");
    assert!(read.first().is_none_or(|first| first.entry.base_offset <= from));
    let mut model = model.lock();
    model.durable = model.durable.max(end);
    model.check(&read);
}

fn live(disk: &SimDisk, models: &[Mutex<Model>], random: &mut Random) {
    let settings = LogSettings { queue_bytes: 64 << 10, tail_bytes: 8 << 10, ..small() };
    let (log, _) = open_on(disk.restarted(), settings).unwrap();
    models.iter().for_each(|model| model.lock().reopened(&log));
    let crash_at_write = random.one_in(2).then(|| random.below(25) + 1);
    disk.restarted().set_faults(Faults { crash_at_write, ..Faults::default() });
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (seed, log) = (random.next(), &log);
            scope.spawn(move || work(log, models, client, seed));
        }
    });
    if random.one_in(4) {
        log.close();
    }
    disk.crash();
}

#[test]
fn clients_at_the_same_time_see_nothing_that_a_crash_unhappens() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.next());
        let model = |at| {
            let id = partition(1, i32::try_from(at).unwrap());
            Mutex::new(Model { id, attempts: Vec::new(), durable: Offset::ZERO })
        };
        let models: Vec<_> = (0..PARTITIONS).map(model).collect();
        (0..LIVES).for_each(|_| live(&disk, &models, &mut random));
        let (log, _) = open_on(disk.restarted(), small()).unwrap();
        models.iter().for_each(|model| model.lock().reopened(&log));
    }
}
