//! The log without threads: the same seed and the same steps give the same answers.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use factum_event::Offset;
use factum_log::disk::sim::{Faults, Random, Refusal, SimDisk};
use factum_log::{
    AppendError, Appending, Log, LogSettings, ReadError, StoredBatch, Worker, Workers,
};

use crate::support::{clock, numbered, partition};

type Read = Pin<Box<dyn Future<Output = Result<Vec<StoredBatch>, ReadError>>>>;

const SETTINGS: LogSettings = LogSettings {
    journal_bytes: 8 << 10,
    queue_bytes: 16 << 10,
    tail_bytes: 4 << 10,
    read_ahead_from: 1,
    seal_bytes_per_second: 1 << 40,
};

/// A client that does one thing at a time, and notes everything that it sees.
struct Client {
    random: Random,
    seen: DefaultHasher,
    appending: Vec<Appending>,
    reads: Vec<Read>,
    acknowledged: i64,
}

impl Client {
    fn append(&mut self, log: &Log) {
        let batch = numbered(self.random.next(), usize::try_from(self.random.below(3000)).unwrap());
        let id = partition(1, i32::try_from(self.random.below(3)).unwrap());
        let mut reserve = Box::pin(log.reserve(batch.len()));
        let appended = match poll(reserve.as_mut()) {
            Poll::Ready(Ok(room)) => log.append(room, id, batch),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => return,
        };
        match appended {
            Ok(appending) => self.appending.push(appending),
            Err(error) => error.to_string().hash(&mut self.seen),
        }
    }

    fn read(&mut self, log: &Log) {
        let id = partition(1, i32::try_from(self.random.below(3)).unwrap());
        let end = log.extent(id).end.get();
        let from = self.random.below(end.unsigned_abs() + 1).cast_signed();
        let log = log.clone();
        let read = async move { log.read(id, Offset::new(from).unwrap(), 5000).await };
        self.reads.push(Box::pin(read));
    }

    /// Looks at everything that is open.
    fn look(&mut self) {
        for mut appending in std::mem::take(&mut self.appending) {
            match poll(Pin::new(&mut appending)) {
                Poll::Ready(answer) => {
                    self.acknowledged += i64::from(answer.is_ok());
                    format!("{answer:?}").hash(&mut self.seen);
                }
                Poll::Pending => self.appending.push(appending),
            }
        }
        for mut read in std::mem::take(&mut self.reads) {
            match poll(read.as_mut()) {
                Poll::Ready(Ok(read)) => {
                    for stored in read {
                        (stored.entry.base_offset.get(), &stored.body[..]).hash(&mut self.seen);
                    }
                }
                Poll::Ready(Err(error)) => error.to_string().hash(&mut self.seen),
                Poll::Pending => self.reads.push(read),
            }
        }
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn faults(random: &mut Random) -> Faults {
    let at = Some(random.below(20) + 1);
    match random.below(6) {
        0 => Faults { full_at_write: at, ..Faults::default() },
        1 => Faults { capacity: Some(random.below(64 << 10)), ..Faults::default() },
        2 => Faults { refusal: Some(Refusal::ReadOnly), ..Faults::default() },
        3 => Faults { refusal: Some(Refusal::TooManyFiles), ..Faults::default() },
        4 => Faults { fail_sync: at, ..Faults::default() },
        _ => Faults::default(),
    }
}

/// A hash of everything that one run shows, and how many appends were acknowledged.
fn run(seed: u64) -> (u64, i64) {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(random.next());
    let mut client = Client {
        random: Random::new(random.next()),
        seen: DefaultHasher::new(),
        appending: Vec::new(),
        reads: Vec::new(),
        acknowledged: 0,
    };
    let clock = clock();
    for _ in 0..3 {
        disk.set_faults(Faults::default());
        let now = Arc::new(disk.restarted());
        let (log, mut workers, recovery) =
            Log::open_stepped(now, Arc::clone(&clock), SETTINGS).unwrap();
        format!("{recovery:?}").hash(&mut client.seen);
        for _ in 0..300 {
            match random.below(12) {
                0..=3 => client.append(&log),
                4 => client.read(&log),
                5..=9 => {
                    let which = usize::try_from(random.below(4)).unwrap();
                    workers.step(Worker::ALL[which]).hash(&mut client.seen);
                }
                10 => client.look(),
                _ if random.one_in(5) => disk.set_faults(faults(&mut random)),
                _ => workers.pending().hash(&mut client.seen),
            }
        }
        end(&log, workers, &disk, &mut random);
        client.look();
        client.reads.clear();
        client.appending.clear();
    }
    format!("{:?}", disk.stats()).hash(&mut client.seen);
    (client.seen.finish(), client.acknowledged)
}

fn end(log: &Log, workers: Workers, disk: &SimDisk, random: &mut Random) {
    if random.one_in(2) {
        log.close();
        workers.finish();
    } else {
        disk.crash();
    }
}

#[test]
fn a_seed_replays_exactly() {
    let mut acknowledged = 0;
    let mut different = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let first = run(seed);
        assert_eq!(run(seed), first, "seed {seed}");
        acknowledged += first.1;
        different.insert(first.0);
    }
    assert!(acknowledged > 1000, "{acknowledged} appends were acknowledged");
    assert_eq!(different.len(), 30, "every seed is a run of its own");
}

#[test]
fn workers_that_are_dropped_refuse_what_waits() {
    let disk = Arc::new(SimDisk::new(1));
    let (log, workers, _) = Log::open_stepped(disk, clock(), SETTINGS).unwrap();
    let mut client = Client {
        random: Random::new(1),
        seen: DefaultHasher::new(),
        appending: Vec::new(),
        reads: Vec::new(),
        acknowledged: 0,
    };
    client.append(&log);
    drop(workers);
    let answer = poll(Pin::new(&mut client.appending[0]));
    assert!(matches!(answer, Poll::Ready(Err(AppendError::Failed(_)))), "{answer:?}");
}
