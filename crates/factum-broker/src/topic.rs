//! The topics that exist now: a fold over the control topic, kept in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use factum_event::{Partition, Timestamp, TopicId, TopicName};
use factum_log::PartitionId;
use parking_lot::{Mutex, RwLock};

use crate::producer_state::ProducerStates;
use crate::topic_config::{Configs, TopicSettings, over};
use crate::transactions::PartitionTransactions;

/// A topic, as it is now. Growing or configuring it makes a new value that shares the partitions.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Settings that differ from the defaults.
    pub configs: Configs,
    /// What all its settings mean, defaults included.
    pub settings: TopicSettings,
    partitions: Vec<Arc<TopicPartition>>,
}

/// A partition of a topic.
#[derive(Debug)]
pub(crate) struct TopicPartition {
    pub(crate) id: PartitionId,
    /// Held while a batch is judged and queued, so that sequences and offsets agree.
    pub(crate) gate: Mutex<Gate>,
}

/// What appends to a partition pass through, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) producers: ProducerStates,
    pub(crate) transactions: PartitionTransactions,
    /// Set when the topic is deleted: whoever still holds it appends nothing more.
    pub(crate) closed: bool,
}

impl Topic {
    /// A topic with fresh partitions, with its own settings and the broker's defaults of the others.
    pub(crate) fn new(
        name: TopicName,
        id: TopicId,
        created_at: Timestamp,
        partitions: u32,
        (configs, defaults): (Configs, &Configs),
    ) -> Self {
        let settings = settings(&name, &configs, defaults);
        let mut topic = Self { name, id, created_at, configs, settings, partitions: Vec::new() };
        topic.grow_to(partitions);
        topic
    }

    /// The same topic with `total` partitions, the old ones shared.
    pub(crate) fn grown(&self, total: u32) -> Self {
        let mut topic = self.shared(self.configs.clone(), self.settings.clone());
        topic.grow_to(total);
        topic
    }

    /// The same topic with other settings of its own or of the broker, the partitions shared.
    pub(crate) fn configured(&self, configs: Configs, defaults: &Configs) -> Self {
        let settings = settings(&self.name, &configs, defaults);
        self.shared(configs, settings)
    }

    fn shared(&self, configs: Configs, settings: TopicSettings) -> Self {
        Self {
            name: self.name.clone(),
            id: self.id,
            created_at: self.created_at,
            settings,
            configs,
            partitions: self.partitions.clone(),
        }
    }

    fn grow_to(&mut self, total: u32) {
        let topic = self.id;
        let more = (0..i32::try_from(total).unwrap_or(i32::MAX)).skip(self.partitions.len());
        self.partitions.extend(more.filter_map(Partition::new).map(|partition| {
            let id = PartitionId { topic, partition };
            Arc::new(TopicPartition { id, gate: Mutex::default() })
        }));
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("partitions are counted by i32")
    }

    /// The numbers of its partitions.
    pub fn partition_numbers(&self) -> impl Iterator<Item = Partition> {
        self.partitions.iter().map(|partition| partition.id.partition)
    }

    /// A partition's place in the log, if the topic has it.
    #[must_use]
    pub fn partition_id(&self, partition: Partition) -> Option<PartitionId> {
        self.partition(partition).map(|partition| partition.id)
    }

    pub(crate) fn partitions(&self) -> &[Arc<TopicPartition>] {
        &self.partitions
    }

    pub(crate) fn partition(&self, partition: Partition) -> Option<&Arc<TopicPartition>> {
        self.partitions.get(partition.index())
    }

    /// Lets nothing more pass into its partitions.
    pub(crate) fn close(&self) {
        for partition in &self.partitions {
            partition.gate.lock().closed = true;
        }
    }
}

/// What the settings of a topic mean. Factum's own topics have nothing of the broker's: what is
/// kept in them must not go by a change of it.
fn settings(name: &TopicName, configs: &Configs, defaults: &Configs) -> TopicSettings {
    if name.is_internal() || defaults.is_empty() {
        TopicSettings::of_existing(configs)
    } else {
        TopicSettings::of_existing(&over(defaults, configs))
    }
}

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// What topics have that do not set it themselves.
    defaults: RwLock<Arc<Configs>>,
    maps: RwLock<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    by_name: BTreeMap<TopicName, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

impl Topics {
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.maps.read().by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.maps.read().by_id.get(&id).cloned()
    }

    pub(crate) fn defaults(&self) -> Arc<Configs> {
        Arc::clone(&self.defaults.read())
    }

    /// Gives other settings to all topics that do not set them themselves.
    pub(crate) fn set_defaults(&self, defaults: Configs) {
        let defaults = Arc::new(defaults);
        *self.defaults.write() = Arc::clone(&defaults);
        for topic in self.all() {
            let configured = topic.configured(topic.configs.clone(), &defaults);
            if configured.settings != topic.settings {
                self.put(configured);
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.maps.read().by_name.values().cloned().collect()
    }

    /// A topic whose name is taken for this one where `.` and `_` are the same, as in the names of
    /// metrics.
    pub(crate) fn colliding(&self, name: &TopicName) -> Option<TopicName> {
        // Most names have neither, and collide with none but themselves.
        if !name.as_str().contains(['.', '_']) {
            return None;
        }
        let same = |byte: u8| if byte == b'.' { b'_' } else { byte };
        let is_alike = |other: &&TopicName| {
            let (one, other) = (name.as_str().bytes(), other.as_str().bytes());
            one.map(same).eq(other.map(same))
        };
        self.maps.read().by_name.keys().find(is_alike).cloned()
    }

    /// How many partitions there are in all topics together.
    pub(crate) fn partition_count(&self) -> usize {
        self.maps.read().by_name.values().map(|topic| topic.partitions.len()).sum()
    }

    /// Puts a topic in the place of the one with its name, if there is one.
    pub(crate) fn put(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut maps = self.maps.write();
        if let Some(old) = maps.by_name.insert(topic.name.clone(), Arc::clone(&topic)) {
            maps.by_id.remove(&old.id);
        }
        maps.by_id.insert(topic.id, Arc::clone(&topic));
        topic
    }

    pub(crate) fn remove(&self, id: TopicId) -> Option<Arc<Topic>> {
        let mut maps = self.maps.write();
        let topic = maps.by_id.remove(&id)?;
        maps.by_name.remove(&topic.name);
        Some(topic)
    }
}
