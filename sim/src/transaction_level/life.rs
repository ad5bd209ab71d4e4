//! One life of a process that has a broker: what clients and workers do until it ends.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;

use factum_broker::{Broker, BrokerWorker, BrokerWorkers, CommitKey, Topic};
use factum_event::log::ReadLimit;
use factum_event::{Offset, Partition};
use factum_log::{PartitionId, Worker};

use super::answers::Answer;
use super::readers::{fetch, read};
use super::{World, about};
use crate::Violation;
use crate::log_level::offset_within;
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
    tasks: Tasks<Answer>,
}

impl<'a> Life<'a> {
    pub(crate) fn new(
        machine: &'a mut Machine,
        world: &'a mut World,
        broker: Broker,
        workers: BrokerWorkers,
    ) -> Self {
        Self { machine, world, broker, workers, tasks: Tasks::new() }
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
            self.drive()?;
            self.audit_all()?;
            return self.close();
        }
        self.machine.end();
        // Answers that were on their way when the process ended.
        self.tasks.poll_all().into_iter().try_for_each(|answer| self.answered(answer))
    }

    /// The last life: every transaction ends, and everybody sees the same.
    pub(crate) fn run_last(mut self) -> Result<(), Violation> {
        self.drive()?;
        self.audit_all()?;
        self.world.end_all(self.machine, &self.broker, &mut self.workers)?;
        self.drive()?;
        for id in self.world.partitions.keys().copied().collect::<Vec<_>>() {
            let (end, stable) =
                (self.broker.log().extent(id).end, self.broker.last_stable_offset(id));
            if stable != end {
                let violation = format!("it ends at {end}, and is stable up to {stable}");
                return Err(about(id, &violation));
            }
        }
        self.audit_all()?;
        self.close()
    }

    fn act(&mut self) -> Result<(), Violation> {
        let is_busy = self.tasks.len() >= MAX_TASKS;
        match self.machine.random.below(1000) {
            0..580 if is_busy => self.poll()?,
            0..330 => self.step_client()?,
            330..360 => self.write_plainly()?,
            360..375 => self.commit_plainly()?,
            375..383 => self.take_over()?,
            383..388 => self.delete_records()?,
            388..420 => self.read()?,
            420..620 => self.poll()?,
            620..740 => self.write_group(),
            740..780 => self.work(Worker::Reader),
            780..820 => self.work(Worker::Housekeeper),
            820..840 => self.work(Worker::Preparer),
            840..860 => self.work(Worker::Sealer),
            860..875 => self.cut(),
            875..915 => self.keep_up()?,
            915..930 => self.checkpoint(),
            930..939 => self.machine.trouble(),
            939..949 => self.machine.calm(),
            949..956 => self.machine.idle(),
            956..975 => self.audit()?,
            _ => self.check_offsets()?,
        }
        let at = self.machine.below(self.world.partitions.len());
        let id = self.world.partitions.keys().nth(at).copied();
        id.map_or(Ok(()), |id| self.look_at(id))
    }

    /// Starts something, and lets it look at once.
    pub(super) fn start(
        &mut self,
        task: impl Future<Output = Answer> + 'static,
    ) -> Result<(), Violation> {
        let answer = self.tasks.start_now(task);
        answer.map_or(Ok(()), |answer| self.answered(answer))
    }

    fn poll(&mut self) -> Result<(), Violation> {
        if self.tasks.len() == 0 {
            return Ok(());
        }
        match self.tasks.poll_one(&mut self.machine.random) {
            Some(answer) => self.answered(answer),
            None => Ok(()),
        }
    }

    /// One of the partitions, and its topic.
    pub(super) fn target(&mut self) -> Option<(PartitionId, Arc<Topic>)> {
        let at = self.machine.below(self.world.partitions.len());
        let id = self.world.partitions.keys().nth(at).copied()?;
        Some((id, self.broker.topic_by_id(id.topic)?))
    }

    fn work(&mut self, worker: Worker) {
        let worked = self.workers.log().step(worker);
        self.machine.history.note(format!("{worker:?} works: {worked}"));
    }

    /// The writer comes, at times while somebody queues more.
    fn write_group(&mut self) {
        let most = self.machine.one_of(&[1, 2, 3, 5, usize::MAX, usize::MAX]);
        self.workers.log().take_at_most(most);
        self.work(Worker::Writer);
    }

    fn cut(&mut self) {
        let worked = self.workers.step(BrokerWorker::Cutter, &mut |_, _| ControlFlow::Continue(()));
        self.machine.history.note(format!("cuts are made: {worked}"));
    }

    fn checkpoint(&mut self) {
        self.workers.step(BrokerWorker::Checkpoint, &mut |_, _| ControlFlow::Continue(()));
        self.machine.history.note("the producers are remembered".into());
    }

    /// Retention, compaction and the end of late transactions, while clients go on.
    fn keep_up(&mut self) -> Result<(), Violation> {
        self.world.grow_old(&self.broker, self.machine.now());
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
        let (metrics, ended) = (self.broker.upkeep_metrics(), self.broker.transaction_metrics());
        self.machine.history.note(format!("upkeep: {metrics:?}, {ended:?}"));
        answers.into_iter().try_for_each(|answer| self.answered(answer))
    }

    fn delete_records(&mut self) -> Result<(), Violation> {
        let Some((id, topic)) = self.target() else { return Ok(()) };
        let Some(partition) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        let to = offset_within(self.machine, partition.start, partition.end);
        partition.cut_to = partition.cut_to.max(to);
        self.machine.history.note(format!("delete {}/{} to {to}", id.topic, id.partition));
        let (broker, before): (_, [(Partition, Option<Offset>); 1]) =
            (self.broker.clone(), [(id.partition, Some(to))]);
        self.start(async move {
            Answer::Cut(broker.delete_records("simulation", &topic.name, &before).await)
        })
    }

    fn read(&mut self) -> Result<(), Violation> {
        let Some((id, topic)) = self.target() else { return Ok(()) };
        let from = offset_within(self.machine, Offset::ZERO, self.world.partitions[&id].end);
        let (broker, asked_at) = (self.broker.clone(), self.machine.now());
        if self.machine.random.one_in(2) {
            let limit = self.limit();
            return self.start(async move {
                let shown = read(&broker, &topic.name, id, from, limit).await;
                Answer::Read { id, shown }
            });
        }
        let max_bytes = self.machine.below(20_000);
        self.start(async move {
            let fetched = fetch(&broker, id, from, max_bytes).await;
            Answer::Fetched { id, asked_at, fetched }
        })
    }

    fn limit(&mut self) -> ReadLimit {
        let bytes = u32::try_from(self.machine.below(20_000)).unwrap_or(0);
        ReadLimit { bytes, records: self.machine.one_of(&[1, 3, 1000]) }
    }

    /// Compares the bounds of a partition.
    pub(super) fn look_at(&mut self, id: PartitionId) -> Result<(), Violation> {
        self.world.look_at(&self.broker, id)
    }

    fn audit(&mut self) -> Result<(), Violation> {
        match self.target() {
            Some((id, _)) => self.world.audit(self.machine, &self.broker, &mut self.workers, id),
            None => Ok(()),
        }
    }

    fn audit_all(&mut self) -> Result<(), Violation> {
        self.world.audit_all(self.machine, &self.broker, &mut self.workers)
    }

    pub(super) fn check_offset(&mut self, key: &CommitKey) -> Result<(), Violation> {
        self.world.check_offset(&self.broker, key)
    }

    /// Where no transaction is under way, every offset is stable.
    pub(super) fn check_stability(&self, key: &CommitKey) -> Result<(), Violation> {
        let is_calm = self.world.transactions.iter().all(|one| one.is_over)
            && self.world.clients.iter().all(|client| !client.is_busy);
        if is_calm && self.broker.is_unstable(&key.group, &key.topic, key.partition) {
            return Err(format!("{key:?} is unstable, though every transaction has ended"));
        }
        Ok(())
    }

    fn check_offsets(&mut self) -> Result<(), Violation> {
        for key in self.world.offsets.keys() {
            self.check_offset(&key)?;
            self.check_stability(&key)?;
        }
        Ok(())
    }

    /// Lets everybody get an answer.
    fn drive(&mut self) -> Result<(), Violation> {
        self.machine.calm();
        self.workers.log().take_at_most(usize::MAX);
        let (mut turns, mut idle) = (0, 0);
        // A client may do one thing after another, each of which needs a turn.
        while idle < IDLE_TURNS && turns < MAX_TURNS {
            let mut worked = false;
            for worker in Worker::ALL {
                worked |= self.workers.log().step(worker);
            }
            self.cut();
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
        self.check_offsets()
    }

    fn close(self) -> Result<(), Violation> {
        self.broker.close();
        let Self { workers, machine, .. } = self;
        workers.finish();
        machine.history.note("the broker is closed".into());
        Ok(())
    }
}
