//! Reading a frame: every step is checked against what is left and what may be reserved.

use std::mem::size_of;

use bytes::Bytes;
use thiserror::Error;

use crate::Str;

/// Bytes that decoding may reserve for each byte of the frame.
///
/// The densest honest message, a list of two-letter names, needs about twelve.
pub const ALLOWANCE_PER_BYTE: usize = 16;

/// Bytes that decoding may reserve for any frame, so that small ones are never refused.
pub const ALLOWANCE_BASE: usize = 64 * 1024;

/// A place in a frame, its end, and what may still be reserved while decoding it.
#[derive(Debug, Clone)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    end: usize,
    allowance: usize,
    field: &'static str,
}

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} at byte {position}: {problem}")]
pub struct DecodeError {
    /// The field that was being read, as `Struct.field`.
    pub field: &'static str,
    /// Where in the frame, the header included and the size prefix not.
    pub position: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with bytes that do not decode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The frame ends too early.
    #[error("expected {needed} more bytes, but the frame has only {remaining} left")]
    Truncated {
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that are there.
        remaining: usize,
    },
    /// A length below zero that does not mean null.
    #[error("expected a length of 0 or more, not {0}")]
    NegativeLength(i64),
    /// Null where the version demands a value.
    #[error("null is not allowed in version {version}; send an empty value")]
    UnexpectedNull {
        /// The message's version.
        version: i16,
    },
    /// A variable-length number that goes on after its fifth byte, or beyond 32 bits.
    #[error("expected a variable-length number of at most 32 bits")]
    VarintTooLong,
    /// Text that is not UTF-8.
    #[error("expected UTF-8, but byte {valid_up_to} of the text is not")]
    InvalidUtf8 {
        /// How many of its bytes are well-formed.
        valid_up_to: usize,
    },
    /// Text longer than the protocol allows.
    #[error("expected text of at most 32767 bytes, not {0}")]
    TextTooLong(usize),
    /// More elements than the rest of the frame can hold.
    #[error("{count} elements cannot fit: the rest of the frame holds at most {fit}")]
    TooManyElements {
        /// Elements announced.
        count: usize,
        /// Elements of the smallest size that would fit.
        fit: usize,
    },
    /// Elements so small on the wire that their values would outgrow the frame's allowance.
    #[error(
        "{count} elements need {needed} bytes of memory, but the frame may use only {left} more"
    )]
    OverAllowance {
        /// Elements announced.
        count: usize,
        /// Bytes that their values take.
        needed: usize,
        /// Bytes that may still be reserved.
        left: usize,
    },
    /// A tagged field that repeats or precedes the one before it.
    #[error("tag {tag} after tag {previous}: tags must rise")]
    TagOrder {
        /// The tag before.
        previous: u32,
        /// The tag that came.
        tag: u32,
    },
    /// Bytes that belong to no field.
    #[error("{0} bytes are left after the last field")]
    TrailingBytes(usize),
    /// A version that this codec does not know.
    #[error("version {version} is not supported, only {min} to {max}")]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
        /// The lowest one known.
        min: i16,
        /// The highest one known.
        max: i16,
    },
}

/// The tagged fields at the end of a structure, while they are being read.
#[derive(Debug)]
pub(crate) struct Tags {
    left: u32,
    previous: Option<u32>,
    outer_end: usize,
}

impl Reader {
    /// Reads `frame`, which stands without its size prefix.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        let allowance = end.saturating_mul(ALLOWANCE_PER_BYTE).saturating_add(ALLOWANCE_BASE);
        Self { frame, position: 0, end, allowance, field: "frame" }
    }

    /// Bytes that are left to read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Refuses bytes that no field has claimed.
    ///
    /// # Errors
    /// [`Problem::TrailingBytes`] if any are left.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => {
                self.field = "end of message";
                Err(self.error(Problem::TrailingBytes(left)))
            }
        }
    }

    /// Names the field that is read next, for errors.
    pub(crate) const fn at(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    #[cold]
    pub(crate) const fn error(&self, problem: Problem) -> DecodeError {
        DecodeError { field: self.field, position: self.position, problem }
    }

    fn advance(&mut self, length: usize) -> Result<usize, DecodeError> {
        if length > self.remaining() {
            return Err(
                self.error(Problem::Truncated { needed: length, remaining: self.remaining() })
            );
        }
        let start = self.position;
        self.position += length;
        Ok(start)
    }

    /// The next `N` bytes, for numbers of a fixed width.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.advance(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.frame[start..start + N]);
        Ok(bytes)
    }

    /// The next `length` bytes as a slice that shares the frame's memory.
    pub(crate) fn shared(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(length)?;
        Ok(self.frame.slice(start..start + length))
    }

    /// The next `length` bytes as text that shares the frame's memory.
    pub(crate) fn text(&mut self, length: usize) -> Result<Str, DecodeError> {
        let bytes = self.shared(length)?;
        Str::try_from(bytes)
            .map_err(|cause| self.error(Problem::InvalidUtf8 { valid_up_to: cause.valid_up_to() }))
    }

    /// An unsigned number in groups of seven bits, at most 32 bits in five bytes.
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u64;
        for group in 0..5 {
            let [byte] = self.fixed::<1>()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| self.error(Problem::VarintTooLong));
            }
        }
        Err(self.error(Problem::VarintTooLong))
    }

    /// Room for `count` values of `T` that take at least `smallest` bytes each on the wire.
    pub(crate) fn reserve<T>(
        &mut self,
        count: usize,
        smallest: usize,
    ) -> Result<Vec<T>, DecodeError> {
        let fit = self.remaining() / smallest.max(1);
        if count > fit {
            return Err(self.error(Problem::TooManyElements { count, fit }));
        }
        let needed = count.saturating_mul(size_of::<T>());
        if needed > self.allowance {
            let left = self.allowance;
            return Err(self.error(Problem::OverAllowance { count, needed, left }));
        }
        self.allowance -= needed;
        Ok(Vec::with_capacity(count))
    }

    /// Begins the tagged fields that end a structure.
    pub(crate) fn tags(&mut self) -> Result<Tags, DecodeError> {
        let left = self.at("tagged fields").varint()?;
        Ok(Tags { left, previous: None, outer_end: self.end })
    }

    /// Leaves out a tagged field that nobody knows.
    pub(crate) const fn skip(&mut self) {
        self.position = self.end;
    }
}

impl Tags {
    /// The next tag; until [`Self::close`] the reader ends where this tag's value ends.
    pub(crate) fn next(&mut self, reader: &mut Reader) -> Result<Option<u32>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let tag = reader.at("tagged fields").varint()?;
        if let Some(previous) = self.previous.filter(|&previous| tag <= previous) {
            return Err(reader.error(Problem::TagOrder { previous, tag }));
        }
        self.previous = Some(tag);
        let length = reader.varint()? as usize;
        if length > reader.remaining() {
            let remaining = reader.remaining();
            return Err(reader.error(Problem::Truncated { needed: length, remaining }));
        }
        reader.end = reader.position + length;
        Ok(Some(tag))
    }

    /// Ends the current tag: its value must have taken exactly its length.
    pub(crate) fn close(&self, reader: &mut Reader) -> Result<(), DecodeError> {
        let left = reader.remaining();
        if left > 0 {
            return Err(reader.error(Problem::TrailingBytes(left)));
        }
        reader.end = self.outer_end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    fn varint(bytes: &[u8]) -> Result<u32, Problem> {
        reader(bytes).varint().map_err(|error| error.problem)
    }

    #[test]
    fn a_varint_has_at_most_five_bytes_and_32_bits() {
        assert_eq!(varint(&[0x00]), Ok(0));
        assert_eq!(varint(&[0xac, 0x02]), Ok(300));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(Problem::VarintTooLong));
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(Problem::VarintTooLong));
        assert_eq!(varint(&[0x80]), Err(Problem::Truncated { needed: 1, remaining: 0 }));
    }

    #[test]
    fn shared_bytes_are_a_slice_of_the_frame() {
        let frame = Bytes::from(vec![1, 2, 3, 4]);
        let mut reader = Reader::new(frame.clone());
        assert_eq!(reader.shared(2).expect("two bytes").as_ptr(), frame.as_ptr());
        assert_eq!(reader.remaining(), 2);
        assert!(reader.shared(3).is_err());
    }

    #[test]
    fn room_is_given_only_for_what_fits_the_frame_and_the_allowance() {
        let mut reader = reader(&[0; 100]);
        assert!(reader.reserve::<u8>(101, 1).is_err());
        assert!(reader.reserve::<u64>(51, 2).is_err());
        assert_eq!(reader.reserve::<u64>(50, 2).expect("it fits").capacity(), 50);
        let whole = reader.reserve::<[u8; 10_000]>(7, 1).map_err(|error| error.problem);
        let left = 100 * ALLOWANCE_PER_BYTE + ALLOWANCE_BASE - 400;
        assert_eq!(whole, Err(Problem::OverAllowance { count: 7, needed: 70_000, left }));
    }

    fn tags(bytes: &[u8]) -> Result<Vec<u32>, Problem> {
        let mut reader = reader(bytes);
        let mut found = Vec::new();
        let mut read = || {
            let mut tags = reader.tags()?;
            while let Some(tag) = tags.next(&mut reader)? {
                found.push(tag);
                reader.skip();
                tags.close(&mut reader)?;
            }
            reader.finish()
        };
        read().map_err(|error: DecodeError| error.problem)?;
        Ok(found)
    }

    #[test]
    fn tags_must_rise_and_their_values_stay_in_the_frame() {
        assert_eq!(tags(&[0]), Ok(vec![]));
        assert_eq!(tags(&[2, 0, 1, 0xaa, 9, 0]), Ok(vec![0, 9]));
        assert_eq!(tags(&[2, 3, 0, 3, 0]), Err(Problem::TagOrder { previous: 3, tag: 3 }));
        assert_eq!(tags(&[2, 3, 0, 1, 0]), Err(Problem::TagOrder { previous: 3, tag: 1 }));
        assert_eq!(tags(&[1, 0, 2, 0]), Err(Problem::Truncated { needed: 2, remaining: 1 }));
        assert_eq!(tags(&[1, 0, 0, 7]), Err(Problem::TrailingBytes(1)));
    }

    #[test]
    fn an_error_says_where_and_what() {
        let mut reader = reader(&[0, 0, 7]);
        reader.fixed::<2>().expect("two bytes");
        let error = reader.at("Struct.field").fixed::<4>().expect_err("one byte left");
        let expected =
            "Struct.field at byte 2: expected 4 more bytes, but the frame has only 1 left";
        assert_eq!(error.to_string(), expected);
    }
}
