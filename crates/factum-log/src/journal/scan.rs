//! Walks the groups of a journal file, and tells a torn end from damage.

use std::io;

use super::format::{FileHeader, GROUP_MAGIC, GroupHeader, UNIT, UNIT_U64, decode_entries};
use super::window::Window;
use crate::disk::{BLOCK_BYTES, DiskFile};
use crate::entry::{BatchEntry, PartitionId};

/// How much is read in one piece of a tail to search.
const CHUNK_BYTES: usize = 1 << 20;

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
    window: Window<'a>,
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
        let window = Window::new(file, length);
        Ok(Self { file, window, header, length, position: UNIT_U64, sequence, check_batches })
    }

    /// Reads no further than to `end`, where something else follows.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.length = self.length.min(end);
        self.window = Window::new(self.file, self.length);
        self
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
        let found = self.group_at(self.position, self.check_batches)?;
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
    pub(crate) fn after(&mut self) -> io::Result<After> {
        let mut written_until = self.position;
        let mut at = self.position;
        let mut chunk = vec![0; CHUNK_BYTES];
        while at < self.length {
            let count = usize::try_from(self.length - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let bytes = &mut chunk[..count];
            self.file.read_exact_at(bytes, at)?;
            for (block, bytes) in bytes.chunks(BLOCK_BYTES).enumerate() {
                let start = at + (block * BLOCK_BYTES) as u64;
                // Nearly everything is zeros, which are compared fast.
                let Some(last) = last_written(bytes) else {
                    continue;
                };
                written_until = start + last as u64 + 1;
                for (unit, _) in bytes
                    .chunks(UNIT)
                    .enumerate()
                    .filter(|(_, unit)| unit.starts_with(&GROUP_MAGIC))
                {
                    if let Some(found) = self.follower(start + (unit * UNIT) as u64)? {
                        return Ok(found);
                    }
                }
            }
            at += count as u64;
        }
        Ok(After::Nothing { written_until })
    }

    /// A valid group at `position` that can only follow the one that is missing.
    fn follower(&mut self, position: u64) -> io::Result<Option<After>> {
        let least = self.sequence + u64::from(position == self.position);
        Ok(match self.group_at(position, false)? {
            Found::Group(Group { header, .. }) if header.sequence >= least => {
                Some(After::Group { sequence: header.sequence, position })
            }
            _ => None,
        })
    }

    /// Header and entries at `position`, checked but for the sequence. With `follow` the batches
    /// behind are to be read next.
    fn group_at(&mut self, position: u64, follow: bool) -> io::Result<Found> {
        let room = self.length.saturating_sub(position);
        if room == 0 {
            return Ok(Found::End);
        }
        if room < UNIT_U64 {
            return Ok(Found::Invalid("the file ends within a group header".into()));
        }
        let mut fixed = [0; UNIT];
        fixed.copy_from_slice(self.window.bytes(position, UNIT, follow)?);
        if fixed == [0; UNIT] {
            return Ok(Found::End);
        }
        let header = match GroupHeader::decode(&fixed, room) {
            Ok(header) if header.salt == self.header.salt => header,
            Ok(_) => return Ok(Found::Invalid("the group belongs to another file".into())),
            Err(reason) => return Ok(Found::Invalid(reason)),
        };
        let front = self.window.bytes(position, header.front_bytes(), follow)?;
        Ok(match decode_entries(&header, front, (self.header.number, position)) {
            Ok(entries) => Found::Group(Group { header, position, entries }),
            Err(reason) => Found::Invalid(reason),
        })
    }

    /// Reads the batches of a group and checks each.
    fn check(&mut self, group: &Group) -> io::Result<Result<(), String>> {
        for (id, entry) in &group.entries {
            let batch = self.window.bytes(entry.position, entry.length as usize, true)?;
            if let Err(reason) = entry.check(batch) {
                let PartitionId { topic, partition } = id;
                let (first, last) = (entry.base_offset, entry.last_offset);
                return Ok(Err(format!(
                    "the batch of topic {topic}, partition {partition}, offsets {first} to {last} \
                     is not what was written: {reason}"
                )));
            }
        }
        Ok(Ok(()))
    }
}

/// Where the last byte is that is not zero, if there is one.
fn last_written(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    if bytes == &ZEROS[..bytes.len()] {
        return None;
    }
    bytes.iter().rposition(|&byte| byte != 0)
}
