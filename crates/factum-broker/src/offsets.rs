//! Committed offsets of consumer groups: a fold over the topic [`OFFSETS_TOPIC`].
//!
//! A commit is a record whose key names group, topic and partition, and whose value holds the
//! offset; deleting one is a record without a value. The last record of a key counts.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use factum_event::{GroupName, Header, Offset, Partition, Record, Timestamp, TopicId, TopicName};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The name of the topic that holds committed offsets.
pub const OFFSETS_TOPIC: &str = "__factum_offsets";

/// The identity of [`OFFSETS_TOPIC`].
pub const OFFSETS_TOPIC_ID: TopicId =
    TopicId(Uuid::from_u128(0x6661_6374_756d_8000_8000_0000_0000_0002));

/// Longest metadata of a commit, in bytes (Kafka's `offset.metadata.max.bytes`).
pub const MAX_METADATA_BYTES: usize = 4_096;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The offset of the next record to process.
    pub offset: Offset,
    /// The leader epoch that the client knew, or -1.
    pub leader_epoch: i32,
    /// Whatever the client wanted to keep with it.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The topic's identity then: an offset of a deleted namesake does not count.
    pub topic_id: TopicId,
}

/// What names a committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommitKey {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
}

/// A record of the offsets topic that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "committed offset at {OFFSETS_TOPIC}@{offset} is not understood ({reason}); \
     a newer version may have written it"
)]
pub struct UnknownCommit {
    /// Where it stands.
    pub offset: Offset,
    /// Why.
    pub reason: String,
}

/// A change of one committed offset: set, or deleted.
pub(crate) type CommitChange = (CommitKey, Option<Committed>);

/// The offsets of a group, by topic and partition.
type GroupOffsets = BTreeMap<(TopicName, Partition), Committed>;

/// All committed offsets.
#[derive(Debug, Default)]
pub(crate) struct CommittedOffsets {
    groups: Mutex<HashMap<GroupName, GroupOffsets>>,
}

impl CommittedOffsets {
    /// Applies a change; changes come in the order of their records. An offset of a topic that is
    /// not `alive` any more was committed while that was deleted: it does not count.
    pub(crate) fn apply(&self, (key, committed): CommitChange, alive: impl Fn(TopicId) -> bool) {
        // Asked under the lock: who deletes a topic forgets its offsets under it, afterwards.
        let mut groups = self.groups.lock();
        let place = (key.topic, key.partition);
        if let Some(committed) = committed {
            if !alive(committed.topic_id) {
                return;
            }
            groups.entry(key.group).or_default().insert(place, committed);
        } else if let Some(offsets) = groups.get_mut(&key.group) {
            offsets.remove(&place);
            if offsets.is_empty() {
                groups.remove(&key.group);
            }
        }
    }

    /// Forgets the offsets of topics that are not `alive`.
    pub(crate) fn retain_topics(&self, alive: impl Fn(TopicId) -> bool) {
        self.groups.lock().retain(|_, offsets| {
            offsets.retain(|_, committed| alive(committed.topic_id));
            !offsets.is_empty()
        });
    }

    /// What names the offsets that were committed in a topic.
    pub(crate) fn keys_of(&self, id: TopicId) -> Vec<CommitKey> {
        let groups = self.groups.lock();
        let offsets = groups.iter().flat_map(|(group, offsets)| {
            offsets.iter().map(move |(place, committed)| (group, place, committed))
        });
        let theirs = offsets.filter(|(_, _, committed)| committed.topic_id == id);
        let key = |(group, place, _): (&GroupName, &(TopicName, Partition), _)| CommitKey {
            group: group.clone(),
            topic: place.0.clone(),
            partition: place.1,
        };
        let mut keys: Vec<_> = theirs.map(key).collect();
        keys.sort_unstable();
        keys
    }

    /// The offset of one partition.
    pub(crate) fn get(
        &self,
        group: &str,
        topic: &TopicName,
        partition: Partition,
    ) -> Option<Committed> {
        let groups = self.groups.lock();
        groups.get(group)?.get(&(topic.clone(), partition)).cloned()
    }

    /// All offsets of a group.
    pub(crate) fn of(&self, group: &str) -> Vec<(TopicName, Partition, Committed)> {
        let groups = self.groups.lock();
        let Some(offsets) = groups.get(group) else { return Vec::new() };
        let copy = |((topic, partition), committed): (&(TopicName, Partition), &Committed)| {
            (topic.clone(), *partition, committed.clone())
        };
        offsets.iter().map(copy).collect()
    }

    /// Whether a group has offsets.
    pub(crate) fn has(&self, group: &str) -> bool {
        // A group without offsets is taken out when its last one goes.
        self.groups.lock().contains_key(group)
    }

    /// The groups that have offsets.
    pub(crate) fn groups(&self) -> Vec<GroupName> {
        self.groups.lock().keys().cloned().collect()
    }

    /// How many offsets are kept, of all groups together.
    pub(crate) fn len(&self) -> usize {
        self.groups.lock().values().map(BTreeMap::len).sum()
    }
}

/// The record of a change.
pub(crate) fn encode(change: &CommitChange, now: Timestamp) -> Record {
    let json = |value: serde_json::Result<Vec<u8>>| {
        Some(Bytes::from(value.expect("names and numbers are JSON")))
    };
    Record {
        key: json(serde_json::to_vec(&change.0)),
        value: change.1.as_ref().and_then(|committed| json(serde_json::to_vec(committed))),
        headers: vec![Header::new("content-type", "application/json")],
        timestamp: now,
    }
}

/// The change that a record states.
pub(crate) fn decode(offset: Offset, record: &Record) -> Result<CommitChange, UnknownCommit> {
    let unknown = |reason: String| UnknownCommit { offset, reason };
    let key = record.key.as_ref().ok_or_else(|| unknown("it has no key".to_owned()))?;
    let key = serde_json::from_slice(key).map_err(|error| unknown(error.to_string()))?;
    let committed = record.value.as_ref().map(|value| serde_json::from_slice(value));
    let committed = committed.transpose().map_err(|error| unknown(error.to_string()))?;
    Ok((key, committed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(offset: Option<i64>) -> CommitChange {
        let key = CommitKey {
            group: GroupName::new("billing").unwrap(),
            topic: TopicName::new("orders").unwrap(),
            partition: Partition::ZERO,
        };
        let committed = offset.map(|offset| Committed {
            offset: Offset::new(offset).unwrap(),
            leader_epoch: 3,
            metadata: "größe \"1\"\n".to_owned(),
            committed_at: Timestamp::from_millis(5),
            topic_id: OFFSETS_TOPIC_ID,
        });
        (key, committed)
    }

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    #[test]
    fn a_commit_and_a_deletion_survive_their_records() {
        for change in [change(Some(42)), change(None)] {
            let record = encode(&change, Timestamp::from_millis(5));
            assert_eq!(decode(at(0), &record).unwrap(), change);
        }
    }

    #[test]
    fn a_record_of_another_shape_is_refused_with_its_place() {
        let mut record = encode(&change(Some(1)), Timestamp::from_millis(5));
        record.value = Some(Bytes::from_static(b"{}"));
        let error = decode(at(9), &record).unwrap_err().to_string();
        assert!(error.contains("__factum_offsets@9") && error.contains("offset"), "{error}");
    }

    #[test]
    fn the_last_change_counts() {
        let offsets = CommittedOffsets::default();
        offsets.apply(change(Some(10)), |_| true);
        offsets.apply(change(Some(20)), |_| true);
        let (key, _) = change(None);
        let get = || offsets.get("billing", &key.topic, key.partition).map(|c| c.offset.get());
        assert_eq!(get(), Some(20));
        assert!(offsets.has("billing") && !offsets.has("others"));
        offsets.apply(change(None), |_| true);
        assert_eq!(get(), None);
        assert!(!offsets.has("billing"));
        assert!(offsets.groups().is_empty());
    }

    #[test]
    fn offsets_of_a_deleted_topic_are_forgotten() {
        let offsets = CommittedOffsets::default();
        offsets.apply(change(Some(20)), |_| true);
        offsets.retain_topics(|id| id == OFFSETS_TOPIC_ID);
        assert_eq!(offsets.len(), 1);
        offsets.retain_topics(|_| false);
        assert_eq!(offsets.len(), 0);
        assert!(!offsets.has("billing"));
    }
}
