//! Walks the groups of a journal file, and tells a torn end from damage.

use std::io;

use super::format::{FileHeader, GroupHeader, UNIT, UNIT_U64, decode_entries};
use crate::disk::DiskFile;
use crate::entry::{BatchEntry, PartitionId};

/// How much is read in one piece: of batches to check, and of a tail to search.
const CHUNK_BYTES: usize = 4 << 20;

/// A group as it stands in the file.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) header: GroupHeader,
    pub(crate) position: u64,
    pub(crate) entries: Vec<(PartitionId, BatchEntry)>,
}

impl Group {
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.length
    }
}

/// What is found where a group may begin.
#[derive(Debug)]
pub(crate) enum Found {
    Group(Group),
    /// Nothing but the end of the file, or a place that nothing was written to.
    End,
    /// Something else, for this reason.
    Invalid(String),
}

/// What follows an invalid group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// A valid group of this sequence: the file was damaged after it was written.
    Group { sequence: u64, position: u64 },
    /// No valid group; the last byte that is not zero is before `written_until`.
    Nothing { written_until: u64 },
}

/// A journal file that is read group by group.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    header: FileHeader,
    length: u64,
    position: u64,
    sequence: u64,
    check_batches: bool,
}

impl<'a> Scan<'a> {
    /// From the first group on; with `check_batches` the batches themselves are read as well.
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        header: FileHeader,
        check_batches: bool,
    ) -> io::Result<Self> {
        let length = file.len()?;
        let sequence = header.first_sequence;
        Ok(Self { file, header, length, position: UNIT_U64, sequence, check_batches })
    }

    /// Goes on at a group that is known to stand at `position`.
    pub(crate) fn skip_to(&mut self, position: u64, sequence: u64) {
        (self.position, self.sequence) = (position, sequence);
    }

    /// Where the next group begins, or should.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The sequence of the next group.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Reads the group at the present position, and steps behind it.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let found = self.group_at(self.position)?;
        let Found::Group(group) = &found else {
            return Ok(found);
        };
        if group.header.sequence != self.sequence {
            let came = group.header.sequence;
            return Ok(Found::Invalid(format!("group {} was expected, not {came}", self.sequence)));
        }
        if self.check_batches
            && let Err(reason) = self.check(group)?
        {
            return Ok(Found::Invalid(reason));
        }
        self.position = group.end();
        self.sequence += 1;
        Ok(found)
    }

    /// Looks behind an invalid group for a valid one. Only a group that was flushed is followed
    /// by another, so a valid one behind proves that what is invalid was once durable.
    pub(crate) fn after(&self) -> io::Result<After> {
        let mut written_until = self.position;
        let mut at = self.position;
        let mut chunk = vec![0; CHUNK_BYTES];
        while at < self.length {
            let count = usize::try_from(self.length - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let bytes = &mut chunk[..count];
            self.file.read_exact_at(bytes, at)?;
            for (index, unit) in bytes.chunks(UNIT).enumerate() {
                let Some(last) = unit.iter().rposition(|&byte| byte != 0) else {
                    continue;
                };
                let position = at + (index * UNIT) as u64;
                written_until = position + last as u64 + 1;
                let least = self.sequence + u64::from(position == self.position);
                if let Found::Group(group) = self.group_at(position)?
                    && group.header.sequence >= least
                {
                    return Ok(After::Group { sequence: group.header.sequence, position });
                }
            }
            at += count as u64;
        }
        Ok(After::Nothing { written_until })
    }

    /// Header and entries at `position`, checked but for the sequence.
    fn group_at(&self, position: u64) -> io::Result<Found> {
        let room = self.length.saturating_sub(position);
        if room == 0 {
            return Ok(Found::End);
        }
        if room < UNIT_U64 {
            return Ok(Found::Invalid("the file ends within a group header".into()));
        }
        let mut fixed = [0; UNIT];
        self.file.read_exact_at(&mut fixed, position)?;
        if fixed == [0; UNIT] {
            return Ok(Found::End);
        }
        let header = match GroupHeader::decode(&fixed, room) {
            Ok(header) if header.salt == self.header.salt => header,
            Ok(_) => return Ok(Found::Invalid("the group belongs to another file".into())),
            Err(reason) => return Ok(Found::Invalid(reason)),
        };
        let mut front = vec![0; header.front_bytes()];
        self.file.read_exact_at(&mut front, position)?;
        Ok(match decode_entries(&header, &front, (self.header.number, position)) {
            Ok(entries) => Found::Group(Group { header, position, entries }),
            Err(reason) => Found::Invalid(reason),
        })
    }

    /// Reads the batches of a group and checks each.
    fn check(&self, group: &Group) -> io::Result<Result<(), String>> {
        let mut buffer = Vec::new();
        let mut rest = &group.entries[..];
        while let Some((_, first)) = rest.first() {
            let fits = |(_, entry): &&(PartitionId, BatchEntry)| {
                entry.end_position() - first.position <= CHUNK_BYTES as u64
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (some, others) = rest.split_at(count);
            let bytes: usize = some.iter().map(|(_, entry)| entry.length as usize).sum();
            buffer.resize(bytes, 0);
            self.file.read_exact_at(&mut buffer, first.position)?;
            let mut unread = &buffer[..];
            for (id, entry) in some {
                let (batch, behind) = unread.split_at(entry.length as usize);
                unread = behind;
                if let Err(reason) = entry.check(batch) {
                    let PartitionId { topic, partition } = id;
                    let (first, last) = (entry.base_offset, entry.last_offset);
                    return Ok(Err(format!(
                        "the batch of topic {topic}, partition {partition}, offsets {first} to \
                         {last} is not what was written: {reason}"
                    )));
                }
            }
            rest = others;
        }
        Ok(Ok(()))
    }
}
