//! Writing a frame: small fields gather in one buffer, shared chunks stay as they are, and for
//! bytes that are not in memory their place is kept.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::records::Part;

/// Chunks below this many bytes are copied: a segment of its own would cost more.
const COPY_BELOW: usize = 512;

/// Room for the size of a frame.
const SIZE_PREFIX: usize = 4;

/// The longest frame that a signed 32-bit size can announce.
const LARGEST_FRAME: usize = i32::MAX as usize;

/// A frame that is being written.
///
/// The first mistake is kept and reported by [`Writer::finish`], so that fields need no check
/// of their own.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    /// Parts that belong into the buffer, each before the byte at its position.
    inserts: Vec<(usize, Part)>,
    field: &'static str,
    /// Inside a tagged field, whose length must be known before its bytes: chunks are copied.
    gather: bool,
    error: Option<EncodeError>,
}

/// A message that its version cannot express.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// No value where the version demands one.
    #[error("{field} is none, but version {version} has no null there: set it")]
    UnexpectedNull {
        /// The field, as `Struct.field`.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A value longer than its length field can say.
    #[error("{field} has {length} bytes or elements, the version allows {limit}: send less")]
    TooLong {
        /// The field, as `Struct.field`.
        field: &'static str,
        /// How long the value is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A version that this codec does not know.
    #[error("{message} version {version} is not supported, only {min} to {max}")]
    UnsupportedVersion {
        /// The API's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The lowest one known.
        min: i16,
        /// The highest one known.
        max: i16,
    },
    /// Bytes that are elsewhere, where a frame of bytes was wanted.
    #[error("{length} bytes of the frame are not in memory: take it in parts")]
    External {
        /// How many.
        length: usize,
    },
    /// A frame that a signed 32-bit size cannot announce.
    #[error("the frame has {0} bytes, more than the 2147483647 of the protocol: send less")]
    FrameTooLarge(usize),
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Begins a frame, with room for its size.
    #[must_use]
    pub fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(256);
        buffer.put_bytes(0, SIZE_PREFIX);
        Self { buffer, inserts: Vec::new(), field: "frame", gather: false, error: None }
    }

    /// The finished frame, its size in front, in segments for a vectored write.
    ///
    /// # Errors
    /// The first field that could not be expressed, bytes that are elsewhere, or a frame above
    /// 2 GiB.
    pub fn finish(self) -> Result<Vec<Bytes>, EncodeError> {
        let bytes = |part| match part {
            Part::Bytes(bytes) => Ok(bytes),
            Part::External(length) => Err(EncodeError::External { length }),
        };
        self.finish_parts()?.into_iter().map(bytes).collect()
    }

    /// The finished frame, its size in front; bytes that are elsewhere are parts of their own, in
    /// the order in which the message has them.
    ///
    /// # Errors
    /// The first field that could not be expressed, or a frame above 2 GiB.
    pub fn finish_parts(mut self) -> Result<Vec<Part>, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let inserted: usize = self.inserts.iter().map(|(_, part)| part.len()).sum();
        let size = self.buffer.len() - SIZE_PREFIX + inserted;
        let prefix = i32::try_from(size).map_err(|_| EncodeError::FrameTooLarge(size))?;
        self.buffer[..SIZE_PREFIX].copy_from_slice(&prefix.to_be_bytes());
        Ok(split(self.buffer.freeze(), self.inserts))
    }

    /// Names the field that is written next, for errors.
    pub(crate) const fn at(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    /// Keeps `error` for [`Writer::finish`], unless there is one already.
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn fail_null(&mut self, version: i16) {
        self.fail(EncodeError::UnexpectedNull { field: self.field, version });
    }

    pub(crate) fn fail_length(&mut self, length: usize, limit: usize) {
        self.fail(EncodeError::TooLong { field: self.field, length, limit });
    }

    /// Bytes that are copied into the buffer.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Bytes that stay where they are, if they are worth it.
    pub(crate) fn share(&mut self, chunk: &Bytes) {
        if self.gather || chunk.len() < COPY_BELOW {
            self.put(chunk);
        } else {
            self.inserts.push((self.buffer.len(), Part::Bytes(chunk.clone())));
        }
    }

    /// Room for bytes that are elsewhere.
    pub(crate) fn external(&mut self, length: usize) {
        if self.gather {
            // The messages have no records in tagged fields.
            self.fail(EncodeError::External { length });
        } else if length > 0 {
            self.inserts.push((self.buffer.len(), Part::External(length)));
        }
    }

    /// An unsigned number in groups of seven bits.
    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(low_seven_bits(value) | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(low_seven_bits(value));
    }

    /// A tagged field: its tag, the length of what `write` writes, and that.
    pub(crate) fn tagged(&mut self, tag: u32, write: impl FnOnce(&mut Self)) {
        self.varint(tag);
        let outer = std::mem::take(&mut self.buffer);
        let outer_gather = std::mem::replace(&mut self.gather, true);
        write(self);
        self.gather = outer_gather;
        let value = std::mem::replace(&mut self.buffer, outer);
        match u32::try_from(value.len()) {
            Ok(length) => self.varint(length),
            Err(_) => self.fail_length(value.len(), LARGEST_FRAME),
        }
        self.put(&value);
    }
}

#[allow(clippy::cast_possible_truncation)] // masked to seven bits
const fn low_seven_bits(value: u32) -> u8 {
    (value & 0x7f) as u8
}

fn split(mut buffer: Bytes, inserts: Vec<(usize, Part)>) -> Vec<Part> {
    let mut parts = Vec::with_capacity(inserts.len() * 2 + 1);
    let mut taken = 0;
    for (position, part) in inserts {
        if position > taken {
            parts.push(Part::Bytes(buffer.split_to(position - taken)));
            taken = position;
        }
        parts.push(part);
    }
    if !buffer.is_empty() {
        parts.push(Part::Bytes(buffer));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_chunks_become_segments_of_their_own_and_small_ones_are_copied() {
        let large = Bytes::from(vec![7; COPY_BELOW]);
        let mut writer = Writer::new();
        writer.put(b"ab");
        writer.share(&large);
        writer.share(&large);
        writer.share(&Bytes::from_static(b"cd"));
        writer.share(&large);
        let segments = writer.finish().expect("a frame");
        let places: Vec<_> =
            segments.iter().map(|segment| segment.as_ptr() == large.as_ptr()).collect();
        assert_eq!(places, [false, true, true, false, true]);
        let size = 4 + 3 * COPY_BELOW;
        assert_eq!(
            &segments[0][..],
            [&u32::try_from(size).expect("small").to_be_bytes()[..], b"ab"].concat()
        );
        assert_eq!(segments.iter().map(Bytes::len).sum::<usize>(), 4 + size);
    }

    #[test]
    fn bytes_that_are_elsewhere_are_counted_and_keep_their_place() {
        let mut writer = Writer::new();
        writer.put(b"ab");
        writer.external(1000);
        writer.external(0);
        writer.put(b"cd");
        let bytes = |bytes: &[u8]| Part::Bytes(Bytes::copy_from_slice(bytes));
        let expected = [bytes(&[0, 0, 0x03, 0xec, b'a', b'b']), Part::External(1000), bytes(b"cd")];
        assert_eq!(writer.finish_parts().expect("a frame"), expected);
    }

    #[test]
    fn a_frame_of_bytes_has_none_that_are_elsewhere() {
        let mut writer = Writer::new();
        writer.external(7);
        assert_eq!(writer.finish(), Err(EncodeError::External { length: 7 }));
        let mut writer = Writer::new();
        writer.tagged(3, |writer| writer.external(8));
        assert_eq!(writer.finish_parts(), Err(EncodeError::External { length: 8 }));
    }

    #[test]
    fn a_tagged_field_stands_behind_its_length_in_one_piece() {
        let large = Bytes::from(vec![7; COPY_BELOW]);
        let mut writer = Writer::new();
        writer.tagged(3, |writer| writer.share(&large));
        let segments = writer.finish().expect("a frame");
        assert_eq!(segments.len(), 1);
        assert_eq!(segments[0][4..7], [3, 0x80, 0x04]);
    }

    #[test]
    fn the_first_mistake_is_the_one_reported() {
        let mut writer = Writer::new();
        writer.at("First.field").fail_null(3);
        writer.at("Second.field").fail_length(9, 8);
        let error = writer.finish().expect_err("two mistakes");
        assert_eq!(error, EncodeError::UnexpectedNull { field: "First.field", version: 3 });
    }
}
