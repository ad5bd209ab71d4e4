//! Changes of what exists: each is a control event, applied once it is durable.

use std::sync::Arc;

use factum_event::batch::BatchError;
use factum_event::event::EventError;
use factum_event::log::NewTopic;
use factum_event::{Offset, Partition, Record, Timestamp, TopicId, TopicName};
use factum_log::PartitionId;
use thiserror::Error;

use crate::Broker;
use crate::broker_config::InvalidBrokerConfig;
use crate::control::{self, CONTROL_TOPIC_ID, Change, Cut, TopicCreated};
use crate::fold::FoldError;
use crate::group_config::InvalidGroupConfig;
use crate::produce::{Passing, ProduceError, batches};
use crate::topic::Topic;
use crate::topic_config::{Configure, InvalidConfig, TopicSettings, difference, over};

/// Why something was not created, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No such topic.
    #[error("there is no topic {0}; create it first, or check the name")]
    UnknownTopic(TopicName),
    /// A topic of this name is there already.
    #[error("topic {0} exists already; choose another name, or delete it first")]
    TopicExists(TopicName),
    /// A topic is there whose name is another only by `.` and `_`.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    NameCollides {
        /// The name asked for.
        name: TopicName,
        /// The topic that is there.
        existing: TopicName,
    },
    /// Only Factum changes its own topics.
    #[error("{0} is one of Factum's own topics, whose names begin with __factum")]
    Internal(TopicName),
    /// A number of partitions that cannot be.
    #[error("{came} partitions: expected {expected}")]
    Partitions {
        /// What came.
        came: u32,
        /// What is possible.
        expected: String,
    },
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}; it has {partitions}, counted from 0")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition asked for.
        partition: Partition,
        /// How many it has.
        partitions: u32,
    },
    /// Beyond the end of the partition.
    #[error("offset {from} is not in the partition, which has {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        from: Offset,
        /// The first offset that is kept.
        start: Offset,
        /// The end of the partition.
        end: Offset,
    },
    /// Records of a topic that is only compacted are deleted by records without a value.
    #[error(
        "{0} has cleanup.policy=compact: publish a record without a value to delete its key, or \
         add delete to the policy"
    )]
    Compacted(TopicName),
    /// Records are to be deleted, which the log could not do yet.
    #[error("the deletion is decided, but not done ({0}); try again, or restart")]
    Trim(String),
    /// A setting that the topic cannot have.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Settings that the broker cannot have.
    #[error(transparent)]
    BrokerConfig(#[from] InvalidBrokerConfig),
    /// Settings that a group cannot have.
    #[error(transparent)]
    GroupConfig(#[from] InvalidGroupConfig),
    /// The change could not be stated as an event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The log takes nothing.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The change is durable, but could not be applied; a restart applies it.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl From<BatchError> for AdminError {
    fn from(error: BatchError) -> Self {
        Self::Produce(error.into())
    }
}

impl Broker {
    /// Creates a topic for `principal`; with `dry_run` only says what would come of it.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn create_topic(
        &self,
        principal: &str,
        new: NewTopic,
        dry_run: bool,
    ) -> Result<Arc<Topic>, AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        if self.topic(new.name.as_str()).is_some() {
            return Err(AdminError::TopicExists(new.name));
        }
        if new.name.is_internal() {
            return Err(AdminError::Internal(new.name));
        }
        if let Some(existing) = self.topics().colliding(&new.name) {
            return Err(AdminError::NameCollides { name: new.name, existing });
        }
        let defaults = self.topics().defaults();
        TopicSettings::parse(&over(&defaults, &new.configs))?;
        let partitions = new.partitions.unwrap_or(self.settings().default_partitions);
        self.check_partitions(partitions, 0)?;
        let now = self.clock().now();
        let id = TopicId(self.event_ids().next(now));
        let NewTopic { name: topic, configs, .. } = new;
        if dry_run {
            return Ok(Arc::new(Topic::new(topic, id, now, partitions, (configs, &defaults))));
        }
        let name = topic.clone();
        let created = TopicCreated { topic, id, partitions, configs };
        self.change(principal, &Change::TopicCreated(created)).await?;
        self.topic_by_id(id).ok_or(AdminError::UnknownTopic(name))
    }

    /// Raises the number of partitions of a topic to `total`.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn grow_topic(
        &self,
        principal: &str,
        name: &TopicName,
        total: u32,
        dry_run: bool,
    ) -> Result<Arc<Topic>, AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let topic = self.changeable(name)?;
        let now = topic.partition_count();
        if total <= now {
            let expected = format!("more than the {now} that {name} has");
            return Err(AdminError::Partitions { came: total, expected });
        }
        self.check_partitions(total, now)?;
        if dry_run {
            return Ok(Arc::new(topic.grown(total)));
        }
        let change = Change::TopicGrown { topic: name.clone(), id: topic.id, partitions: total };
        self.change(principal, &change).await?;
        self.topic_by_id(topic.id).ok_or_else(|| AdminError::UnknownTopic(name.clone()))
    }

    /// Changes the settings of a topic, from now on; with `dry_run` only says what would come of it.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn configure_topic(
        &self,
        principal: &str,
        name: &TopicName,
        configure: Configure,
        dry_run: bool,
    ) -> Result<Arc<Topic>, AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let topic = self.changeable(name)?;
        let configs = configure.applied(&topic.configs)?;
        let defaults = self.topics().defaults();
        TopicSettings::parse(&over(&defaults, &configs))?;
        let (set, unset) = difference(&topic.configs, &configs);
        if dry_run {
            return Ok(Arc::new(topic.configured(configs, &defaults)));
        }
        if set.is_empty() && unset.is_empty() {
            return Ok(topic);
        }
        let (id, topic) = (topic.id, name.clone());
        self.change(principal, &Change::TopicConfigured { topic, id, set, unset }).await?;
        self.topic_by_id(id).ok_or_else(|| AdminError::UnknownTopic(name.clone()))
    }

    /// Deletes a topic with its records and the offsets that groups committed in it.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn delete_topic(&self, principal: &str, name: &TopicName) -> Result<(), AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let topic = self.changeable(name)?;
        let offsets = self.offsets().keys_of(topic.id);
        let change = Change::TopicDeleted { topic: name.clone(), id: topic.id };
        self.change(principal, &change).await?;
        self.forget_offsets(offsets).await;
        Ok(())
    }

    /// A producer id that was never given before.
    ///
    /// # Errors
    /// [`AdminError`] where the log takes nothing.
    pub async fn new_producer_id(&self) -> Result<i64, AdminError> {
        loop {
            if let Some(id) = self.producer_ids().take() {
                return Ok(id);
            }
            let _one_at_a_time = self.changes().lock().await;
            if let Some(id) = self.producer_ids().take() {
                return Ok(id);
            }
            let change = Change::ProducerIdsReserved { next: self.producer_ids().next_block() };
            self.change("factum", &change).await?;
        }
    }

    /// Gives a new log its name, once and for all.
    pub(crate) async fn create_cluster(&self) -> Result<(), AdminError> {
        let id = self.event_ids().next(self.clock().now()).simple().to_string();
        self.change("factum", &Change::ClusterCreated { id }).await
    }

    pub(crate) fn changeable(&self, name: &TopicName) -> Result<Arc<Topic>, AdminError> {
        if name.is_internal() {
            return Err(AdminError::Internal(name.clone()));
        }
        self.topic(name.as_str()).ok_or_else(|| AdminError::UnknownTopic(name.clone()))
    }

    /// Whether a topic that has `now` partitions may have `total`.
    fn check_partitions(&self, total: u32, now: u32) -> Result<(), AdminError> {
        let most = self.settings().max_partitions_per_topic;
        let left = self.settings().max_partitions.saturating_sub(self.topics().partition_count());
        let most = most.min(u32::try_from(left).unwrap_or(u32::MAX).saturating_add(now));
        if total == 0 || total > most {
            let expected = format!("1 to {most}");
            return Err(AdminError::Partitions { came: total, expected });
        }
        Ok(())
    }

    /// Appends a change, waits until it is durable, and applies it.
    pub(crate) async fn change(&self, principal: &str, change: &Change) -> Result<(), AdminError> {
        let now = self.clock().now();
        let record = control::encode(change, principal, self.event_ids(), now)?;
        self.append_own(CONTROL_TOPIC_ID, &[record]).await?;
        self.apply_changes().await?;
        tracing::info!(principal, ?change, "changed");
        Ok(())
    }

    /// Appends records to one of Factum's own topics, and waits until they are durable.
    pub(crate) async fn append_own(
        &self,
        topic: TopicId,
        records: &[Record],
    ) -> Result<(), ProduceError> {
        let topic = self.topic_by_id(topic).expect("Factum's own topics are never deleted");
        let mut last = None;
        for batch in batches(records, topic.settings.max_message_bytes)? {
            last =
                Some(self.enqueue_checked(&topic, Partition::ZERO, batch, Passing::Plain).await?);
        }
        // Batches of one partition become durable in their order.
        match last {
            Some(pending) => pending.durable().await.map(drop),
            None => Ok(()),
        }
    }

    /// Applies a change that is durable.
    pub(crate) fn apply_change(&self, change: Change, at: Timestamp) {
        match change {
            Change::TopicCreated(TopicCreated { topic, id, partitions, configs }) => {
                let defaults = self.topics().defaults();
                let topic = Topic::new(topic, id, at, partitions, (configs, &defaults));
                self.topics().put(topic);
            }
            Change::TopicGrown { id, partitions, .. } => {
                if let Some(topic) = self.topic_by_id(id) {
                    self.topics().put(topic.grown(partitions));
                }
            }
            Change::TopicConfigured { id, set, unset, .. } => {
                if let Some(topic) = self.topic_by_id(id) {
                    let mut configs = topic.configs.clone();
                    configs.retain(|name, _| !unset.contains(name));
                    configs.extend(set);
                    self.topics().put(topic.configured(configs, &self.topics().defaults()));
                }
                self.look_after();
                return;
            }
            Change::BrokerConfigured { scope, set, unset } => {
                let configs = self.broker_configs().configured(scope, set, &unset);
                self.topics().set_defaults(configs.topic_defaults());
                self.look_after();
                return;
            }
            Change::GroupConfigured(configured) => return self.group_configured(configured),
            Change::RecordsDeleted { id, cuts, .. } => {
                for Cut { partition, before } in cuts {
                    self.cuts().decided(PartitionId { topic: id, partition }, before);
                }
                return;
            }
            Change::TopicDeleted { id, .. } => {
                self.cuts().forget_topic(id);
                if let Some(topic) = self.topics().remove(id) {
                    topic.close();
                    self.log().remove_topic(id);
                    self.offsets().retain_topics(|of| of != id);
                }
            }
            Change::ClusterCreated { id } => self.name_cluster(id),
            Change::ProducerIdsReserved { next } => self.producer_ids().reserved(next),
            Change::AclsCreated { acls } => return self.access_state().created(acls),
            Change::AclsDeleted { acls } => return self.access_state().deleted(&acls),
            Change::UserAltered(altered) => return self.access_state().altered(altered),
            Change::QuotaAltered(altered) => return self.access_state().quota_altered(altered),
        }
        self.topics_changed();
    }
}
