//! Reads a topic from its start to the end that it has now, as fast as it comes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use factum_wire::Str;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;

use super::CLIENT_ID;
use super::cluster::{Lane, Topic, offsets};
use super::error::BenchError;
use super::fetch::Fetcher;
use super::histogram::{micros, new_histogram};
use crate::kafka_client::{Connection, EARLIEST, LATEST};

/// Without anything new for so long, the broker has failed.
const STALLED: Duration = Duration::from_secs(30);
const MAX_WAIT_MS: i32 = 500;

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Stop after so many records.
    pub records: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// Connections.
    pub connections: usize,
    /// Bytes of a partition in one answer.
    pub partition_bytes: i32,
}

/// What came of it.
pub struct Outcome {
    /// Records read.
    pub records: u64,
    /// Bytes of their batches, as they came.
    pub bytes: u64,
    /// Microseconds of each request for records.
    pub latency: Histogram<u64>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A connection with the partitions that it reads.
struct Reader {
    fetcher: Fetcher,
    end: BTreeMap<i32, i64>,
}

/// Runs the plan.
pub fn run(topic: &Topic, plan: &Plan, bar: &ProgressBar) -> Result<Outcome, BenchError> {
    // Only as many connections as partitions: two readers of one would read it twice.
    let lanes = topic.lanes(plan.connections.min(topic.partitions()));
    let mut readers = Vec::with_capacity(lanes.len());
    let mut total = 0;
    for lane in &lanes {
        let (reader, records) = open(&topic.name, lane, plan.partition_bytes)?;
        readers.push(reader);
        total += records;
    }
    let wanted = plan.records.unwrap_or(total).min(total);
    bar.set_length(wanted);
    let (count, started) = (AtomicU64::new(0), Instant::now());
    let deadline = plan.duration.map(|duration| started + duration);
    let (latency, bytes) = std::thread::scope(|scope| {
        let threads: Vec<_> = readers
            .into_iter()
            .map(|reader| scope.spawn(|| read(reader, &count, wanted, deadline, bar)))
            .collect();
        let mut all = (new_histogram(), 0);
        for thread in threads {
            let (latency, bytes) = thread.join().map_err(|_| BenchError::Thread)??;
            all.0 += latency;
            all.1 += bytes;
        }
        Ok::<_, BenchError>(all)
    })?;
    let records = count.load(Ordering::Relaxed);
    Ok(Outcome { records, bytes, latency, elapsed: started.elapsed() })
}

fn open(topic: &Str, lane: &Lane, partition_bytes: i32) -> Result<(Reader, u64), BenchError> {
    let mut connection = Connection::open(&lane.address, CLIENT_ID)?;
    let mut next = offsets(&mut connection, topic, &lane.partitions, EARLIEST)?;
    let end = offsets(&mut connection, topic, &lane.partitions, LATEST)?;
    next.retain(|partition, offset| end.get(partition).is_some_and(|end| *offset < *end));
    let records = next.iter().map(|(partition, offset)| (end[partition] - offset).unsigned_abs());
    let records = records.sum();
    let fetcher = Fetcher::new(connection, topic.clone(), next, partition_bytes, MAX_WAIT_MS);
    Ok((Reader { fetcher, end }, records))
}

fn read(
    mut reader: Reader,
    count: &AtomicU64,
    wanted: u64,
    deadline: Option<Instant>,
    bar: &ProgressBar,
) -> Result<(Histogram<u64>, u64), BenchError> {
    let (mut latency, mut bytes) = (new_histogram(), 0);
    let mut last_progress = Instant::now();
    while !reader.fetcher.next.is_empty() && count.load(Ordering::Relaxed) < wanted {
        let asked = Instant::now();
        if deadline.is_some_and(|deadline| asked >= deadline) {
            break;
        }
        let mut records = 0;
        reader.fetcher.fetch(|came| {
            records += came.records();
            bytes += came.bytes as u64;
        })?;
        let now = Instant::now();
        latency.saturating_record(micros(now - asked));
        count.fetch_add(records, Ordering::Relaxed);
        bar.inc(records);
        if records > 0 {
            last_progress = now;
        } else if now - last_progress > STALLED {
            return Err(BenchError::Stalled { seconds: STALLED.as_secs() });
        }
        let end = &reader.end;
        reader.fetcher.next.retain(|partition, next| *next < end[partition]);
    }
    Ok((latency, bytes))
}
