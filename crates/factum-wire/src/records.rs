//! The bytes of record batches, as they came or where they are.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The value of a `records` field: opaque bytes in one or more parts.
///
/// A decoded message has one part, a slice of its frame. A message to encode takes as many as
/// there are stored batches; none of them is copied, and some may not be in memory at all. Equal
/// means equal bytes, however divided; bytes that are elsewhere are equal to as many elsewhere.
#[derive(Clone, Default)]
pub struct Records {
    first: Part,
    rest: Vec<Part>,
}

/// Bytes of a frame, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes that are elsewhere, such as in a file: who sends the frame knows where.
    External(usize),
}

impl Part {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::External(length) => *length,
        }
    }

    /// Whether there is not a single byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What of it is in memory.
    fn here(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::External(_) => &[],
        }
    }

    /// What of it is not.
    const fn elsewhere(&self) -> usize {
        match self {
            Self::Bytes(_) => 0,
            Self::External(length) => *length,
        }
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Records {
    /// The parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Bytes in all parts together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().map(Part::len).sum()
    }

    /// Whether there is not a single byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes that are in memory, in one piece, as those of a decoded message are; copies only
    /// if there are several parts.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.first {
            Part::Bytes(bytes) if self.rest.is_empty() => bytes,
            _ => {
                let mut all = BytesMut::new();
                self.parts().for_each(|part| all.extend_from_slice(part.here()));
                all.freeze()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self { first: Part::Bytes(bytes), rest: Vec::new() }
    }
}

impl From<Vec<Part>> for Records {
    fn from(mut parts: Vec<Part>) -> Self {
        match parts.len() {
            0 => Self::default(),
            1 => Self { first: parts.remove(0), rest: Vec::new() },
            _ => Self { first: Part::default(), rest: parts },
        }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(chunks: Vec<Bytes>) -> Self {
        chunks.into_iter().map(Part::Bytes).collect::<Vec<_>>().into()
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        /// Every byte, and how many are missing where some are elsewhere.
        fn content(records: &Records) -> impl Iterator<Item = Result<u8, usize>> {
            records.parts().flat_map(|part| {
                let elsewhere = Some(part.elsewhere()).filter(|length| *length > 0);
                part.here().iter().copied().map(Ok).chain(elsewhere.map(Err))
            })
        }
        content(self).eq(content(other))
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Records({} bytes in {} parts)", self.len(), self.parts().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(texts: &[&'static str]) -> Records {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect::<Vec<_>>().into()
    }

    #[test]
    fn records_are_equal_by_their_bytes_however_divided() {
        assert_eq!(chunks(&["ab", "c"]), chunks(&["a", "bc"]));
        assert_ne!(chunks(&["ab"]), chunks(&["ab", "c"]));
        assert_eq!(chunks(&[]), chunks(&[""]));
        assert_eq!(chunks(&["ab", "", "c"]).len(), 3);
        assert_eq!(&chunks(&["ab", "c"]).into_bytes()[..], b"abc");
        let external = |length| Records::from(vec![Part::External(length)]);
        assert_eq!(external(3), external(3));
        assert_ne!(external(3), chunks(&["abc"]));
        assert_ne!(external(3), external(4));
        assert_eq!(external(3).len(), 3);
    }

    #[test]
    fn one_chunk_is_handed_out_without_a_copy() {
        let chunk = Bytes::from(vec![1, 2, 3]);
        let place = chunk.as_ptr();
        assert_eq!(Records::from(chunk).into_bytes().as_ptr(), place);
    }
}
