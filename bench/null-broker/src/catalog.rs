//! Which topics there are, and with how many partitions: all that this broker remembers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use factum_wire::Str;

/// The most topics; more are refused.
pub(crate) const MAX_TOPICS: usize = 1000;
/// The most partitions of a topic; more are refused.
pub(crate) const MAX_PARTITIONS: u32 = 100_000;

/// The topics by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    default_partitions: u32,
    topics: Mutex<BTreeMap<String, u32>>,
}

impl Catalog {
    /// No topic yet; one that is only named will get so many partitions.
    pub(crate) fn new(default_partitions: u32) -> Self {
        Self { default_partitions, topics: Mutex::default() }
    }

    /// Creates a topic, with the default number of partitions for none; false above a limit. One
    /// that exists keeps its partitions.
    pub(crate) fn create(&self, name: &Str, partitions: Option<u32>) -> bool {
        self.partitions_or(name, partitions.unwrap_or(self.default_partitions)).is_some()
    }

    /// The partitions of a topic, which is created if it is missing; none above a limit.
    pub(crate) fn partitions(&self, name: &Str) -> Option<u32> {
        self.partitions_or(name, self.default_partitions)
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<Str> {
        self.lock().keys().map(|name| name.as_str().into()).collect()
    }

    fn partitions_or(&self, name: &Str, wanted: u32) -> Option<u32> {
        let mut topics = self.lock();
        if let Some(partitions) = topics.get(&**name) {
            return Some(*partitions);
        }
        if topics.len() >= MAX_TOPICS || wanted == 0 || wanted > MAX_PARTITIONS {
            return None;
        }
        topics.insert(name.to_string(), wanted);
        Some(wanted)
    }

    /// A map of numbers is whole, whoever panicked while holding it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_keeps_the_partitions_it_was_created_with() {
        let catalog = Catalog::new(3);
        assert!(catalog.create(&"many".into(), Some(10_000)));
        assert!(catalog.create(&"many".into(), None));
        assert_eq!(catalog.partitions(&"many".into()), Some(10_000));
        assert_eq!(catalog.partitions(&"new".into()), Some(3));
        assert_eq!(catalog.names().len(), 2);
    }

    #[test]
    fn topics_and_partitions_have_a_limit() {
        let catalog = Catalog::new(1);
        assert!(!catalog.create(&"wide".into(), Some(MAX_PARTITIONS + 1)));
        for number in 0..MAX_TOPICS {
            assert!(catalog.create(&number.to_string().into(), None));
        }
        assert!(!catalog.create(&"one more".into(), None));
    }
}
