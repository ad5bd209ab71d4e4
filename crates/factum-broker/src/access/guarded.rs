//! The log as a client sees it: an [`EventLog`] that does what rules allow.

use std::collections::{BTreeMap, BTreeSet};

use factum_event::access::{Client, Operation, Resource};
use factum_event::log::{
    Chunk, GroupInfo, GroupMember, Located, NewTopic, ReadLimit, Result, SettingInfo, Start,
    TopicInfo, TopicPartition,
};
use factum_event::record::Outgoing;
use factum_event::{
    BoxFuture, EventLog, GroupName, LogError, Offset, Partition, Place, Position, TopicName,
};

use crate::Broker;

/// A broker in the hands of a client, who is also the author of what it changes.
#[derive(Debug, Clone)]
pub struct GuardedLog {
    broker: Broker,
    client: Client,
    /// What must be allowed with a topic for it to be shown.
    shown: Operation,
}

impl Broker {
    /// The log as `client` sees it who wants to do `operation`: topics with which it may not are
    /// not there.
    #[must_use]
    pub fn as_client(&self, client: Client, operation: Operation) -> GuardedLog {
        GuardedLog { broker: self.clone(), client, shown: operation }
    }
}

impl GuardedLog {
    fn expect(&self, operation: Operation, resource: Resource<'_>) -> Result<()> {
        if self.broker.may(&self.client, operation, resource) {
            return Ok(());
        }
        let principal = self.client.principal.clone();
        Err(LogError::Forbidden { principal, operation, resource: resource.to_string() })
    }

    fn on_topic(&self, operation: Operation, topic: &TopicName) -> Result<()> {
        self.expect(operation, Resource::topic(topic.as_str()))
    }

    fn on_group(&self, operation: Operation, group: &GroupName) -> Result<()> {
        self.expect(operation, Resource::group(group.as_str()))
    }

    /// What the client may know of a topic.
    fn visible_topic(&self, mut topic: TopicInfo) -> TopicInfo {
        if self.on_topic(Operation::DescribeConfigs, &topic.name).is_err() {
            topic.configs.clear();
        }
        topic
    }

    /// What the client may know of a topic that it has changed, or could not change.
    fn visible_change(&self, name: &TopicName, changed: Result<TopicInfo>) -> Result<TopicInfo> {
        let mut topic = changed.map_err(|error| self.visible_error(name, error))?;
        if self.on_topic(Operation::Describe, name).is_err() {
            topic.partitions.clear();
        }
        Ok(self.visible_topic(topic))
    }

    /// What the client is told of a change that failed. Reasons speak of the topic, of its limits,
    /// or of there being none: who may not know of it is told that alone.
    fn visible_error(&self, topic: &TopicName, error: LogError) -> LogError {
        match error {
            LogError::Storage(_) | LogError::Closed => error,
            error => self.on_topic(Operation::Describe, topic).err().unwrap_or(error),
        }
    }

    /// What the client may know of a group: not of topics that it may not know of.
    fn visible_group(&self, mut group: GroupInfo) -> GroupInfo {
        let may = |topic: &TopicName| self.on_topic(Operation::Describe, topic).is_ok();
        group.offsets.retain(|committed| may(&committed.topic));
        for member in &mut group.members {
            member.partitions.retain(|(topic, _)| may(topic));
        }
        group
    }

    fn author(&self) -> String {
        self.client.principal.to_string()
    }
}

impl EventLog for GuardedLog {
    fn create_topic(&self, topic: NewTopic) -> BoxFuture<'_, Result<TopicInfo>> {
        Box::pin(async move {
            self.expect(Operation::Create, Resource::CLUSTER)
                .or_else(|_| self.on_topic(Operation::Create, &topic.name))?;
            let name = topic.name.clone();
            let created = self.broker.create_topic_for(&self.author(), topic).await;
            self.visible_change(&name, created)
        })
    }

    fn grow_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        total: u32,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(async move {
            self.on_topic(Operation::Alter, topic)?;
            let grown = self.broker.grow_topic_for(&self.author(), topic, total).await;
            self.visible_change(topic, grown)
        })
    }

    fn delete_topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.on_topic(Operation::Delete, topic)?;
            let deleted = Broker::delete_topic(&self.broker, &self.author(), topic).await;
            deleted.map_err(|error| self.visible_error(topic, error.into()))
        })
    }

    fn configure_topic<'a>(
        &'a self,
        topic: &'a TopicName,
        set: BTreeMap<String, String>,
        unset: BTreeSet<String>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(async move {
            self.on_topic(Operation::AlterConfigs, topic)?;
            let edits = (set, unset);
            let configured = self.broker.configure_topic_for(&self.author(), topic, edits).await;
            self.visible_change(topic, configured)
        })
    }

    fn topic_settings<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> BoxFuture<'a, Result<Vec<SettingInfo>>> {
        Box::pin(async move {
            self.on_topic(Operation::DescribeConfigs, topic)?;
            self.broker.topic_settings(topic).await
        })
    }

    fn delete_records<'a>(
        &'a self,
        topic: &'a TopicName,
        before: BTreeMap<Partition, Offset>,
    ) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(async move {
            self.on_topic(Operation::Delete, topic)?;
            let deleted = self.broker.delete_records_for(&self.author(), topic, before).await;
            self.visible_change(topic, deleted)
        })
    }

    fn topics(&self) -> BoxFuture<'_, Result<Vec<TopicInfo>>> {
        Box::pin(async move {
            let mut topics = self.broker.topics_info();
            topics.retain(|topic| self.on_topic(self.shown, &topic.name).is_ok());
            Ok(topics.into_iter().map(|topic| self.visible_topic(topic)).collect())
        })
    }

    fn topic<'a>(&'a self, topic: &'a TopicName) -> BoxFuture<'a, Result<TopicInfo>> {
        Box::pin(async move {
            self.on_topic(self.shown, topic)?;
            Ok(self.visible_topic(EventLog::topic(&self.broker, topic).await?))
        })
    }

    fn append<'a>(
        &'a self,
        topic: &'a TopicName,
        records: Vec<Outgoing>,
    ) -> BoxFuture<'a, Result<Vec<Position>>> {
        Box::pin(async move {
            self.on_topic(Operation::Write, topic)?;
            self.broker.append(topic, records).await
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> BoxFuture<'a, Result<Chunk>> {
        Box::pin(async move {
            self.on_topic(Operation::Read, topic)?;
            self.broker.read(topic, partition, from, limit).await
        })
    }

    fn arrival<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        from: Offset,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.on_topic(Operation::Read, topic)?;
            self.broker.arrival(topic, partition, from).await
        })
    }

    fn locate<'a>(
        &'a self,
        topic: &'a TopicName,
        partition: Partition,
        place: Place,
    ) -> BoxFuture<'a, Result<Located>> {
        Box::pin(async move {
            self.on_topic(Operation::Describe, topic)?;
            EventLog::locate(&self.broker, topic, partition, place).await
        })
    }

    fn join<'a>(
        &'a self,
        group: &'a GroupName,
        topics: Vec<TopicName>,
        start: Start,
    ) -> BoxFuture<'a, Result<Box<dyn GroupMember>>> {
        Box::pin(async move {
            self.on_group(Operation::Read, group)?;
            topics.iter().try_for_each(|topic| self.on_topic(Operation::Read, topic))?;
            self.broker.join(group, topics, start).await
        })
    }

    fn groups(&self) -> BoxFuture<'_, Result<Vec<GroupInfo>>> {
        Box::pin(async move {
            let groups = EventLog::groups(&self.broker).await?;
            let may_list = self.expect(Operation::Describe, Resource::CLUSTER).is_ok();
            let visible = |group: GroupInfo| {
                if self.on_group(Operation::Describe, &group.name).is_ok() {
                    return Some(self.visible_group(group));
                }
                // Who may list a cluster's groups is told of their being there, as by Kafka.
                may_list.then(|| GroupInfo { members: Vec::new(), offsets: Vec::new(), ..group })
            };
            Ok(groups.into_iter().filter_map(visible).collect())
        })
    }

    fn group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<GroupInfo>> {
        Box::pin(async move {
            self.on_group(Operation::Describe, group)?;
            Ok(self.visible_group(self.broker.group(group).await?))
        })
    }

    fn commit<'a>(
        &'a self,
        group: &'a GroupName,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.on_group(Operation::Read, group)?;
            let mut topics = offsets.keys().map(|(topic, _)| topic);
            topics.try_for_each(|topic| self.on_topic(Operation::Read, topic))?;
            self.broker.commit(group, offsets).await
        })
    }

    fn delete_group<'a>(&'a self, group: &'a GroupName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.on_group(Operation::Delete, group)?;
            EventLog::delete_group(&self.broker, group).await
        })
    }
}
