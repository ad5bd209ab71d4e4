//! The log alone: appends, reads, cuts, cleanings and removals on a disk that has accidents.

mod life;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use factum_event::{Offset, Partition, TopicId};
use factum_log::{Log, LogSettings, Mutant, OpenError, PartitionId, ReadError, Workers};
use uuid::Uuid;

use crate::Violation;
use crate::machine::Machine;
use life::Life;
use model::{Fate, Model};

const TOPICS: u128 = 2;
const PARTITIONS_OF_EACH: i32 = 3;

/// How often the process is started.
const LIVES: usize = 5;

/// All partitions, and what is expected of each.
pub(crate) struct World {
    partitions: BTreeMap<PartitionId, Model>,
    removed: BTreeSet<TopicId>,
    next_topic: u128,
    mutant: Mutant,
}

/// Runs a log through several lives.
pub(crate) fn run(machine: &mut Machine, mutant: Mutant) -> Result<(), Violation> {
    let mut world =
        World { partitions: BTreeMap::new(), removed: BTreeSet::new(), next_topic: 1, mutant };
    (0..TOPICS).for_each(|_| world.create_topic());
    for _ in 0..LIVES {
        let (log, workers) = world.open(machine)?;
        Life::new(machine, &mut world, log, workers).run()?;
    }
    world.open(machine).map(drop)
}

impl World {
    fn create_topic(&mut self) {
        let topic = TopicId(Uuid::from_u128(self.next_topic));
        self.next_topic += 1;
        for partition in (0..PARTITIONS_OF_EACH).filter_map(Partition::new) {
            self.partitions.insert(PartitionId { topic, partition }, Model::default());
        }
    }

    /// Opens the log after whatever has happened to it, and checks everything in it.
    fn open(&mut self, machine: &mut Machine) -> Result<(Log, Workers), Violation> {
        if machine.random.one_in(4) {
            machine.delete_folds();
        }
        if machine.random.one_in(3) {
            // Accidents while it opens: it must open afterwards all the same.
            machine.trouble();
            drop(self.try_open(machine));
            machine.end();
        }
        machine.calm();
        if machine.random.one_in(2) {
            machine.mend();
        }
        if machine.random.one_in(4) {
            machine.verify_files()?;
        }
        let opened = match self.try_open(machine) {
            Err(OpenError::Damaged { .. }) if machine.is_damaged => {
                machine.mend();
                self.try_open(machine)
            }
            other => other,
        };
        let (log, workers) = opened.map_err(|error| format!("it does not open: {error}"))?;
        machine.was_troubled = false;
        self.settle(machine, &log)?;
        Ok((log, workers))
    }

    fn try_open(&self, machine: &mut Machine) -> Result<(Log, Workers), OpenError> {
        let settings: LogSettings = machine.log_settings();
        let opened = Log::open_mutant(machine.disk(), machine.clock(), settings, self.mutant);
        machine.totals.openings += 1;
        let found = opened.as_ref().map(|(_, _, recovery)| recovery).map_err(ToString::to_string);
        machine.history.note(format!("opening: {found:?}"));
        opened.map(|(log, workers, _)| (log, workers))
    }

    /// After opening: compares everything with what may and must be there.
    fn settle(&mut self, machine: &mut Machine, log: &Log) -> Result<(), Violation> {
        for &topic in &self.removed {
            log.remove_topic(topic);
        }
        for (&id, model) in &mut self.partitions {
            let checked =
                model.reopened(log.extent(id)).and_then(|()| audit(machine, log, id, model));
            checked.map_err(|violation| about(id, &violation))?;
        }
        match log.partitions().into_iter().find(|id| !self.partitions.contains_key(id)) {
            Some(unknown) => Err(about(unknown, "it is there, though it was removed")),
            None => Ok(()),
        }
    }
}

/// Reads a partition from its start to its end.
fn audit(
    machine: &mut Machine,
    log: &Log,
    id: PartitionId,
    model: &mut Model,
) -> Result<(), Violation> {
    let gone = model.gone();
    let mut found = BTreeSet::new();
    let mut unread = Vec::new();
    let mut next = model.start;
    while next < model.end {
        let max_bytes = machine.below(20_000);
        let read = match log.read_blocking(id, next, max_bytes) {
            Ok(read) => read,
            Err(ReadError::Damaged { last, .. }) if machine.is_damaged => {
                unread.push((next, last));
                next = last.next();
                continue;
            }
            Err(error) => return Err(format!("{next} cannot be read: {error}")),
        };
        machine.totals.compared += read.len() as u64;
        model.check_read(next, model.end, &read, &gone)?;
        let Some(last) = read.last() else { break };
        next = last.entry.next_offset();
        found.extend(read.iter().map(|stored| stored.entry.base_offset));
    }
    for (base, attempt) in &mut model.attempts {
        let is_unread = unread.iter().any(|(first, last)| {
            (*first..=*last).contains(base) || attempt.next_offset(*base) > *first && base <= last
        });
        if attempt.fate == Fate::Open && !is_unread {
            attempt.fate = if found.contains(base) { Fate::Kept } else { Fate::Gone };
        }
    }
    Ok(())
}

pub(crate) fn about(id: PartitionId, violation: &str) -> Violation {
    let PartitionId { topic, partition } = id;
    format!("topic {topic}, partition {partition}: {violation}")
}

/// A random offset of a partition, or the one after its end.
pub(crate) fn offset_within(machine: &mut Machine, from: Offset, to: Offset) -> Offset {
    let count = to.get() - from.get() + 1;
    let delta = machine.random.below(count.max(1).unsigned_abs());
    from.plus(u32::try_from(delta).unwrap_or(0))
}
