//! The bytes of record batches, as they came.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The value of a `records` field: opaque bytes in one or more shared chunks.
///
/// A decoded message has one chunk, a slice of its frame. A message to encode takes as many as
/// there are stored batches; none of them is copied. Equal means equal bytes, however chunked.
#[derive(Clone, Default)]
pub struct Records {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Records {
    /// The chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Bytes in all chunks together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks().map(Bytes::len).sum()
    }

    /// Whether there is not a single byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in one piece; copies only if there are several chunks.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut all = BytesMut::with_capacity(self.len());
        self.chunks().for_each(|chunk| all.extend_from_slice(chunk));
        all.freeze()
    }
}

impl From<Bytes> for Records {
    fn from(first: Bytes) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(mut chunks: Vec<Bytes>) -> Self {
        match chunks.len() {
            0 => Self::default(),
            1 => Self::from(chunks.remove(0)),
            _ => Self { first: Bytes::new(), rest: chunks },
        }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.chunks().flatten().eq(other.chunks().flatten())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Records({} bytes in {} chunks)", self.len(), self.chunks().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(texts: &[&'static str]) -> Records {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect::<Vec<_>>().into()
    }

    #[test]
    fn records_are_equal_by_their_bytes_however_chunked() {
        assert_eq!(chunks(&["ab", "c"]), chunks(&["a", "bc"]));
        assert_ne!(chunks(&["ab"]), chunks(&["ab", "c"]));
        assert_eq!(chunks(&[]), chunks(&[""]));
        assert_eq!(chunks(&["ab", "", "c"]).len(), 3);
        assert_eq!(&chunks(&["ab", "c"]).into_bytes()[..], b"abc");
    }

    #[test]
    fn one_chunk_is_handed_out_without_a_copy() {
        let chunk = Bytes::from(vec![1, 2, 3]);
        let place = chunk.as_ptr();
        assert_eq!(Records::from(chunk).into_bytes().as_ptr(), place);
    }
}
