//! The seal of a sealed journal: where the chains of all partitions stood before and after it.
//!
//! Evidence and never needed to open the log. `docs/formats/journal.md` has its bytes. It is a
//! pure function of the journal and of the seal before.

use std::io;

use bytes::{Buf, BufMut};
use factum_event::batch::crc32c;
use factum_event::{Offset, Partition, TopicId};
use uuid::Uuid;

use super::format::{FORMAT_VERSION, check_crc};
use super::index::Sealed;
use super::{DIRECTORY, seal_path};
use crate::chain::{CHAIN_HASH_BYTES, ChainHash};
use crate::disk::{Disk, write_whole};
use crate::entry::PartitionId;

const MAGIC: [u8; 8] = *b"FACTUMSL";
const HEADER_BYTES: usize = 128;
const LINE_BYTES: usize = 112;
const TAG_BYTES: usize = 8;

/// The largest seal that is read: 100 million batches in one journal.
const MAX_BYTES: u64 = 1 << 30;

/// What a seal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The number of the journal.
    pub(crate) number: u64,
    /// Its salt.
    pub(crate) salt: u64,
    /// The byte after its last group.
    pub(crate) end: u64,
    pub(crate) first_sequence: u64,
    pub(crate) next_sequence: u64,
    /// The seal before: its number and its hash; none for the first.
    pub(crate) previous: Option<(u64, ChainHash)>,
    /// By topic id and partition: those that the journal has, and all that were known before.
    pub(crate) lines: Vec<Line>,
}

/// A partition in a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: PartitionId,
    /// The offset of the first batch in the journal; where there is none, the next to come.
    pub(crate) first: Offset,
    /// The offset after the last batch.
    pub(crate) next: Offset,
    /// The chain before the first batch.
    pub(crate) before: ChainHash,
    /// The chain after the last batch.
    pub(crate) after: ChainHash,
    /// The front of the chain's value after each batch.
    pub(crate) tags: Vec<u64>,
}

impl Seal {
    pub(crate) fn new(
        sealed: &Sealed,
        previous: Option<(u64, ChainHash)>,
        lines: Vec<Line>,
    ) -> Self {
        let &Sealed { number, salt, end, first_sequence, next_sequence, .. } = sealed;
        Self { number, salt, end, first_sequence, next_sequence, previous, lines }
    }

    /// Writes it, durably, and answers its hash.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<ChainHash> {
        let bytes = self.encode();
        write_whole(disk, DIRECTORY, &seal_path(self.number), &bytes, true)?;
        Ok(ChainHash::of(&bytes))
    }

    /// Reads it with its hash; the inner error says why there is no sound one.
    pub(crate) fn read(
        disk: &dyn Disk,
        number: u64,
    ) -> io::Result<Result<(Self, ChainHash), String>> {
        let file = disk.open(&seal_path(number))?;
        let length = file.len()?;
        if length > MAX_BYTES {
            return Ok(Err(format!("a seal of {length} bytes is too long")));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::decode(&bytes, number).map(|seal| (seal, ChainHash::of(&bytes))))
    }

    fn encode(&self) -> Vec<u8> {
        let (previous, hash) = self
            .previous
            .map_or((0, [0; CHAIN_HASH_BYTES]), |(number, hash)| (number, *hash.as_bytes()));
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(0);
        bytes.put_u32(FORMAT_VERSION);
        for number in [self.number, self.salt, self.end, self.first_sequence, self.next_sequence] {
            bytes.put_u64(number);
        }
        bytes.put_u64(previous);
        bytes.put_slice(&hash);
        bytes.put_u32(u32::try_from(self.lines.len()).unwrap_or(u32::MAX));
        bytes.resize(HEADER_BYTES, 0);
        for line in &self.lines {
            bytes.put_slice(line.id.topic.0.as_bytes());
            bytes.put_i32(line.id.partition.get());
            bytes.put_u32(u32::try_from(line.tags.len()).unwrap_or(u32::MAX));
            bytes.put_i64(line.first.get());
            bytes.put_i64(line.next.get());
            bytes.put_slice(line.before.as_bytes());
            bytes.put_slice(line.after.as_bytes());
            bytes.put_u64(0);
        }
        for tag in self.lines.iter().flat_map(|line| &line.tags) {
            bytes.put_u64(*tag);
        }
        let crc = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8], number: u64) -> Result<Self, String> {
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err("it does not begin as a seal".into());
        }
        let mut rest = &bytes[8..];
        check_crc(rest.get_u32(), &bytes[12..], "seal")?;
        let version = rest.get_u32();
        let came = rest.get_u64();
        if version != FORMAT_VERSION || came != number {
            return Err(format!("it is of journal {came}, format {version}"));
        }
        let mut seal = Self {
            number,
            salt: rest.get_u64(),
            end: rest.get_u64(),
            first_sequence: rest.get_u64(),
            next_sequence: rest.get_u64(),
            previous: None,
            lines: Vec::new(),
        };
        let previous = rest.get_u64();
        let hash = take_hash(&mut rest);
        seal.previous = (previous > 0).then_some((previous, hash));
        let count = rest.get_u32() as usize;
        let (mut lines, mut tags) = bytes[HEADER_BYTES..]
            .split_at_checked(count.saturating_mul(LINE_BYTES))
            .ok_or("it is shorter than its lines")?;
        while lines.has_remaining() {
            seal.lines.push(decode_line(&mut lines, &mut tags)?);
        }
        if !tags.is_empty() || !seal.lines.is_sorted_by(|a, b| a.id < b.id) {
            return Err("its lines and its length do not agree".into());
        }
        Ok(seal)
    }
}

fn decode_line(rest: &mut &[u8], tags: &mut &[u8]) -> Result<Line, String> {
    let mut topic = [0; 16];
    rest.copy_to_slice(&mut topic);
    let partition = Partition::new(rest.get_i32());
    let count = rest.get_u32() as usize;
    let (first, next) = (Offset::new(rest.get_i64()), Offset::new(rest.get_i64()));
    let (before, after) = (take_hash(rest), take_hash(rest));
    rest.advance(8);
    let (Some(partition), Some(first), Some(next)) = (partition, first, next) else {
        return Err("a partition or an offset is below zero".into());
    };
    let (own, others) = tags
        .split_at_checked(count.saturating_mul(TAG_BYTES))
        .ok_or("it is shorter than stated")?;
    *tags = others;
    let tags = own.chunks_exact(TAG_BYTES).map(|mut tag| tag.get_u64()).collect();
    let id = PartitionId { topic: TopicId(Uuid::from_bytes(topic)), partition };
    Ok(Line { id, first, next, before, after, tags })
}

fn take_hash(rest: &mut &[u8]) -> ChainHash {
    let mut hash = [0; CHAIN_HASH_BYTES];
    rest.copy_to_slice(&mut hash);
    ChainHash::from_bytes(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(partition: i32, tags: Vec<u64>) -> Line {
        let partition = Partition::new(partition).unwrap();
        let id = PartitionId { topic: TopicId(Uuid::from_u128(7)), partition };
        let (first, next) = (Offset::ZERO.plus(3), Offset::ZERO.plus(9));
        let (before, after) = (ChainHash::begin(id), ChainHash::of(b"x"));
        Line { id, first, next, before, after, tags }
    }

    fn seal() -> Seal {
        Seal {
            number: 5,
            salt: 6,
            end: 700,
            first_sequence: 8,
            next_sequence: 11,
            previous: Some((4, ChainHash::of(b"y"))),
            lines: vec![line(0, vec![1, 2, 3]), line(1, vec![]), line(4, vec![9])],
        }
    }

    #[test]
    fn a_seal_is_read_as_it_was_written() {
        assert_eq!(Seal::decode(&seal().encode(), 5), Ok(seal()));
        let first = Seal { previous: None, lines: Vec::new(), ..seal() };
        assert_eq!(Seal::decode(&first.encode(), 5), Ok(first));
        assert!(Seal::decode(&seal().encode(), 6).unwrap_err().contains("journal 5"));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_lost_end_is_found(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = seal().encode();
            let at = at.index(bytes.len());
            prop_assert!(Seal::decode(&bytes[..at], 5).is_err());
            bytes[at] ^= 1 << bit;
            prop_assert!(Seal::decode(&bytes, 5).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 128..600)) {
            bytes[..8].copy_from_slice(&MAGIC);
            let crc = crc32c(&bytes[12..]);
            bytes[8..12].copy_from_slice(&crc.to_be_bytes());
            let _ = Seal::decode(&bytes, 5);
        }
    }
}
