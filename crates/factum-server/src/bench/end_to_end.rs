//! Watches a topic as a consumer does, and says when each record could be read.
//!
//! Watchers note when which offsets came; what was acknowledged says which record has which
//! offset. Both are joined afterwards, so that nothing is computed while it is measured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::CLIENT_ID;
use super::cluster::{Topic, offsets};
use super::error::BenchError;
use super::fetch::{Came, Fetcher};
use super::histogram::{micros, new_histogram};
use super::load::Acknowledged;
use crate::kafka_client::{Connection, LATEST};

/// How long a watcher waits for what was acknowledged.
const PATIENCE: Duration = Duration::from_secs(30);
const PARTITION_BYTES: i32 = 1 << 20;
const MAX_WAIT_MS: i32 = 250;
/// Batches that a watcher remembers.
const MAX_REMEMBERED: usize = 2_000_000;

/// When each partition is read to the end; none while records are still produced.
type Ends = Arc<Mutex<Option<(BTreeMap<i32, i64>, Instant)>>>;

type Seen = Vec<(Came, Instant)>;

/// Threads that watch.
pub struct Watchers {
    ends: Ends,
    threads: Vec<JoinHandle<Result<Seen, BenchError>>>,
}

impl Watchers {
    /// Watches from the present end on, with one connection for each leader.
    pub fn start(topic: &Topic) -> Result<Self, BenchError> {
        let ends = Ends::default();
        let mut threads = Vec::new();
        for (address, partitions) in &topic.leaders {
            let mut connection = Connection::open(address, CLIENT_ID)?;
            let next = offsets(&mut connection, &topic.name, partitions, LATEST)?;
            let topic = topic.name.clone();
            let fetcher = Fetcher::new(connection, topic, next, PARTITION_BYTES, MAX_WAIT_MS);
            let ends = Arc::clone(&ends);
            threads.push(std::thread::spawn(move || watch(fetcher, &ends)));
        }
        Ok(Self { ends, threads })
    }

    /// Waits until everything that was acknowledged has come; its latencies, and how many
    /// records were not seen.
    pub fn finish(self, batches: &[Acknowledged]) -> Result<(Histogram<u64>, u64), BenchError> {
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for batch in batches {
            let end = ends.entry(batch.partition).or_default();
            *end = (*end).max(batch.base_offset + i64::from(batch.records));
        }
        *self.ends.lock() = Some((ends, Instant::now() + PATIENCE));
        let mut seen: BTreeMap<i32, Seen> = BTreeMap::new();
        for thread in self.threads {
            for one in thread.join().map_err(|_| BenchError::Thread)?? {
                seen.entry(one.0.partition).or_default().push(one);
            }
        }
        Ok(join(batches, &seen))
    }
}

fn watch(mut fetcher: Fetcher, ends: &Ends) -> Result<Seen, BenchError> {
    let mut seen = Seen::new();
    loop {
        if let Some((ends, deadline)) = &*ends.lock() {
            let reached = |next: &BTreeMap<i32, i64>| {
                next.iter()
                    .all(|(partition, next)| ends.get(partition).is_none_or(|end| next >= end))
            };
            if reached(&fetcher.next) || Instant::now() > *deadline {
                return Ok(seen);
            }
        }
        let mut came = Vec::new();
        fetcher.fetch(|one| came.push(one))?;
        let now = Instant::now();
        let room = MAX_REMEMBERED.saturating_sub(seen.len());
        seen.extend(came.into_iter().take(room).map(|one| (one, now)));
    }
}

/// Latency of every acknowledged record from due to seen, and how many were not seen.
fn join(batches: &[Acknowledged], seen: &BTreeMap<i32, Seen>) -> (Histogram<u64>, u64) {
    let (mut latency, mut missing) = (new_histogram(), 0);
    for batch in batches {
        let seen = seen.get(&batch.partition).map_or(&[][..], Vec::as_slice);
        for index in 0..batch.records {
            let offset = batch.base_offset + i64::from(index);
            let place = seen.partition_point(|(came, _)| came.last < offset);
            match seen.get(place).filter(|(came, _)| came.first <= offset) {
                Some((_, at)) => {
                    let due = batch.due + batch.step * index;
                    latency.saturating_record(micros(at.saturating_duration_since(due)));
                }
                None => missing += 1,
            }
        }
    }
    (latency, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_joined_by_offset_and_missing_ones_counted() {
        let due = Instant::now();
        let batch = Acknowledged {
            partition: 0,
            base_offset: 10,
            records: 3,
            due,
            step: Duration::from_millis(1),
        };
        let came = |first, last| Came { partition: 0, first, last, bytes: 1 };
        let at = due + Duration::from_millis(5);
        let seen = BTreeMap::from([(0, vec![(came(0, 9), due), (came(10, 11), at)])]);
        let (latency, missing) = join(&[batch], &seen);
        assert_eq!((latency.len(), missing), (2, 1));
        assert!(latency.max().abs_diff(5000) < 8, "{}", latency.max());
    }
}
