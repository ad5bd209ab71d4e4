//! Mirroring as a whole: looks at both clusters again and again, and keeps the lanes in between.
//!
//! There is no state but the target's: which topics are copies, and where their partitions end.
//! So it does not matter when a mirror was killed, or how often it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use factum_wire::messages::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use factum_wire::{ErrorCode, Str};

use super::cluster::{Asked, Cluster, Offsets, Place, View, offset};
use super::error::MirrorError;
use super::fetching::Start;
use super::groups::{Copies, Groups};
use super::lane::Lane;
use super::plan::{Plan, Wanted};
use super::problems::{Problems, Subject};
use super::progress::Progress;
use super::slot::{Again, Shared, Slot, Trouble};
use super::topics::{MIRROR_SOURCE, Pair, Work, compare, reconfigure};
use crate::kafka_client::{ClientError, EARLIEST, LATEST};

/// Between two looks at the clusters.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at settings, and at partitions that could not be copied.
const LOOK_CLOSER_EVERY: Duration = Duration::from_secs(30);
/// Between two looks at what happens.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait after failures: twice as long after each, from the first to the last.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A copy that is to end gives up after so long without any progress.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
/// How long all lanes together have to end: they may be waiting for a cluster that says nothing.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that all answers of the source may have in memory together.
const MEMORY: usize = 192 << 20;
/// Answers of a lane that may be in memory at once: one that comes, one that waits, one that is
/// written, with its copies.
const ANSWERS_PER_LANE: usize = 4;
/// An answer has at least so many bytes, and at most so many.
const ANSWER_BYTES: (usize, usize) = (1 << 20, 16 << 20);

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Topics that are copied.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Records that were copied.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// Groups whose offsets the target has.
    pub groups: BTreeSet<String>,
    /// Whether everything is copied that was there at the beginning, by the last look.
    pub caught_up: bool,
    /// What was not copied, and why: topics, partitions and groups, by name.
    pub problems: BTreeMap<String, String>,
}

/// A mirror that runs.
pub struct Mirror {
    plan: Plan,
    source: Cluster,
    target: Cluster,
    shared: Arc<Shared>,
    progress: Progress,
    lanes: Vec<Lane>,
    /// Who leads which partitions, as the lanes have it.
    led: BTreeMap<String, Vec<Place>>,
    slots: BTreeMap<Place, Arc<Slot>>,
    /// Up to where partitions are to be copied at least: where they were when they were first seen.
    goals: BTreeMap<Place, i64>,
    /// Where copies are to begin that have begun with a gap.
    starts: BTreeMap<Place, i64>,
    groups: Groups,
    synced: BTreeSet<String>,
    problems: Problems,
    looked_closer: Option<Instant>,
    /// The topics of the source that are copied.
    topics: BTreeSet<String>,
    /// Whether the last look at the clusters went well.
    has_looked: bool,
    /// Whether both clusters have answered once.
    has_met: bool,
}

impl Copies for BTreeMap<Place, Arc<Slot>> {
    fn of(&self, source: &Place) -> Option<(String, i64)> {
        let slot = self.get(source)?;
        Some((slot.target_topic.to_string(), slot.copied()))
    }
}

impl Mirror {
    /// Nothing is asked yet.
    pub fn new(
        plan: Plan,
        (source, target): (Cluster, Cluster),
        shared: Arc<Shared>,
        progress: Progress,
    ) -> Self {
        Self {
            plan,
            source,
            target,
            shared,
            progress,
            lanes: Vec::new(),
            led: BTreeMap::new(),
            slots: BTreeMap::new(),
            goals: BTreeMap::new(),
            starts: BTreeMap::new(),
            groups: Groups::default(),
            synced: BTreeSet::new(),
            problems: Problems::default(),
            looked_closer: None,
            topics: BTreeSet::new(),
            has_looked: false,
            has_met: false,
        }
    }

    /// Copies until it is to stop, or has what it was to copy.
    pub fn run(mut self) -> Result<Outcome, MirrorError> {
        let copied = self.copy();
        let ended = self.end_lanes();
        copied.and(ended)?;
        self.tell_troubles();
        Ok(self.outcome())
    }

    fn copy(&mut self) -> Result<(), MirrorError> {
        let (mut patience, mut moved) = (PATIENCE.0, Instant::now());
        while !self.shared.stops() {
            let before = self.shared.bytes.load(Relaxed);
            let was_copied = self.is_copied();
            let calm = match self.look() {
                // Seen anew after all was copied: an old picture may lack what went wrong since.
                Ok(()) if was_copied && self.is_copied() => return Ok(()),
                Ok(()) => self.wait(LOOK_EVERY),
                Err(error) => {
                    self.bear(error, patience)?;
                    false
                }
            };
            let has_moved = self.shared.bytes.load(Relaxed) > before;
            if calm || has_moved {
                patience = PATIENCE.0;
            } else {
                self.wait_out(patience);
                patience = (patience * 2).min(PATIENCE.1);
            }
            if has_moved || self.is_copied() {
                moved = Instant::now();
            } else if self.plan.once && moved.elapsed() > GIVE_UP_AFTER {
                self.give_up();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Says what went wrong and will be tried again, unless that is of no use: what is wrong from
    /// the beginning is a mistake, not an accident.
    fn bear(&mut self, error: MirrorError, patience: Duration) -> Result<(), MirrorError> {
        if !self.has_met || error.is_mistake() {
            return Err(error);
        }
        self.progress.note(format!("{error}; trying again in {patience:?}"));
        self.end_lanes()
    }

    /// Looks at both clusters, and has copied what is to be copied.
    fn look(&mut self) -> Result<(), MirrorError> {
        self.has_looked = false;
        self.shared.refresh.store(false, Relaxed);
        self.tell_troubles();
        self.problems.look();
        let closer = self.looked_closer.is_none_or(|at| at.elapsed() >= LOOK_CLOSER_EVERY);
        let view = self.source.view().map_err(MirrorError::Source)?;
        let mut work = self.compare(&view)?;
        let fresh: BTreeSet<String> = work.create.iter().map(|pair| pair.source.clone()).collect();
        self.target.make(&mut work).map_err(MirrorError::Target)?;
        for pair in &work.copied {
            self.problems.solve(&Subject::Topic(pair.source.clone()));
        }
        for (topic, why) in &work.refused {
            self.problem(Subject::Topic(topic.clone()), why);
        }
        let of_settings = |pair: &&Pair| closer || fresh.contains(&pair.source);
        let pairs: Vec<&Pair> = work.copied.iter().filter(of_settings).collect();
        self.configure(&pairs)?;
        self.topics.retain(|name| view.unsaid.contains_key(name));
        self.topics.extend(work.copied.iter().map(|pair| pair.source.clone()));
        self.keep_lanes(&view, &work, closer)?;
        self.trim()?;
        self.sync_groups(&view)?;
        if closer {
            self.looked_closer = Some(Instant::now());
        }
        for (place, slot) in self.slots.iter().filter(|_| self.plan.once) {
            self.goals.entry(place.clone()).or_insert_with(|| slot.stable());
        }
        self.problems.has_looked();
        self.has_looked = true;
        Ok(())
    }

    /// Which topics of the source are to be copied, and what is to be done for that.
    fn compare(&mut self, source: &View) -> Result<Work, MirrorError> {
        let target = self.target.view().map_err(MirrorError::Target)?;
        self.has_met = true;
        let Wanted { pairs: wanted, unsaid } = self.plan.wanted(source, &target)?;
        for (topic, code) in &unsaid {
            let why = format!("is not described: the source says {code}");
            self.unknown(Subject::Topic(topic.clone()), &why);
        }
        self.tell_gone(source);
        let there: Vec<String> = wanted
            .iter()
            .filter(|pair| target.topics.contains_key(&pair.target))
            .map(|pair| pair.target.clone())
            .collect();
        let settings = self.target.settings(&there, Some(&[MIRROR_SOURCE]));
        let settings = settings.map_err(MirrorError::Target)?;
        let mut sources = BTreeMap::new();
        for (topic, mut settings) in settings {
            let source = settings.remove(MIRROR_SOURCE);
            let source = source.ok_or(MirrorError::Foreign { setting: MIRROR_SOURCE })?;
            sources.insert(topic, source.value);
        }
        Ok(compare(wanted, &target, &sources))
    }

    /// Tells of the topics that the source no longer has.
    fn tell_gone(&mut self, source: &View) {
        let is_there =
            |name: &String| source.topics.contains_key(name) || source.unsaid.contains_key(name);
        let gone: Vec<String> =
            self.topics.iter().filter(|name| !is_there(name)).cloned().collect();
        for topic in gone {
            let why = "is gone from the source; its copy stays as it is";
            self.progress.note(format!("topic {topic} {why}"));
            self.topics.remove(&topic);
            self.problems.solve_all_of(&topic);
            self.problems.add(Subject::Topic(topic), why);
        }
    }

    /// Gives copies the settings of what they are copies of.
    fn configure(&mut self, pairs: &[&Pair]) -> Result<(), MirrorError> {
        let names = |of: fn(&Pair) -> &String| -> Vec<String> {
            pairs.iter().map(|pair| of(pair).clone()).collect()
        };
        let source = self.source.settings(&names(|pair| &pair.source), None);
        let source = source.map_err(MirrorError::Source)?;
        let target = self.target.settings(&names(|pair| &pair.target), None);
        let target = target.map_err(MirrorError::Target)?;
        for pair in pairs {
            let (Some(theirs), Some(ours)) = (source.get(&pair.source), target.get(&pair.target))
            else {
                continue;
            };
            let change = reconfigure(theirs, ours);
            let mut kept_out = change.unknown;
            let refused = self.target.configure(&pair.target, &change.set);
            kept_out.extend(refused.map_err(MirrorError::Target)?);
            if !kept_out.is_empty() {
                let what =
                    format!("settings that the target does not keep: {}", kept_out.join(", "));
                self.progress.note_once(&pair.source, &what);
            }
        }
        Ok(())
    }

    /// Starts the lanes anew where something has changed.
    fn keep_lanes(&mut self, view: &View, work: &Work, closer: bool) -> Result<(), MirrorError> {
        let led = self.leaders(view, work);
        let changed = led != self.led
            || self.lanes.iter().any(Lane::has_ended)
            || (self.lanes.is_empty() && !led.is_empty())
            || self.slots.values().any(|slot| slot.is_due(closer))
            || led.values().flatten().any(|place| !self.slots.contains_key(place));
        if !changed {
            return Ok(());
        }
        self.end_lanes()?;
        let starts = self.starts(&led, work)?;
        let lanes = led.len().max(1);
        let bytes = (MEMORY / ANSWERS_PER_LANE / lanes).clamp(ANSWER_BYTES.0, ANSWER_BYTES.1);
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        // Whichever of the target's addresses has answered: it is one machine.
        let target = self.target.bootstrap().first().to_owned();
        let mut by_leader: BTreeMap<&String, Vec<Start>> = BTreeMap::new();
        for (leader, places) in &led {
            let some = places.iter().filter_map(|place| starts.get(place).cloned());
            by_leader.entry(leader).or_default().extend(some);
        }
        for (leader, starts) in by_leader {
            self.lanes.push(Lane::start(leader, &target, &self.shared, starts, bytes)?);
        }
        self.led = led;
        Ok(())
    }

    /// Who leads which of the partitions that are copied.
    fn leaders(&mut self, view: &View, work: &Work) -> BTreeMap<String, Vec<Place>> {
        let mut led: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for pair in &work.copied {
            let Some(topic) = view.topics.get(&pair.source) else { continue };
            for (partition, leader) in &topic.leaders {
                let place = Place { topic: pair.source.clone(), partition: *partition };
                match leader {
                    Some(leader) => led.entry(leader.clone()).or_default().push(place),
                    None => self.unknown(Subject::Partition(place), "has no leader at the source"),
                }
            }
        }
        led
    }

    /// Where copying each partition goes on.
    fn starts(
        &mut self,
        led: &BTreeMap<String, Vec<Place>>,
        work: &Work,
    ) -> Result<BTreeMap<Place, Start>, MirrorError> {
        let names: BTreeMap<&str, &str> =
            work.copied.iter().map(|pair| (&*pair.source, &*pair.target)).collect();
        let ends = self.target_ends(led, &names).map_err(MirrorError::Target)?;
        let ask = |source: &mut Cluster, timestamp, committed| {
            let asked = Asked { timestamp, committed };
            source.offsets(led, asked).map_err(MirrorError::Source)
        };
        let first = ask(&mut self.source, EARLIEST, false)?;
        let stable = ask(&mut self.source, LATEST, true)?;
        let last = ask(&mut self.source, LATEST, false)?;
        let mut starts = BTreeMap::new();
        let mut slots = BTreeMap::new();
        for place in led.values().flatten() {
            let known = [&first, &stable, &last, &ends].map(|of| offset(of, place));
            let [first, stable, last, end] = match known {
                [Ok(first), Ok(stable), Ok(last), Ok(end)] => [first, stable, last, end],
                some => {
                    let code = some.into_iter().find_map(Result::err);
                    let code = code.map_or("no answer", |code| code.name());
                    let subject = Subject::Partition(place.clone());
                    self.unknown(subject, &format!("has no offsets now: {code}"));
                    continue;
                }
            };
            let target_topic = names.get(&*place.topic).copied().unwrap_or_default();
            let slot = Slot::new(place.clone(), Str::from(target_topic), end, stable);
            let slot = Arc::new(slot);
            slots.insert(place.clone(), Arc::clone(&slot));
            if end > last {
                let why = format!(
                    "goes on at {end} in the target, but ends at {last} at the source: the source \
                     has lost records, or was replaced; delete the copy to copy it anew"
                );
                self.problem(Subject::Partition(place.clone()), &why);
                self.shared.suspend(&slot, Again::Later, None);
                continue;
            }
            self.problems.solve(&Subject::Partition(place.clone()));
            self.note_start(place, first, end);
            let (from, is_empty) = (first.max(end), first >= stable);
            starts.insert(place.clone(), Start { slot, end, from, is_empty });
        }
        self.shared.refresh.store(false, Relaxed);
        self.slots = slots;
        Ok(starts)
    }

    /// Takes note of something of which nothing can be said now: it is looked at again soon.
    fn unknown(&mut self, subject: Subject, why: &str) {
        let name = subject.to_string();
        if self.problems.add_unknown(subject, why) {
            self.progress.note(format!("{name} {why}"));
        }
    }

    /// Takes note where a copy begins later than at 0, or lacks what the source has deleted.
    fn note_start(&mut self, place: &Place, first: i64, end: i64) {
        if end == 0 && first > 0 {
            self.starts.insert(place.clone(), first);
        } else if first > end {
            let lost = first - end;
            let what = format!(
                "the source has deleted {lost} offsets, from {end} on, before they were copied"
            );
            self.progress.note_once(&place.to_string(), &what);
        }
    }

    /// The ends of the copies, by their places in the source.
    fn target_ends(
        &mut self,
        led: &BTreeMap<String, Vec<Place>>,
        names: &BTreeMap<&str, &str>,
    ) -> Result<Offsets, ClientError> {
        let of = |place: &Place| {
            let topic = (*names.get(&*place.topic)?).to_owned();
            Some((Place { topic, partition: place.partition }, place.clone()))
        };
        let places: BTreeMap<Place, Place> = led.values().flatten().filter_map(of).collect();
        let target = self.target.bootstrap().first().to_owned();
        let asked = [(target, places.keys().cloned().collect())].into();
        let ends = Asked { timestamp: LATEST, committed: false };
        let ends = self.target.offsets(&asked, ends)?;
        Ok(ends.into_iter().filter_map(|(at, end)| Some((places.get(&at)?.clone(), end))).collect())
    }

    /// Has copies begin where their source does, once they are that long.
    fn trim(&mut self) -> Result<(), MirrorError> {
        let mut due: BTreeMap<Str, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        self.starts.retain(|place, start| {
            let Some(slot) = self.slots.get(place) else { return false };
            if slot.copied() < *start {
                return true;
            }
            due.entry(slot.target_topic.clone())
                .or_default()
                .push(DeleteRecordsPartition { partition_index: place.partition, offset: *start });
            false
        });
        if due.is_empty() {
            return Ok(());
        }
        let topics = due
            .into_iter()
            .map(|(name, partitions)| DeleteRecordsTopic { name, partitions })
            .collect();
        let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
        let answer = self.target.ask_any(&request).map_err(MirrorError::Target)?;
        // Of a topic that is only compacted nothing is deleted: it begins with a gap.
        let policy = ErrorCode::PolicyViolation.code();
        for topic in answer.topics {
            let failed = |code: i16| code != 0 && code != policy;
            if topic.partitions.iter().any(|partition| failed(partition.error_code)) {
                let what = "begins with a gap in the target, which could not be cut off";
                self.progress.note_once(&topic.name, what);
            }
        }
        Ok(())
    }

    fn sync_groups(&mut self, view: &View) -> Result<(), MirrorError> {
        let source = (&mut self.source, &view.brokers);
        let synced = self.groups.sync(source, &mut self.target, &self.plan.groups, &self.slots)?;
        for group in &synced.left {
            let what = "has members in the target: its offsets there are left to them";
            self.progress.note_once(&format!("group {group}"), what);
        }
        self.problems.solve_groups_but(&synced.troubles);
        for (group, why) in synced.troubles {
            self.problem(Subject::Group(group), &why);
        }
        self.synced.extend(synced.groups);
        Ok(())
    }

    /// Whether, by the last look, everything is copied that was to be copied, or cannot be.
    fn is_copied(&self) -> bool {
        let is_done = |(place, goal): (&Place, &i64)| {
            self.has(place, *goal) || self.problems.keep_from_copying(place)
        };
        self.plan.once
            && self.has_looked
            && self.problems.are_settled()
            && self.goals.iter().all(is_done)
    }

    fn give_up(&mut self) {
        let why = format!("is not copied: nothing was for {} s", GIVE_UP_AFTER.as_secs());
        // What is wrong with a partition says more than that it is not copied.
        let lacks = |place: &Place, goal| !self.has(place, goal) && !self.problems.have(place);
        let lacking = self.goals.iter().filter(|(place, goal)| lacks(place, **goal));
        let lacking: Vec<Place> = lacking.map(|(place, _)| place.clone()).collect();
        for place in lacking {
            self.problem(Subject::Partition(place), &why);
        }
    }

    /// Whether the target has a partition up to an offset.
    fn has(&self, place: &Place, goal: i64) -> bool {
        self.slots.get(place).is_some_and(|slot| slot.copied() >= goal)
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            topics: self.topics.len(),
            partitions: self.slots.len(),
            groups: self.synced.clone(),
            caught_up: self.has_looked && self.goals.iter().all(|(at, goal)| self.has(at, *goal)),
            problems: self.problems.named(),
            ..Outcome::default()
        }
    }

    /// Waits until it is time to look again, and shows what happens meanwhile; false if something
    /// is to be looked at sooner.
    fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.shared.stops() {
            thread::park_timeout(TICK);
            self.progress.show(&self.shared, &self.slots);
            if self.shared.refresh.load(Relaxed) || self.lanes.iter().any(Lane::has_ended) {
                return false;
            }
            if self.is_copied() {
                return true;
            }
        }
        true
    }

    /// Waits this long, whatever happens.
    fn wait_out(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.shared.stops() {
            thread::park_timeout(TICK);
        }
    }

    /// Ends all lanes. An error says that one of them has failed so that no other would do better.
    fn end_lanes(&mut self) -> Result<(), MirrorError> {
        self.led.clear();
        self.lanes.iter().for_each(Lane::stop);
        let deadline = Instant::now() + END_PATIENCE;
        let lanes = std::mem::take(&mut self.lanes).into_iter();
        let failures = lanes.flat_map(|lane| lane.end(deadline));
        let (mistakes, accidents): (Vec<_>, Vec<_>) = failures.partition(MirrorError::is_mistake);
        accidents.iter().for_each(|error| self.progress.note(error));
        mistakes.into_iter().next().map_or(Ok(()), Err)
    }

    fn tell_troubles(&mut self) {
        for Trouble { place, what } in self.shared.troubles() {
            // Of a topic that is gone, that is known.
            if self.slots.contains_key(&place) {
                self.problem(Subject::Partition(place), &what);
            }
        }
    }

    fn problem(&mut self, subject: Subject, why: &str) {
        let name = subject.to_string();
        if self.problems.add(subject, why) {
            self.progress.note(format!("{name} {why}"));
        }
    }
}
