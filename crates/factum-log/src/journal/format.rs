//! The bytes of journal files, as `docs/formats/journal.md` has them. Pure.

use bytes::{Buf, BufMut};
use factum_event::batch::{Batch, HEADER_BYTES, crc32c};
use factum_event::{Offset, Partition, Timestamp, TopicId};
use uuid::Uuid;

use super::MAX_NUMBER;
use crate::entry::{BatchEntry, PartitionId};

/// The version of everything below the data directory.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Bytes of the header of a file, of the fixed part of a group's header, and of an entry.
pub(crate) const UNIT: usize = 64;
pub(crate) const UNIT_U64: u64 = UNIT as u64;

/// The most batches in one group: bounds the header.
pub(crate) const MAX_GROUP_BATCHES: usize = 4096;

/// A group is closed when it has this many bytes of batches; one larger batch is a group alone.
pub(crate) const MAX_GROUP_BYTES: usize = 8 << 20;

const FILE_MAGIC: [u8; 8] = *b"FACTUMJN";
pub(crate) const GROUP_MAGIC: [u8; 4] = *b"FGRP";
const GROUP_VERSION: u16 = 1;

/// The front of a journal file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) number: u64,
    /// Random: bytes that a producer sends can never look like a group of this file.
    pub(crate) salt: u64,
    /// The sequence of the file's first group.
    pub(crate) first_sequence: u64,
    pub(crate) created_at: Timestamp,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; UNIT] {
        let mut covered = Vec::with_capacity(UNIT);
        covered.put_u32(FORMAT_VERSION);
        covered.put_u64(self.number);
        covered.put_u64(self.salt);
        covered.put_u64(self.first_sequence);
        covered.put_i64(self.created_at.as_millis());
        covered.resize(UNIT - 12, 0);
        let mut bytes = [0; UNIT];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..12].copy_from_slice(&crc32c(&covered).to_be_bytes());
        bytes[12..].copy_from_slice(&covered);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; UNIT]) -> Result<Self, String> {
        let mut rest = &bytes[8..];
        if bytes[..8] != FILE_MAGIC {
            return Err("it does not begin as a journal file".into());
        }
        check_crc(rest.get_u32(), &bytes[12..], "file header")?;
        let version = rest.get_u32();
        if version != FORMAT_VERSION {
            return Err(format!("the file has format {version}, not {FORMAT_VERSION}"));
        }
        let header = Self {
            number: rest.get_u64(),
            salt: rest.get_u64(),
            first_sequence: rest.get_u64(),
            created_at: Timestamp::from_millis(rest.get_i64()),
        };
        check_numbers(&[header.number, header.first_sequence], "file header")?;
        Ok(header)
    }
}

/// The fixed part of a group's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    crc: u32,
    pub(crate) count: u32,
    /// Header, entries, batches and padding.
    pub(crate) length: u64,
    pub(crate) sequence: u64,
    pub(crate) salt: u64,
    pub(crate) appended_at: Timestamp,
}

impl GroupHeader {
    /// Bytes of header and entries.
    pub(crate) fn front_bytes(&self) -> usize {
        UNIT + self.count as usize * UNIT
    }

    /// Reads the fixed part; believes nothing of it before [`decode_entries`] has checked the CRC,
    /// but that no length leads outside the file.
    pub(crate) fn decode(bytes: &[u8; UNIT], room: u64) -> Result<Self, String> {
        if bytes[..4] != GROUP_MAGIC {
            return Err("no group begins here".into());
        }
        let mut rest = &bytes[4..];
        let crc = rest.get_u32();
        let version = rest.get_u16();
        rest.advance(2);
        let header = Self {
            crc,
            count: rest.get_u32(),
            length: rest.get_u64(),
            sequence: rest.get_u64(),
            salt: rest.get_u64(),
            appended_at: Timestamp::from_millis(rest.get_i64()),
        };
        let counted = (1..=MAX_GROUP_BATCHES).contains(&(header.count as usize));
        if version != GROUP_VERSION || !counted {
            return Err(format!("group version {version} with {} batches", header.count));
        }
        if header.sequence >= i64::MAX as u64 {
            return Err(format!("the group has number {}, which none follows", header.sequence));
        }
        if header.length > room {
            return Err(format!("the group has {} bytes, the file only {room}", header.length));
        }
        if !header.length.is_multiple_of(UNIT_U64) || header.length < header.front_bytes() as u64 {
            return Err(format!("the group's length of {} is impossible", header.length));
        }
        Ok(header)
    }
}

/// The shape of a group, before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) count: usize,
    /// Where the first batch begins, counted from the group.
    pub(crate) front: u64,
    /// Zeros after the last batch.
    pub(crate) padding: usize,
    pub(crate) length: u64,
}

impl Layout {
    pub(crate) fn of(count: usize, batch_bytes: usize) -> Self {
        let front = UNIT + count * UNIT;
        let padding = (front + batch_bytes).next_multiple_of(UNIT) - front - batch_bytes;
        let length = (front + batch_bytes + padding) as u64;
        Self { count, front: front as u64, padding, length }
    }
}

/// Writes a group's header and entries into `out`, which is emptied first.
pub(crate) fn encode_group(
    out: &mut Vec<u8>,
    layout: &Layout,
    (sequence, salt, appended_at): (u64, u64, Timestamp),
    entries: impl Iterator<Item = (PartitionId, BatchEntry)>,
) {
    out.clear();
    out.put_slice(&GROUP_MAGIC);
    out.put_u32(0);
    out.put_u16(GROUP_VERSION);
    out.put_u16(0);
    out.put_u32(u32::try_from(layout.count).unwrap_or(u32::MAX));
    out.put_u64(layout.length);
    out.put_u64(sequence);
    out.put_u64(salt);
    out.put_i64(appended_at.as_millis());
    out.resize(UNIT, 0);
    for (id, entry) in entries {
        out.put_slice(id.topic.0.as_bytes());
        out.put_i32(id.partition.get());
        out.put_u32(entry.length);
        out.put_i64(entry.base_offset.get());
        out.put_i64(entry.max_timestamp.as_millis());
        out.put_u32(delta(&entry));
        out.put_i16(entry.producer_epoch);
        out.put_i16(entry.attributes);
        out.put_i64(entry.producer_id);
        out.put_i32(entry.base_sequence);
        out.put_u32(entry.crc);
    }
    let crc = crc32c(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_be_bytes());
}

/// The number of offsets after the first.
fn delta(entry: &BatchEntry) -> u32 {
    u32::try_from(entry.last_offset.get() - entry.base_offset.get()).unwrap_or(u32::MAX)
}

/// The entry of a batch that is about to be written.
pub(crate) fn entry_of(
    batch: &Batch,
    base_offset: Offset,
    appended_at: Timestamp,
    (journal, position): (u64, u64),
) -> BatchEntry {
    let header = batch.header();
    let mut crc = [0; 4];
    crc.copy_from_slice(&batch.bytes()[17..21]);
    BatchEntry {
        base_offset,
        last_offset: base_offset.plus(header.last_offset_delta.unsigned_abs()),
        max_timestamp: header.max_timestamp,
        appended_at,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        length: u32::try_from(batch.len()).unwrap_or(u32::MAX),
        attributes: header.attributes.0,
        crc: u32::from_be_bytes(crc),
        journal,
        position,
    }
}

/// Checks header and entries (`front`: both, as they stand in the file) and reads the entries.
pub(crate) fn decode_entries(
    header: &GroupHeader,
    front: &[u8],
    (journal, position): (u64, u64),
) -> Result<Vec<(PartitionId, BatchEntry)>, String> {
    check_crc(header.crc, front.get(8..).unwrap_or_default(), "group header")?;
    let mut at = position + header.front_bytes() as u64;
    let mut entries = Vec::with_capacity(header.count as usize);
    for bytes in front[UNIT..].chunks_exact(UNIT) {
        let (id, mut entry) = decode_entry(bytes)?;
        (entry.journal, entry.position, entry.appended_at) = (journal, at, header.appended_at);
        at += u64::from(entry.length);
        entries.push((id, entry));
    }
    let end = position + header.length;
    if at > end || end - at >= UNIT_U64 {
        return Err(format!("the group ends at {end}, its batches at {at}"));
    }
    Ok(entries)
}

fn decode_entry(mut bytes: &[u8]) -> Result<(PartitionId, BatchEntry), String> {
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let partition = Partition::new(bytes.get_i32());
    let length = bytes.get_u32();
    let base_offset = Offset::new(bytes.get_i64());
    let max_timestamp = Timestamp::from_millis(bytes.get_i64());
    let delta = bytes.get_u32();
    let producer_epoch = bytes.get_i16();
    let attributes = bytes.get_i16();
    let producer_id = bytes.get_i64();
    let base_sequence = bytes.get_i32();
    let crc = bytes.get_u32();
    let (Some(partition), Some(base_offset)) = (partition, base_offset) else {
        return Err("an entry has a partition or an offset below zero".into());
    };
    if (length as usize) < HEADER_BYTES {
        return Err(format!("an entry has a batch of {length} bytes"));
    }
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    let entry = BatchEntry {
        base_offset,
        last_offset: base_offset.plus(delta),
        max_timestamp,
        appended_at: Timestamp::UNKNOWN,
        producer_id,
        producer_epoch,
        base_sequence,
        length,
        attributes,
        crc,
        journal: 0,
        position: 0,
    };
    Ok((id, entry))
}

/// Refuses numbers that no log gets to, before something counts on from them.
pub(crate) fn check_numbers(numbers: &[u64], what: &str) -> Result<(), String> {
    match numbers.iter().find(|&&number| number >= MAX_NUMBER) {
        Some(number) => Err(format!("the {what} has the impossible number {number}")),
        None => Ok(()),
    }
}

/// Compares a stated CRC-32C with that of `bytes`.
pub(crate) fn check_crc(stated: u32, bytes: &[u8], what: &str) -> Result<(), String> {
    let computed = crc32c(bytes);
    if stated == computed {
        Ok(())
    } else {
        Err(format!("the {what} has CRC {computed:08x}, but states {stated:08x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = (PartitionId, BatchEntry)> {
        let place = (any::<u128>(), 0..i32::MAX, 0..i64::MAX / 2, 0..i32::MAX);
        let rest = (any::<i64>(), any::<i64>(), any::<i16>(), any::<i32>(), 61..5000_u32);
        (place, rest, any::<(i16, u32)>()).prop_map(|(place, rest, (attributes, crc))| {
            let base_offset = Offset::new(place.2).unwrap();
            let entry = BatchEntry {
                base_offset,
                last_offset: base_offset.plus(place.3.unsigned_abs()),
                max_timestamp: Timestamp::from_millis(rest.0),
                appended_at: Timestamp::from_millis(5),
                producer_id: rest.1,
                producer_epoch: rest.2,
                base_sequence: rest.3,
                length: rest.4,
                attributes,
                crc,
                journal: 3,
                position: 0,
            };
            let topic = TopicId(Uuid::from_u128(place.0));
            (PartitionId { topic, partition: Partition::new(place.1).unwrap() }, entry)
        })
    }

    fn encode(entries: &[(PartitionId, BatchEntry)]) -> (Vec<u8>, Layout) {
        let bytes = entries.iter().map(|(_, entry)| entry.length as usize).sum();
        let layout = Layout::of(entries.len(), bytes);
        let mut out = Vec::new();
        let stamp = (9, 77, Timestamp::from_millis(5));
        encode_group(&mut out, &layout, stamp, entries.iter().copied());
        (out, layout)
    }

    fn decode(front: &[u8], room: u64) -> Result<Vec<(PartitionId, BatchEntry)>, String> {
        let header = GroupHeader::decode(front.first_chunk().unwrap(), room)?;
        assert_eq!(header.sequence, 9, "checked by CRC in the end");
        decode_entries(&header, &front[..header.front_bytes().min(front.len())], (3, 640))
    }

    #[test]
    fn a_file_header_with_numbers_that_cannot_be_counted_on_is_refused() {
        let created_at = Timestamp::from_millis(0);
        for (number, first_sequence) in [(MAX_NUMBER, 1), (1, MAX_NUMBER), (1, u64::MAX)] {
            let header = FileHeader { number, salt: 7, first_sequence, created_at };
            assert!(FileHeader::decode(&header.encode()).unwrap_err().contains("impossible"));
        }
    }

    proptest! {
        #[test]
        fn a_group_is_read_as_it_was_written(
            mut entries in proptest::collection::vec(any_entry(), 1..20),
        ) {
            let (front, layout) = encode(&entries);
            let mut at = 640 + layout.front;
            for (_, entry) in &mut entries {
                entry.position = at;
                at += u64::from(entry.length);
            }
            prop_assert_eq!(decode(&front, layout.length).unwrap(), entries);
            prop_assert_eq!(layout.length % 64, 0);
        }

        #[test]
        fn a_flipped_bit_in_header_or_entries_is_found(
            entries in proptest::collection::vec(any_entry(), 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let (mut front, layout) = encode(&entries);
            let at = at.index(front.len());
            front[at] ^= 1 << bit;
            let read = GroupHeader::decode(front.first_chunk().unwrap(), layout.length)
                .and_then(|header| {
                    let bytes = header.front_bytes().min(front.len());
                    decode_entries(&header, &front[..bytes], (3, 640))
                });
            prop_assert!(read.is_err(), "byte {}", at);
        }

        #[test]
        fn a_file_header_is_read_as_it_was_written_and_not_otherwise(
            fields in (0..MAX_NUMBER, any::<u64>(), 0..MAX_NUMBER, any::<i64>()),
            at in 0..UNIT,
            bit in 0..8_u8,
        ) {
            let (number, salt, first_sequence, created) = fields;
            let created_at = Timestamp::from_millis(created);
            let header = FileHeader { number, salt, first_sequence, created_at };
            let mut bytes = header.encode();
            prop_assert_eq!(FileHeader::decode(&bytes), Ok(header));
            bytes[at] ^= 1 << bit;
            prop_assert!(FileHeader::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_group_longer_than_the_file_is_refused() {
        let id = PartitionId { topic: TopicId(Uuid::nil()), partition: Partition::ZERO };
        let (_, mut entry) = decode_entry(&[1; UNIT]).unwrap();
        entry.length = 100;
        let (front, layout) = encode(&[(id, entry)]);
        let error = decode(&front, layout.length - 1).unwrap_err();
        assert!(error.contains("the file only"), "{error}");
    }
}
