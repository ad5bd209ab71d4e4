//! Whether the target has every committed record of the source, at its offset, and no other.
//!
//! Partitions are read from both clusters and compared record by record, from the first offset
//! that both keep to what was committed at the source when the comparison began. Nothing is
//! trusted that the mirror knows. A partition that cannot be read is told of, and the others are
//! compared.

mod compare;
mod report;
mod stream;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::thread;
use std::time::{Duration, Instant};

use factum_wire::ErrorCode;
use indicatif::ProgressBar;

use super::cluster::{Asked, Cluster, Offsets, Place, View, offset};
use super::error::MirrorError;
use super::plan::{Plan, Wanted};
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
    let mut verification =
        Verification { source, target, theirs: BTreeMap::new(), ours: None, away: BTreeMap::new() };
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
    /// Brokers that cannot be connected to, and why: nobody waits for each of them twice.
    away: BTreeMap<String, String>,
}

/// What came of a partition: the offsets from which and to which it was compared, how many the
/// target lacks behind them, and the comparison.
type Verified = ((i64, i64, u64), Compared);

impl Verification {
    fn run(&mut self, plan: &Plan, bar: &ProgressBar) -> Result<Report, MirrorError> {
        let source = self.source.view().map_err(MirrorError::Source)?;
        let target = self.target.view().map_err(MirrorError::Target)?;
        let mut report = Report::default();
        let pairs = self.pairs(plan, (&source, &target), &mut report)?;
        let stable = self.of_source(&pairs, Asked { timestamp: LATEST, committed: true });
        let stable = stable.map_err(MirrorError::Source)?;
        let ends = self.caught_up_ends(&pairs, &stable).map_err(MirrorError::Target)?;
        let total: i64 = pairs.iter().filter_map(|pair| offset(&stable, &pair.source).ok()).sum();
        bar.set_length(total.unsigned_abs());
        for pair in &pairs {
            match self.verify(pair, (&stable, &ends), bar) {
                Ok((reach, compared)) => {
                    let place = (pair.source.topic.as_str(), pair.source.partition);
                    report.add(place, reach, compared);
                }
                Err(why) => drop(report.unread.insert(pair.source.to_string(), why)),
            }
        }
        Ok(report)
    }

    /// The partitions of both; what one of them does not have goes into the report.
    fn pairs(
        &mut self,
        plan: &Plan,
        (source, target): (&View, &View),
        report: &mut Report,
    ) -> Result<Vec<Pair>, MirrorError> {
        let Wanted { pairs: wanted, unsaid } = plan.wanted(source, target)?;
        report.unread.extend(unsaid.into_iter().map(|(name, code)| (name, says("source", &code))));
        let names: Vec<String> = wanted.iter().map(|copy| copy.source.clone()).collect();
        let policies = self.source.settings(&names, Some(&[POLICY]));
        let policies = policies.map_err(MirrorError::Source)?;
        let mut pairs = Vec::new();
        for copy in wanted {
            let Some(there) = target.topics.get(&copy.target) else {
                match target.unsaid.get(&copy.target) {
                    Some(code) => drop(report.unread.insert(copy.source, says("target", code))),
                    None => report.missing.push(copy.source),
                }
                continue;
            };
            let policy = policies.get(&copy.source).and_then(|settings| settings.get(POLICY));
            let compacted = policy.is_some_and(|policy| policy.value.contains(COMPACT));
            let leaders = source.topics.get(&copy.source).into_iter().flat_map(|of| &of.leaders);
            for (partition, leader) in leaders {
                let place = |topic: &String| Place { topic: topic.clone(), partition: *partition };
                let (source, target) = (place(&copy.source), place(&copy.target));
                if !there.leaders.contains_key(partition) {
                    report.missing.push(source.to_string());
                } else if let Some(leader) = leader.clone() {
                    pairs.push(Pair { source, leader, target, compacted });
                } else {
                    let why = "it has no leader at the source".to_owned();
                    report.unread.insert(source.to_string(), why);
                }
            }
        }
        Ok(pairs)
    }

    /// Compares a partition, or says why it cannot be read.
    fn verify(
        &mut self,
        pair: &Pair,
        (stable, ends): (&Offsets, &Offsets),
        bar: &ProgressBar,
    ) -> Result<Verified, String> {
        let brokers = [pair.leader.clone(), self.target_address()];
        if let Some(why) = brokers.iter().find_map(|broker| self.away.get(broker)) {
            return Err(why.clone());
        }
        let stable = known(stable, &pair.source).map_err(|error| error.to_string())?;
        let end = known(ends, &pair.target).map_err(|error| error.to_string())?;
        let to = stable.min(end);
        let behind = u64::try_from(stable - to).unwrap_or(0);
        match self.compare(pair, to, bar) {
            Ok((from, compared)) => Ok(((from, to, behind), compared)),
            Err(error) => {
                // What else would come over these connections is not what is asked for next.
                self.theirs.remove(&pair.leader);
                self.ours = None;
                if let StreamError::Client(ClientError::Connect { address, .. }) = &error {
                    self.away.insert(address.clone(), error.to_string());
                }
                Err(error.to_string())
            }
        }
    }

    fn of_source(&mut self, pairs: &[Pair], asked: Asked) -> Result<Offsets, ClientError> {
        let mut led: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for pair in pairs {
            led.entry(pair.leader.clone()).or_default().push(pair.source.clone());
        }
        self.source.offsets(&led, asked)
    }

    fn of_target(&mut self, pairs: &[Pair], asked: Asked) -> Result<Offsets, ClientError> {
        let places = pairs.iter().map(|pair| pair.target.clone()).collect();
        self.target.offsets(&[(self.target_address(), places)].into(), asked)
    }

    fn target_address(&self) -> String {
        self.target.bootstrap().first().to_owned()
    }

    /// The target's ends, once it has what was there at the beginning, or time is over.
    fn caught_up_ends(&mut self, pairs: &[Pair], stable: &Offsets) -> Result<Offsets, ClientError> {
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
        let theirs = known(&self.of_source(pairs, asked)?, &pair.source)?;
        let ours = known(&self.of_target(pairs, asked)?, &pair.target)?;
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

/// An offset that a broker has said.
fn known(of: &Offsets, place: &Place) -> Result<i64, StreamError> {
    let refused = |code: ErrorCode| ClientError::Refused {
        what: format!("to say an offset of {place}"),
        code: code.code(),
        detail: None,
    };
    Ok(offset(of, place).map_err(refused)?)
}

/// What a cluster says of a topic instead of describing it.
fn says(cluster: &str, code: &str) -> String {
    format!("the {cluster} says {code}")
}
