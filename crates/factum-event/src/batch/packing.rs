//! Whether what follows a batch's header can be the records that it states, without unpacking it.
//!
//! Who only says that it packs, or states another number of records than follow, writes what no
//! reader can read: it is told so while it can still do something about it. This costs a step for
//! each record that is not packed, and a look at the first bytes of what is. What is packed and
//! damaged further behind is not found: its producer has made a checksum over it.

use bytes::Bytes;

use super::compression::XERIAL_MAGIC;
use super::records::Fields;
use super::{Batch, BatchError, Codec, HEADER_BYTES};

/// How many elements of a raw snappy block are looked at: other bytes go wrong within a few.
const SNAPPY_ELEMENTS: usize = 64;

impl Batch {
    /// Looks at what follows the header.
    pub(super) fn check_packing(&self) -> Result<(), BatchError> {
        let packed = self.bytes.slice(HEADER_BYTES..);
        let codec = self.codec()?;
        let begins = match codec {
            Codec::None => return count(packed, self.header.record_count),
            Codec::Gzip => packed.starts_with(&[0x1f, 0x8b]),
            Codec::Snappy => packed.starts_with(&XERIAL_MAGIC) || is_snappy_block(&packed),
            Codec::Lz4 => packed.starts_with(&[0x04, 0x22, 0x4d, 0x18]),
            Codec::Zstd => is_zstd(&packed),
        };
        let reason = || "they do not begin as it does".to_owned();
        if begins { Ok(()) } else { Err(BatchError::Decompress { codec, reason: reason() }) }
    }
}

/// Steps over so many records, after which nothing may follow.
fn count(plain: Bytes, records: i32) -> Result<(), BatchError> {
    let mut rest = Fields::new(plain);
    for index in 0..records {
        rest.skip_record().map_err(|fault| BatchError::Record { index, fault })?;
    }
    match rest.len() {
        0 => Ok(()),
        bytes => Err(BatchError::TrailingRecords { bytes }),
    }
}

/// A frame, or one that decoders skip.
fn is_zstd(packed: &[u8]) -> bool {
    let skipped = matches!(packed, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    skipped || packed.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// Whether the first elements of a raw block are some, and make no more than it states.
fn is_snappy_block(block: &[u8]) -> bool {
    let Ok(stated) = snap::raw::decompress_len(block) else { return false };
    let length_bytes = block.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let Some(mut rest) = block.get(length_bytes..) else { return false };
    let mut made = 0;
    for _ in 0..SNAPPY_ELEMENTS {
        if rest.is_empty() {
            return made == stated;
        }
        let Some(Element { takes, makes, distance }) = Element::first_of(rest) else {
            return false;
        };
        let is_from_before = distance.is_none_or(|distance| (1..=made).contains(&distance));
        if takes > rest.len() || makes > stated - made || !is_from_before {
            return false;
        }
        (rest, made) = (&rest[takes..], made + makes);
    }
    true
}

/// An element of a raw snappy block.
struct Element {
    /// How many bytes it takes.
    takes: usize,
    /// How many it makes.
    makes: usize,
    /// How far before they are already; none where they come with it.
    distance: Option<usize>,
}

impl Element {
    fn first_of(block: &[u8]) -> Option<Self> {
        let (&tag, after) = block.split_first()?;
        let size = usize::from(tag >> 2);
        // Least byte first.
        let number = |bytes: usize| {
            let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
            Some(after.get(..bytes)?.iter().rev().fold(0, add))
        };
        let literal = |makes: usize, bytes: usize| {
            let takes = makes.checked_add(1 + bytes)?;
            Some(Self { takes, makes, distance: None })
        };
        let copy = |makes: usize, bytes: usize, distance: usize| {
            Some(Self { takes: 1 + bytes, makes, distance: Some(distance) })
        };
        match tag & 3 {
            0 if size < 60 => literal(size + 1, 0),
            0 => literal(number(size - 59)?.checked_add(1)?, size - 59),
            1 => copy(size % 8 + 4, 1, usize::from(tag >> 5) << 8 | number(1)?),
            2 => copy(size + 1, 2, number(2)?),
            _ => copy(size + 1, 4, number(4)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, crc32c};
    use crate::{Record, Timestamp};

    fn batch(codec: Codec, records: usize, bytes: usize) -> Batch {
        let mut builder = BatchBuilder::new(codec, None);
        for number in 0..records {
            builder.push(&Record {
                key: Some(format!("key {number}").into()),
                value: Some((0..bytes).map(|i| (i * i + number).to_le_bytes()[0]).collect()),
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(1_700_000_000_000),
            });
        }
        builder.build().unwrap()
    }

    /// The batch with other bytes after its header, another codec, or another count.
    fn with(batch: &Batch, codec: Codec, count: i32, packed: &[u8]) -> Batch {
        let mut bytes = batch.bytes[..HEADER_BYTES].to_vec();
        bytes.extend(packed);
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[22] = codec.number();
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::parse(bytes.into()).unwrap()
    }

    #[test]
    fn what_is_packed_as_it_says_is_taken() {
        for (records, bytes) in [(1, 0), (3, 5), (1, 1_000), (300, 3), (2, 100_000)] {
            for codec in Codec::ALL {
                let batch = batch(codec, records, bytes);
                assert_eq!(batch.check_producible(), Ok(()), "{codec} {records} of {bytes}");
            }
            let plain = batch(Codec::None, records, bytes);
            let raw = snap::raw::Encoder::new().compress_vec(&plain.bytes[HEADER_BYTES..]).unwrap();
            let raw = with(&plain, Codec::Snappy, i32::try_from(records).unwrap(), &raw);
            assert_eq!(raw.check_producible(), Ok(()), "librdkafka's snappy, {records} of {bytes}");
        }
    }

    #[test]
    fn who_only_says_that_it_packs_is_refused() {
        for (records, bytes) in [(1, 0), (3, 3), (1, 1_000), (300, 3), (2, 100_000)] {
            let plain = batch(Codec::None, records, bytes);
            let count = i32::try_from(records).unwrap();
            for codec in Codec::ALL.into_iter().skip(1) {
                let said = with(&plain, codec, count, &plain.bytes[HEADER_BYTES..]);
                let refused = said.check_producible();
                let as_said =
                    matches!(refused, Err(BatchError::Decompress { codec: of, .. }) if of == codec);
                assert!(as_said, "{codec}, {records} of {bytes}: {refused:?}");
                let nothing = with(&plain, codec, count, &[]);
                assert!(nothing.check_producible().is_err(), "{codec}");
            }
        }
    }

    #[test]
    fn as_many_records_follow_as_the_header_counts() {
        let three = batch(Codec::None, 3, 5);
        let packed = &three.bytes[HEADER_BYTES..];
        let refused =
            |count, packed: &[u8]| with(&three, Codec::None, count, packed).check_producible();
        assert_eq!(refused(3, packed), Ok(()));
        assert_eq!(
            refused(3, &[packed, b"xx"].concat()),
            Err(BatchError::TrailingRecords { bytes: 2 })
        );
        assert!(matches!(refused(2, packed), Err(BatchError::TrailingRecords { .. })));
        assert!(matches!(refused(4, packed), Err(BatchError::Record { index: 3, .. })));
        assert!(matches!(
            refused(3, &packed[..packed.len() - 1]),
            Err(BatchError::Record { index: 2, .. })
        ));
    }

    #[test]
    fn a_producers_batch_begins_at_offset_0() {
        let moved = batch(Codec::None, 3, 5).at(crate::Offset::ZERO.plus(100));
        assert_eq!(moved.check_producible(), Err(BatchError::BaseOffset { came: 100 }));
    }
}
