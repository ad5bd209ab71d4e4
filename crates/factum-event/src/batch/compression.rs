//! The five codecs of record batches.
//!
//! Unpacking stops at a limit that the caller sets, so that a few bytes cannot fill the memory;
//! no length that the packed bytes state reserves memory unchecked. What a codec needs to work is
//! bounded by its format: 16 MiB for LZ4; for zstd a window of 128 MiB, which Java's client states
//! at its highest levels, and of which only what is unpacked is ever touched.
//!
//! Snappy comes in two shapes: one raw block (librdkafka), or the frame of Java's xerial library,
//! which is what we write.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use thiserror::Error;

use super::BatchError;

/// First bytes of xerial's snappy frame; a version and the oldest compatible version follow.
pub(super) const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// Bytes of xerial's header: magic, two versions.
const XERIAL_HEADER_BYTES: usize = 16;

/// What xerial packs into one block.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// No snappy block unpacks to more than this per packed byte: three bytes copy at most 64.
const SNAPPY_MAX_RATIO: usize = 22;

/// How the records of a batch are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy, raw or in xerial's frame.
    Snappy = 2,
    /// LZ4's frame format.
    Lz4 = 3,
    /// Zstandard, RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// Every codec, by its number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in configurations, as Kafka writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks to at most `limit` bytes; what is not packed is shared, whatever its size.
    pub(super) fn decompress(self, packed: Bytes, limit: usize) -> Result<Bytes, BatchError> {
        let unpacked = match self {
            Self::None => return Ok(packed),
            Self::Gzip => read_up_to(flate2::bufread::MultiGzDecoder::new(&packed[..]), limit),
            Self::Snappy => unsnap(&packed, limit),
            Self::Lz4 => read_up_to(FrameDecoder::new(&packed[..]), limit),
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(&packed[..])
                .map_err(Failure::from)
                .and_then(|decoder| read_up_to(decoder, limit)),
        };
        match unpacked {
            Ok(bytes) => Ok(bytes.into()),
            Err(Failure::TooLarge) => Err(BatchError::TooLarge { limit }),
            Err(Failure::Damaged(reason)) => Err(BatchError::Decompress { codec: self, reason }),
        }
    }

    /// Packs `plain` and appends it to `out`.
    pub(super) fn compress(self, plain: &[u8], out: &mut BytesMut) -> Result<(), BatchError> {
        let packed = match self {
            Self::None => {
                out.put_slice(plain);
                Ok(())
            }
            Self::Gzip => gzip(plain, out),
            Self::Snappy => snap(plain, out),
            Self::Lz4 => lz4(plain, out),
            Self::Zstd => zstd::bulk::compress(plain, zstd::DEFAULT_COMPRESSION_LEVEL)
                .map(|packed| out.put_slice(&packed)),
        };
        packed.map_err(|error| BatchError::Compress { codec: self, reason: error.to_string() })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Codec {
    type Error = BatchError;

    fn try_from(number: u8) -> Result<Self, BatchError> {
        Self::ALL.get(usize::from(number)).copied().ok_or(BatchError::Codec { came: number })
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == name);
        known.ok_or_else(|| UnknownCodec { came: name.chars().take(32).collect() })
    }
}

/// A name that is no codec's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{came:?} is not a compression; expected none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCodec {
    /// What came; cut to 32 characters.
    pub came: String,
}

/// Why packed bytes were not unpacked.
enum Failure {
    TooLarge,
    Damaged(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<snap::Error> for Failure {
    fn from(error: snap::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Reads to the end, which must come within `limit` bytes. Memory grows with what was unpacked.
fn read_up_to(reader: impl Read, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut unpacked = Vec::new();
    // One byte more than allowed tells a full output from one that is too large.
    let stop = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(stop).read_to_end(&mut unpacked)?;
    if unpacked.len() > limit { Err(Failure::TooLarge) } else { Ok(unpacked) }
}

fn unsnap(packed: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut unpacked = Vec::new();
    if !packed.starts_with(&XERIAL_MAGIC) {
        unsnap_block(packed, limit, &mut unpacked)?;
        return Ok(unpacked);
    }
    let cut_off = || Failure::Damaged("the xerial frame is cut off".to_owned());
    let mut rest = packed.get(XERIAL_HEADER_BYTES..).ok_or_else(cut_off)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut_off())?;
        let block = after.get(..length).ok_or_else(cut_off)?;
        unsnap_block(block, limit, &mut unpacked)?;
        rest = &after[length..];
    }
    Ok(unpacked)
}

/// Appends one raw block; `limit` is that of the whole output.
fn unsnap_block(block: &[u8], limit: usize, unpacked: &mut Vec<u8>) -> Result<(), Failure> {
    let stated = snap::raw::decompress_len(block)?;
    if stated > limit - unpacked.len() {
        return Err(Failure::TooLarge);
    }
    if stated / SNAPPY_MAX_RATIO > block.len() {
        return Err(Failure::Damaged(format!("{} bytes state {stated}", block.len())));
    }
    let start = unpacked.len();
    unpacked.resize(start + stated, 0);
    snap::raw::Decoder::new().decompress(block, &mut unpacked[start..])?;
    Ok(())
}

fn gzip(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(out.writer(), flate2::Compression::default());
    encoder.write_all(plain)?;
    encoder.finish().map(drop)
}

fn snap(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    out.put_slice(&XERIAL_MAGIC);
    out.put_i32(1);
    out.put_i32(1);
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let packed = encoder.compress_vec(block)?;
        out.put_u32(u32::try_from(packed.len()).map_err(io::Error::other)?);
        out.put_slice(&packed);
    }
    Ok(())
}

/// Java's client reads independent blocks only.
fn lz4(plain: &[u8], out: &mut BytesMut) -> io::Result<()> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, out.writer());
    encoder.write_all(plain)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: usize = 300_000;

    fn packed(codec: Codec, plain: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        codec.compress(plain, &mut out).unwrap();
        out.freeze()
    }

    #[test]
    fn what_was_packed_is_unpacked_across_blocks_and_when_empty() {
        let plain: Vec<u8> = (0..PLAIN).map(|i| (i * i).to_le_bytes()[0] % 251).collect();
        for codec in Codec::ALL {
            for plain in [&plain[..], &plain[..65_536], b"x", b""] {
                let unpacked = codec.decompress(packed(codec, plain), plain.len());
                assert_eq!(unpacked.as_deref(), Ok(plain), "{codec}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; PLAIN];
        for codec in Codec::ALL.into_iter().skip(1) {
            let bomb = packed(codec, &zeros);
            for limit in [0, 1, PLAIN - 1] {
                let refused = codec.decompress(bomb.clone(), limit);
                assert_eq!(refused, Err(BatchError::TooLarge { limit }), "{codec}");
            }
        }
    }

    #[test]
    fn raw_snappy_is_unpacked_as_librdkafka_sends_it() {
        let plain = vec![7; PLAIN];
        let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(Codec::Snappy.decompress(raw.into(), PLAIN).as_deref(), Ok(&plain[..]));
    }

    #[test]
    fn snappy_lengths_reserve_no_memory_that_its_bytes_cannot_fill() {
        // States 1 GiB in a block of 6 bytes.
        let lie = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x04, 0]);
        let refused = Codec::Snappy.decompress(lie, usize::MAX);
        assert!(matches!(refused, Err(BatchError::Decompress { .. })), "{refused:?}");
    }

    #[test]
    fn gzip_of_several_members_is_read_to_its_end() {
        let members = [packed(Codec::Gzip, b"one "), packed(Codec::Gzip, b"two")].concat();
        let unpacked = Codec::Gzip.decompress(members.into(), 100);
        assert_eq!(unpacked.as_deref(), Ok(&b"one two"[..]));
    }

    #[test]
    fn names_and_numbers_are_kafkas() {
        for (number, codec) in (0..).zip(Codec::ALL) {
            assert_eq!(Codec::try_from(number), Ok(codec));
            assert_eq!(codec.number(), number);
            assert_eq!(codec.to_string().parse(), Ok(codec));
        }
        assert_eq!(Codec::try_from(5), Err(BatchError::Codec { came: 5 }));
        assert!("ZSTD".parse::<Codec>().is_err());
    }
}
