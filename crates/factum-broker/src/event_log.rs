//! [`EventLog`] on the embedded log: records instead of batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factum_event::batch::{HEADER_BYTES, record_bytes};
use factum_event::log::{
    Chunk, GroupInfo, GroupMember, Located, NewTopic, PartitionInfo, ReadLimit, Result,
    SettingInfo, SettingSource, Start, TopicInfo, TopicPartition,
};
use factum_event::partitioner::partition_of;
use factum_event::record::Outgoing;
use factum_event::{
    BoxFuture, EventLog, GroupName, LogError, Offset, Partition, Place, Position, Record,
    StoredRecord, TopicName,
};
use factum_log::{PartitionId, StoredBatch};

use crate::broker_config::{GivenValue, ValueSource};
use crate::errors::{locate_error, read_error};
use crate::locate::UNPACKED_LIMIT;
use crate::member::Member;
use crate::produce::batches;
use crate::topic::Topic;
use crate::topic_config::{ConfigKey, Configs, Configure, Edit, TOPIC_CONFIGS};
use crate::{Broker, Commit, group_info};

/// Who asks for a change through this interface, where nobody else is named.
const AUTHOR: &str = "event-log";

impl EventLog for Broker {
    fn create_topic(&self, topic: NewTopic) -> BoxFuture<'_, Result<TopicInfo>> {
        Box::pin(self.create_topic_for(AUTHOR, topic))
    }

    fn grow_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        total: u32,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(self.grow_topic_for(AUTHOR, topic, total))
    }

    fn delete_topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Ok(Broker::delete_topic(self, AUTHOR, topic).await?) })
    }

    fn configure_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        set: Configs,
        unset: BTreeSet<String>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(self.configure_topic_for(AUTHOR, topic, (set, unset)))
    }

    fn topic_settings<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> BoxFuture<'a, Result<Vec<SettingInfo>>> {
        Box::pin(async move {
            let topic = self.known_topic(topic)?;
            let dynamic = self.dynamic_configs();
            let info = |key: &ConfigKey| setting_info(key, dynamic.values_of_topic(&topic, key));
            Ok(TOPIC_CONFIGS.iter().map(info).collect())
        })
    }

    fn delete_records<'a>(
        &'a self,
        topic: &'a TopicName,
        before: BTreeMap<Partition, Offset>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(self.delete_records_for(AUTHOR, topic, before))
    }

    fn topics(&self) -> BoxFuture<'_, Result<Vec<TopicInfo>>> {
        Box::pin(async move { Ok(self.topics_info()) })
    }

    fn topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(async move { Ok(self.topic_info(&*self.known_topic(topic)?)) })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'a, Result<Vec<Position>>> {
        Box::pin(self.append_records(topic, records))
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<Chunk>> {
        Box::pin(self.read_records(topic, partition, from, limit))
    }

    fn arrival<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let id = self.known_partition(topic, partition)?;
            let mut waiter = self.log().waiter(&[id]);
            // The marker that ends a transaction wakes, too.
            while self.last_stable_offset(id) <= from {
                waiter.changed().await;
                self.known_partition(topic, partition)?;
                if self.log().is_closed() {
                    return Err(LogError::Closed);
                }
            }
            Ok(())
        })
    }

    fn locate<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        place: Place,
    ) -> BoxFuture<'a, Result<Located>> {
        Box::pin(async move {
            let id = self.known_partition(topic, partition)?;
            let located = Broker::locate(self, id, place).await;
            let located = located.map_err(|error| locate_error(topic, error))?;
            let end = self.last_stable_offset(id);
            let is_committed = located.offset < end || matches!(place, Place::At(_));
            Ok(if is_committed { located } else { Located { offset: end, timestamp: None } })
        })
    }

    fn join<'a>(
        &'a self,
        group: &'a GroupName,
        topics: Vec<TopicName>,
        start: Start,
    ) -> BoxFuture<'a, Result<Box<dyn GroupMember>>> {
        Box::pin(async move {
            let member = Member::join(self.clone(), group.clone(), topics, start).await?;
            Ok(Box::new(member) as Box<dyn GroupMember>)
        })
    }

    fn groups(&self) -> BoxFuture<'_, Result<Vec<GroupInfo>>> {
        Box::pin(async move { Ok(group_info::all(self)) })
    }

    fn group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<GroupInfo>> {
        Box::pin(async move {
            group_info::one(self, group).ok_or_else(|| LogError::UnknownGroup(group.clone()))
        })
    }

    fn commit<'a>(
        &'a self,
        group: &'a GroupName,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let standing = self.groups().standing(group);
            if standing.is_some_and(|standing| !standing.is_empty()) {
                return Err(LogError::GroupNotEmpty(group.clone()));
            }
            for (topic, partition) in offsets.keys() {
                self.known_partition(topic, *partition)?;
            }
            self.commit_all(group, offsets).await
        })
    }

    fn delete_group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if group_info::one(self, group).is_none() {
                return Err(LogError::UnknownGroup(group.clone()));
            }
            let standing = self.groups().standing(group);
            if standing.is_some_and(|standing| !standing.is_empty()) {
                return Err(LogError::GroupNotEmpty(group.clone()));
            }
            Ok(Broker::delete_group(self, group).await?)
        })
    }
}

impl Broker {
    pub(crate) async fn create_topic_for(
        &self,
        author: &str,
        topic: NewTopic,
    ) -> Result<TopicInfo> {
        let topic = Broker::create_topic(self, author, topic, false).await?;
        Ok(self.topic_info(&topic))
    }

    pub(crate) async fn grow_topic_for(
        &self,
        author: &str,
        topic: &TopicName,
        total: u32,
    ) -> Result<TopicInfo> {
        let topic = Broker::grow_topic(self, author, topic, total, false).await?;
        Ok(self.topic_info(&topic))
    }

    pub(crate) async fn configure_topic_for(
        &self,
        author: &str,
        topic: &TopicName,
        (set, unset): (Configs, BTreeSet<String>),
    ) -> Result<TopicInfo> {
        let unset = unset.into_iter().map(|name| (name, Edit::Unset));
        let set = set.into_iter().map(|(name, value)| (name, Edit::Set(value)));
        let configure = Configure::Edit(unset.chain(set).collect());
        let topic = Broker::configure_topic(self, author, topic, configure, false).await?;
        Ok(self.topic_info(&topic))
    }

    pub(crate) async fn delete_records_for(
        &self,
        author: &str,
        topic: &TopicName,
        before: BTreeMap<Partition, Offset>,
    ) -> Result<TopicInfo> {
        let before: Vec<_> = before.into_iter().map(|(at, to)| (at, Some(to))).collect();
        self.delete_all_records(author, topic, &before).await?;
        Ok(self.topic_info(&*self.known_topic(topic)?))
    }

    pub(crate) fn topics_info(&self) -> Vec<TopicInfo> {
        self.all_topics().iter().map(|topic| self.topic_info(topic)).collect()
    }

    fn known_topic(&self, topic: &TopicName) -> Result<Arc<Topic>> {
        Broker::topic(self, topic.as_str()).ok_or_else(|| LogError::UnknownTopic(topic.clone()))
    }

    fn known_partition(&self, topic: &TopicName, partition: Partition) -> Result<PartitionId> {
        let known = self.known_topic(topic)?;
        known.partition_id(partition).ok_or_else(|| unknown_partition(&known, partition))
    }

    fn topic_info(&self, topic: &Topic) -> TopicInfo {
        let info = |partition| {
            let id = PartitionId { topic: topic.id, partition };
            let (start, end) = (self.log().extent(id).start, self.last_stable_offset(id));
            PartitionInfo { partition, start, end }
        };
        TopicInfo {
            name: topic.name.clone(),
            id: topic.id,
            created_at: topic.created_at,
            configs: topic.configs.clone(),
            partitions: topic.partition_numbers().map(info).collect(),
        }
    }

    async fn append_records(
        &self,
        topic: &TopicName,
        records: Vec<Outgoing>,
    ) -> Result<Vec<Position>> {
        let known = self.known_topic(topic)?;
        let mut positions = vec![None; records.len()];
        let mut pending = Vec::new();
        for (partition, indexes) in self.by_partition(&known, &records)? {
            let of_partition: Vec<&Record> =
                indexes.iter().map(|&index| &records[index].record).collect();
            let mut indexes = indexes.into_iter();
            for batch in batches(of_partition, known.settings.max_message_bytes)
                .map_err(|error| LogError::InvalidRequest(error.to_string()))?
            {
                let count = batch.header().offsets() as usize;
                let in_batch: Vec<usize> = indexes.by_ref().take(count).collect();
                pending.push((partition, in_batch, self.enqueue(&known, partition, batch).await?));
            }
        }
        for (partition, indexes, pending) in pending {
            let mut offset = pending.durable().await?.base_offset;
            for index in indexes {
                positions[index] = Some(Position { topic: topic.clone(), partition, offset });
                offset = offset.next();
            }
        }
        Ok(positions.into_iter().flatten().collect())
    }

    /// Which records go to which partition; refuses what could not be appended.
    fn by_partition(
        &self,
        topic: &Topic,
        records: &[Outgoing],
    ) -> Result<BTreeMap<Partition, Vec<usize>>> {
        let keyless = self.next_partition(topic);
        let mut partitions = BTreeMap::<Partition, Vec<usize>>::new();
        for (index, Outgoing { partition, record }) in records.iter().enumerate() {
            let limit = topic.settings.max_message_bytes;
            let bytes = HEADER_BYTES + record_bytes(record);
            if bytes > limit {
                return Err(LogError::RecordTooLarge { topic: topic.name.clone(), bytes, limit });
            }
            let of_key = |key: &_| partition_of(key, topic.partition_count());
            let chosen =
                partition.or_else(|| record.key.as_deref().and_then(of_key)).unwrap_or(keyless);
            if topic.partition_id(chosen).is_none() {
                return Err(unknown_partition(topic, chosen));
            }
            partitions.entry(chosen).or_default().push(index);
        }
        Ok(partitions)
    }

    async fn read_records(
        &self,
        topic: &TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Chunk> {
        let id = self.known_partition(topic, partition)?;
        let bytes = limit.bytes as usize;
        let view = self.committed_view(id, from);
        let stored = self.log().read(id, from, bytes).await;
        let stored = stored.map_err(|error| read_error(topic, error))?;
        let mut records = Vec::new();
        let mut next = from;
        for batch in stored.into_iter().take_while(|batch| view.reaches(&batch.entry)) {
            if !view.shows(&batch.entry) {
                next = batch.entry.last_offset.next();
                continue;
            }
            let most = limit.records.max(1) as usize - records.len();
            match decode(topic, partition, &batch, from, most) {
                Ok(decoded) => records.extend(decoded),
                Err(error) if records.is_empty() => return Err(error),
                Err(_) => break,
            }
            let full = records.len() >= limit.records.max(1) as usize;
            let last = records.last().map(|last: &StoredRecord| last.position.offset);
            next = if full { last.unwrap_or(next).next() } else { batch.entry.last_offset.next() };
            if full {
                break;
            }
        }
        Ok(Chunk { records, next, end: view.end })
    }

    /// Commits offsets of partitions that were checked.
    pub(crate) async fn commit_all(
        &self,
        group: &GroupName,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> Result<()> {
        let commit = |((topic, partition), offset)| Commit {
            topic,
            partition,
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        for committed in
            self.commit_offsets(group, offsets.into_iter().map(commit).collect()).await?
        {
            committed?;
        }
        Ok(())
    }
}

/// A setting with the first of its values, which holds.
fn setting_info(key: &ConfigKey, values: Vec<GivenValue>) -> SettingInfo {
    let held = values.into_iter().next();
    let (source, value) = held
        .map_or((ValueSource::Default, key.default.to_owned()), |held| (held.source, held.value));
    SettingInfo {
        name: key.name.to_owned(),
        value,
        source: match source {
            ValueSource::Topic => SettingSource::Topic,
            ValueSource::Broker | ValueSource::Cluster => SettingSource::Broker,
            ValueSource::Default => SettingSource::Default,
        },
        doc: key.doc.to_owned(),
    }
}

fn unknown_partition(topic: &Topic, partition: Partition) -> LogError {
    let partitions = topic.partition_count() as usize;
    LogError::UnknownPartition { topic: topic.name.clone(), partition, partitions }
}

/// The records of a batch from an offset on, at most so many.
fn decode(
    topic: &TopicName,
    partition: Partition,
    stored: &StoredBatch,
    from: Offset,
    most: usize,
) -> Result<Vec<StoredRecord>> {
    let appended_at = stored.entry.appended_at;
    let batch = stored.to_batch().and_then(|batch| batch.records(UNPACKED_LIMIT));
    let records = batch.map_err(|error| LogError::Undecodable {
        topic: topic.clone(),
        partition,
        offset: stored.entry.base_offset,
        next: stored.entry.last_offset.next(),
        reason: error.to_string(),
    })?;
    let wanted = records.into_iter().filter(|found| found.offset >= from).take(most);
    let place = |found: factum_event::batch::BatchRecord| StoredRecord {
        position: Position { topic: topic.clone(), partition, offset: found.offset },
        appended_at,
        record: found.record,
    };
    Ok(wanted.map(place).collect())
}
