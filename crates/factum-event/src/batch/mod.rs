//! Kafka's record batch, format v2: the same bytes on the socket, on the disk and on the socket
//! again.
//!
//! A [`Batch`] is bytes whose frame was checked (length, magic, CRC-32C, counts). Its records
//! are decoded only where somebody must look inside ([`Batch::records`]).
//!
//! ```text
//! 0  base offset i64 | 8 batch length i32 | 12 partition leader epoch i32 | 16 magic i8 (2)
//! 17 crc u32, CRC-32C of everything from 21 on
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32
//! 61 records
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Offset, Timestamp};

mod append_time;
mod builder;
mod compact;
mod compression;
mod copy;
mod error;
mod marker;
mod packing;
mod recompress;
mod records;
#[cfg(test)]
mod tests;

pub use builder::{BatchBuilder, ProducerState, record_bytes};
pub use compact::{CompactOptions, Compacted, compact};
pub use compression::{Codec, UnknownCodec};
pub use copy::COPY_EPOCH;
pub use error::BatchError;
pub use marker::Outcome;
pub use records::{BatchRecord, RecordFault, Records};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes at the front of a batch that the CRC does not cover and that the broker writes anew:
/// base offset, length, leader epoch.
pub const PREFIX_BYTES: usize = 16;

/// Bytes before what the length field counts.
const LENGTH_OVERHEAD: usize = 12;

/// The leader epoch that this broker writes: it never loses leadership.
pub const LEADER_EPOCH: i32 = 0;

/// The bits of the attributes that name the codec.
const CODEC_BITS: i16 = 0x07;

/// The attribute of what is part of a transaction.
const TRANSACTIONAL_BIT: i16 = 0x10;

/// The attribute that makes the base timestamp a delete horizon.
const DELETE_HORIZON_BIT: i16 = 0x40;

/// The numbers at the front of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; a producer's own batches say 0.
    pub base_offset: i64,
    /// Codec, timestamp type, and flags.
    pub attributes: Attributes,
    /// Offset of the last record less the base offset; never negative.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas are added to: the timestamp of the first record, or the
    /// delete horizon where the attributes say so.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// How many records; at least 1 as it comes from a producer, 0 where compaction has removed
    /// them all and only the header is kept.
    pub record_count: i32,
}

impl BatchHeader {
    /// How many offsets the batch takes.
    #[must_use]
    pub const fn offsets(&self) -> u32 {
        self.last_offset_delta.unsigned_abs() + 1
    }

    /// When compaction may remove the batch's tombstones (KIP-534); none before the first
    /// compaction that has kept them.
    #[must_use]
    pub const fn delete_horizon(&self) -> Option<Timestamp> {
        if self.attributes.has_delete_horizon() { Some(self.base_timestamp) } else { None }
    }
}

/// The attributes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    /// The codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; others are not defined.
    #[must_use]
    pub const fn codec(self) -> u8 {
        (self.0 & 0x07) as u8
    }

    /// Whether timestamps are the broker's append time.
    #[must_use]
    pub const fn is_log_append_time(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// Whether it is a control batch, such as a transaction's marker.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Whether the base timestamp is the delete horizon, which only compaction writes.
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }
}

/// A record batch whose frame was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    bytes: Bytes,
    header: BatchHeader,
}

impl Batch {
    /// Checks the frame of exactly one batch: length, magic, CRC-32C, counts.
    ///
    /// # Errors
    /// [`BatchError`] with what was expected and what came.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::parse_first(&bytes)?;
        if batch.bytes.len() < bytes.len() {
            return Err(BatchError::Trailing { bytes: bytes.len() - batch.bytes.len() });
        }
        Ok(batch)
    }

    /// Checks the first of several batches; the rest begins after its bytes.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but bytes may follow.
    pub fn parse_first(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| too_short(bytes))?;
        let magic = i8::from_be_bytes(at(header, 16));
        if magic != 2 {
            return Err(BatchError::Magic { came: magic });
        }
        let stated = i32::from_be_bytes(at(header, 8));
        let length = usize::try_from(stated).map_err(|_| BatchError::Length { came: stated })?;
        let total = length + LENGTH_OVERHEAD;
        if total < HEADER_BYTES {
            return Err(BatchError::Length { came: stated });
        }
        if total > bytes.len() {
            return Err(BatchError::Truncated { expected: total, came: bytes.len() });
        }
        let bytes = bytes.slice(..total);
        let stated = u32::from_be_bytes(at(header, 17));
        let computed = crc32c(&bytes[21..]);
        if stated != computed {
            return Err(BatchError::Crc { stated, computed });
        }
        let header = decode_header(header);
        if header.last_offset_delta < 0 || header.record_count < 0 {
            return Err(BatchError::Counts {
                records: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        Ok(Self { bytes, header })
    }

    /// Whether a producer may append it, as far as its header tells, and whether what follows that
    /// can be the records: they are not unpacked.
    ///
    /// Whether transactions are taken is for the broker to say.
    ///
    /// # Errors
    /// [`BatchError`] for a control batch, a delete horizon, an unknown codec, or one that it is
    /// not packed with, no record, or another number than it states, an offset other than 0 or with
    /// gaps, or a producer id without epoch and sequence.
    pub fn check_producible(&self) -> Result<(), BatchError> {
        let header = &self.header;
        if header.attributes.is_control() {
            return Err(BatchError::Control);
        }
        if header.attributes.has_delete_horizon() {
            return Err(BatchError::DeleteHorizon);
        }
        self.codec()?;
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return Err(BatchError::Counts {
                records: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchError::Producer {
                id: header.producer_id,
                epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            });
        }
        if header.base_offset != 0 {
            return Err(BatchError::BaseOffset { came: header.base_offset });
        }
        self.check_packing()
    }

    /// The numbers at its front.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All its bytes, with the base offset that it came with.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch has a header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that it begins with once it stands at `base_offset`; the CRC does not cover them.
    #[must_use]
    pub fn prefix_at(&self, base_offset: Offset) -> [u8; PREFIX_BYTES] {
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..8].copy_from_slice(&base_offset.get().to_be_bytes());
        prefix[8..12].copy_from_slice(&self.bytes[8..12]);
        prefix[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        prefix
    }

    /// The bytes after the prefix: shared, whatever offset the batch gets.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.bytes.slice(PREFIX_BYTES..)
    }

    /// The same batch at another base offset; its bytes are copied.
    #[must_use]
    pub fn at(&self, base_offset: Offset) -> Self {
        let mut bytes = BytesMut::with_capacity(self.bytes.len());
        bytes.put_slice(&self.prefix_at(base_offset));
        bytes.put_slice(&self.bytes[PREFIX_BYTES..]);
        let header = BatchHeader { base_offset: base_offset.get(), ..self.header };
        Self { bytes: bytes.freeze(), header }
    }
}

/// CRC-32C (Castagnoli), as record batches and the journal use it.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(crc).expect("a 32-bit checksum")
}

fn too_short(bytes: &Bytes) -> BatchError {
    // Magic stands at 16 in every format: an old batch is told so, however short.
    match bytes.get(16) {
        Some(&magic) if magic != 2 => BatchError::Magic { came: magic.cast_signed() },
        _ => BatchError::Truncated { expected: HEADER_BYTES, came: bytes.len() },
    }
}

fn decode_header(header: &[u8; HEADER_BYTES]) -> BatchHeader {
    BatchHeader {
        base_offset: i64::from_be_bytes(at(header, 0)),
        attributes: Attributes(i16::from_be_bytes(at(header, 21))),
        last_offset_delta: i32::from_be_bytes(at(header, 23)),
        base_timestamp: Timestamp::from_millis(i64::from_be_bytes(at(header, 27))),
        max_timestamp: Timestamp::from_millis(i64::from_be_bytes(at(header, 35))),
        producer_id: i64::from_be_bytes(at(header, 43)),
        producer_epoch: i16::from_be_bytes(at(header, 51)),
        base_sequence: i32::from_be_bytes(at(header, 53)),
        record_count: i32::from_be_bytes(at(header, 57)),
    }
}

/// `N` bytes at a fixed place of the header.
fn at<const N: usize>(header: &[u8; HEADER_BYTES], start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[start..start + N]);
    bytes
}
