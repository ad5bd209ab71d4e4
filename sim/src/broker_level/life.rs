//! One life of a process that has a broker: what clients and workers do until it ends.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use factum_broker::{Broker, BrokerWorker, BrokerWorkers};
use factum_event::Offset;
use factum_log::{PartitionId, Worker};

use super::answers::Answer;
use super::policy::Window;
use super::{World, about, number, random};
use crate::Violation;
use crate::machine::Machine;
use crate::tasks::Tasks;

/// The most operations of one life.
const OPERATIONS: u64 = 600;

/// Clients that wait at the same time.
const MAX_TASKS: usize = 40;

/// Turns of all workers after which everybody must have an answer.
const MAX_TURNS: usize = 10_000;

/// Turns without work after which nothing happens any more.
const IDLE_TURNS: usize = 4;

pub(crate) struct Life<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) world: &'a mut World,
    pub(super) broker: Broker,
    workers: BrokerWorkers,
    pub(super) tasks: Tasks<Answer>,
    /// Where the last slice of a partition ended.
    pub(super) sent_until: BTreeMap<PartitionId, Offset>,
}

impl<'a> Life<'a> {
    pub(crate) fn new(
        machine: &'a mut Machine,
        world: &'a mut World,
        broker: Broker,
        workers: BrokerWorkers,
    ) -> Self {
        Self { machine, world, broker, workers, tasks: Tasks::new(), sent_until: BTreeMap::new() }
    }

    pub(crate) fn run(mut self) -> Result<(), Violation> {
        let operations = self.machine.random.below(OPERATIONS);
        for _ in 0..operations {
            if self.machine.is_dead() {
                break;
            }
            self.machine.tick();
            self.act()?;
        }
        if !self.machine.is_dead() && self.machine.random.one_in(3) {
            return self.close();
        }
        self.machine.end();
        // Answers that were on their way when the process ended.
        self.tasks.poll_all().into_iter().try_for_each(|answer| self.answered(answer))
    }

    fn act(&mut self) -> Result<(), Violation> {
        let is_busy = self.tasks.len() >= MAX_TASKS;
        match self.machine.random.below(1000) {
            0..600 if is_busy => self.poll()?,
            0..250 => self.produce(),
            250..320 => self.read(),
            320..335 => self.locate(),
            335..375 => self.change_topic(),
            375..395 => self.delete_records(),
            395..430 => self.commit()?,
            430..435 => self.delete_group()?,
            435..445 => self.new_producer(),
            445..600 => self.poll()?,
            600..740 => self.work(Worker::Writer),
            740..780 => self.work(Worker::Reader),
            780..820 => self.work(Worker::Housekeeper),
            820..840 => self.work(Worker::Preparer),
            840..860 => self.work(Worker::Sealer),
            860..890 => self.cut()?,
            890..930 => self.keep_up()?,
            930..940 => self.checkpoint(),
            940..944 => self.machine.flip(),
            944..954 => self.machine.trouble(),
            954..964 => self.machine.calm(),
            964..970 => self.machine.idle(),
            970..980 => self.audit()?,
            _ => self.look_at_commits()?,
        }
        self.look()
    }

    fn poll(&mut self) -> Result<(), Violation> {
        match self.tasks.poll_one(&mut self.machine.random) {
            Some(answer) => self.answered(answer),
            None => Ok(()),
        }
    }

    fn work(&mut self, worker: Worker) {
        let worked = self.workers.log().step(worker);
        self.machine.history.note(format!("{worker:?} works: {worked}"));
    }

    /// Cuts are made that were decided.
    fn cut(&mut self) -> Result<(), Violation> {
        let worked = self.workers.step(BrokerWorker::Cutter, &mut |_, _| ControlFlow::Continue(()));
        self.machine.history.note(format!("cuts are made: {worked}"));
        for (id, partition) in &mut self.world.partitions {
            if self.broker.topic_by_id(id.topic).is_some() {
                let cut = partition.cut(self.broker.log().extent(*id));
                cut.map_err(|violation| about(*id, &violation))?;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) {
        self.workers.step(BrokerWorker::Checkpoint, &mut |_, _| ControlFlow::Continue(()));
        self.machine.history.note("the producers are remembered".into());
    }

    /// Retention and compaction, while clients go on.
    fn keep_up(&mut self) -> Result<(), Violation> {
        for id in self.world.partitions.keys().copied().collect::<Vec<_>>() {
            self.look_at(id)?;
        }
        let windows = self.windows();
        let before = self.broker.upkeep_metrics();
        let answers = self.step_upkeep();
        let after = self.broker.upkeep_metrics();
        self.machine.history.note(format!("upkeep: {after:?}"));
        let compactions = after.compactions - before.compactions;
        self.machine.totals.reductions += compactions;
        let has_failed = after.errors > before.errors || self.machine.is_dead();
        for (id, window) in windows {
            let Some(partition) = self.world.partitions.get_mut(&id) else { continue };
            if self.broker.topic_by_id(id.topic).is_none() {
                continue;
            }
            let was = partition.start;
            let kept = partition.retained(self.broker.log().extent(id), &window);
            kept.map_err(|violation| about(id, &violation))?;
            self.machine.totals.reductions += u64::from(partition.start > was);
            if has_failed {
                partition.open_retention.push(window);
            }
        }
        answers.into_iter().try_for_each(|answer| self.answered(answer))
    }

    /// By what retention looks at each partition now.
    fn windows(&self) -> Vec<(PartitionId, Window)> {
        let now = self.machine.now();
        let window = |id: &PartitionId| {
            let settings = self.broker.topic_by_id(id.topic)?.settings.clone();
            let was_compacted = self.world.topics.by_id(id.topic)?.1.policy.was_compacted;
            Some((*id, Window { settings, now, was_compacted }))
        };
        self.world.partitions.keys().filter_map(window).collect()
    }

    fn step_upkeep(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let Self { machine, workers, tasks, .. } = self;
        workers.step(BrokerWorker::Upkeep, &mut |workers, time| {
            machine.clock.advance(time);
            for _ in 0..machine.random.below(3) {
                let worker = machine.one_of(&Worker::ALL);
                workers.step(worker);
                if tasks.len() > 0 {
                    answers.extend(tasks.poll_one(&mut machine.random));
                }
            }
            let ends = machine.is_dead() || machine.random.one_in(100);
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        answers
    }

    /// Compares the bounds of a partition, and a topic.
    fn look(&mut self) -> Result<(), Violation> {
        let at = self.machine.below(self.world.topics.named.len());
        if let Some((name, named)) = self.world.topics.named.iter().nth(at) {
            let found = self.broker.topic(name.as_str());
            named
                .check(found.as_ref())
                .map_err(|violation| format!("topic {name}: {violation}"))?;
        }
        match self.partition() {
            Some(id) => self.look_at(id),
            None => Ok(()),
        }
    }

    pub(super) fn look_at(&mut self, id: PartitionId) -> Result<(), Violation> {
        let is_gone = self.broker.topic_by_id(id.topic).is_none();
        if is_gone && self.world.is_leaving(id.topic) {
            return Ok(());
        }
        let Some(partition) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        partition.bounds(self.broker.log().extent(id)).map_err(|violation| about(id, &violation))
    }

    /// One of the partitions.
    pub(super) fn partition(&mut self) -> Option<PartitionId> {
        let at = self.machine.below(self.world.partitions.len());
        self.world.partitions.keys().nth(at).copied()
    }

    fn audit(&mut self) -> Result<(), Violation> {
        match self.partition() {
            Some(id) if !self.world.is_leaving(id.topic) => {
                self.look_at(id)?;
                self.world.audit(self.machine, &self.broker, id)
            }
            _ => Ok(()),
        }
    }

    fn look_at_commits(&mut self) -> Result<(), Violation> {
        for name in self.world.groups.0.keys() {
            for topic in self.world.topics.named.keys() {
                for partition in (0..random::MAX_PARTITIONS).filter_map(number) {
                    self.world.check_commit(&self.broker, name, &(topic.clone(), partition))?;
                }
            }
        }
        Ok(())
    }

    /// Closes the broker after everybody has got an answer.
    fn close(mut self) -> Result<(), Violation> {
        self.machine.calm();
        let (mut turns, mut idle) = (0, 0);
        // A client may do one thing after another, each of which needs a turn.
        while idle < IDLE_TURNS && turns < MAX_TURNS {
            let mut worked = false;
            for worker in Worker::ALL {
                worked |= self.workers.log().step(worker);
            }
            self.cut()?;
            let answers = self.tasks.poll_all();
            worked |= !answers.is_empty();
            answers.into_iter().try_for_each(|answer| self.answered(answer))?;
            turns += 1;
            idle = if worked { 0 } else { idle + 1 };
        }
        if self.tasks.len() > 0 || turns == MAX_TURNS {
            let waiting = self.tasks.len();
            return Err(format!("{waiting} clients have no answer after {turns} turns"));
        }
        for id in self.world.partitions.keys().copied().collect::<Vec<_>>() {
            self.look_at(id)?;
            if !self.world.is_leaving(id.topic) {
                self.world.audit(self.machine, &self.broker, id)?;
            }
        }
        self.look_at_commits()?;
        self.broker.close();
        let Self { workers, machine, .. } = self;
        workers.finish();
        machine.history.note("the broker is closed".into());
        Ok(())
    }
}
