//! The records inside a batch.
//!
//! They are read strictly: lengths, counts and offsets must agree with the batch's header, and
//! no byte may be left over. Keys and values are slices of the batch, or of what it unpacked to.
//! Timestamps are not compared with the header's largest one.
//!
//! ```text
//! record: length varint | attributes i8 (unused) | timestamp delta varlong | offset delta varint
//!         key length varint (-1 null) | key | value length varint (-1 null) | value
//!         header count varint | headers
//! header: name length varint | name | value length varint (-1 null) | value
//! ```

use std::iter::FusedIterator;

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::{Batch, BatchError, BatchHeader, Codec, HEADER_BYTES};
use crate::{Header, Offset, Record, Timestamp};

/// The shortest record: seven fields of one byte.
const MIN_RECORD_BYTES: usize = 7;

/// Headers for which room is made at once; more grow with what is read.
const HEADERS_AT_ONCE: usize = 8;

/// A record of a batch with its offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BatchRecord {
    /// The batch's base offset and the record's delta together.
    pub offset: Offset,
    /// The record; its timestamp is the broker's where the batch says so.
    pub record: Record,
}

impl Batch {
    /// How its records are packed.
    ///
    /// # Errors
    /// [`BatchError::Codec`] for a number without a meaning.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::try_from(self.header().attributes.codec())
    }

    /// Its records, at the offsets that its base offset gives them.
    ///
    /// `limit` is how many bytes a compressed batch may unpack to. A batch that is not
    /// compressed is not copied, and its size is no matter.
    ///
    /// # Errors
    /// [`BatchError`] where bytes cannot be unpacked within `limit`, or are not records.
    pub fn records(&self, limit: usize) -> Result<Vec<BatchRecord>, BatchError> {
        let records = self.decode(limit)?;
        let mut all = Vec::with_capacity(records.at_most());
        for record in records {
            all.push(record?);
        }
        Ok(all)
    }

    /// As [`records`](Self::records), but one record at a time; ends after an error.
    ///
    /// # Errors
    /// [`BatchError`] where bytes cannot be unpacked within `limit`.
    pub fn decode(&self, limit: usize) -> Result<Records, BatchError> {
        let packed = self.bytes().slice(HEADER_BYTES..);
        Ok(Records::unpacked(*self.header(), self.codec()?.decompress(packed, limit)?))
    }
}

/// Reads one record of a batch after the other.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    rest: Fields,
    index: i32,
    last_delta: i32,
    ended: bool,
}

impl Records {
    /// Those of a batch with this header that unpack to these bytes.
    pub(super) fn unpacked(header: BatchHeader, plain: Bytes) -> Self {
        Self { header, rest: Fields(plain), index: 0, last_delta: -1, ended: false }
    }

    /// No more records than this can follow, whatever the header states.
    fn at_most(&self) -> usize {
        let stated = usize::try_from(self.header.record_count - self.index).unwrap_or(0);
        stated.min(self.rest.0.len() / MIN_RECORD_BYTES)
    }

    fn read(&mut self) -> Result<BatchRecord, BatchError> {
        let at_index = |fault| BatchError::Record { index: self.index, fault };
        let raw = RawRecord::read(&mut self.rest).map_err(at_index)?;
        let delta = raw.offset_delta;
        if delta <= self.last_delta || delta > self.header.last_offset_delta {
            let (after, last) = (self.last_delta, self.header.last_offset_delta);
            return Err(at_index(RecordFault::OffsetDelta { came: delta, after, last }));
        }
        let base_offset = self.header.base_offset;
        let offset = base_offset.checked_add(i64::from(delta)).and_then(Offset::new);
        let offset = offset.ok_or(BatchError::Offset { base_offset, delta })?;
        self.last_delta = delta;
        self.index += 1;
        Ok(BatchRecord { offset, record: raw.resolve(&self.header) })
    }
}

impl Iterator for Records {
    type Item = Result<BatchRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = if self.index < self.header.record_count {
            Some(self.read())
        } else {
            let bytes = self.rest.0.len();
            (bytes > 0).then_some(Err(BatchError::TrailingRecords { bytes }))
        };
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more for the error that may end it.
        (0, Some(self.at_most() + 1))
    }
}

impl FusedIterator for Records {}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The bytes end within a field.
    #[error("ends within its {0}")]
    CutOff(&'static str),
    /// A varint with more bits than its field has.
    #[error("has a {0} that is longer than its type")]
    Varint(&'static str),
    /// A length or count that is negative, and not the -1 of null where that is allowed.
    #[error("states a {field} of {came}")]
    Length {
        /// Which field.
        field: &'static str,
        /// What came.
        came: i32,
    },
    /// More bytes than its fields take.
    #[error("has {bytes} bytes after its last field")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Offsets that do not ascend, or exceed the batch.
    #[error("has offset delta {came}; expected more than {after} and at most {last}")]
    OffsetDelta {
        /// What came.
        came: i32,
        /// That of the record before; -1 for the first.
        after: i32,
        /// The batch's last.
        last: i32,
    },
    /// A header's name that is not text.
    #[error("has a header whose name is not UTF-8")]
    HeaderName,
}

/// A record as it stands, before the header of the batch gives it a time.
struct RawRecord {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<Header>,
}

impl RawRecord {
    fn read(rest: &mut Fields) -> Result<Self, RecordFault> {
        let mut fields = Fields(rest.bytes("record length")?);
        fields.skip_byte("attributes")?;
        let record = Self {
            timestamp_delta: fields.varlong("timestamp delta")?,
            offset_delta: fields.varint("offset delta")?,
            key: fields.nullable_bytes("key length")?,
            value: fields.nullable_bytes("value length")?,
            headers: fields.headers()?,
        };
        match fields.0.len() {
            0 => Ok(record),
            bytes => Err(RecordFault::Trailing { bytes }),
        }
    }

    fn resolve(self, header: &BatchHeader) -> Record {
        let timestamp = if header.attributes.is_log_append_time() {
            header.max_timestamp
        } else {
            // Wraps, as in Kafka's clients: any two times have a difference.
            let base = header.base_timestamp.as_millis();
            Timestamp::from_millis(base.wrapping_add(self.timestamp_delta))
        };
        Record { key: self.key, value: self.value, headers: self.headers, timestamp }
    }
}

/// Fields, read from the front.
#[derive(Debug, Clone)]
pub(super) struct Fields(Bytes);

impl Fields {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Steps over a record without reading more than its length.
    pub(super) fn skip_record(&mut self) -> Result<(), RecordFault> {
        let field = "record length";
        let came = self.varint(field)?;
        let length = usize::try_from(came).map_err(|_| RecordFault::Length { field, came })?;
        if length > self.0.len() {
            return Err(RecordFault::CutOff(field));
        }
        self.0.advance(length);
        Ok(())
    }

    fn headers(&mut self) -> Result<Vec<Header>, RecordFault> {
        let field = "header count";
        let came = self.varint(field)?;
        let count = usize::try_from(came).map_err(|_| RecordFault::Length { field, came })?;
        let mut headers = Vec::with_capacity(count.min(HEADERS_AT_ONCE));
        for _ in 0..count {
            let name = self.bytes("header name length")?;
            let name = std::str::from_utf8(&name).map_err(|_| RecordFault::HeaderName)?;
            let key = name.to_owned();
            headers.push(Header { key, value: self.nullable_bytes("header value length")? });
        }
        Ok(headers)
    }

    fn bytes(&mut self, field: &'static str) -> Result<Bytes, RecordFault> {
        self.nullable_bytes(field)?.ok_or(RecordFault::Length { field, came: -1 })
    }

    fn nullable_bytes(&mut self, field: &'static str) -> Result<Option<Bytes>, RecordFault> {
        let came = self.varint(field)?;
        if came == -1 {
            return Ok(None);
        }
        let length = usize::try_from(came).map_err(|_| RecordFault::Length { field, came })?;
        if length > self.0.len() {
            return Err(RecordFault::CutOff(field));
        }
        Ok(Some(self.0.split_to(length)))
    }

    fn varint(&mut self, field: &'static str) -> Result<i32, RecordFault> {
        let value = self.zigzag(5, field)?;
        i32::try_from(value).map_err(|_| RecordFault::Varint(field))
    }

    fn varlong(&mut self, field: &'static str) -> Result<i64, RecordFault> {
        self.zigzag(10, field)
    }

    /// Seven bits a byte, the lowest first; even numbers are positive, odd ones negative.
    fn zigzag(&mut self, max_bytes: usize, field: &'static str) -> Result<i64, RecordFault> {
        let mut value = 0_u64;
        for (index, &byte) in self.0.iter().take(max_bytes).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.0.advance(index + 1);
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        let cut_off = self.0.len() < max_bytes;
        Err(if cut_off { RecordFault::CutOff(field) } else { RecordFault::Varint(field) })
    }

    fn skip_byte(&mut self, field: &'static str) -> Result<(), RecordFault> {
        if self.0.is_empty() {
            return Err(RecordFault::CutOff(field));
        }
        self.0.advance(1);
        Ok(())
    }
}
