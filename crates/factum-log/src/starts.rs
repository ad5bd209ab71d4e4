//! Where partitions begin: what retention and the deletion of records have moved up, and which
//! topics are gone. Every other partition begins at 0, and what is missing there is damage.
//!
//! One small file that is written anew, durably, before any of it shows. It is no fold: without
//! it, what was cut off and is still on the disk would be back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::{Buf, BufMut};
use factum_event::batch::crc32c;
use factum_event::{Offset, Partition, TopicId};
use uuid::Uuid;

use crate::disk::{Disk, write_whole};
use crate::entry::PartitionId;
use crate::journal::format::check_crc;

/// The file, below the data directory.
pub(crate) const STARTS_FILE: &str = "starts";

const MAGIC: [u8; 8] = *b"FACTUMST";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 24;
const LINE_BYTES: usize = 44;
const TOPIC_BYTES: usize = 16;

/// Partitions that one file may have: bounds what is read.
const MAX_LINES: usize = 1 << 24;

/// Where a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) offset: Offset,
    /// The file whose first batches are cut off, and how many bytes of them: for counting only.
    pub(crate) file: u64,
    pub(crate) hidden: u64,
}

/// The partitions that do not begin at 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    pub(crate) by_partition: BTreeMap<PartitionId, Start>,
    /// Topics that were removed, of which files may still have something.
    pub(crate) removed: BTreeSet<TopicId>,
}

impl Starts {
    /// Reads them; none where there is no file. The inner result says what is wrong.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Result<Option<Self>, String>> {
        let file = match disk.open(STARTS_FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if length > FIXED_BYTES + MAX_LINES * LINE_BYTES {
            return Ok(Err(format!("{length} bytes are too many")));
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::decode(&bytes).map(Some))
    }

    /// Writes them, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        write_whole(disk, "", STARTS_FILE, &self.encode(), true)
    }

    fn encode(&self) -> Vec<u8> {
        let lines = self.by_partition.len();
        let mut covered = Vec::with_capacity(8 + lines * LINE_BYTES);
        covered.put_u32(VERSION);
        covered.put_u32(u32::try_from(lines).unwrap_or(u32::MAX));
        covered.put_u32(u32::try_from(self.removed.len()).unwrap_or(u32::MAX));
        for (id, start) in &self.by_partition {
            covered.put_slice(id.topic.0.as_bytes());
            covered.put_i32(id.partition.get());
            covered.put_i64(start.offset.get());
            covered.put_u64(start.file);
            covered.put_u64(start.hidden);
        }
        for topic in &self.removed {
            covered.put_slice(topic.0.as_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(crc32c(&covered));
        bytes.extend_from_slice(&covered);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < FIXED_BYTES || bytes[..8] != MAGIC {
            return Err("it does not begin as a list of starts".into());
        }
        let mut rest = &bytes[8..];
        check_crc(rest.get_u32(), &bytes[12..], "list of starts")?;
        let version = rest.get_u32();
        let (lines, topics) = (rest.get_u32() as usize, rest.get_u32() as usize);
        if version != VERSION || rest.len() != lines * LINE_BYTES + topics * TOPIC_BYTES {
            return Err(format!("version {version} with {lines} lines in {} bytes", rest.len()));
        }
        let (lines, topics) = rest.split_at(lines * LINE_BYTES);
        let by_partition = lines.chunks_exact(LINE_BYTES).map(decode_line);
        let removed = topics.chunks_exact(TOPIC_BYTES);
        let removed = removed.filter_map(|id| Some(TopicId(Uuid::from_slice(id).ok()?))).collect();
        Ok(Self { by_partition: by_partition.collect::<Result<_, _>>()?, removed })
    }
}

fn decode_line(mut bytes: &[u8]) -> Result<(PartitionId, Start), String> {
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let (partition, offset) = (Partition::new(bytes.get_i32()), Offset::new(bytes.get_i64()));
    let (Some(partition), Some(offset)) = (partition, offset) else {
        return Err("a partition or an offset is below zero".into());
    };
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    Ok((id, Start { offset, file: bytes.get_u64(), hidden: bytes.get_u64() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn starts_are_read_as_they_were_written_and_not_otherwise() {
        let disk = SimDisk::new(1);
        assert_eq!(Starts::read(&disk).unwrap(), Ok(None));
        let mut starts = Starts::default();
        for number in 0..3 {
            let topic = TopicId(Uuid::from_u128(7));
            let id = PartitionId { topic, partition: Partition::new(number).unwrap() };
            let offset = Offset::new(i64::from(number) * 100).unwrap();
            starts.by_partition.insert(id, Start { offset, file: 9, hidden: 61 });
        }
        starts.removed.insert(TopicId(Uuid::from_u128(8)));
        starts.write(&disk).unwrap();
        assert_eq!(Starts::read(&disk).unwrap(), Ok(Some(starts.clone())));
        for at in 0..starts.encode().len() as u64 {
            disk.flip_bit(STARTS_FILE, at, 5).unwrap();
            assert!(Starts::read(&disk).unwrap().is_err(), "byte {at}");
            disk.flip_bit(STARTS_FILE, at, 5).unwrap();
        }
    }
}
