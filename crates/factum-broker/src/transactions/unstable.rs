//! Offsets that a transaction is about to commit: who asks for stable ones has to wait.
//!
//! What a transaction commits stands in the log before its end. Whoever finds here that an offset
//! is stable, and reads it then from a fold that has caught up, has it as the transaction left it.

use std::collections::HashMap;

use factum_event::{Offset, Partition, TopicName};
use parking_lot::Mutex;

use crate::offsets::{CommitChange, CommitKey};

/// When an offset is stable again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// When its transaction has ended.
    Ended,
    /// When the end of its transaction, at this offset of the transactions' topic, is durable.
    Durable(Offset),
}

/// The offsets that transactions are about to commit, by who does.
#[derive(Debug, Default)]
pub(crate) struct UnstableOffsets {
    offsets: Mutex<HashMap<CommitKey, HashMap<i64, Until>>>,
}

impl UnstableOffsets {
    /// Takes the offsets of a producer's transaction.
    pub(super) fn add(&self, producer_id: i64, changes: &[CommitChange]) {
        let mut offsets = self.offsets.lock();
        for (key, _) in changes {
            offsets.entry(key.clone()).or_default().insert(producer_id, Until::Ended);
        }
    }

    /// The producer's transaction is ended by a record at this offset, durable or not.
    pub(super) fn ended_at(&self, producer_id: i64, changes: &[CommitChange], record: Offset) {
        let mut offsets = self.offsets.lock();
        for (key, _) in changes {
            if let Some(until) = offsets.get_mut(key).and_then(|by| by.get_mut(&producer_id)) {
                *until = Until::Durable(record);
            }
        }
    }

    /// Whether a transaction may commit this offset; `durable` is the end of the transactions'
    /// topic.
    pub(super) fn is_unstable(&self, key: &CommitKey, durable: Offset) -> bool {
        let mut offsets = self.offsets.lock();
        let Some(by) = offsets.get_mut(key) else { return false };
        by.retain(|_, until| !matches!(until, Until::Durable(at) if *at < durable));
        if by.is_empty() {
            offsets.remove(key);
            return false;
        }
        true
    }

    /// The partitions whose offsets a group's transactions may commit.
    pub(super) fn of_group(&self, group: &str, durable: Offset) -> Vec<(TopicName, Partition)> {
        let keys: Vec<CommitKey> = {
            let offsets = self.offsets.lock();
            offsets.keys().filter(|key| key.group.as_str() == group).cloned().collect()
        };
        let unstable = keys.into_iter().filter(|key| self.is_unstable(key, durable));
        unstable.map(|key| (key.topic, key.partition)).collect()
    }
}

#[cfg(test)]
mod tests {
    use factum_event::GroupName;

    use super::*;

    #[test]
    fn an_offset_is_unstable_until_all_its_transactions_have_ended() {
        let key = CommitKey {
            group: GroupName::new("g").unwrap(),
            topic: TopicName::new("t").unwrap(),
            partition: Partition::ZERO,
        };
        let change = [(key.clone(), None)];
        let end = |offset| Offset::new(offset).unwrap();
        let unstable = UnstableOffsets::default();
        let is_unstable = |durable| unstable.is_unstable(&key, end(durable));
        assert!(!is_unstable(100));
        unstable.add(1, &change);
        unstable.add(2, &change);
        unstable.ended_at(1, &change, end(5));
        assert!(is_unstable(100));
        assert_eq!(unstable.of_group("g", end(100)).len(), 1);
        assert!(unstable.of_group("h", end(100)).is_empty());
        unstable.ended_at(2, &change, end(7));
        assert!(is_unstable(7), "the end is on its way");
        assert!(!is_unstable(8));
        assert!(unstable.offsets.lock().is_empty());
    }
}
