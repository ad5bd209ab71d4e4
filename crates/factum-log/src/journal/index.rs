//! The index of a sealed journal: which batches it has, by partition.
//!
//! A fold: what is missing or damaged is computed again from the journal. It is not flushed;
//! checksums tell whether it survived. A directory (one line per partition) is read when the log
//! is opened; lists of batches are read block by block when somebody asks.

use std::io;

use bytes::{Buf, BufMut};
use factum_event::batch::{HEADER_BYTES, crc32c};
use factum_event::{Offset, Partition, Timestamp, TopicId};
use uuid::Uuid;

use super::format::{UNIT, check_crc, check_numbers};
use super::{DIRECTORY, index_path};
use crate::disk::{Disk, DiskFile, write_whole};
use crate::entry::{BatchEntry, PartitionId};

/// Entries in one block of a list.
const BLOCK_ENTRIES: usize = 64;

/// What stands behind the entries of a block: the largest timestamp so far, CRC, zeros.
const TRAILER_BYTES: usize = 16;

const FOOTER_BYTES: usize = 80;

/// The version of index files; one of another version is built again.
const INDEX_VERSION: u32 = 3;

/// Where the last field of a line says whether compaction has been here; below are bytes.
const CLEANED_SHIFT: u32 = 62;

const MAGIC: [u8; 8] = *b"FACTUMIX";

/// The batches that one sealed journal has of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) journal: u64,
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) max_timestamp: Timestamp,
    /// Where the list of batches begins in the index file.
    pub(crate) list: u64,
    pub(crate) count: u32,
    /// The bytes of these batches.
    pub(crate) bytes: u64,
    /// Whether compaction has been here: batches between `base` and `last` may be missing.
    pub(crate) cleaned: Cleaned,
}

impl Summary {
    /// What a file answers for, without its batches.
    pub(crate) const fn answering(file: u64, covered: Coverage) -> Self {
        let Coverage { base, last, cleaned } = covered;
        let max_timestamp = Timestamp::UNKNOWN;
        Self { journal: file, base, last, max_timestamp, list: 0, count: 0, bytes: 0, cleaned }
    }

    /// Whether both are of the same file and answer for the same offsets.
    pub(crate) fn answers_like(&self, other: &Self) -> bool {
        (self.journal, self.base, self.last) == (other.journal, other.base, other.last)
    }

    /// Where its list ends in the index file; none beyond what a file can have.
    fn list_end(&self) -> Option<u64> {
        let blocks = u64::from(self.count).div_ceil(BLOCK_ENTRIES as u64);
        let bytes = u64::from(self.count) * UNIT as u64 + blocks * TRAILER_BYTES as u64;
        self.list.checked_add(bytes)
    }
}

/// Whether compaction has been over what a file has of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// No: every batch is there.
    No,
    /// Over a part of it: batches may be missing.
    Partly,
    /// Over all of it.
    Wholly,
}

impl Cleaned {
    /// How files say it, in two bits.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::No => 0,
            Self::Partly => 1,
            Self::Wholly => 2,
        }
    }

    /// What a file says.
    pub(crate) fn of_code(code: u32) -> Result<Self, String> {
        match code {
            0 => Ok(Self::No),
            1 => Ok(Self::Partly),
            2 => Ok(Self::Wholly),
            other => Err(format!("compaction {other} is none that is known")),
        }
    }
}

/// The offsets that a file answers for, whether or not it has batches for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) cleaned: Cleaned,
}

/// A sealed journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// The byte after the last group.
    pub(crate) end: u64,
    pub(crate) first_sequence: u64,
    /// The sequence of the first group of the next journal.
    pub(crate) next_sequence: u64,
    /// How many batches it has, of removed topics too.
    pub(crate) batches: u64,
}

/// Builds an index in memory; partitions come in their order.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    bytes: Vec<u8>,
    directory: Vec<(PartitionId, Summary)>,
    batches: u64,
}

impl IndexBuilder {
    /// Adds the batches that a journal has of a partition, in their order; none is no partition.
    pub(crate) fn add(&mut self, id: PartitionId, entries: &[BatchEntry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        let (base, last) = (first.base_offset, last.last_offset);
        self.add_covering(
            id,
            first.journal,
            Coverage { base, last, cleaned: Cleaned::No },
            entries,
        );
    }

    /// Adds the batches that the file `number` has of a partition for which it answers.
    pub(crate) fn add_covering(
        &mut self,
        id: PartitionId,
        number: u64,
        covered: Coverage,
        entries: &[BatchEntry],
    ) {
        let list = self.bytes.len() as u64;
        let mut max_timestamp = Timestamp::UNKNOWN;
        for (block, entries) in entries.chunks(BLOCK_ENTRIES).enumerate() {
            let start = self.bytes.len();
            for entry in entries {
                encode_entry(&mut self.bytes, entry);
                max_timestamp = max_timestamp.max(entry.max_timestamp);
            }
            self.bytes.put_i64(max_timestamp.as_millis());
            let crc = block_crc(id, block, &self.bytes[start..]);
            self.bytes.put_u32(crc);
            self.bytes.put_u32(0);
        }
        self.batches += entries.len() as u64;
        let summary = Summary {
            journal: number,
            base: covered.base,
            last: covered.last,
            max_timestamp,
            list,
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            bytes: entries.iter().map(|entry| u64::from(entry.length)).sum(),
            cleaned: covered.cleaned,
        };
        self.directory.push((id, summary));
    }

    /// How many batches were added.
    pub(crate) fn batches(&self) -> u64 {
        self.batches
    }

    /// Writes the index of `sealed`, and answers its directory.
    pub(crate) fn write(
        self,
        disk: &dyn Disk,
        sealed: &Sealed,
    ) -> io::Result<Vec<(PartitionId, Summary)>> {
        let (bytes, directory) = self.encode(sealed);
        write_whole(disk, DIRECTORY, &index_path(sealed.number), &bytes, false)?;
        Ok(directory)
    }

    /// The bytes of the index of `sealed`, which follow from the journal alone; its directory.
    pub(crate) fn encode(mut self, sealed: &Sealed) -> (Vec<u8>, Vec<(PartitionId, Summary)>) {
        let start = self.bytes.len();
        for (id, summary) in &self.directory {
            encode_summary(&mut self.bytes, *id, summary);
        }
        let directory_crc = crc32c(&self.bytes[start..]);
        let mut covered = Vec::with_capacity(FOOTER_BYTES);
        covered.put_u32(INDEX_VERSION);
        for number in [sealed.number, sealed.salt, sealed.end] {
            covered.put_u64(number);
        }
        for number in [sealed.first_sequence, sealed.next_sequence, start as u64, sealed.batches] {
            covered.put_u64(number);
        }
        covered.put_u32(u32::try_from(self.directory.len()).unwrap_or(u32::MAX));
        covered.put_u32(directory_crc);
        self.bytes.put_slice(&MAGIC);
        self.bytes.put_u32(crc32c(&covered));
        self.bytes.put_slice(&covered);
        (self.bytes, self.directory)
    }
}

/// What an index says of its journal, without the lists.
pub(crate) struct Index {
    pub(crate) sealed: Sealed,
    pub(crate) directory: Vec<(PartitionId, Summary)>,
}

impl Index {
    /// Reads footer and directory; the inner result says why there is no sound index.
    pub(crate) fn read(disk: &dyn Disk, number: u64) -> io::Result<Result<Self, String>> {
        let file = match disk.open(&index_path(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err("it is missing".into()));
            }
            Err(error) => return Err(error),
        };
        let length = file.len()?;
        let Some(footer_at) = length.checked_sub(FOOTER_BYTES as u64) else {
            return Ok(Err("it is too short".into()));
        };
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_at)?;
        let (mut index, start, count, crc) = match decode_footer(&footer, number) {
            Ok(read) => read,
            Err(reason) => return Ok(Err(reason)),
        };
        let bytes = u64::from(count) * UNIT as u64;
        if start.checked_add(bytes) != Some(footer_at) {
            return Ok(Err("its directory has another length than stated".into()));
        }
        let mut directory = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut directory, start)?;
        if let Err(reason) = check_crc(crc, &directory, "directory") {
            return Ok(Err(reason));
        }
        let lines = directory.chunks_exact(UNIT).map(|line| decode_summary(line, number));
        Ok(lines.collect::<Result<_, _>>().and_then(|directory| {
            index.directory = directory;
            index.check(start)?;
            Ok(index)
        }))
    }

    /// Checks that its numbers fit each other; the lists end at byte `lists_end`.
    fn check(&self, lists_end: u64) -> Result<(), String> {
        if !self.directory.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("its partitions are not in their order".into());
        }
        for (_, summary) in &self.directory {
            let &Summary { base, last, count, .. } = summary;
            // Behind the last offset of a partition there is always another one.
            if base > last || last.next() == last {
                return Err(format!("a line is of offsets {base} to {last}"));
            }
            if summary.list_end().is_none_or(|end| end > lists_end) {
                return Err(format!("a list of {count} batches leads into the directory"));
            }
        }
        let batches: u64 = self.directory.iter().map(|(_, line)| u64::from(line.count)).sum();
        let expected = self.sealed.batches;
        if batches != expected {
            return Err(format!("its lines have {batches} batches, not {expected}"));
        }
        let bytes: u128 = self.directory.iter().map(|(_, line)| u128::from(line.bytes)).sum();
        let end = self.sealed.end;
        if bytes > u128::from(end) {
            return Err(format!("its lines have {bytes} bytes of batches, the file only {end}"));
        }
        Ok(())
    }
}

type Footer = (Index, u64, u32, u32);

fn decode_footer(footer: &[u8; FOOTER_BYTES], number: u64) -> Result<Footer, String> {
    if footer[..8] != MAGIC {
        return Err("it does not end as an index".into());
    }
    let mut rest = &footer[8..];
    check_crc(rest.get_u32(), &footer[12..], "footer")?;
    let version = rest.get_u32();
    let mut sealed = Sealed {
        number: rest.get_u64(),
        salt: rest.get_u64(),
        end: rest.get_u64(),
        first_sequence: rest.get_u64(),
        next_sequence: rest.get_u64(),
        batches: 0,
    };
    if version != INDEX_VERSION || sealed.number != number {
        return Err(format!("it is of journal {}, format {version}", sealed.number));
    }
    let start = rest.get_u64();
    sealed.batches = rest.get_u64();
    let Sealed { end, first_sequence, next_sequence, batches, .. } = sealed;
    check_numbers(&[number, end, first_sequence, next_sequence, batches, start], "index")?;
    let index = Index { sealed, directory: Vec::new() };
    Ok((index, start, rest.get_u32(), rest.get_u32()))
}

/// Reads one list of batches, block by block.
pub(crate) struct List<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) id: PartitionId,
    pub(crate) summary: Summary,
}

/// Why a block could not be read.
pub(crate) enum ListError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> Self {
        // A list that leads behind the end of the file is a damaged or foreign index.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Damaged("the index is too short".into())
        } else {
            Self::Io(error)
        }
    }
}

impl List<'_> {
    pub(crate) fn blocks(&self) -> usize {
        (self.summary.count as usize).div_ceil(BLOCK_ENTRIES)
    }

    /// The entries of a block, and the largest timestamp of the list up to its end.
    pub(crate) fn block(&self, block: usize) -> Result<(Vec<BatchEntry>, Timestamp), ListError> {
        let before = block * BLOCK_ENTRIES;
        let count = (self.summary.count as usize - before).min(BLOCK_ENTRIES);
        let skipped = before * UNIT + block * TRAILER_BYTES;
        let mut bytes = vec![0; count * UNIT + TRAILER_BYTES];
        self.file.read_exact_at(&mut bytes, self.summary.list + skipped as u64)?;
        let (entries, mut trailer) = bytes.split_at(count * UNIT);
        let max_timestamp = Timestamp::from_millis(trailer.get_i64());
        let stated = trailer.get_u32();
        if block_crc(self.id, block, &bytes[..count * UNIT + 8]) != stated {
            return Err(ListError::Damaged("a list of batches has a wrong CRC".into()));
        }
        let entries: Vec<_> = entries
            .chunks_exact(UNIT)
            .map(|bytes| decode_entry(bytes, self.summary.journal))
            .collect::<Result<_, _>>()
            .map_err(ListError::Damaged)?;
        self.check(&entries).map_err(ListError::Damaged)?;
        Ok((entries, max_timestamp))
    }

    /// Checks that batches fit the line of the directory, which fits the file: what they state is
    /// reserved to read them.
    fn check(&self, entries: &[BatchEntry]) -> Result<(), String> {
        let Summary { base, last, bytes, .. } = self.summary;
        let mut next = base;
        for entry in entries {
            let (from, to) = (entry.base_offset, entry.last_offset);
            if from < next || to < from || to > last {
                return Err(format!("a list has offsets {from} to {to} between {next} and {last}"));
            }
            let length = u64::from(entry.length);
            let placed = entry.position.checked_add(length).is_some();
            if length < HEADER_BYTES as u64 || length > bytes || !placed {
                let position = entry.position;
                return Err(format!("a list has a batch of {length} bytes at byte {position}"));
            }
            next = entry.next_offset();
        }
        Ok(())
    }

    /// The first block of which `reached` says so, where it says so of all later ones as well.
    pub(crate) fn first_block(
        &self,
        reached: impl Fn(&[BatchEntry], Timestamp) -> bool,
    ) -> Result<usize, ListError> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (entries, max_timestamp) = self.block(middle)?;
            if reached(&entries, max_timestamp) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

/// Covers the partition too: a block that is read at a wrong place is found.
fn block_crc(id: PartitionId, block: usize, bytes: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(id.topic.0.as_bytes());
    digest.update(&id.partition.get().to_be_bytes());
    digest.update(&(block as u64).to_be_bytes());
    digest.update(bytes);
    u32::try_from(digest.finalize()).expect("a 32-bit checksum")
}

fn encode_entry(out: &mut Vec<u8>, entry: &BatchEntry) {
    let start = out.len();
    out.put_i64(entry.base_offset.get());
    out.put_i64(entry.last_offset.get());
    out.put_u64(entry.position);
    out.put_i64(entry.max_timestamp.as_millis());
    out.put_i64(entry.appended_at.as_millis());
    out.put_i64(entry.producer_id);
    out.put_u32(entry.length);
    out.put_i32(entry.base_sequence);
    out.put_i16(entry.producer_epoch);
    out.put_i16(entry.attributes);
    out.put_u32(entry.crc);
    debug_assert_eq!(out.len() - start, UNIT);
}

fn decode_entry(mut bytes: &[u8], journal: u64) -> Result<BatchEntry, String> {
    let (base, last) = (Offset::new(bytes.get_i64()), Offset::new(bytes.get_i64()));
    let (Some(base_offset), Some(last_offset)) = (base, last) else {
        return Err("an offset is below zero".into());
    };
    let position = bytes.get_u64();
    let max_timestamp = Timestamp::from_millis(bytes.get_i64());
    let appended_at = Timestamp::from_millis(bytes.get_i64());
    Ok(BatchEntry {
        base_offset,
        last_offset,
        max_timestamp,
        appended_at,
        producer_id: bytes.get_i64(),
        length: bytes.get_u32(),
        base_sequence: bytes.get_i32(),
        producer_epoch: bytes.get_i16(),
        attributes: bytes.get_i16(),
        crc: bytes.get_u32(),
        journal,
        position,
    })
}

fn encode_summary(out: &mut Vec<u8>, id: PartitionId, summary: &Summary) {
    out.put_slice(id.topic.0.as_bytes());
    out.put_i32(id.partition.get());
    out.put_u32(summary.count);
    out.put_u64(summary.list);
    out.put_i64(summary.base.get());
    out.put_i64(summary.last.get());
    out.put_i64(summary.max_timestamp.as_millis());
    out.put_u64(summary.bytes | u64::from(summary.cleaned.code()) << CLEANED_SHIFT);
}

fn decode_summary(mut bytes: &[u8], journal: u64) -> Result<(PartitionId, Summary), String> {
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let partition = Partition::new(bytes.get_i32());
    let (count, list) = (bytes.get_u32(), bytes.get_u64());
    let (base, last) = (Offset::new(bytes.get_i64()), Offset::new(bytes.get_i64()));
    let max_timestamp = Timestamp::from_millis(bytes.get_i64());
    let flagged = bytes.get_u64();
    let (Some(partition), Some(base), Some(last)) = (partition, base, last) else {
        return Err("a partition or an offset is below zero".into());
    };
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    let cleaned = Cleaned::of_code((flagged >> CLEANED_SHIFT) as u32)?;
    let bytes = flagged & ((1 << CLEANED_SHIFT) - 1);
    Ok((id, Summary { journal, base, last, max_timestamp, list, count, bytes, cleaned }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn entry(number: u32) -> BatchEntry {
        let millis = i64::from(number ^ 1);
        BatchEntry {
            base_offset: Offset::ZERO.plus(number * 10),
            last_offset: Offset::ZERO.plus(number * 10 + 9),
            max_timestamp: Timestamp::from_millis(millis),
            appended_at: Timestamp::from_millis(7),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            length: 100 + number,
            attributes: 4,
            crc: number,
            journal: 5,
            position: u64::from(number) * 1000,
        }
    }

    fn id(topic: u128) -> PartitionId {
        PartitionId { topic: TopicId(Uuid::from_u128(topic)), partition: Partition::ZERO }
    }

    const SEALED: Sealed = Sealed {
        number: 5,
        salt: 1,
        end: 99_999,
        first_sequence: 2,
        next_sequence: 3,
        batches: 151,
    };

    fn write(disk: &SimDisk) -> Vec<BatchEntry> {
        let entries: Vec<_> = (0..150).map(entry).collect();
        let mut builder = IndexBuilder::default();
        builder.add(id(1), &entries[..1]);
        builder.add(id(2), &[]);
        builder.add(id(3), &entries);
        let written = builder.write(disk, &SEALED).unwrap();
        let index = Index::read(disk, 5).unwrap().unwrap();
        assert_eq!(index.sealed, SEALED);
        assert_eq!(index.directory, written);
        entries
    }

    #[test]
    fn lists_are_read_by_offset_and_by_time() {
        let disk = SimDisk::new(1);
        let entries = write(&disk);
        let (id, summary) = Index::read(&disk, 5).unwrap().unwrap().directory[1];
        let file = disk.open(&index_path(5)).unwrap();
        let list = List { file: file.as_ref(), id, summary };
        let mut read = Vec::new();
        for block in 0..list.blocks() {
            read.extend(list.block(block).ok().unwrap().0);
        }
        assert_eq!(read, entries);
        let by_offset =
            list.first_block(|entries, _| entries.last().unwrap().last_offset.get() >= 640);
        assert_eq!(by_offset.ok(), Some(1));
        let by_time = list.first_block(|_, max| max.as_millis() >= 149);
        assert_eq!(by_time.ok(), Some(2));
        assert_eq!(list.first_block(|_, max| max.as_millis() >= 150).ok(), Some(3));
    }

    #[test]
    fn no_flipped_bit_of_an_index_is_believed() {
        let disk = SimDisk::new(1);
        write(&disk);
        let length = disk.open(&index_path(5)).unwrap().len().unwrap();
        for at in (0..length).step_by(7).chain(length - 144..length) {
            disk.flip_bit(&index_path(5), at, 3).unwrap();
            let file = disk.open(&index_path(5)).unwrap();
            let sound = Index::read(&disk, 5).unwrap().is_ok_and(|index| {
                index.directory.iter().all(|&(id, summary)| {
                    let list = List { file: file.as_ref(), id, summary };
                    (0..list.blocks()).all(|block| list.block(block).is_ok())
                })
            });
            // The zeros behind a block's CRC mean nothing.
            let zeros =
                |list: u64, entries: u64| (list + entries * 64 + 12)..(list + entries * 64 + 16);
            let spare = [zeros(0, 1), zeros(80, 64), zeros(80 + 4112, 64), zeros(80 + 8224, 22)];
            if !spare.iter().any(|range| range.contains(&at)) {
                assert!(!sound, "byte {at}");
            }
            disk.flip_bit(&index_path(5), at, 3).unwrap();
        }
    }

    /// What is said of an index whose checksums fit, of two partitions that answer for `covered`.
    fn refused(topics: [u128; 2], sealed: &Sealed, covered: Coverage) -> String {
        let disk = SimDisk::new(1);
        let mut builder = IndexBuilder::default();
        for topic in topics {
            builder.add_covering(id(topic), 5, covered, &[entry(1)]);
        }
        builder.write(&disk, sealed).unwrap();
        Index::read(&disk, 5).unwrap().err().unwrap_or_default()
    }

    #[test]
    fn an_index_that_contradicts_itself_is_not_believed() {
        let sealed = Sealed { batches: 2, ..SEALED };
        let at = |base, last| {
            let (base, last) = (Offset::new(base).unwrap(), Offset::new(last).unwrap());
            Coverage { base, last, cleaned: Cleaned::No }
        };
        let sound = at(10, 19);
        assert_eq!(refused([1, 2], &sealed, sound), "");
        let reason = refused([1, 2], &sealed, at(19, 10));
        assert!(reason.contains("offsets 19 to 10"), "{reason}");
        let reason = refused([1, 2], &sealed, at(10, i64::MAX));
        assert!(reason.contains("offsets 10 to"), "{reason}");
        let reason = refused([1, 1], &sealed, sound);
        assert!(reason.contains("order"), "{reason}");
        let reason = refused([1, 2], &Sealed { batches: 3, ..sealed }, sound);
        assert!(reason.contains("2 batches, not 3"), "{reason}");
        let reason = refused([1, 2], &Sealed { end: 200, ..sealed }, sound);
        assert!(reason.contains("202 bytes"), "{reason}");
    }

    #[test]
    fn a_list_that_leads_nowhere_is_not_followed() {
        let disk = SimDisk::new(1);
        let bad = |change: fn(&mut BatchEntry)| {
            let mut entries = [entry(1), entry(2)];
            change(&mut entries[1]);
            let mut builder = IndexBuilder::default();
            let last = entry(2).last_offset;
            let covered = Coverage { base: entry(1).base_offset, last, cleaned: Cleaned::No };
            builder.add_covering(id(1), 5, covered, &entries);
            let sealed = Sealed { batches: 2, end: u64::MAX, ..SEALED };
            let (id, mut summary) = builder.write(&disk, &sealed).unwrap()[0];
            summary.bytes = 203;
            let file = disk.open(&index_path(5)).unwrap();
            List { file: file.as_ref(), id, summary }.block(0).is_err()
        };
        assert!(!bad(|_| {}));
        assert!(bad(|entry| entry.length = 204));
        assert!(bad(|entry| entry.length = 60));
        assert!(bad(|entry| entry.position = u64::MAX - 100));
        assert!(bad(|entry| entry.base_offset = Offset::ZERO));
        assert!(bad(|entry| entry.base_offset = entry.last_offset.next()));
        assert!(bad(|entry| entry.last_offset = entry.last_offset.next()));
    }
}
