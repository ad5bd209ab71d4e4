//! What clients get, compared with what they may get.

use std::sync::Arc;

use factum_broker::groups::GroupError;
use factum_broker::{AdminError, CommitError, LocateError, Pending, ProduceError, Produced};
use factum_broker::{SequenceError, Topic};
use factum_event::log::Located;
use factum_event::{Offset, Timestamp, TopicName, batch::crc32c};
use factum_log::{AppendError, PartitionId, PartitionSlice, ReadError, StoredBatch};

use super::about;
use super::clients::Sending;
use super::commits::Marks;
use super::life::Life;
use super::partition::{Asked, Look};
use super::sequences::Verdict;
use super::served::Served;
use super::topics::{Change, Existing};
use crate::Violation;

/// What a client that waited has got.
pub(crate) enum Answer {
    Queued {
        sending: Sending,
        queued: Result<Pending, ProduceError>,
    },
    Produced {
        id: PartitionId,
        base: Offset,
        produced: Result<Produced, ProduceError>,
    },
    Read {
        question: Question,
        from: Offset,
        read: Result<Vec<StoredBatch>, ReadError>,
    },
    Sent {
        question: Question,
        from: Offset,
        read: Result<PartitionSlice, ReadError>,
    },
    Located {
        question: Question,
        time: Timestamp,
        located: Result<Located, LocateError>,
    },
    Changed {
        name: TopicName,
        result: Result<Option<Arc<Topic>>, AdminError>,
    },
    Cut {
        name: TopicName,
        asked: Vec<(PartitionId, (Offset, Offset))>,
        result: Result<Vec<Result<Offset, AdminError>>, AdminError>,
    },
    Committed {
        name: factum_event::GroupName,
        marks: Marks,
        result: Result<(), CommitError>,
    },
    Producer(Result<i64, AdminError>),
}

/// What somebody wants to know of a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) id: PartitionId,
    pub(crate) asked: Asked,
}

/// What an error says of whether something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    No,
    Perhaps,
}

impl Life<'_> {
    pub(super) fn answered(&mut self, answer: Answer) -> Result<(), Violation> {
        match answer {
            Answer::Queued { sending, queued } => {
                let id = sending.id;
                self.queued(sending, queued).map_err(|violation| about(id, &violation))
            }
            Answer::Produced { id, base, produced } => {
                self.produced(id, base, produced).map_err(|violation| about(id, &violation))
            }
            Answer::Read { question, from, read } => {
                let read = read.map(|read| Served::stored(&read));
                let checked = self.has_read(question, from, read);
                checked.map_err(|violation| about(question.id, &violation))
            }
            Answer::Sent { question, from, read } => {
                if let Ok(slice) = &read {
                    self.sent_until.insert(question.id, slice.next);
                }
                let read = read.map(|slice| Served::sent(&slice));
                let checked = self.has_read(question, from, read);
                checked.map_err(|violation| about(question.id, &violation))
            }
            Answer::Located { question, time, located } => self
                .has_located(question, time, located)
                .map_err(|violation| about(question.id, &violation)),
            Answer::Changed { name, result } => self.changed(&name, result),
            Answer::Cut { name, asked, result } => self.has_cut(&name, &asked, result),
            Answer::Committed { name, marks, result } => self.committed(&name, marks, result),
            Answer::Producer(result) => self.has_producer(result),
        }
    }

    fn queued(
        &mut self,
        sending: Sending,
        queued: Result<Pending, ProduceError>,
    ) -> Result<(), Violation> {
        let Sending { id, topic, batch } = sending;
        let (base, words) = match &queued {
            Ok(Pending::Appending { appending, .. }) => (appending.base_offset(), "new".to_owned()),
            Ok(Pending::Duplicate { base_offset, .. }) => (*base_offset, "known".to_owned()),
            Err(error) => (Offset::ZERO, error.to_string()),
        };
        let header = *batch.header();
        let who = (header.producer_id, header.producer_epoch, header.base_sequence);
        let records = header.record_count;
        self.machine.history.note(format!(
            "{records} records of {who:?} to {}/{}: {words} at {base}",
            topic.name, id.partition
        ));
        let verdict = match &queued {
            Ok(Pending::Appending { .. }) => Verdict::Append,
            Ok(Pending::Duplicate { .. }) => Verdict::Duplicate(base),
            Err(ProduceError::Sequence(SequenceError::StaleEpoch { .. })) => Verdict::Stale,
            Err(ProduceError::Sequence(_)) => Verdict::OutOfOrder,
            Err(error) => return self.refused(id, &topic, &batch, error),
        };
        let now = self.machine.now();
        let Some(partition) = self.world.partitions.get_mut(&id) else {
            return Err("it takes a batch, though it was removed".into());
        };
        if !partition.sequences.allows(&header, verdict) {
            return Err(format!("a batch of {who:?} is judged as {verdict:?}"));
        }
        if verdict == Verdict::Append {
            partition.appended(base, &batch, now)?;
        }
        if let Ok(pending) = queued {
            let durable =
                async move { Answer::Produced { id, base, produced: pending.durable().await } };
            self.tasks.start(durable);
        }
        Ok(())
    }

    /// Whether a batch may be refused so.
    fn refused(
        &self,
        id: PartitionId,
        topic: &Topic,
        batch: &factum_event::batch::Batch,
        error: &ProduceError,
    ) -> Result<(), Violation> {
        let may_be = match error {
            ProduceError::UnknownPartition { .. } | ProduceError::Log(AppendError::Removed) => {
                self.world.is_leaving(id.topic)
            }
            ProduceError::NoKey { .. } => {
                let records = batch.records(factum_broker::UNPACKED_LIMIT).unwrap_or_default();
                let has_none = records.iter().any(|found| found.record.key.is_none());
                topic.settings.cleanup.compact && has_none
            }
            ProduceError::Log(_) => self.may_fail(),
            _ => false,
        };
        if may_be { Ok(()) } else { Err(format!("a batch is refused: {error}")) }
    }

    /// Whether the disk may be to blame.
    fn may_fail(&self) -> bool {
        self.machine.was_troubled || self.machine.is_dead()
    }

    fn produced(
        &mut self,
        id: PartitionId,
        base: Offset,
        produced: Result<Produced, ProduceError>,
    ) -> Result<(), Violation> {
        self.machine.history.note(match &produced {
            Ok(produced) => format!("{}/{base}: {produced:?}", id.partition),
            Err(error) => format!("{}/{base}: {error}", id.partition),
        });
        let produced = match produced {
            Ok(produced) => produced,
            Err(ProduceError::Log(AppendError::Removed)) if self.world.is_leaving(id.topic) => {
                return Ok(());
            }
            Err(ProduceError::Log(_)) if self.may_fail() => return Ok(()),
            Err(error) => return Err(format!("{base} is not durable: {error}")),
        };
        self.machine.totals.acknowledged += 1;
        if produced.base_offset != base {
            return Err(format!("{base} has moved to {}", produced.base_offset));
        }
        if self.world.is_leaving(id.topic) {
            return Ok(());
        }
        let extent = self.broker.log().extent(id);
        match self.world.partitions.get_mut(&id) {
            Some(partition) => partition.acknowledged(base, extent),
            None => Ok(()),
        }
    }

    fn has_read(
        &mut self,
        question: Question,
        from: Offset,
        read: Result<Result<Vec<Served>, Violation>, ReadError>,
    ) -> Result<(), Violation> {
        let Question { id, asked } = question;
        let bases = |read: &Result<Vec<Served>, Violation>| -> Vec<_> {
            let read = read.iter().flatten();
            read.map(|served| (served.base, crc32c(served.batch.bytes()))).collect()
        };
        let words = read.as_ref().map(bases).map_err(ToString::to_string);
        self.machine.history.note(format!("read {} from {from}: {words:?}", id.partition));
        if self.world.is_leaving(id.topic) {
            return Ok(());
        }
        let Some((_, named)) = self.world.topics.by_id(id.topic) else { return Ok(()) };
        let Some(partition) = self.world.partitions.get_mut(&id) else { return Ok(()) };
        let read = match read {
            Ok(read) => read,
            Err(ReadError::OutOfRange { .. })
                if from < partition.start || from > asked.extent.end =>
            {
                return Ok(());
            }
            Err(error) => return self.unreadable(&error),
        };
        let read = match read {
            Ok(read) => read,
            // The bytes of a region are the client's to check; they are read after the log has.
            Err(_) if self.machine.is_damaged || self.machine.was_troubled => return Ok(()),
            Err(violation) => return if self.machine.is_dead() { Ok(()) } else { Err(violation) },
        };
        if from < asked.extent.start {
            return Err(format!("{from} is served, before {}", asked.extent.start));
        }
        self.machine.totals.compared += read.len() as u64;
        let (now, at) = (self.machine.now(), self.machine.totals.operations);
        let look = Look { policy: &named.policy, now, at };
        partition.check_read(asked, from, &read, &look).map(drop)
    }

    fn has_located(
        &mut self,
        question: Question,
        time: Timestamp,
        located: Result<Located, LocateError>,
    ) -> Result<(), Violation> {
        let Question { id, asked } = question;
        let words = located.as_ref().map_err(ToString::to_string);
        self.machine.history.note(format!("find {time:?} in {}: {words:?}", id.partition));
        if self.world.is_leaving(id.topic) {
            return Ok(());
        }
        let Some((_, named)) = self.world.topics.by_id(id.topic) else { return Ok(()) };
        let Some(partition) = self.world.partitions.get(&id) else { return Ok(()) };
        let found = match located {
            Ok(found) => found,
            Err(LocateError::Read(error)) => return self.unreadable(&error),
            Err(error) => return Err(error.to_string()),
        };
        if let Some(timestamp) = found.timestamp {
            let record = partition.record(found.offset).map(|found| found.record.timestamp);
            if record != Some(timestamp) || timestamp < time {
                return Err(format!("{found:?} is found, where {record:?} is"));
            }
        }
        let (now, at) = (self.machine.now(), self.machine.totals.operations);
        let look = Look { policy: &named.policy, now, at };
        let until = if found.timestamp.is_some() { found.offset } else { asked.extent.end };
        match partition.first_at(time, &look).filter(|first| *first < until) {
            Some(first) => Err(format!("{first} is not found, but {found:?}")),
            None => Ok(()),
        }
    }

    /// Whether a read may fail so.
    fn unreadable(&self, error: &ReadError) -> Result<(), Violation> {
        let may_be = match error {
            ReadError::Damaged { .. } => self.machine.is_damaged,
            ReadError::Io { .. } => self.machine.was_troubled,
            _ => false,
        };
        if may_be || self.machine.is_dead() { Ok(()) } else { Err(error.to_string()) }
    }

    /// What a failed append of Factum's own says; a violation where it must not fail.
    fn doubt(&self, error: &ProduceError) -> Result<Done, Violation> {
        match error {
            _ if !self.may_fail() => Err(format!("a change is refused: {error}")),
            ProduceError::Log(AppendError::Stalled(_)) => Ok(Done::No),
            ProduceError::Log(_) => Ok(Done::Perhaps),
            other => Err(format!("a change is refused: {other}")),
        }
    }

    fn doubt_change(&self, error: &AdminError) -> Result<Done, Violation> {
        match error {
            AdminError::Produce(error) => self.doubt(error),
            AdminError::Fold(_) if self.may_fail() || self.machine.is_damaged => Ok(Done::Perhaps),
            other => Err(format!("a change is refused: {other}")),
        }
    }

    fn changed(
        &mut self,
        name: &TopicName,
        result: Result<Option<Arc<Topic>>, AdminError>,
    ) -> Result<(), Violation> {
        let words = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.machine.history.note(format!("topic {name} is changed: {words:?}"));
        let topic = match result {
            Ok(topic) => topic,
            Err(error) => {
                let done = self.doubt_change(&error)?;
                if let Some(named) = self.world.topics.named.get_mut(name)
                    && done == Done::No
                {
                    named.open = None;
                }
                return Ok(());
            }
        };
        self.machine.totals.acknowledged += 1;
        let Some(named) = self.world.topics.named.get_mut(name) else { return Ok(()) };
        let was = named.now.take().map(|topic| topic.id);
        let is_same = was.is_none() || topic.is_none() || was == topic.as_ref().map(|t| t.id);
        named.now = topic.as_deref().map(Existing::from);
        let expected = named.open.take();
        if !is_same || topic.is_none() != matches!(expected, Some(Change::Delete)) {
            return Err(format!("topic {name} has become {topic:?} by {expected:?}"));
        }
        if topic.is_none() {
            self.machine.totals.reductions += 1;
            self.world.topics.gone.extend(was);
        }
        self.world.adopt_topics()
    }

    fn has_cut(
        &mut self,
        name: &TopicName,
        asked: &[(PartitionId, (Offset, Offset))],
        result: Result<Vec<Result<Offset, AdminError>>, AdminError>,
    ) -> Result<(), Violation> {
        self.machine.history.note(format!("records of {name} are deleted: {result:?}"));
        if let Some(named) = self.world.topics.named.get_mut(name) {
            let asked: Vec<_> = asked.iter().map(|(id, cut)| (id.partition, *cut)).collect();
            named.cuts.retain(|cut| !asked.contains(cut));
        }
        let results = match result {
            Ok(results) => results,
            Err(AdminError::Compacted(_)) => return self.not_cut(name, asked),
            Err(AdminError::UnknownTopic(_)) => return Ok(()),
            Err(AdminError::Trim(_)) if self.may_fail() => return Ok(()),
            Err(error) => {
                if self.doubt_change(&error)? == Done::No {
                    asked.iter().for_each(|(id, cut)| self.forget_cut(*id, *cut));
                }
                return Ok(());
            }
        };
        for ((id, cut), result) in asked.iter().zip(results) {
            if self.world.is_leaving(id.topic) {
                continue;
            }
            let checked = self.is_cut(*id, *cut, result);
            checked.map_err(|violation| about(*id, &violation))?;
        }
        Ok(())
    }

    /// Refused because the topic is only compacted: at some time since it was asked, it was.
    fn not_cut(
        &mut self,
        name: &TopicName,
        asked: &[(PartitionId, (Offset, Offset))],
    ) -> Result<(), Violation> {
        let policy = self.world.topics.named.get(name).map(|named| &named.policy);
        if policy.is_some_and(|policy| !policy.was_compacted) {
            return Err(format!("topic {name} is taken for a compacted one"));
        }
        asked.iter().for_each(|(id, cut)| self.forget_cut(*id, *cut));
        Ok(())
    }

    fn is_cut(
        &mut self,
        id: PartitionId,
        cut: (Offset, Offset),
        result: Result<Offset, AdminError>,
    ) -> Result<(), Violation> {
        self.forget_cut(id, cut);
        let Some(partition) = self.world.partitions.get(&id) else { return Ok(()) };
        match result {
            Ok(start) if start < cut.0 || partition.start < start => Err(format!(
                "records before {cut:?} are said to be deleted, but it begins at {start}, and was \
                 last seen at {}",
                partition.start
            )),
            Ok(_) => {
                self.machine.totals.reductions += 1;
                self.machine.totals.acknowledged += 1;
                Ok(())
            }
            Err(AdminError::OffsetOutOfRange { end, .. }) if cut.0 > end => Ok(()),
            Err(error) => Err(format!("records before {cut:?} are not deleted: {error}")),
        }
    }

    fn forget_cut(&mut self, id: PartitionId, cut: (Offset, Offset)) {
        let Some(partition) = self.world.partitions.get_mut(&id) else { return };
        if let Some(at) = partition.cuts.iter().position(|asked| *asked == cut) {
            partition.cuts.swap_remove(at);
        }
    }

    fn committed(
        &mut self,
        name: &factum_event::GroupName,
        marks: Marks,
        result: Result<(), CommitError>,
    ) -> Result<(), Violation> {
        self.machine.history.note(format!("group {name} commits {marks:?}: {result:?}"));
        let done = match &result {
            Ok(()) => None,
            Err(CommitError::Produce(error)) => Some(self.doubt(error)?),
            Err(CommitError::Fold(_)) if self.may_fail() || self.machine.is_damaged => {
                Some(Done::Perhaps)
            }
            // Its last offset went with a topic that was deleted meanwhile, and so has the group.
            Err(CommitError::Group(GroupError::GroupIdNotFound)) if self.has_no_offset(name) => {
                Some(Done::No)
            }
            Err(error) => return Err(format!("group {name} is refused: {error}")),
        };
        let Some(group) = self.world.groups.0.get_mut(name) else { return Ok(()) };
        match done {
            None => {
                let broker = &self.broker;
                group.answered(marks, |id| broker.topic_by_id(id).is_some());
                self.machine.totals.acknowledged += 1;
            }
            Some(Done::No) => group.open = None,
            Some(Done::Perhaps) => {}
        }
        Ok(())
    }

    /// Whether every offset that a group has committed is of a topic that is gone.
    fn has_no_offset(&self, name: &factum_event::GroupName) -> bool {
        let group = self.world.groups.0.get(name);
        let mut marks = group.into_iter().flat_map(|group| group.marks.values());
        marks.all(|mark| self.broker.topic_by_id(mark.topic).is_none())
    }

    fn has_producer(&mut self, result: Result<i64, AdminError>) -> Result<(), Violation> {
        self.machine.history.note(format!("a producer gets an id: {result:?}"));
        match result {
            Ok(id) if !self.world.producers.insert(id) => {
                Err(format!("producer id {id} is given twice"))
            }
            Ok(_) => Ok(()),
            Err(error) => self.doubt_change(&error).map(drop),
        }
    }
}
