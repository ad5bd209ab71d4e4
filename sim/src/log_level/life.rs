//! One life of a process that has a log: what clients and workers do until it ends.

use std::collections::BTreeSet;

use bytes::Bytes;
use factum_event::batch::{Batch, BatchBuilder, Codec, crc32c};
use factum_event::{Clock, Offset, Record, Timestamp};
use factum_log::{
    AppendError, Appended, Log, PartitionId, ReadError, Reservation, StoredBatch, Worker, Workers,
};

use super::model::Fate;
use super::{World, about, offset_within};
use crate::Violation;
use crate::machine::Machine;
use crate::tasks::Tasks;

/// The most operations of one life.
const OPERATIONS: u64 = 500;

/// Clients that wait at the same time.
const MAX_TASKS: usize = 40;

/// Turns of all workers after which everybody must have an answer.
const MAX_TURNS: usize = 10_000;

pub(crate) struct Life<'a> {
    machine: &'a mut Machine,
    world: &'a mut World,
    log: Log,
    workers: Workers,
    tasks: Tasks<Answer>,
}

/// What a client that waited has got.
enum Answer {
    Room { id: PartitionId, batch: Batch, room: Result<Reservation, AppendError> },
    Appended { id: PartitionId, base: Offset, appended: Result<Appended, AppendError> },
    Read { question: Question, from: Offset, read: Result<Vec<StoredBatch>, ReadError> },
    Found { question: Question, time: Timestamp, found: Result<Option<StoredBatch>, ReadError> },
}

/// What was so when a reader asked.
#[derive(Clone)]
struct Question {
    id: PartitionId,
    start: Offset,
    end: Offset,
    gone: BTreeSet<Offset>,
}

impl<'a> Life<'a> {
    pub(crate) fn new(
        machine: &'a mut Machine,
        world: &'a mut World,
        log: Log,
        workers: Workers,
    ) -> Self {
        Self { machine, world, log, workers, tasks: Tasks::new() }
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
        match self.machine.random.below(600) {
            0..150 => self.append(),
            150..270 => self.work(Worker::Writer),
            270..310 => self.work(Worker::Reader),
            310..350 => self.work(Worker::Housekeeper),
            350..380 => self.work(Worker::Preparer),
            380..400 => self.work(Worker::Sealer),
            400..480 => {
                if let Some(answer) = self.tasks.poll_one(&mut self.machine.random) {
                    self.answered(answer)?;
                }
            }
            480..520 => self.read(),
            520..535 => self.find(),
            535..545 => self.list()?,
            545..555 => self.trim(),
            555..565 => self.clean()?,
            565..571 => self.log.seal(),
            571..573 => self.remove_topic(),
            573..577 => self.machine.flip(),
            577..587 => self.machine.trouble(),
            587..597 => self.machine.calm(),
            _ => self.machine.idle(),
        }
        let id = self.partition();
        self.look(id)
    }

    fn work(&mut self, worker: Worker) {
        let worked = self.workers.step(worker);
        self.machine.history.note(format!("{worker:?} works: {worked}"));
    }

    /// One of the partitions.
    fn partition(&mut self) -> PartitionId {
        let at = self.machine.below(self.world.partitions.len());
        let id = self.world.partitions.keys().nth(at).copied();
        id.expect("the number is below theirs")
    }

    /// Compares the bounds of a partition.
    fn look(&mut self, id: PartitionId) -> Result<(), Violation> {
        let Some(model) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        model.bounds(self.log.extent(id)).map_err(|violation| about(id, &violation))
    }

    fn append(&mut self) {
        if self.tasks.len() >= MAX_TASKS {
            return;
        }
        let (id, batch) = (self.partition(), self.batch());
        let log = self.log.clone();
        self.tasks.start(async move {
            let room = log.reserve(batch.len()).await;
            Answer::Room { id, batch, room }
        });
    }

    fn batch(&mut self) -> Batch {
        let machine = &mut *self.machine;
        let records = machine.random.below(4) + 1;
        let longest = if machine.random.one_in(40) { 20_000 } else { 2500 };
        let bytes = machine.below(longest);
        let mut builder = BatchBuilder::new(Codec::None, None);
        for _ in 0..records {
            let each = bytes / usize::try_from(records).unwrap_or(1);
            let content = std::iter::repeat_with(|| machine.random.next().to_be_bytes());
            let value: Bytes = content.flatten().take(each).collect();
            let early = machine.random.below(2000).cast_signed();
            let timestamp = Timestamp::from_millis(machine.clock.now().as_millis() - early);
            let (key, headers) = (None, Vec::new());
            builder.push(&Record { key, value: Some(value), headers, timestamp });
        }
        builder.build().expect("a small batch")
    }

    fn question(&mut self) -> Question {
        let id = self.partition();
        let model = &self.world.partitions[&id];
        let extent = self.log.extent(id);
        Question { id, start: extent.start, end: extent.end, gone: model.gone() }
    }

    fn read(&mut self) {
        if self.tasks.len() >= MAX_TASKS {
            return;
        }
        let question = self.question();
        let from = offset_within(self.machine, Offset::ZERO, question.end.next());
        let (log, max_bytes) = (self.log.clone(), self.machine.below(12_000));
        self.tasks.start(async move {
            let read = log.read(question.id, from, max_bytes).await;
            Answer::Read { question, from, read }
        });
    }

    fn find(&mut self) {
        if self.tasks.len() >= MAX_TASKS {
            return;
        }
        let question = self.question();
        let early = self.machine.random.below(5000).cast_signed();
        let time = Timestamp::from_millis(self.machine.clock.now().as_millis() - early);
        let log = self.log.clone();
        self.tasks.start(async move {
            let found = log.find_time(question.id, Offset::ZERO, time).await;
            Answer::Found { question, time, found }
        });
    }

    /// Lists batches without reading them.
    fn list(&mut self) -> Result<(), Violation> {
        let question = self.question();
        let from = offset_within(self.machine, question.start, question.end);
        let limit = self.machine.below(50) + 1;
        let entries = match self.log.entries(question.id, from, limit) {
            Ok(entries) => entries,
            Err(error) => return self.refused(question.id, &error),
        };
        let model = &self.world.partitions[&question.id];
        let listed: Vec<_> = entries.iter().map(|entry| entry.base_offset).collect();
        let until = entries.last().filter(|_| entries.len() >= limit);
        let until = until.map_or(question.end, |last| last.next_offset());
        let kept: Vec<_> = model.kept(from, until).map(|(base, _)| base).collect();
        let is_known = |base: &&Offset| kept.contains(base) || !self.is_kept(question.id, **base);
        if kept.iter().all(|base| listed.contains(base)) && listed.iter().all(|b| is_known(&b)) {
            return Ok(());
        }
        Err(about(question.id, &format!("batches {listed:?} are listed, not {kept:?}")))
    }

    /// Whether a batch must be there.
    fn is_kept(&self, id: PartitionId, base: Offset) -> bool {
        let attempt = self.world.partitions[&id].attempts.get(&base);
        attempt.is_none_or(|attempt| attempt.fate != Fate::Open)
    }

    fn trim(&mut self) {
        let id = self.partition();
        let extent = self.log.extent(id);
        let to = offset_within(self.machine, extent.start, extent.end.next());
        let trimmed = self.log.trim(&[(id, to)]);
        self.machine.history.note(format!("trim {} to {to}: {trimmed:?}", short(id)));
        let to = to.min(extent.end);
        let Some(model) = self.world.partitions.get_mut(&id) else { return };
        if trimmed.is_ok() {
            model.start = model.start.max(to);
            self.machine.totals.reductions += 1;
        } else if to > model.start {
            model.open_starts.insert(to);
        }
    }

    /// Puts some of a partition's batches in the place of all.
    fn clean(&mut self) -> Result<(), Violation> {
        let (id, end) = (self.partition(), self.machine.one_of(&[1, 3, 1000]));
        let start = self.log.extent(id).start;
        let log = self.log.clone();
        let Ok(Some(mut cleaning)) = log.clean(id, start.plus(end * 8)) else { return Ok(()) };
        let end = cleaning.end();
        let (mut next, mut left_out) = (start, BTreeSet::new());
        while next < end {
            let read = match log.read_blocking(id, next, 5000) {
                Ok(read) => read,
                Err(error) => return self.refused(id, &error),
            };
            let Some(last) = read.last() else { break };
            next = last.entry.next_offset();
            for stored in read.into_iter().filter(|stored| stored.entry.last_offset < end) {
                self.world.partitions[&id].compare(&stored).map_err(|v| about(id, &v))?;
                if self.machine.random.one_in(3) {
                    left_out.insert(stored.entry.base_offset);
                    continue;
                }
                let batch = stored.to_batch().map_err(|error| error.to_string())?;
                if cleaning.push(batch, stored.entry.appended_at).is_err() {
                    return Ok(());
                }
            }
            if self.machine.random.one_in(4) {
                let worker = self.machine.one_of(&[Worker::Writer, Worker::Housekeeper]);
                self.work(worker);
            }
        }
        if self.machine.random.one_in(8) {
            self.trim();
        }
        let cleaned = cleaning.commit(self.machine.random.one_in(2));
        let words = cleaned.as_ref().map_err(ToString::to_string);
        self.machine
            .history
            .note(format!("clean {} to {end}, without {left_out:?}: {words:?}", short(id)));
        self.machine.totals.reductions += u64::from(cleaned.is_ok());
        let fate = if cleaned.is_ok() { Fate::Gone } else { Fate::Open };
        let Some(model) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        for (_, attempt) in model.attempts.iter_mut().filter(|(base, _)| left_out.contains(base)) {
            attempt.fate = fate;
        }
        Ok(())
    }

    fn remove_topic(&mut self) {
        let topic = self.partition().topic;
        self.log.remove_topic(topic);
        self.machine.history.note(format!("remove topic {topic}"));
        self.machine.totals.reductions += 1;
        self.world.partitions.retain(|id, _| id.topic != topic);
        self.world.removed.insert(topic);
        self.world.create_topic();
    }

    fn answered(&mut self, answer: Answer) -> Result<(), Violation> {
        match answer {
            Answer::Room { id, batch, room } => self.got_room(id, batch, room),
            Answer::Appended { id, base, appended } => self.appended(id, base, appended),
            Answer::Read { question, from, read } => self.has_read(&question, from, read),
            Answer::Found { question, time, found } => self.has_found(&question, time, found),
        }
    }

    fn got_room(
        &mut self,
        id: PartitionId,
        batch: Batch,
        room: Result<Reservation, AppendError>,
    ) -> Result<(), Violation> {
        let appending = room.and_then(|room| self.log.append(room, id, batch.clone()));
        let base = appending.as_ref().map(factum_log::Appending::base_offset).map_err(Clone::clone);
        self.machine.history.note(format!(
            "append {} bytes to {}: {}",
            batch.len(),
            short(id),
            said(&base)
        ));
        let Ok(appending) = appending else { return Ok(()) };
        let base = appending.base_offset();
        let Some(model) = self.world.partitions.get_mut(&id) else {
            return Err(about(id, "it takes a batch, though it was removed"));
        };
        model.appended(base, batch).map_err(|violation| about(id, &violation))?;
        self.tasks.start(async move { Answer::Appended { id, base, appended: appending.await } });
        Ok(())
    }

    fn appended(
        &mut self,
        id: PartitionId,
        base: Offset,
        appended: Result<Appended, AppendError>,
    ) -> Result<(), Violation> {
        self.machine.history.note(format!("appended {base} to {}: {}", short(id), said(&appended)));
        let Ok(appended) = appended else { return Ok(()) };
        self.machine.totals.acknowledged += 1;
        let Some(model) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        if appended.base_offset != base {
            return Err(about(id, &format!("{base} has moved to {}", appended.base_offset)));
        }
        model.acknowledged(base, self.log.extent(id)).map_err(|violation| about(id, &violation))
    }

    fn has_read(
        &mut self,
        question: &Question,
        from: Offset,
        read: Result<Vec<StoredBatch>, ReadError>,
    ) -> Result<(), Violation> {
        let id = question.id;
        let bases = |read: &Vec<StoredBatch>| -> Vec<_> {
            read.iter().map(|stored| (stored.entry.base_offset, crc32c(&stored.body))).collect()
        };
        let words = read.as_ref().map(bases);
        self.machine.history.note(format!("read {} from {from}: {words:?}", short(id)));
        let Some(model) = self.world.partitions.get(&id) else { return Ok(()) };
        let read = match read {
            Ok(read) => read,
            Err(ReadError::OutOfRange { .. }) if from < model.start || from > question.end => {
                return Ok(());
            }
            Err(error) => return self.refused(id, &error),
        };
        if from < question.start {
            return Err(about(id, &format!("{from} is served, before {}", question.start)));
        }
        self.machine.totals.compared += read.len() as u64;
        let checked = model.check_read(from, question.end, &read, &question.gone);
        checked.map_err(|violation| about(id, &violation))
    }

    fn has_found(
        &mut self,
        question: &Question,
        time: Timestamp,
        found: Result<Option<StoredBatch>, ReadError>,
    ) -> Result<(), Violation> {
        let id = question.id;
        let words = found.as_ref().map(|found| found.as_ref().map(|b| b.entry.base_offset));
        self.machine.history.note(format!("find {time:?} in {}: {words:?}", short(id)));
        let Some(model) = self.world.partitions.get(&id) else { return Ok(()) };
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.refused(id, &error),
        };
        let until = found.as_ref().map_or(question.end, |found| found.entry.base_offset);
        if let Some(found) = &found {
            let attempt = model.compare(found).map_err(|violation| about(id, &violation))?;
            if attempt.batch.header().max_timestamp < time {
                return Err(about(id, &format!("{until} is found, which is before {time:?}")));
            }
        }
        let mut earlier = model.kept(model.start, until);
        match earlier.find(|(_, attempt)| attempt.batch.header().max_timestamp >= time) {
            Some((base, _)) => Err(about(id, &format!("{base} is not found, but {until}"))),
            None => Ok(()),
        }
    }

    /// Whether an error may be.
    fn refused(&mut self, id: PartitionId, error: &ReadError) -> Result<(), Violation> {
        self.machine.history.note(format!("{}: {error}", short(id)));
        let may_be = match error {
            ReadError::Damaged { .. } => self.machine.is_damaged,
            ReadError::Io { .. } => self.machine.was_troubled || self.machine.is_dead(),
            ReadError::Closed => self.log.is_closed(),
            _ => false,
        };
        if may_be || self.machine.is_dead() { Ok(()) } else { Err(about(id, &error.to_string())) }
    }

    /// Closes the log after everybody has got an answer.
    fn close(mut self) -> Result<(), Violation> {
        self.machine.calm();
        let mut turns = 0;
        loop {
            let mut worked = false;
            for worker in Worker::ALL {
                worked |= self.workers.step(worker);
            }
            let answers = self.tasks.poll_all();
            worked |= !answers.is_empty();
            answers.into_iter().try_for_each(|answer| self.answered(answer))?;
            turns += 1;
            if !worked || turns > MAX_TURNS {
                break;
            }
        }
        if self.tasks.len() > 0 || turns > MAX_TURNS {
            let waiting = self.tasks.len();
            return Err(format!("{waiting} clients have no answer after {turns} turns"));
        }
        let ids: Vec<_> = self.world.partitions.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.look(id))?;
        self.log.close();
        let Self { workers, machine, .. } = self;
        workers.finish();
        machine.history.note("the log is closed".into());
        Ok(())
    }
}

/// A partition in few words: the first topics have small numbers.
fn short(id: PartitionId) -> String {
    format!("{:x}/{}", id.topic.0.as_u128(), id.partition)
}

/// An answer in few words.
fn said<T: std::fmt::Debug>(answer: &Result<T, AppendError>) -> String {
    match answer {
        Ok(good) => format!("{good:?}"),
        Err(AppendError::Failed(_)) => "failed".into(),
        Err(AppendError::Stalled(_)) => "stalled".into(),
        Err(other) => other.to_string(),
    }
}
