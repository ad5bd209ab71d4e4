//! Produces records: as fast as the broker takes them, or on schedule.
//!
//! On schedule means: each record has a time at which it is due, whatever the broker does, and
//! its latency counts from there. A broker that stalls delays every record that falls due
//! meanwhile, and each of them is counted with its own delay: no coordinated omission.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use factum_event::batch::Codec;
use factum_event::{Clock, SystemClock};
use factum_wire::messages::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use factum_wire::{Records, Str};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;

use super::CLIENT_ID;
use super::cluster::{Lane, Topic};
use super::error::BenchError;
use super::histogram::new_histogram;
use super::payload::Payload;
use super::window::Window;
use crate::kafka_client::{Connection, Receiver, Sender, code_name};

/// Bytes of one request, if it takes several batches (Kafka's `max.request.size`).
const REQUEST_BYTES: usize = 1 << 20;
/// Answers with nothing but errors in a row, after which a connection gives up.
const MAX_FAILURES: u32 = 100;
/// Acknowledged batches that a lane remembers for the end-to-end latency.
const MAX_REMEMBERED: usize = 2_000_000;

/// What is to be produced.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Stop after so many records.
    pub records: Option<u64>,
    /// Stop after so long, the warm-up included.
    pub duration: Option<Duration>,
    /// How long results are left out at the beginning.
    pub warmup: Duration,
    /// Records per second over all connections; none: as fast as they are taken.
    pub rate: Option<f64>,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Most records of a batch.
    pub batch_records: u32,
    /// How long a record on schedule may wait for others to share its batch.
    pub linger: Duration,
    /// Compression.
    pub codec: Codec,
    /// Connections.
    pub connections: usize,
    /// Requests of a connection that may wait for their answers.
    pub in_flight: usize,
    /// -1: all replicas, 1: the leader, 0: nobody.
    pub acks: i16,
    /// Whether to remember which batch got which offset.
    pub remember: bool,
}

/// What came of it.
pub struct Outcome {
    /// Records sent after the warm-up.
    pub sent: u64,
    /// Of these, records that were acknowledged.
    pub acknowledged: u64,
    /// Records of the warm-up.
    pub warmup: u64,
    /// Records, the warm-up's included, that were sent and not acknowledged.
    pub lost: u64,
    /// Microseconds from due (or sent) to acknowledged, by record.
    pub latency: Histogram<u64>,
    /// Microseconds by which this program itself sent later than planned, by request.
    pub late: Histogram<u64>,
    /// What went wrong, with counts.
    pub errors: BTreeMap<String, u64>,
    /// When the first request was due, and when the last answer came.
    pub span: Option<(Instant, Instant)>,
    /// Which batch got which offset.
    pub batches: Vec<Acknowledged>,
}

/// A batch that has its offset.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Its partition.
    pub partition: i32,
    /// The offset of its first record.
    pub base_offset: i64,
    /// How many records.
    pub records: u32,
    /// When the first of them was due.
    pub due: Instant,
    /// From one to the next.
    pub step: Duration,
}

impl Outcome {
    fn new() -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            warmup: 0,
            lost: 0,
            latency: new_histogram(),
            late: new_histogram(),
            errors: BTreeMap::new(),
            span: None,
            batches: Vec::new(),
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.warmup += other.warmup;
        self.lost += other.lost;
        self.latency += other.latency;
        self.late += other.late;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (one, other) => one.or(other),
        };
        self.batches.extend(other.batches);
        self
    }

    fn error(&mut self, error: impl ToString, records: u64) {
        *self.errors.entry(error.to_string()).or_default() += 1;
        self.lost += records;
    }

    fn extend_span(&mut self, from: Instant, to: Instant) {
        let (first, last) = self.span.unwrap_or((from, to));
        self.span = Some((first.min(from), last.max(to)));
    }
}

/// When each record of a lane is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    step_nanos: f64,
}

impl Schedule {
    /// Lane `lane` of `lanes`, which together make `rate` records per second, evenly.
    #[expect(clippy::cast_precision_loss, reason = "lanes are few")]
    fn new(start: Instant, rate: f64, lane: usize, lanes: usize) -> Self {
        let whole = 1e9 / rate;
        let start = start + Duration::from_nanos(nanos(whole * lane as f64));
        Self { start, step_nanos: whole * lanes as f64 }
    }

    #[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 records")]
    fn due(&self, record: u64) -> Instant {
        self.start + Duration::from_nanos(nanos(self.step_nanos * record as f64))
    }

    /// How many records are due by `now`.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run are fewer than 2^53")]
    fn due_by(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_nanos() as f64;
        nanos(since / self.step_nanos) + 1
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn nanos(value: f64) -> u64 {
    value as u64
}

/// A request on its way.
struct Flight {
    parts: Vec<Part>,
    records: u64,
    measured: bool,
}

/// A batch of it.
struct Part {
    partition: i32,
    records: u32,
    due: Instant,
    step: Duration,
}

/// What all lanes share.
struct Run<'a> {
    plan: &'a Plan,
    topic: &'a Str,
    taken: AtomicU64,
    start: Instant,
    bar: &'a ProgressBar,
}

/// Runs the plan against the topic's leaders.
pub fn run(topic: &Topic, plan: &Plan, bar: &ProgressBar) -> Result<Outcome, BenchError> {
    let lanes = topic.lanes(plan.connections);
    let mut open = Vec::with_capacity(lanes.len());
    for lane in &lanes {
        open.push((lane, Connection::open(&lane.address, CLIENT_ID)?));
    }
    let shared =
        Run { plan, topic: &topic.name, taken: AtomicU64::new(0), start: Instant::now(), bar };
    let count = lanes.len();
    std::thread::scope(|scope| {
        let threads: Vec<_> = open
            .into_iter()
            .enumerate()
            .map(|(index, (lane, connection))| {
                let shared = &shared;
                scope.spawn(move || shared.lane(lane, connection, index, count))
            })
            .collect();
        threads.into_iter().try_fold(Outcome::new(), |all, thread| {
            Ok(all.merge(thread.join().map_err(|_| BenchError::Thread)?))
        })
    })
}

impl Run<'_> {
    fn lane(&self, lane: &Lane, connection: Connection, index: usize, lanes: usize) -> Outcome {
        let window = Window::new(self.plan.in_flight);
        let (flights, answers) = mpsc::channel();
        let Connection { sender, receiver } = connection;
        let (mut sent, received) = std::thread::scope(|scope| {
            let reader = (self.plan.acks != 0)
                .then(|| scope.spawn(|| self.receive(receiver, answers, &window)));
            let mut writer = Writer {
                run: self,
                lane,
                sender,
                window: &window,
                payload: Payload::new(self.plan.codec, self.plan.record_bytes, index as u64 + 7),
                clock: SystemClock::new(),
                schedule: self.plan.rate.map(|rate| Schedule::new(self.start, rate, index, lanes)),
                done: 0,
                next_partition: index,
                outcome: Outcome::new(),
            };
            if let Err(error) = writer.run(flights) {
                writer.outcome.error(error, 0);
                writer.sender.close();
            }
            let outcome = writer.outcome;
            (outcome, reader.map(std::thread::ScopedJoinHandle::join))
        });
        match received {
            Some(Ok(received)) => sent.merge(received),
            Some(Err(_)) => {
                sent.error(BenchError::Thread, 0);
                sent
            }
            None => sent,
        }
    }

    /// Takes answers until no request follows.
    fn receive(
        &self,
        mut receiver: Receiver,
        flights: mpsc::Receiver<Flight>,
        window: &Window,
    ) -> Outcome {
        let mut outcome = Outcome::new();
        let mut failures = 0;
        while let Ok(flight) = flights.recv() {
            match receiver.receive::<ProduceResponse>() {
                Ok(answer) => {
                    let now = Instant::now();
                    let good = self.account(&flight, &answer, now, &mut outcome);
                    failures = if good { 0 } else { failures + 1 };
                    window.leave();
                    self.bar.inc(flight.records);
                    if failures < MAX_FAILURES {
                        continue;
                    }
                }
                Err(error) => outcome.error(error, flight.records),
            }
            // Nothing more is sent; what is on its way was not acknowledged.
            window.close();
            outcome.lost += flights.iter().map(|flight| flight.records).sum::<u64>();
        }
        outcome
    }

    /// Counts an answer; false if all of it was errors.
    fn account(
        &self,
        flight: &Flight,
        answer: &ProduceResponse,
        now: Instant,
        outcome: &mut Outcome,
    ) -> bool {
        let mut good = false;
        let all = || answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        for part in &flight.parts {
            let Some(response) = all().find(|one| one.index == part.partition) else {
                outcome.error("no answer for a partition", u64::from(part.records));
                continue;
            };
            if response.error_code != 0 {
                outcome.error(code_name(response.error_code), u64::from(part.records));
                continue;
            }
            good = true;
            if !flight.measured {
                continue;
            }
            outcome.acknowledged += u64::from(part.records);
            outcome.extend_span(part.due, now);
            record(&mut outcome.latency, part, now);
            if self.plan.remember && outcome.batches.len() < MAX_REMEMBERED {
                outcome.batches.push(Acknowledged {
                    partition: part.partition,
                    base_offset: response.base_offset,
                    records: part.records,
                    due: part.due,
                    step: part.step,
                });
            }
        }
        good
    }
}

fn record(latency: &mut Histogram<u64>, part: &Part, now: Instant) {
    if part.step.is_zero() {
        let micros = now.saturating_duration_since(part.due).as_micros();
        latency.saturating_record_n(
            u64::try_from(micros).unwrap_or(u64::MAX),
            u64::from(part.records),
        );
        return;
    }
    for index in 0..part.records {
        let due = part.due + part.step * index;
        let micros = now.saturating_duration_since(due).as_micros();
        latency.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
    }
}

/// Sends the requests of a lane.
struct Writer<'a> {
    run: &'a Run<'a>,
    lane: &'a Lane,
    sender: Sender,
    window: &'a Window,
    payload: Payload,
    clock: SystemClock,
    schedule: Option<Schedule>,
    /// Records of the lane so far.
    done: u64,
    next_partition: usize,
    outcome: Outcome,
}

impl Writer<'_> {
    fn run(&mut self, flights: mpsc::Sender<Flight>) -> Result<(), BenchError> {
        let plan = self.run.plan;
        let deadline = plan.duration.map(|duration| self.run.start + duration);
        let batch = plan.batch_records as usize * plan.record_bytes.max(1);
        let batches = (REQUEST_BYTES / batch).clamp(1, self.lane.partitions.len());
        let most = batches as u64 * u64::from(plan.batch_records);
        loop {
            if self.wait_until_due(deadline) || deadline.is_some_and(|end| Instant::now() >= end) {
                return Ok(());
            }
            if plan.acks != 0 && !self.window.enter() {
                return Ok(());
            }
            let now = Instant::now();
            let due = self.schedule.map_or(most, |schedule| {
                schedule.due_by(now).saturating_sub(self.done).clamp(1, most)
            });
            let records = self.claim(due);
            if records == 0 {
                return Ok(());
            }
            self.send(records, now, &flights)?;
        }
    }

    /// Waits until a batch is due; true if that is after the end.
    fn wait_until_due(&self, deadline: Option<Instant>) -> bool {
        let Some(schedule) = &self.schedule else { return false };
        let full = u64::from(self.run.plan.batch_records) - 1;
        let lingered = schedule.due(self.done) + self.run.plan.linger;
        let at = lingered.min(schedule.due(self.done + full));
        if deadline.is_some_and(|end| schedule.due(self.done) >= end) {
            return true;
        }
        while let Some(left) = at.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            std::thread::park_timeout(left);
        }
        false
    }

    /// Takes records from what all lanes have left.
    fn claim(&self, wanted: u64) -> u64 {
        let Some(total) = self.run.plan.records else { return wanted };
        let taken = self.run.taken.fetch_add(wanted, Ordering::Relaxed);
        total.saturating_sub(taken).min(wanted)
    }

    fn send(
        &mut self,
        records: u64,
        now: Instant,
        flights: &mpsc::Sender<Flight>,
    ) -> Result<(), BenchError> {
        let plan = self.run.plan;
        let (parts, data) = self.parts(records, now)?;
        let measured = now >= self.run.start + plan.warmup;
        if measured {
            self.outcome.sent += records;
        } else {
            self.outcome.warmup += records;
        }
        let (first, count) = (parts[0].due, parts.len());
        if self.schedule.is_some() && measured {
            let late = now.saturating_duration_since(first + plan.linger).as_micros();
            self.outcome.late.saturating_record(u64::try_from(late).unwrap_or(u64::MAX));
        }
        let request = ProduceRequest {
            transactional_id: None,
            acks: plan.acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: self.run.topic.clone(),
                partition_data: data,
                ..TopicProduceData::default()
            }],
        };
        self.done += records;
        self.next_partition = (self.next_partition + count) % self.lane.partitions.len();
        if plan.acks != 0 {
            // The reader must know of it before its answer can come.
            let flight = Flight { parts, records, measured };
            if let Err(mpsc::SendError(flight)) = flights.send(flight) {
                self.outcome.lost += flight.records;
                return Ok(());
            }
            return Ok(self.sender.send(&request)?);
        }
        self.sender.send(&request)?;
        self.run.bar.inc(records);
        if measured {
            self.outcome.extend_span(first, Instant::now());
        }
        Ok(())
    }

    /// Shares the records of a request out to batches, each for another partition.
    fn parts(
        &mut self,
        records: u64,
        now: Instant,
    ) -> Result<(Vec<Part>, Vec<PartitionProduceData>), BenchError> {
        let (mut parts, mut data) = (Vec::new(), Vec::new());
        let (mut left, mut done) = (records, self.done);
        let step = self.schedule.map_or(0.0, |schedule| schedule.step_nanos);
        let (most, wall) = (self.run.plan.batch_records, self.clock.now());
        while left > 0 {
            let records = u32::try_from(left).map_or(most, |left| left.min(most));
            let place = (self.next_partition + parts.len()) % self.lane.partitions.len();
            let partition = self.lane.partitions[place];
            let batch = self.payload.batch(records, wall)?;
            let due = self.schedule.map_or(now, |schedule| schedule.due(done));
            parts.push(Part { partition, records, due, step: Duration::from_nanos(nanos(step)) });
            data.push(PartitionProduceData {
                index: partition,
                records: Some(Records::from(batch)),
            });
            left -= u64::from(records);
            done += u64::from(records);
        }
        Ok((parts, data))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_broker::{self, Behaviour};
    use super::*;

    fn plan(records: u64, rate: Option<f64>) -> Plan {
        Plan {
            records: Some(records),
            duration: None,
            warmup: Duration::ZERO,
            rate,
            record_bytes: 20,
            batch_records: 10,
            linger: Duration::ZERO,
            codec: Codec::None,
            connections: 1,
            in_flight: 2,
            acks: -1,
            remember: true,
        }
    }

    fn against(behaviour: Behaviour, plan: &Plan) -> Outcome {
        let address = fake_broker::start(behaviour);
        let leaders = BTreeMap::from([(address, vec![0, 1])]);
        let topic = Topic { name: Str::from_static("t"), leaders };
        run(&topic, plan, &ProgressBar::hidden()).unwrap()
    }

    #[test]
    fn every_acknowledged_record_is_counted_once() {
        let outcome = against(Behaviour::Good, &plan(1005, None));
        assert_eq!((outcome.sent, outcome.acknowledged, outcome.lost), (1005, 1005, 0));
        assert_eq!(outcome.latency.len(), 1005);
        let mut offsets: Vec<(i32, i64)> = outcome
            .batches
            .iter()
            .flat_map(|b| (0..b.records).map(|i| (b.partition, b.base_offset + i64::from(i))))
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), 1005);
    }

    #[test]
    fn a_refused_record_is_not_acknowledged() {
        let outcome = against(Behaviour::Refuse, &plan(100, None));
        assert_eq!((outcome.sent, outcome.acknowledged, outcome.lost), (100, 0, 100));
        assert!(outcome.errors.contains_key("NOT_LEADER_OR_FOLLOWER"), "{:?}", outcome.errors);
    }

    #[test]
    fn a_lost_connection_leaves_what_was_under_way_unacknowledged() {
        let outcome = against(Behaviour::Hang { answers: 3 }, &plan(1000, None));
        assert!(outcome.acknowledged < outcome.sent);
        assert!(outcome.acknowledged + outcome.lost >= outcome.sent, "{:?}", outcome.errors);
        assert!(!outcome.errors.is_empty());
    }

    #[test]
    fn a_broker_that_stalls_cannot_hide_it() {
        let stall = Duration::from_millis(200);
        let outcome = against(Behaviour::Stall { first: stall }, &plan(300, Some(1000.0)));
        assert_eq!(outcome.acknowledged, 300);
        // About 200 records fell due while it stalled, and each waited from its own time on.
        let slow = outcome.latency.count_between(50_000, 10_000_000);
        assert!(slow >= 100, "only {slow} of 300 records show the stall");
        assert!(outcome.latency.max() >= 190_000);
    }

    #[test]
    fn lanes_together_keep_the_rate_evenly() {
        let start = Instant::now();
        let lanes: Vec<Schedule> =
            (0..2).map(|lane| Schedule::new(start, 1000.0, lane, 2)).collect();
        let at = |lane: usize, record| (lanes[lane].due(record) - start).as_micros();
        assert_eq!((at(0, 0), at(1, 0), at(0, 1), at(1, 1)), (0, 1000, 2000, 3000));
    }

    #[test]
    fn a_record_is_due_from_its_time_on() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1000.0, 0, 1);
        assert_eq!(schedule.due_by(start), 1);
        assert_eq!(schedule.due_by(start + Duration::from_micros(999)), 1);
        assert_eq!(schedule.due_by(start + Duration::from_micros(1001)), 2);
    }

    #[test]
    fn each_record_of_a_late_batch_counts_from_its_own_time() {
        let mut latency = new_histogram();
        let due = Instant::now();
        let part = Part { partition: 0, records: 10, due, step: Duration::from_millis(1) };
        record(&mut latency, &part, due + Duration::from_millis(20));
        assert_eq!(latency.len(), 10);
        assert!(latency.min().abs_diff(11_000) <= 16, "{}", latency.min());
        assert!(latency.max().abs_diff(20_000) <= 16, "{}", latency.max());
    }
}
