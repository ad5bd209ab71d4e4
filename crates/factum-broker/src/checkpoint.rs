//! The state of all producers at one moment, in a file, so that opening need not read all entries.
//!
//! It is a fold: without the file, or with a damaged one, the state is computed from the log. It
//! has only what was durable when it was taken: what a crash un-happens must not be remembered.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, BufMut};
use factum_event::batch::crc32c;
use factum_event::{Offset, Partition, TopicId};
use factum_log::disk::{Disk, write_whole};
use factum_log::{Extent, Log, PartitionId};
use uuid::Uuid;

use crate::producer_state::ProducerStates;
use crate::topic::Topics;
use crate::transactions::PartitionTransactions;

pub(crate) const DIRECTORY: &str = "checkpoints";
const PATH: &str = "checkpoints/producers";
const MAGIC: [u8; 8] = *b"FACTUMPC";
const VERSION: u32 = 3;
const FIXED_BYTES: usize = 20;

/// More is not read: a file of this size is no faster than the log.
const MAX_BYTES: u64 = 1 << 30;

/// What partitions had up to an offset each.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) partitions: BTreeMap<PartitionId, KnownPartition>,
}

/// Who wrote to a partition before an offset, and in which transactions.
#[derive(Debug)]
pub(crate) struct KnownPartition {
    pub(crate) end: Offset,
    pub(crate) producers: ProducerStates,
    pub(crate) transactions: PartitionTransactions,
}

impl KnownPartition {
    pub(crate) fn nothing_before(end: Offset) -> Self {
        let (producers, transactions) = Default::default();
        Self { end, producers, transactions }
    }
}

impl Checkpoint {
    /// What is durable now.
    pub(crate) fn take(log: &Log, topics: &Topics) -> Self {
        let mut partitions = BTreeMap::new();
        for topic in topics.all() {
            for partition in topic.partitions() {
                let mut gate = partition.gate.lock();
                let Extent { start, end } = log.extent(partition.id);
                gate.transactions.cut_off(start);
                let producers = gate.producers.before(end);
                let transactions = gate.transactions.before(end);
                drop(gate);
                if end > Offset::ZERO {
                    let known = KnownPartition { end, producers, transactions };
                    partitions.insert(partition.id, known);
                }
            }
        }
        Self { partitions }
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.create_dir(DIRECTORY)?;
        write_whole(disk, DIRECTORY, PATH, &self.encode(), true)
    }

    /// Reads it; none where there is no sound one.
    pub(crate) fn read(disk: &dyn Disk) -> Option<Self> {
        let read = read_whole(disk, PATH).map_err(|error| error.to_string());
        match read.and_then(|bytes| Self::decode(&bytes)) {
            Ok(checkpoint) => Some(checkpoint),
            Err(reason) => {
                tracing::info!("{PATH}: {reason}; the producers are computed from the log");
                None
            }
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut covered = Vec::new();
        covered.put_u32(VERSION);
        covered.put_u32(u32::try_from(self.partitions.len()).unwrap_or(u32::MAX));
        for (id, KnownPartition { end, producers, transactions }) in &self.partitions {
            covered.put_slice(id.topic.0.as_bytes());
            covered.put_i32(id.partition.get());
            covered.put_i64(end.get());
            producers.encode(&mut covered);
            transactions.encode(&mut covered);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(crc32c(&covered));
        bytes.extend_from_slice(&covered);
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
        let (version, count) = (rest.get_u32(), rest.get_u32());
        if version != VERSION {
            return Err(format!("it has version {version}, not {VERSION}"));
        }
        let mut partitions = BTreeMap::new();
        for _ in 0..count {
            let (id, known) =
                decode_partition(&mut rest).ok_or("a partition is cut off, or cannot be")?;
            partitions.insert(id, known);
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the last partition", rest.len()));
        }
        Ok(Self { partitions })
    }
}

/// The content of a file, unless it is too large.
pub(crate) fn read_whole(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = file.len()?;
    if length > MAX_BYTES {
        return Err(io::Error::other(format!("{length} bytes are too many")));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn decode_partition(rest: &mut &[u8]) -> Option<(PartitionId, KnownPartition)> {
    if rest.len() < 28 {
        return None;
    }
    let mut topic = [0; 16];
    rest.copy_to_slice(&mut topic);
    let partition = Partition::new(rest.get_i32())?;
    let end = Offset::new(rest.get_i64())?;
    let producers = ProducerStates::decode(rest, end)?;
    let transactions = PartitionTransactions::decode(rest, end)?;
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    Some((id, KnownPartition { end, producers, transactions }))
}

#[cfg(test)]
mod tests {
    use factum_event::Timestamp;
    use factum_event::batch::{Attributes, BatchHeader};
    use factum_log::disk::sim::SimDisk;

    use super::*;
    use crate::producer_state::Verdict;

    #[test]
    fn what_cannot_be_is_not_believed() {
        let id = PartitionId { topic: TopicId(Uuid::from_u128(1)), partition: Partition::ZERO };
        let bytes = |end: i64, base: i64, last: i64| {
            let mut covered = Vec::new();
            covered.put_u32(VERSION);
            covered.put_u32(1);
            covered.put_slice(id.topic.0.as_bytes());
            covered.put_i32(0);
            covered.put_i64(end);
            covered.put_u32(1);
            covered.put_i64(7);
            covered.put_i16(0);
            covered.put_i64(0);
            covered.put_u8(1);
            covered.put_i32(3);
            covered.put_i64(base);
            covered.put_i64(last);
            // No transactions: none is open, none was aborted.
            covered.put_u64(0);
            covered
        };
        let decode = |covered: &[u8]| {
            let mut bytes = MAGIC.to_vec();
            bytes.put_u32(crc32c(covered));
            bytes.put_slice(covered);
            Checkpoint::decode(&bytes).map(|read| read.partitions.len())
        };
        assert_eq!(decode(&bytes(10, 3, 9)), Ok(1));
        assert!(decode(&bytes(10, 3, 10)).is_err(), "a batch behind the end");
        assert!(decode(&bytes(10, 4, 3)).is_err(), "a batch that ends before it begins");
        assert!(decode(&bytes(i64::MAX, 0, i64::MAX - 1)).is_err(), "more than a batch has");
        assert!(decode(&[bytes(10, 3, 9), vec![0]].concat()).is_err(), "a byte too many");
    }

    fn header(sequence: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            attributes: Attributes::default(),
            last_offset_delta: 1,
            base_timestamp: Timestamp::from_millis(0),
            max_timestamp: Timestamp::from_millis(0),
            producer_id: 7,
            producer_epoch: 2,
            base_sequence: sequence,
            record_count: 2,
        }
    }

    #[test]
    fn what_is_durable_is_remembered_and_nothing_else() {
        let mut states = ProducerStates::default();
        for number in 0..8 {
            let base = Offset::ZERO.plus(number * 2);
            let sequence = i32::try_from(number * 2).unwrap();
            states.appended(&header(sequence), base, Timestamp::from_millis(5));
        }
        let id = PartitionId { topic: TopicId(Uuid::from_u128(1)), partition: Partition::ZERO };
        let end = Offset::ZERO.plus(12);
        let producers = states.before(end);
        let known = KnownPartition { producers, ..KnownPartition::nothing_before(end) };
        let checkpoint = Checkpoint { partitions: [(id, known)].into() };
        let disk = SimDisk::new(1);
        checkpoint.write(&disk).unwrap();
        let known = Checkpoint::read(&disk).unwrap().partitions.remove(&id).unwrap();
        assert_eq!(known.end, end);
        let states = known.producers;
        assert!(matches!(states.judge(&header(10), false), Ok(Verdict::Duplicate { .. })));
        assert!(
            matches!(states.judge(&header(2), false), Ok(Verdict::Duplicate { .. })),
            "five are known"
        );
        assert_eq!(
            states.judge(&header(12), false),
            Ok(Verdict::Append),
            "never durable, never happened"
        );
        for at in 0..checkpoint.encode().len() as u64 {
            disk.flip_bit(PATH, at, 1).unwrap();
            assert!(Checkpoint::read(&disk).is_none(), "byte {at}");
            disk.flip_bit(PATH, at, 1).unwrap();
        }
    }
}
