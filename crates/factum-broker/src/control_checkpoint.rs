//! What all control events up to an offset come to, in a file, so that opening need not read them
//! all: the topic keeps them for ever.
//!
//! It is a fold, written as the fewest changes that lead to the same state. Without the file, or
//! with one that is damaged or of another log, all events are read.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut};
use factum_event::batch::crc32c;
use factum_event::{Offset, Timestamp, TopicId};
use factum_log::disk::{Disk, write_whole};
use factum_log::{Log, PartitionId};
use serde::{Deserialize, Serialize};

use crate::access::AccessState;
use crate::broker::first_partition;
use crate::broker_config::BrokerConfigs;
use crate::checkpoint::{DIRECTORY, read_whole};
use crate::control::{CONTROL_TOPIC_ID, Change, Cut, TopicCreated, own_topic};
use crate::fold::Fold;
use crate::group_config::GroupConfigs;
use crate::producer_ids::ProducerIds;
use crate::records::Cuts;
use crate::topic::{Topic, Topics};

const PATH: &str = "checkpoints/control";
const MAGIC: [u8; 8] = *b"FACTUMCC";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 28;

/// More partitions are not believed: each costs memory before anything is read of it.
const MAX_PARTITIONS: u64 = 1 << 20;

/// Larger ids are not believed: nobody has given so many.
const MAX_PRODUCER_ID: i64 = 1 << 62;

/// What control events change.
#[derive(Clone)]
pub(crate) struct ControlState {
    pub(crate) fold: Arc<Fold>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) cuts: Arc<Cuts>,
    pub(crate) producer_ids: Arc<ProducerIds>,
    pub(crate) access: Arc<AccessState>,
    pub(crate) broker_configs: Arc<BrokerConfigs>,
    pub(crate) group_configs: Arc<GroupConfigs>,
    pub(crate) cluster_id: Arc<OnceLock<String>>,
}

impl ControlState {
    /// Of a log without events.
    pub(crate) fn new() -> Self {
        Self {
            fold: Arc::new(Fold::new(first_partition(CONTROL_TOPIC_ID))),
            topics: Arc::default(),
            cuts: Arc::default(),
            producer_ids: Arc::default(),
            access: Arc::default(),
            broker_configs: Arc::default(),
            group_configs: Arc::default(),
            cluster_id: Arc::default(),
        }
    }
}

/// Changes that come to the same as all events before an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ControlCheckpoint {
    pub(crate) next: Offset,
    /// The CRC of the last batch before `next`: a file of another log has another one.
    last_crc: u32,
    pub(crate) changes: Vec<Stated>,
}

/// A change, and when it was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stated {
    pub(crate) at: Timestamp,
    pub(crate) change: Change,
}

impl Stated {
    /// Says what cannot be: nothing changes Factum's own topics, and ids do not run out.
    fn check(&self) -> Result<(), String> {
        if let Some((name, id)) = self.change.topic()
            && (own_topic(id).is_some() || name.is_internal())
        {
            return Err(format!("it changes {name}, one of Factum's own topics"));
        }
        match self.change {
            Change::ProducerIdsReserved { next } if !(0..=MAX_PRODUCER_ID).contains(&next) => {
                Err(format!("it has given producer ids up to {next}"))
            }
            _ => Ok(()),
        }
    }

    /// How many partitions it makes at most.
    fn partitions(&self) -> u64 {
        match &self.change {
            Change::TopicCreated(TopicCreated { partitions, .. })
            | Change::TopicGrown { partitions, .. } => u64::from(*partitions),
            _ => 0,
        }
    }
}

impl ControlCheckpoint {
    /// What there is now; none where nothing is, or a change is being applied.
    pub(crate) fn take(log: &Log, state: &ControlState) -> Option<Self> {
        let (next, changes) = state.fold.at_rest(|next| (next, changes(state)))?;
        Some(Self { next, last_crc: crc_before(log, next)?, changes })
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.create_dir(DIRECTORY)?;
        write_whole(disk, DIRECTORY, PATH, &self.encode(), true)
    }

    /// Reads it; none where there is no sound one of this log.
    pub(crate) fn read(disk: &dyn Disk, log: &Log) -> Option<Self> {
        let read = read_whole(disk, PATH).map_err(|error| error.to_string());
        let fits = |read: Self| {
            let fits = crc_before(log, read.next) == Some(read.last_crc);
            if fits { Ok(read) } else { Err("it is of another log".to_owned()) }
        };
        match read.and_then(|bytes| Self::decode(&bytes)).and_then(fits) {
            Ok(checkpoint) => Some(checkpoint),
            Err(reason) => {
                tracing::info!("{PATH}: {reason}; all control events are read");
                None
            }
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut covered = Vec::new();
        covered.put_u32(VERSION);
        covered.put_i64(self.next.get());
        covered.put_u32(self.last_crc);
        let changes = serde_json::to_vec(&self.changes).expect("names and numbers are JSON");
        covered.put_slice(&changes);
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(crc32c(&covered));
        bytes.put_slice(&covered);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < FIXED_BYTES || bytes[..8] != MAGIC {
            return Err("it does not begin as a checkpoint".into());
        }
        let mut rest = &bytes[8..];
        if rest.get_u32() != crc32c(&bytes[12..]) {
            return Err("its CRC is wrong".into());
        }
        let version = rest.get_u32();
        if version != VERSION {
            return Err(format!("it has version {version}, not {VERSION}"));
        }
        let next = Offset::new(rest.get_i64()).ok_or("its offset is below zero")?;
        let last_crc = rest.get_u32();
        let changes: Vec<Stated> =
            serde_json::from_slice(rest).map_err(|error| error.to_string())?;
        changes.iter().try_for_each(Stated::check)?;
        let partitions: u64 = changes.iter().map(Stated::partitions).sum();
        if partitions > MAX_PARTITIONS {
            return Err(format!("it has {partitions} partitions"));
        }
        Ok(Self { next, last_crc, changes })
    }
}

/// The CRC of the last batch of the control topic before an offset where one ends.
fn crc_before(log: &Log, next: Offset) -> Option<u32> {
    let last = Offset::new(next.get() - 1)?;
    let entries = log.entries(first_partition(CONTROL_TOPIC_ID), last, 1).ok()?;
    entries.first().filter(|entry| entry.last_offset == last).map(|entry| entry.crc)
}

/// The fewest changes that lead to a state, in an order in which they can be applied.
fn changes(state: &ControlState) -> Vec<Stated> {
    let at = Timestamp::from_millis(0);
    let cluster = state.cluster_id.get().map(|id| Change::ClusterCreated { id: id.clone() });
    let next = state.producer_ids.end();
    let reserved = (next > 0).then_some(Change::ProducerIdsReserved { next });
    let mut changes: Vec<_> =
        cluster.into_iter().chain(reserved).map(|change| Stated { at, change }).collect();
    let configured = state.broker_configs.changes().into_iter();
    let configured = configured.chain(state.group_configs.changes());
    changes.extend(configured.map(|change| Stated { at, change }));
    let topics = state.topics.all();
    let theirs = || topics.iter().filter(|topic| own_topic(topic.id).is_none());
    changes.extend(theirs().map(|topic| Stated { at: topic.created_at, change: created(topic) }));
    changes.extend(state.access.changes().into_iter().map(|change| Stated { at, change }));
    let mut cuts = by_topic(state.cuts.all());
    changes.extend(theirs().filter_map(|topic| {
        let (id, cuts) = cuts.remove_entry(&topic.id)?;
        let change = Change::RecordsDeleted { topic: topic.name.clone(), id, cuts };
        Some(Stated { at, change })
    }));
    changes
}

fn created(topic: &Topic) -> Change {
    Change::TopicCreated(TopicCreated {
        topic: topic.name.clone(),
        id: topic.id,
        partitions: topic.partition_count(),
        configs: topic.configs.clone(),
    })
}

fn by_topic(cuts: BTreeMap<PartitionId, Offset>) -> BTreeMap<TopicId, Vec<Cut>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (PartitionId { topic, partition }, before) in cuts {
        sorted.entry(topic).or_default().push(Cut { partition, before });
    }
    sorted
}

#[cfg(test)]
mod tests {
    use factum_event::{Partition, TopicName};
    use uuid::Uuid;

    use super::*;
    use crate::control::CONTROL_TOPIC;

    #[test]
    fn more_partitions_than_can_be_are_not_made() {
        let created = |partitions| {
            let topic = TopicName::new("orders").unwrap();
            let id = TopicId(Uuid::from_u128(7));
            let configs = crate::topic_config::Configs::new();
            let change = Change::TopicCreated(TopicCreated { topic, id, partitions, configs });
            let changes = vec![Stated { at: Timestamp::from_millis(5), change }];
            let next = Offset::ZERO.plus(1);
            ControlCheckpoint::decode(&ControlCheckpoint { next, last_crc: 0, changes }.encode())
        };
        assert!(created(1 << 20).is_ok());
        assert_eq!(created(u32::MAX).unwrap_err(), "it has 4294967295 partitions");
    }

    #[test]
    fn what_no_event_can_say_is_not_believed() {
        let decode = |change| {
            let changes = vec![Stated { at: Timestamp::from_millis(5), change }];
            let next = Offset::ZERO.plus(1);
            ControlCheckpoint::decode(&ControlCheckpoint { next, last_crc: 0, changes }.encode())
        };
        let topic = TopicName::new(CONTROL_TOPIC).unwrap();
        let other = TopicName::new("orders").unwrap();
        let deleted = |topic, id| Change::TopicDeleted { topic, id };
        assert!(decode(deleted(other.clone(), TopicId(Uuid::from_u128(7)))).is_ok());
        assert!(decode(deleted(other, CONTROL_TOPIC_ID)).is_err());
        assert!(decode(deleted(topic, TopicId(Uuid::from_u128(7)))).is_err());
        for (next, sound) in [(0, true), (1000, true), (-1, false), (i64::MAX, false)] {
            assert_eq!(decode(Change::ProducerIdsReserved { next }).is_ok(), sound, "{next}");
        }
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let topic = TopicName::new("orders").unwrap();
        let cut = Cut { partition: Partition::ZERO, before: Offset::ZERO.plus(9) };
        let id = TopicId(Uuid::from_u128(7));
        let change = Change::RecordsDeleted { topic, id, cuts: vec![cut] };
        let changes = vec![Stated { at: Timestamp::from_millis(5), change }];
        let checkpoint = ControlCheckpoint { next: Offset::ZERO.plus(3), last_crc: 17, changes };
        let bytes = checkpoint.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(ControlCheckpoint::decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(ControlCheckpoint::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(ControlCheckpoint::decode(&bytes), Ok(checkpoint));
    }
}
