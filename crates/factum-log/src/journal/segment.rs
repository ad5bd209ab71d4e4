//! Segments: files that hold what is left of sealed journals, by partition.
//!
//! A segment has the groups of a journal, and behind them what it answers for: of each partition
//! the offsets from a first to a last one, whether or not a batch is left for all of them. It
//! takes the place of everything that older files have between these offsets. It is complete and
//! durable before it has its name; it is never changed.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use factum_event::batch::{Batch, crc32c};
use factum_event::{Offset, Partition, Timestamp, TopicId};
use uuid::Uuid;

use super::format::{
    FORMAT_VERSION, FileHeader, Layout, MAX_GROUP_BATCHES, UNIT, UNIT_U64, check_crc, encode_group,
    entry_of,
};
use super::index::{Cleaned, Coverage, IndexBuilder, Sealed, Summary};
use super::{DIRECTORY, journal_path};
use crate::disk::{Disk, DiskFile, NEW_SUFFIX, write_at};
use crate::entry::{BatchEntry, PartitionId};

const MAGIC: [u8; 8] = *b"FACTUMSC";

/// A group of a segment is written when it has this many bytes of batches.
const GROUP_BYTES: usize = 1 << 20;

/// Partitions that one segment may answer for: bounds what is read of a footer.
const MAX_PARTITIONS: usize = 1 << 24;

/// Writes one segment.
pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    header: FileHeader,
    file: Arc<dyn DiskFile>,
    position: u64,
    sequence: u64,
    index: IndexBuilder,
    coverage: Vec<(PartitionId, Coverage)>,
    batches: u64,
    /// Of the present partition.
    entries: Vec<BatchEntry>,
    group: Vec<(Batch, BatchEntry)>,
    group_bytes: usize,
    finished: bool,
}

impl SegmentWriter {
    /// Begins a segment under a temporary name.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        number: u64,
        created_at: Timestamp,
    ) -> io::Result<Self> {
        let header = FileHeader { number, salt: disk.random(), first_sequence: 1, created_at };
        let file = disk.create(&temporary(number))?;
        write_at(file.as_ref(), &header.encode(), 0)?;
        Ok(Self {
            disk,
            header,
            file,
            position: UNIT_U64,
            sequence: 1,
            index: IndexBuilder::default(),
            coverage: Vec::new(),
            batches: 0,
            entries: Vec::new(),
            group: Vec::new(),
            group_bytes: 0,
            finished: false,
        })
    }

    /// Begins the next partition; partitions come in the order of their ids, each once.
    pub(crate) fn begin(&mut self, id: PartitionId, covered: Coverage) -> io::Result<()> {
        self.end_partition()?;
        self.coverage.push((id, covered));
        Ok(())
    }

    /// Says whether compaction has been over all of the present partition.
    pub(crate) fn mark(&mut self, cleaned: Cleaned) {
        if let Some((_, covered)) = self.coverage.last_mut() {
            covered.cleaned = cleaned;
        }
    }

    /// Adds the next batch of the partition, at the offset that its bytes say.
    pub(crate) fn push(&mut self, batch: Batch, appended_at: Timestamp) -> io::Result<()> {
        let full = self.group.len() == MAX_GROUP_BATCHES
            || self.group_bytes + batch.len() > GROUP_BYTES
            // A group has one time at which the log took it.
            || self.group.last().is_some_and(|(_, entry)| entry.appended_at != appended_at);
        if full {
            self.write_group()?;
        }
        let base = Offset::new(batch.header().base_offset)
            .ok_or_else(|| io::Error::other("a batch has an offset below zero"))?;
        let entry = entry_of(&batch, base, appended_at, (self.header.number, 0));
        self.group_bytes += batch.len();
        self.group.push((batch, entry));
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        let (Some((id, _)), Some((_, first))) = (self.coverage.last(), self.group.first()) else {
            return Ok(());
        };
        let (id, appended_at) = (*id, first.appended_at);
        let layout = Layout::of(self.group.len(), self.group_bytes);
        let mut at = self.position + layout.front;
        for (_, entry) in &mut self.group {
            entry.position = at;
            at = entry.end_position();
        }
        let stamp = (self.sequence, self.header.salt, appended_at);
        let mut front = Vec::new();
        let entries = self.group.iter().map(|(_, entry)| (id, *entry));
        encode_group(&mut front, &layout, stamp, entries);
        let batches: Vec<Bytes> = self
            .group
            .iter()
            .map(|(batch, entry)| batch.at(entry.base_offset).bytes().clone())
            .collect();
        let zeros = [0; UNIT];
        let mut buffers = Vec::with_capacity(batches.len() + 2);
        buffers.push(io::IoSlice::new(&front));
        buffers.extend(batches.iter().map(|bytes| io::IoSlice::new(bytes)));
        buffers.push(io::IoSlice::new(&zeros[..layout.padding]));
        self.file.write_all_at(&mut buffers, self.position)?;
        self.position += layout.length;
        self.sequence += 1;
        self.batches += self.group.len() as u64;
        self.entries.extend(self.group.drain(..).map(|(_, entry)| entry));
        self.group_bytes = 0;
        Ok(())
    }

    fn end_partition(&mut self) -> io::Result<()> {
        self.write_group()?;
        if let Some((id, covered)) = self.coverage.last() {
            self.index.add_covering(*id, self.header.number, *covered, &self.entries);
            self.entries.clear();
        }
        Ok(())
    }

    /// Makes the segment durable under its name, and answers what it has, with its index.
    pub(crate) fn finish(mut self) -> io::Result<(Sealed, Vec<(PartitionId, Summary)>)> {
        self.end_partition()?;
        let number = self.header.number;
        let sealed = Sealed {
            number,
            salt: self.header.salt,
            end: self.position,
            first_sequence: 1,
            next_sequence: self.sequence,
            batches: self.batches,
        };
        write_at(self.file.as_ref(), &encode_tail(&sealed, &self.coverage), sealed.end)?;
        self.file.sync_data()?;
        self.disk.rename(&temporary(number), &journal_path(number))?;
        self.finished = true;
        self.disk.sync_dir(DIRECTORY)?;
        let index = std::mem::take(&mut self.index);
        let directory = index.write(self.disk.as_ref(), &sealed)?;
        Ok((sealed, directory))
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            // On a full disk its room is needed; what remains is removed when the log is opened.
            let _ = self.disk.remove(&temporary(self.header.number));
        }
    }
}

fn temporary(number: u64) -> String {
    format!("{}{NEW_SUFFIX}", journal_path(number))
}

/// What stands behind the groups of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentTail {
    pub(crate) sealed: Sealed,
    pub(crate) coverage: Vec<(PartitionId, Coverage)>,
}

fn encode_tail(sealed: &Sealed, coverage: &[(PartitionId, Coverage)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((coverage.len() + 1) * UNIT);
    for (id, covered) in coverage {
        bytes.put_slice(id.topic.0.as_bytes());
        bytes.put_i32(id.partition.get());
        bytes.put_u32(covered.cleaned.code());
        bytes.put_i64(covered.base.get());
        bytes.put_i64(covered.last.get());
        bytes.resize(bytes.len().next_multiple_of(UNIT), 0);
    }
    let lines_crc = crc32c(&bytes);
    let mut footer = Vec::with_capacity(UNIT - 12);
    footer.put_u32(FORMAT_VERSION);
    for number in [sealed.number, sealed.salt, sealed.end, sealed.next_sequence, sealed.batches] {
        footer.put_u64(number);
    }
    footer.put_u32(u32::try_from(coverage.len()).unwrap_or(u32::MAX));
    footer.put_u32(lines_crc);
    bytes.put_slice(&MAGIC);
    bytes.put_u32(crc32c(&footer));
    bytes.put_slice(&footer);
    bytes
}

/// Reads what stands behind the groups of a segment; the inner result says what is wrong.
pub(crate) fn read_tail(
    file: &dyn DiskFile,
    header: &FileHeader,
) -> io::Result<Result<SegmentTail, String>> {
    let length = file.len()?;
    let Some(footer_at) = length.checked_sub(UNIT_U64).filter(|at| *at >= UNIT_U64) else {
        return Ok(Err("it is too short for a segment".into()));
    };
    let mut footer = [0; UNIT];
    file.read_exact_at(&mut footer, footer_at)?;
    let (sealed, count, crc) = match decode_footer(&footer, header) {
        Ok(read) => read,
        Err(reason) => return Ok(Err(reason)),
    };
    if sealed.end.checked_add(count as u64 * UNIT_U64) != Some(footer_at) {
        return Ok(Err("what it answers for has another length than stated".into()));
    }
    let mut lines = vec![0; count * UNIT];
    file.read_exact_at(&mut lines, sealed.end)?;
    Ok(check_crc(crc, &lines, "list of partitions").and_then(|()| {
        let coverage = lines.chunks_exact(UNIT).map(decode_line).collect::<Result<_, _>>()?;
        Ok(SegmentTail { sealed, coverage })
    }))
}

fn decode_footer(footer: &[u8; UNIT], header: &FileHeader) -> Result<(Sealed, usize, u32), String> {
    if footer[..8] != MAGIC {
        return Err("it does not end as a segment".into());
    }
    let mut rest = &footer[8..];
    check_crc(rest.get_u32(), &footer[12..], "end of the segment")?;
    let version = rest.get_u32();
    let (number, salt) = (rest.get_u64(), rest.get_u64());
    if version != FORMAT_VERSION || number != header.number || salt != header.salt {
        return Err(format!("its end is of segment {number}, format {version}"));
    }
    let (end, next_sequence, batches) = (rest.get_u64(), rest.get_u64(), rest.get_u64());
    let (count, crc) = (rest.get_u32() as usize, rest.get_u32());
    if count > MAX_PARTITIONS {
        return Err(format!("it answers for {count} partitions"));
    }
    let first_sequence = header.first_sequence;
    Ok((Sealed { number, salt, end, first_sequence, next_sequence, batches }, count, crc))
}

fn decode_line(mut bytes: &[u8]) -> Result<(PartitionId, Coverage), String> {
    let mut topic = [0; 16];
    bytes.copy_to_slice(&mut topic);
    let partition = Partition::new(bytes.get_i32());
    let cleaned = Cleaned::of_code(bytes.get_u32())?;
    let (base, last) = (Offset::new(bytes.get_i64()), Offset::new(bytes.get_i64()));
    let (Some(partition), Some(base), Some(last)) = (partition, base, last) else {
        return Err("a partition or an offset is below zero".into());
    };
    if base > last {
        return Err(format!("it answers for offsets {base} to {last}"));
    }
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    Ok((id, Coverage { base, last, cleaned }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::journal::file::read_header;
    use crate::journal::index::Index;
    use crate::journal::scan::{Found, Scan};
    use crate::journal::{FIRST_SEGMENT, index_path};

    fn batch(base: i64) -> Batch {
        let mut bytes = [0; 61];
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
        bytes[16] = 2;
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::parse(Bytes::copy_from_slice(&bytes)).unwrap()
    }

    fn id(partition: i32) -> PartitionId {
        let topic = TopicId(Uuid::from_u128(7));
        PartitionId { topic, partition: Partition::new(partition).unwrap() }
    }

    fn covered(base: i64, last: i64, cleaned: bool) -> Coverage {
        let cleaned = if cleaned { Cleaned::Wholly } else { Cleaned::No };
        Coverage { base: Offset::new(base).unwrap(), last: Offset::new(last).unwrap(), cleaned }
    }

    fn write(disk: &SimDisk) -> (Sealed, Vec<(PartitionId, Summary)>) {
        let at = Timestamp::from_millis;
        let mut segment =
            SegmentWriter::create(Arc::new(disk.clone()), FIRST_SEGMENT, at(1)).unwrap();
        segment.begin(id(0), covered(0, 9, true)).unwrap();
        segment.push(batch(3), at(5)).unwrap();
        segment.push(batch(7), at(6)).unwrap();
        segment.begin(id(1), covered(4, 4, false)).unwrap();
        segment.begin(id(2), covered(0, 0, false)).unwrap();
        segment.push(batch(0), at(6)).unwrap();
        segment.finish().unwrap()
    }

    #[test]
    fn a_segment_says_what_it_has_and_what_it_answers_for() {
        let disk = SimDisk::new(1);
        let (sealed, directory) = write(&disk);
        let file = disk.open(&journal_path(FIRST_SEGMENT)).unwrap();
        let header = read_header(file.as_ref(), FIRST_SEGMENT).unwrap().unwrap();
        let tail = read_tail(file.as_ref(), &header).unwrap().unwrap();
        assert_eq!(tail.sealed, sealed);
        assert_eq!(tail.coverage[0], (id(0), covered(0, 9, true)));
        assert_eq!(tail.coverage[1], (id(1), covered(4, 4, false)));
        assert_eq!(Index::read(&disk, FIRST_SEGMENT).unwrap().unwrap().directory, directory);
        let counts: Vec<_> = directory.iter().map(|(_, s)| (s.count, s.bytes)).collect();
        assert_eq!(counts, [(2, 122), (0, 0), (1, 61)]);
        let mut scan = Scan::new(file.as_ref(), header, true).unwrap().until(sealed.end);
        let mut found = Vec::new();
        while let Found::Group(group) = scan.next().unwrap() {
            found.extend(
                group.entries.iter().map(|(_, e)| (e.base_offset.get(), e.appended_at.as_millis())),
            );
        }
        assert_eq!(found, [(3, 5), (7, 6), (0, 6)]);
        assert_eq!(scan.position(), sealed.end);
    }

    #[test]
    fn no_flipped_bit_of_its_end_is_believed() {
        let disk = SimDisk::new(1);
        let (sealed, _) = write(&disk);
        let path = journal_path(FIRST_SEGMENT);
        let length = disk.open(&path).unwrap().len().unwrap();
        for at in sealed.end..length {
            disk.flip_bit(&path, at, 3).unwrap();
            let file = disk.open(&path).unwrap();
            let header = read_header(file.as_ref(), FIRST_SEGMENT).unwrap().unwrap();
            assert!(read_tail(file.as_ref(), &header).unwrap().is_err(), "byte {at}");
            disk.flip_bit(&path, at, 3).unwrap();
        }
    }

    #[test]
    fn a_segment_that_was_not_finished_has_no_name() {
        let disk = SimDisk::new(1);
        drop(SegmentWriter::create(
            Arc::new(disk.clone()),
            FIRST_SEGMENT,
            Timestamp::from_millis(1),
        ));
        assert!(disk.open(&journal_path(FIRST_SEGMENT)).is_err());
        assert!(disk.open(&index_path(FIRST_SEGMENT)).is_err());
    }
}
