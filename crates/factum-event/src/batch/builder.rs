//! Builds a record batch as a producer does.
//!
//! Records are encoded as they come; [`build`](BatchBuilder::build) packs them once and writes
//! the header. How large a batch grows is for the caller to decide, by
//! [`bytes`](BatchBuilder::bytes).

use bytes::{BufMut, BytesMut};

use super::{
    Attributes, Batch, BatchError, Codec, HEADER_BYTES, LENGTH_OVERHEAD, TRANSACTIONAL_BIT, crc32c,
};
use crate::{Record, Timestamp};

/// A producer's leader epoch: it knows none.
const NO_LEADER_EPOCH: i32 = -1;

/// Bytes of the longest varint of a length.
const MAX_VARINT_BYTES: usize = 5;

/// Who writes, and where in its sequence: what makes a repeated batch known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    /// The id that the broker gave.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
}

impl ProducerState {
    /// What a producer writes that has no id.
    const NONE: Self = Self { id: -1, epoch: -1, base_sequence: -1 };
}

/// A batch that takes records.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    /// Flags of the attributes, without the codec.
    flags: i16,
    producer: ProducerState,
    /// Room for the header, then the records.
    plain: BytesMut,
    records: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(codec: Codec, producer: Option<ProducerState>) -> Self {
        Self {
            codec,
            flags: 0,
            producer: producer.unwrap_or(ProducerState::NONE),
            plain: BytesMut::zeroed(HEADER_BYTES),
            records: 0,
            base_timestamp: Timestamp::UNKNOWN,
            max_timestamp: Timestamp::UNKNOWN,
        }
    }

    /// An empty batch that is not compressed, with these flags.
    pub(super) fn with_attributes(flags: Attributes, producer: ProducerState) -> Self {
        Self { flags: flags.0, ..Self::new(Codec::None, Some(producer)) }
    }

    /// The same as part of its producer's transaction.
    #[must_use]
    pub fn transactional(self) -> Self {
        Self { flags: self.flags | TRANSACTIONAL_BIT, ..self }
    }

    /// Adds a record after the others.
    pub fn push(&mut self, record: &Record) {
        if self.records == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        // Wraps, as reading does: any two times have a difference.
        let base = self.base_timestamp.as_millis();
        let timestamp_delta = record.timestamp.as_millis().wrapping_sub(base);
        put_record(&mut self.plain, timestamp_delta, self.records, record);
        // Past the largest count the batch is far past the largest size, which `build` refuses.
        self.records = self.records.saturating_add(1);
    }

    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.records).expect("a count that starts at 0 and only grows")
    }

    /// Whether it has no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Its length in bytes, if nothing can be compressed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// Packs the records and writes the header; base offset is 0.
    ///
    /// # Errors
    /// [`BatchError::Empty`] without a record, [`BatchError::TooLong`] above 2 GiB,
    /// [`BatchError::Compress`] where a codec fails.
    pub fn build(self) -> Result<Batch, BatchError> {
        if self.is_empty() {
            return Err(BatchError::Empty);
        }
        let bytes = self.plain.len();
        if i32::try_from(bytes).is_err() {
            return Err(BatchError::TooLong { bytes });
        }
        let mut out = match self.codec {
            Codec::None => return self.finish(),
            _ => BytesMut::zeroed(HEADER_BYTES),
        };
        self.codec.compress(&self.plain[HEADER_BYTES..], &mut out)?;
        Self { plain: out, ..self }.finish()
    }

    fn finish(mut self) -> Result<Batch, BatchError> {
        let bytes = self.plain.len();
        let length = i32::try_from(bytes - LENGTH_OVERHEAD);
        let length = length.map_err(|_| BatchError::TooLong { bytes })?;
        self.put_checked_header();
        let crc = crc32c(&self.plain[21..]);
        let mut front = &mut self.plain[..21];
        front.put_i64(0);
        front.put_i32(length);
        front.put_i32(NO_LEADER_EPOCH);
        front.put_i8(2);
        front.put_u32(crc);
        Batch::parse(self.plain.freeze())
    }

    /// The part of the header that the CRC covers.
    fn put_checked_header(&mut self) {
        let mut header = &mut self.plain[21..HEADER_BYTES];
        header.put_i16(i16::from(self.codec.number()) | self.flags);
        header.put_i32(self.records - 1);
        header.put_i64(self.base_timestamp.as_millis());
        header.put_i64(self.max_timestamp.as_millis());
        header.put_i64(self.producer.id);
        header.put_i16(self.producer.epoch);
        header.put_i32(self.producer.base_sequence);
        header.put_i32(self.records);
    }
}

/// The most that a record adds to a batch before compression.
#[must_use]
pub fn record_bytes(record: &Record) -> usize {
    // Length, attributes, timestamp delta, offset delta.
    MAX_VARINT_BYTES + 1 + 10 + MAX_VARINT_BYTES + payload_bytes(record)
}

/// Appends a record as it stands in a batch before compression.
pub(super) fn put_record(
    out: &mut BytesMut,
    timestamp_delta: i64,
    offset_delta: i32,
    record: &Record,
) {
    let offset_delta = i64::from(offset_delta);
    let body =
        1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta) + payload_bytes(record);
    out.reserve(MAX_VARINT_BYTES + body);
    put_varint(out, length(body));
    out.put_i8(0);
    put_varint(out, timestamp_delta);
    put_varint(out, offset_delta);
    put_payload(out, record);
}

/// Bytes of key, value and headers with their lengths.
fn payload_bytes(record: &Record) -> usize {
    let nullable = |bytes: Option<&[u8]>| match bytes {
        None => 1,
        Some(bytes) => varint_bytes(length(bytes.len())) + bytes.len(),
    };
    let headers = record
        .headers
        .iter()
        .map(|header| nullable(Some(header.key.as_bytes())) + nullable(header.value.as_deref()));
    nullable(record.key.as_deref())
        + nullable(record.value.as_deref())
        + varint_bytes(length(record.headers.len()))
        + headers.sum::<usize>()
}

fn put_payload(out: &mut BytesMut, record: &Record) {
    put_nullable(out, record.key.as_deref());
    put_nullable(out, record.value.as_deref());
    put_varint(out, length(record.headers.len()));
    for header in &record.headers {
        put_nullable(out, Some(header.key.as_bytes()));
        put_nullable(out, header.value.as_deref());
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| length(bytes.len())));
    out.put_slice(bytes.unwrap_or_default());
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.put_u8(low_byte(rest));
}

fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("what is in memory is shorter than 2^63 bytes")
}
