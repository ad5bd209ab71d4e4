//! What stands for a journal that was removed because all its topics were.
//!
//! It says which groups the journal had, so that a hole in the numbers is explained, and which
//! topics were dead, so that what other journals still have of them is not missed.

use std::io;

use bytes::{Buf, BufMut};
use factum_event::TopicId;
use factum_event::batch::crc32c;
use uuid::Uuid;

use super::format::{FORMAT_VERSION, check_crc, check_numbers};
use super::{DIRECTORY, marker_path};
use crate::disk::{Disk, write_whole};

const MAGIC: [u8; 8] = *b"FACTUMRM";

/// A removed journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    /// The sequence of the first group after it.
    pub(crate) next_sequence: u64,
    /// The topics that were removed when the journal was.
    pub(crate) topics: Vec<TopicId>,
}

impl Marker {
    /// Writes it, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        write_whole(disk, DIRECTORY, &marker_path(self.number), &self.encode(), true)
    }

    pub(crate) fn read(disk: &dyn Disk, number: u64) -> io::Result<Result<Self, String>> {
        let file = disk.open(&marker_path(number))?;
        let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if length > MAX_BYTES {
            return Ok(Err(format!("a marker of {length} bytes is too long")));
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::decode(&bytes, number))
    }

    fn encode(&self) -> Vec<u8> {
        let mut covered = Vec::new();
        covered.put_u32(FORMAT_VERSION);
        covered.put_u64(self.number);
        covered.put_u64(self.first_sequence);
        covered.put_u64(self.next_sequence);
        for topic in &self.topics {
            covered.put_slice(topic.0.as_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(crc32c(&covered));
        bytes.extend_from_slice(&covered);
        bytes
    }

    fn decode(bytes: &[u8], number: u64) -> Result<Self, String> {
        if bytes.len() < FIXED_BYTES || bytes[..8] != MAGIC {
            return Err("it does not begin as the marker of a removed journal".into());
        }
        let mut rest = &bytes[8..];
        check_crc(rest.get_u32(), &bytes[12..], "marker")?;
        let version = rest.get_u32();
        let marker = Self {
            number: rest.get_u64(),
            first_sequence: rest.get_u64(),
            next_sequence: rest.get_u64(),
            topics: rest
                .chunks_exact(16)
                .map(|id| TopicId(Uuid::from_slice(id).unwrap_or_default()))
                .collect(),
        };
        if version != FORMAT_VERSION || marker.number != number {
            return Err(format!("it is of journal {}, format {version}", marker.number));
        }
        check_numbers(&[number, marker.first_sequence, marker.next_sequence], "marker")?;
        Ok(marker)
    }
}

const FIXED_BYTES: usize = 40;

/// A million topics; more would be refused when the log is opened.
const MAX_BYTES: usize = FIXED_BYTES + (16 << 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_marker_is_read_as_it_was_written_and_not_otherwise() {
        let disk = SimDisk::new(1);
        let topics = vec![TopicId(Uuid::from_u128(7)), TopicId(Uuid::from_u128(8))];
        let marker = Marker { number: 3, first_sequence: 10, next_sequence: 12, topics };
        marker.write(&disk).unwrap();
        assert_eq!(Marker::read(&disk, 3).unwrap(), Ok(marker));
        disk.flip_bit(&marker_path(3), 45, 2).unwrap();
        assert!(Marker::read(&disk, 3).unwrap().unwrap_err().contains("CRC"));
    }
}
