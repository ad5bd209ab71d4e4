//! A log in memory, for tests of the door alone: what it appends it can read, topics can be
//! grown and deleted, groups are offsets without members.

use std::collections::{BTreeMap, BTreeSet};

use factum_event::access::{
    AccessControl, Acl, AclFilter, Client, Credential, Operation, Quota, QuotaEntity, QuotaKey,
    QuotaLimit, Resource, ScramMechanism, UserInfo, UserName, Verdict,
};
use factum_event::log::{
    Chunk, GroupInfo, GroupMember, GroupOffset, GroupState, Located, NewTopic, PartitionInfo,
    ReadLimit, Result, SettingInfo, SettingSource, Start, TopicInfo, TopicPartition,
};
use factum_event::record::Outgoing;
use factum_event::{
    BoxFuture, EventLog, GroupName, LogError, Offset, Partition, Place, Position, StoredRecord,
    Timestamp, TopicId, TopicName,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

/// The log.
pub(super) struct MemoryLog {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<TopicName, Topic>,
    groups: BTreeMap<GroupName, BTreeMap<TopicPartition, Offset>>,
    created: u128,
    clock: i64,
}

struct Topic {
    id: TopicId,
    configs: BTreeMap<String, String>,
    partitions: Vec<Vec<StoredRecord>>,
}

impl MemoryLog {
    /// An empty log.
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Runs `f` on the state as a whole answer, and wakes those who wait.
    fn change<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State) -> Result<T>,
    ) -> BoxFuture<'_, Result<T>> {
        let answer = f(&mut self.state.lock());
        self.changed.send_modify(|changes| *changes += 1);
        Box::pin(std::future::ready(answer))
    }

    fn look<T: Send + 'static>(
        &self,
        f: impl FnOnce(&State) -> Result<T>,
    ) -> BoxFuture<'_, Result<T>> {
        Box::pin(std::future::ready(f(&self.state.lock())))
    }
}

impl State {
    fn topic(&self, name: &TopicName) -> Result<&Topic> {
        self.topics.get(name).ok_or_else(|| LogError::UnknownTopic(name.clone()))
    }

    fn records(&self, topic: &TopicName, partition: Partition) -> Result<&Vec<StoredRecord>> {
        let partitions = &self.topic(topic)?.partitions;
        partitions.get(partition.index()).ok_or_else(|| LogError::UnknownPartition {
            topic: topic.clone(),
            partition,
            partitions: partitions.len(),
        })
    }

    fn info(&self, name: &TopicName) -> Result<TopicInfo> {
        let topic = self.topic(name)?;
        let extent = |(at, records): (usize, &Vec<StoredRecord>)| PartitionInfo {
            partition: number(at),
            start: Offset::ZERO,
            end: offset(records.len()),
        };
        Ok(TopicInfo {
            name: name.clone(),
            id: topic.id,
            created_at: Timestamp::from_millis(0),
            configs: topic.configs.clone(),
            partitions: topic.partitions.iter().enumerate().map(extent).collect(),
        })
    }

    fn append(&mut self, name: &TopicName, records: Vec<Outgoing>) -> Result<Vec<Position>> {
        self.topic(name)?;
        let mut positions = Vec::new();
        for outgoing in records {
            self.clock += 1;
            let partition = outgoing.partition.unwrap_or(Partition::ZERO);
            let end = offset(self.records(name, partition)?.len());
            let position = Position { topic: name.clone(), partition, offset: end };
            positions.push(position.clone());
            let appended_at = Timestamp::from_millis(self.clock);
            let stored = StoredRecord { position, appended_at, record: outgoing.record };
            let topic = self.topics.get_mut(name).expect("looked up above");
            topic.partitions[partition.index()].push(stored);
        }
        Ok(positions)
    }

    fn group(&self, name: &GroupName) -> Result<GroupInfo> {
        let offsets = self.groups.get(name).ok_or_else(|| LogError::UnknownGroup(name.clone()))?;
        let offset = |((topic, partition), offset): (&TopicPartition, &Offset)| {
            let (topic, partition, offset) = (topic.clone(), *partition, *offset);
            GroupOffset { topic, partition, offset, lag: None }
        };
        Ok(GroupInfo {
            name: name.clone(),
            state: GroupState::Empty,
            members: Vec::new(),
            offsets: offsets.iter().map(offset).collect(),
        })
    }
}

fn number(at: usize) -> Partition {
    i32::try_from(at).ok().and_then(Partition::new).expect("few partitions")
}

fn offset(at: usize) -> Offset {
    i64::try_from(at).ok().and_then(Offset::new).expect("few records")
}

impl EventLog for MemoryLog {
    fn create_topic(&self, topic: NewTopic) -> BoxFuture<'_, Result<TopicInfo>> {
        self.change(|state| {
            if state.topics.contains_key(&topic.name) {
                return Err(LogError::TopicExists(topic.name));
            }
            state.created += 1;
            let id = TopicId(Uuid::from_u128(state.created));
            let count = topic.partitions.unwrap_or(1) as usize;
            let partitions = std::iter::repeat_with(Vec::new).take(count).collect();
            let new = Topic { id, configs: topic.configs, partitions };
            state.topics.insert(topic.name.clone(), new);
            state.info(&topic.name)
        })
    }

    fn grow_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        total: u32,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        self.change(|state| {
            state.topic(topic)?;
            let have = state.topics.get_mut(topic).expect("looked up above");
            if total as usize <= have.partitions.len() {
                return Err(LogError::InvalidRequest("only more partitions".into()));
            }
            have.partitions.resize_with(total as usize, Vec::new);
            state.info(topic)
        })
    }

    fn delete_topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<()>> {
        self.change(|state| {
            state.topic(topic)?;
            state.topics.remove(topic);
            Ok(())
        })
    }

    fn configure_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        set: BTreeMap<String, String>,
        unset: BTreeSet<String>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        self.change(|state| {
            state.topic(topic)?;
            let configs = &mut state.topics.get_mut(topic).expect("looked up above").configs;
            configs.retain(|name, _| !unset.contains(name));
            configs.extend(set);
            state.info(topic)
        })
    }

    fn topic_settings<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> BoxFuture<'a, Result<Vec<SettingInfo>>> {
        let info = |(name, value): (&String, &String)| SettingInfo {
            name: name.clone(),
            value: value.clone(),
            source: SettingSource::Topic,
            doc: String::new(),
        };
        self.look(|state| Ok(state.topic(topic)?.configs.iter().map(info).collect()))
    }

    fn delete_records<'a>(
        &'a self,
        _: &'a TopicName,
        _: BTreeMap<Partition, Offset>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        let refused = LogError::InvalidRequest("this log deletes nothing".into());
        Box::pin(std::future::ready(Err(refused)))
    }

    fn topics(&self) -> BoxFuture<'_, Result<Vec<TopicInfo>>> {
        self.look(|state| state.topics.keys().map(|name| state.info(name)).collect())
    }

    fn topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<TopicInfo>> {
        self.look(|state| state.info(topic))
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'a, Result<Vec<Position>>> {
        self.change(|state| state.append(topic, records))
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<Chunk>> {
        self.look(|state| {
            let records = state.records(topic, partition)?;
            let end = offset(records.len());
            if from > end {
                return Err(LogError::OffsetOutOfRange { from, start: Offset::ZERO, end });
            }
            // Few at once, so that readings meet the end of a chunk.
            let few = (limit.records as usize).min(3);
            let skip = usize::try_from(from.get()).expect("few records");
            let records: Vec<_> = records.iter().skip(skip).take(few).cloned().collect();
            let next = records.last().map_or(from, |last| last.position.offset.next());
            Ok(Chunk { records, next, end })
        })
    }

    fn arrival<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
    ) -> BoxFuture<'a, Result<()>> {
        let mut changed = self.changed.subscribe();
        Box::pin(async move {
            while offset(self.state.lock().records(topic, partition)?.len()) <= from {
                changed.changed().await.map_err(|_| LogError::Closed)?;
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
        self.look(|state| {
            let records = state.records(topic, partition)?;
            let at = match place {
                Place::Start => 0,
                Place::At(offset) => usize::try_from(offset.get()).expect("few records"),
                Place::Time(time) => records
                    .iter()
                    .position(|record| record.record.timestamp >= time)
                    .unwrap_or(records.len()),
                Place::End | Place::MaxTimestamp => records.len(),
            };
            Ok(Located { offset: offset(at), timestamp: None })
        })
    }

    fn join<'a>(
        &'a self,
        _: &'a GroupName,
        _: Vec<TopicName>,
        _: Start,
    ) -> BoxFuture<'a, Result<Box<dyn GroupMember>>> {
        let refused = LogError::InvalidRequest("this log has no members".into());
        Box::pin(std::future::ready(Err(refused)))
    }

    fn groups(&self) -> BoxFuture<'_, Result<Vec<GroupInfo>>> {
        self.look(|state| state.groups.keys().map(|name| state.group(name)).collect())
    }

    fn group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<GroupInfo>> {
        self.look(|state| state.group(group))
    }

    fn commit<'a>(
        &'a self,
        group: &'a GroupName,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<()>> {
        self.change(|state| {
            state.groups.entry(group.clone()).or_default().extend(offsets);
            Ok(())
        })
    }

    fn delete_group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<()>> {
        self.change(|state| {
            let gone = state.groups.remove(group);
            gone.map(|_| ()).ok_or_else(|| LogError::UnknownGroup(group.clone()))
        })
    }
}

/// Nobody is known, and everybody may do everything.
impl AccessControl for MemoryLog {
    fn decide(&self, _: &Client, _: Operation, _: Resource<'_>) -> Verdict {
        Verdict::Off
    }

    fn acls(&self, _: &AclFilter) -> Vec<Acl> {
        Vec::new()
    }

    fn create_acls<'a>(&'a self, _: &'a str, _: Vec<Acl>) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn delete_acls<'a>(&'a self, _: &'a str, _: AclFilter) -> BoxFuture<'a, Result<Vec<Acl>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn users(&self) -> Vec<UserInfo> {
        Vec::new()
    }

    fn credential(&self, _: &str, _: ScramMechanism) -> Option<Credential> {
        None
    }

    fn alter_user<'a>(
        &'a self,
        _: &'a str,
        _: UserName,
        _: Vec<(ScramMechanism, Credential)>,
        _: Vec<ScramMechanism>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn quotas(&self) -> Vec<Quota> {
        Vec::new()
    }

    fn alter_quota<'a>(
        &'a self,
        _: &'a str,
        _: QuotaEntity,
        _: BTreeMap<QuotaKey, QuotaLimit>,
        _: BTreeSet<QuotaKey>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
