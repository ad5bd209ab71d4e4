//! What clients ask for: records, places, offsets of groups.

use std::sync::Arc;

use factum_broker::{Commit, Topic};
use factum_event::batch::{Batch, ProducerState};
use factum_event::{GroupName, Offset, Place, Timestamp};
use factum_log::PartitionId;

use super::answers::{Answer, Question};
use super::commits::{Mark, Marks};
use super::life::Life;
use super::partition::Asked;
use super::random;
use crate::Violation;
use crate::log_level::offset_within;

/// The most producers with ids.
const MAX_PRODUCERS: usize = 5;

/// A batch on its way.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) id: PartitionId,
    pub(crate) topic: Arc<Topic>,
    pub(crate) batch: Batch,
}

impl Life<'_> {
    /// A partition of a topic that exists, as far as clients know.
    fn target(&mut self) -> Option<(PartitionId, Arc<Topic>)> {
        let id = self.partition()?;
        let (name, _) = self.world.topics.by_id(id.topic)?;
        let topic = self.broker.topic(name.as_str())?;
        (topic.id == id.topic).then_some((id, topic))
    }

    pub(super) fn produce(&mut self) {
        let Some((id, topic)) = self.target() else { return };
        let Some(batch) = self.batch(id, &topic) else { return };
        let (broker, sending) = (self.broker.clone(), Sending { id, topic, batch });
        self.tasks.start(async move {
            let Sending { id, topic, batch } = sending.clone();
            let queued = broker.enqueue(&topic, id.partition, batch).await;
            Answer::Queued { sending, queued }
        });
    }

    fn batch(&mut self, id: PartitionId, topic: &Topic) -> Option<Batch> {
        // Who sends records without keys to a compacted topic is to be refused.
        let compact = topic.settings.cleanup.compact;
        let is_keyed =
            if compact { !self.machine.random.one_in(20) } else { self.machine.random.one_in(2) };
        let producers: Vec<i64> = self.world.producers.iter().copied().collect();
        if producers.is_empty() || self.machine.random.one_in(3) {
            return Some(random::batch(self.machine, None, is_keyed));
        }
        let producer = self.machine.one_of(&producers);
        let partition = self.world.partitions.get(&id)?;
        let (epoch, next) = partition.sequences.next(producer);
        let state =
            |epoch, base_sequence| Some(ProducerState { id: producer, epoch, base_sequence });
        let state = match self.machine.random.below(40) {
            0..10 => return self.repeated(id, producer),
            10 => state(epoch, next + 1),
            11 => state(epoch + 1, 0),
            12 => state(epoch + 1, 3),
            13 if epoch > 0 => state(epoch - 1, next),
            _ => state(epoch, next),
        };
        Some(random::batch(self.machine, state, is_keyed))
    }

    /// A batch again that was sent before: of the last ones, most often.
    fn repeated(&mut self, id: PartitionId, producer: i64) -> Option<Batch> {
        let back = self.machine.below(7);
        let partition = self.world.partitions.get(&id)?;
        let base = partition.sequences.last(producer).nth(back)?.base;
        // A producer does not know where it stands.
        partition.sent.get(&base).map(|sent| sent.batch.at(Offset::ZERO))
    }

    fn question(&mut self) -> Option<Question> {
        let id = self.partition().filter(|id| !self.world.is_leaving(id.topic))?;
        let (extent, at) = (self.broker.log().extent(id), self.machine.totals.operations);
        Some(Question { id, asked: Asked { extent, at } })
    }

    pub(super) fn read(&mut self) {
        let Some(question) = self.question() else { return };
        let mut from = offset_within(self.machine, Offset::ZERO, question.asked.extent.end.next());
        if self.machine.random.one_in(2) {
            // On, as who reads everything does.
            from = self.sent_until.get(&question.id).copied().unwrap_or(from);
        }
        let (log, max_bytes) = (self.broker.log().clone(), self.machine.below(60_000));
        if self.machine.random.one_in(2) {
            return self.tasks.start(async move {
                let read = log.read_regions(question.id, from, max_bytes).await;
                Answer::Sent { question, from, read }
            });
        }
        self.tasks.start(async move {
            let read = log.read(question.id, from, max_bytes).await;
            Answer::Read { question, from, read }
        });
    }

    pub(super) fn locate(&mut self) {
        let Some(question) = self.question() else { return };
        let early = self.machine.random.below(5000).cast_signed();
        let time = Timestamp::from_millis(self.machine.now().as_millis() - early);
        let broker = self.broker.clone();
        self.tasks.start(async move {
            let located = broker.locate(question.id, Place::Time(time)).await;
            Answer::Located { question, time, located }
        });
    }

    /// A group that nobody is waiting for an answer of.
    fn group(&mut self) -> Option<GroupName> {
        let free: Vec<_> =
            self.world.groups.0.iter().filter(|(_, group)| group.open.is_none()).collect();
        let at = self.machine.below(free.len());
        free.get(at).map(|(name, _)| (*name).clone())
    }

    pub(super) fn commit(&mut self) -> Result<(), Violation> {
        let Some(name) = self.group() else { return Ok(()) };
        let (mut marks, mut commits) = (Marks::new(), Vec::new());
        for _ in 0..=self.machine.below(3) {
            let Some((id, topic)) = self.target() else { continue };
            let offset = offset_within(self.machine, Offset::ZERO, Offset::ZERO.plus(1000));
            let metadata = format!("of operation {}", self.machine.totals.operations);
            let mark = Mark { offset, metadata: metadata.clone(), topic: id.topic };
            let (topic, partition) = (topic.name.clone(), id.partition);
            if marks.insert((topic.clone(), partition), Some(mark)).is_none() {
                commits.push(Commit { topic, partition, offset, leader_epoch: -1, metadata });
            } else if let Some(commit) =
                commits.iter_mut().find(|c| (&c.topic, c.partition) == (&topic, partition))
            {
                (commit.offset, commit.metadata) = (offset, metadata);
            }
        }
        let (broker, group) = (self.broker.clone(), name.clone());
        self.ask_group(name, marks, async move {
            broker
                .commit_offsets(&group, commits)
                .await
                .and_then(|results| results.into_iter().collect::<Result<(), _>>())
        })
    }

    pub(super) fn delete_group(&mut self) -> Result<(), Violation> {
        let Some(name) = self.group() else { return Ok(()) };
        let Some(group) = self.world.groups.0.get(&name) else { return Ok(()) };
        let marks: Marks = group.marks.keys().map(|place| (place.clone(), None)).collect();
        let (broker, group) = (self.broker.clone(), name.clone());
        if marks.is_empty() {
            return Ok(());
        }
        self.ask_group(name, marks, async move { broker.delete_group(&group).await })
    }

    fn ask_group(
        &mut self,
        name: GroupName,
        marks: Marks,
        ask: impl Future<Output = Result<(), factum_broker::CommitError>> + 'static,
    ) -> Result<(), Violation> {
        if let Some(group) = self.world.groups.0.get_mut(&name) {
            group.open = Some(marks.clone());
        }
        // Which topics there are is looked at now.
        let answer = self
            .tasks
            .start_now(async move { Answer::Committed { name, marks, result: ask.await } });
        answer.map_or(Ok(()), |answer| self.answered(answer))
    }

    pub(super) fn new_producer(&mut self) {
        if self.world.producers.len() >= MAX_PRODUCERS {
            return;
        }
        let broker = self.broker.clone();
        self.tasks.start(async move { Answer::Producer(broker.new_producer_id().await) });
    }
}
