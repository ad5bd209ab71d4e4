//! Whether the target has every committed record of the source, at its offset, and no other.
//!
//! Partitions are read from both clusters and compared record by record, from the first offset
//! that both keep to what was committed at the source when the comparison began. Nothing is
//! trusted that the mirror knows.

mod compare;
mod report;
mod stream;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::thread;
use std::time::{Duration, Instant};

use factum_wire::ErrorCode;
use indicatif::ProgressBar;

use super::cluster::{Asked, Cluster, Offsets, Place, View};
use super::run::Plan;
use crate::cli::{CliError, Terminal};
use crate::kafka_client::{ClientError, Connection, EARLIEST, LATEST};
use compare::{Compared, compare};
use report::Report;
use stream::{Stream, StreamError, connect};

const TEMPLATE: &str =
    "{spinner} comparing {bar:30} {percent:>3}%  {human_pos} offsets  {per_sec}  {eta} left";
/// How long a mirror that runs may take to copy what was there at the beginning.
const CATCH_UP: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// How often a partition is begun anew whose start moves while it is read.
const ATTEMPTS: u32 = 5;
const POLICY: &str = "cleanup.policy";
const COMPACT: &str = "compact";

/// A partition to compare.
#[derive(Debug, Clone)]
struct Pair {
    source: Place,
    leader: String,
    target: Place,
    compacted: bool,
}

/// Compares, and prints what is different.
pub fn run(
    plan: &Plan,
    (source, target): (Cluster, Cluster),
    terminal: &Terminal,
) -> Result<(), CliError> {
    let mut verification = Verification { source, target, theirs: BTreeMap::new(), ours: None };
    let bar = terminal.progress(Some(0), TEMPLATE);
    let report = verification.run(plan, &bar);
    bar.finish_and_clear();
    report.map_err(|error| CliError::cannot("verify", error))?.show(terminal)
}

struct Verification {
    source: Cluster,
    target: Cluster,
    /// The connections over which the source's records are read, by their leaders.
    theirs: BTreeMap<String, Connection>,
    /// The one over which the target's are.
    ours: Option<Connection>,
}

impl Verification {
    fn run(&mut self, plan: &Plan, bar: &ProgressBar) -> Result<Report, StreamError> {
        let source = self.source.view()?;
        let target = self.target.view()?;
        let mut report = Report::default();
        let pairs = self.pairs(plan, &source, &target, &mut report)?;
        let stable = self.of_source(&pairs, Asked { timestamp: LATEST, committed: true })?;
        let ends = self.caught_up_ends(&pairs, &stable)?;
        let known = |of: &Offsets, place: &Place| of.get(place).copied().and_then(Result::ok);
        let total: i64 = pairs.iter().filter_map(|pair| known(&stable, &pair.source)).sum();
        bar.set_length(total.unsigned_abs());
        for pair in &pairs {
            let name = format!("{}-{}", pair.source.topic, pair.source.partition);
            let (Some(stable), Some(end)) =
                (known(&stable, &pair.source), known(&ends, &pair.target))
            else {
                report.missing.push(name);
                continue;
            };
            let to = stable.min(end);
            let behind = u64::try_from(stable - to).unwrap_or(0);
            let (from, compared) = self.compare(pair, to, bar)?;
            let place = (pair.source.topic.as_str(), pair.source.partition);
            report.add(place, (from, to, behind), compared);
        }
        Ok(report)
    }

    /// The partitions of both; what the target does not have goes into the report.
    fn pairs(
        &mut self,
        plan: &Plan,
        source: &View,
        target: &View,
        report: &mut Report,
    ) -> Result<Vec<Pair>, StreamError> {
        let wanted: Vec<_> = source
            .topics
            .iter()
            .filter(|(name, topic)| !topic.is_internal && plan.topics.has_topic(name))
            .collect();
        let names: Vec<String> = wanted.iter().map(|(name, _)| (*name).clone()).collect();
        let policies = self.source.settings(&names, Some(&[POLICY]))?;
        let mut pairs = Vec::new();
        for (name, topic) in wanted {
            let copy = format!("{}{name}", plan.prefix);
            let Some(there) = target.topics.get(&copy) else {
                report.missing.push(name.clone());
                continue;
            };
            let policy = policies.get(name).and_then(|settings| settings.get(POLICY));
            let compacted = policy.is_some_and(|policy| policy.value.contains(COMPACT));
            for (partition, leader) in &topic.leaders {
                let (Some(leader), true) = (leader, there.leaders.contains_key(partition)) else {
                    report.missing.push(format!("{name}-{partition}"));
                    continue;
                };
                let place = |topic: &String| Place { topic: topic.clone(), partition: *partition };
                pairs.push(Pair {
                    source: place(name),
                    leader: leader.clone(),
                    target: place(&copy),
                    compacted,
                });
            }
        }
        Ok(pairs)
    }

    fn of_source(&mut self, pairs: &[Pair], asked: Asked) -> Result<Offsets, StreamError> {
        let mut led: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for pair in pairs {
            led.entry(pair.leader.clone()).or_default().push(pair.source.clone());
        }
        Ok(self.source.offsets(&led, asked)?)
    }

    fn of_target(&mut self, pairs: &[Pair], asked: Asked) -> Result<Offsets, StreamError> {
        let places = pairs.iter().map(|pair| pair.target.clone()).collect();
        Ok(self.target.offsets(&[(self.target_address(), places)].into(), asked)?)
    }

    fn target_address(&self) -> String {
        self.target.bootstrap().brokers()[0].clone()
    }

    /// The target's ends, once it has what was there at the beginning, or time is over.
    fn caught_up_ends(&mut self, pairs: &[Pair], stable: &Offsets) -> Result<Offsets, StreamError> {
        let deadline = Instant::now() + CATCH_UP;
        loop {
            let ends = self.of_target(pairs, Asked { timestamp: LATEST, committed: true })?;
            let has = |pair: &Pair| match (stable.get(&pair.source), ends.get(&pair.target)) {
                (Some(Ok(stable)), Some(Ok(end))) => end >= stable,
                _ => true,
            };
            if pairs.iter().all(has) || Instant::now() >= deadline {
                return Ok(ends);
            }
            thread::park_timeout(PAUSE);
        }
    }

    /// Compares a partition from where both begin.
    fn compare(
        &mut self,
        pair: &Pair,
        to: i64,
        bar: &ProgressBar,
    ) -> Result<(i64, Compared), StreamError> {
        let mut attempt = 1;
        loop {
            let from = self.first_of_both(pair)?.min(to);
            match self.compare_from(pair, (from, to), bar) {
                Err(error) if error.is_gone() && attempt < ATTEMPTS => attempt += 1,
                compared => return compared.map(|compared| (from, compared)),
            }
        }
    }

    fn first_of_both(&mut self, pair: &Pair) -> Result<i64, StreamError> {
        let (pairs, asked) =
            (std::slice::from_ref(pair), Asked { timestamp: EARLIEST, committed: false });
        let first = |of: &Offsets, place: &Place| match of.get(place) {
            Some(Ok(offset)) => Ok(*offset),
            Some(Err(code)) => Err(*code),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        };
        let refused = |code: ErrorCode| {
            StreamError::Client(ClientError::Refused {
                what: format!("the start of {}-{}", pair.source.topic, pair.source.partition),
                code: code.code(),
                detail: None,
            })
        };
        let theirs = first(&self.of_source(pairs, asked)?, &pair.source).map_err(refused)?;
        let ours = first(&self.of_target(pairs, asked)?, &pair.target).map_err(refused)?;
        Ok(theirs.max(ours))
    }

    fn compare_from(
        &mut self,
        pair: &Pair,
        (from, to): (i64, i64),
        bar: &ProgressBar,
    ) -> Result<Compared, StreamError> {
        let address = self.target_address();
        let theirs = match self.theirs.entry(pair.leader.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(connect(&pair.leader)?),
        };
        let ours = match &mut self.ours {
            Some(open) => open,
            none => none.insert(connect(&address)?),
        };
        let mut source = Stream::new(theirs, pair.source.clone(), from, to);
        let mut target = Stream::new(ours, pair.target.clone(), from, to);
        let began = bar.position();
        let mut seen = |offset: i64| {
            if offset % 1024 == 0 {
                bar.set_position(began + offset.unsigned_abs());
            }
        };
        let compared = compare(&mut source, &mut target, pair.compacted, &mut seen)?;
        bar.set_position(began + to.unsigned_abs());
        Ok(compared)
    }
}
