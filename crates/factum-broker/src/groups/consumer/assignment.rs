//! Sets of partitions, by topic.

use std::collections::{BTreeMap, BTreeSet};

use factum_event::TopicId;

/// Partitions by topic. No topic is in it without a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment(BTreeMap<TopicId, BTreeSet<i32>>);

impl Assignment {
    /// Whether there is no partition in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions there are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether a partition is in it.
    #[must_use]
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Puts a partition in.
    pub fn insert(&mut self, topic: TopicId, partition: i32) {
        self.0.entry(topic).or_default().insert(partition);
    }

    /// The partitions by topic.
    pub fn by_topic(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<i32>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// The partitions, one after another.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.by_topic().flat_map(|(topic, of)| of.iter().map(move |partition| (topic, *partition)))
    }

    /// Those that pass.
    pub(super) fn filtered(&self, passes: impl Fn(TopicId, i32) -> bool) -> Self {
        self.iter().filter(|(topic, partition)| passes(*topic, *partition)).collect()
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|(topic, partition)| other.contains(topic, partition))
    }

    pub(super) fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }
}

impl FromIterator<(TopicId, i32)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        assignment.extend(partitions);
        assignment
    }
}

impl Extend<(TopicId, i32)> for Assignment {
    fn extend<I: IntoIterator<Item = (TopicId, i32)>>(&mut self, partitions: I) {
        partitions.into_iter().for_each(|(topic, partition)| self.insert(topic, partition));
    }
}
