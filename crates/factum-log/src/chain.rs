//! The hash chain over each partition: a rewritten past has another end.
//!
//! `h' = BLAKE3(h ‖ base offset ‖ last offset ‖ batch without its first 16 bytes)`; a chain begins
//! with BLAKE3 of topic id and partition. A checksum finds accidents; whoever rewrites a batch
//! with its checksums still has to rewrite every value after it, and one that was given away
//! (an attestation) cannot be rewritten.

use std::fmt;

use factum_event::Offset;

use crate::entry::{BatchEntry, PartitionId};

/// Bytes of a [`ChainHash`].
pub const CHAIN_HASH_BYTES: usize = 32;

/// The value of a partition's chain after some batch: it fixes every byte before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainHash([u8; CHAIN_HASH_BYTES]);

impl ChainHash {
    /// The value before the first batch of a partition.
    #[must_use]
    pub fn begin(id: PartitionId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(id.topic.0.as_bytes());
        hasher.update(&id.partition.get().to_be_bytes());
        Self(hasher.finalize().into())
    }

    /// A value from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; CHAIN_HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; CHAIN_HASH_BYTES] {
        &self.0
    }

    /// The hash of plain bytes, such as those of a seal.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    /// The first eight bytes: enough to tell which batch is the first that differs.
    pub(crate) fn tag(&self) -> u64 {
        let mut tag = [0; 8];
        tag.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(tag)
    }

    /// A value from 64 hexadecimal digits.
    #[must_use]
    pub fn parse_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(hash.into()))
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The chain's value where a partition ends, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The partition.
    pub partition: PartitionId,
    /// The offset after the last one that `hash` covers.
    pub next: Offset,
    /// The value.
    pub hash: ChainHash,
}

/// One step of the chain, while the bytes of its batch come in pieces.
pub(crate) struct Link(blake3::Hasher);

impl Link {
    pub(crate) fn new(before: &ChainHash, entry: &BatchEntry) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before.as_bytes());
        hasher.update(&entry.base_offset.get().to_be_bytes());
        hasher.update(&entry.last_offset.get().to_be_bytes());
        Self(hasher)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> ChainHash {
        ChainHash(self.0.finalize().into())
    }
}

/// One hash over the heads of all partitions, which anyone can compute again: BLAKE3 of
/// `factum attestation 1\n`, then of every head by topic id and partition: topic id (16 bytes),
/// partition (4), offset (8), value (32), numbers big-endian.
#[must_use]
pub fn root_hash(heads: &[ChainHead]) -> ChainHash {
    let mut sorted: Vec<&ChainHead> = heads.iter().collect();
    sorted.sort_unstable_by_key(|head| head.partition);
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"factum attestation 1\n");
    for head in sorted {
        hasher.update(head.partition.topic.0.as_bytes());
        hasher.update(&head.partition.partition.get().to_be_bytes());
        hasher.update(&head.next.get().to_be_bytes());
        hasher.update(head.hash.as_bytes());
    }
    ChainHash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use factum_event::{Partition, TopicId};
    use uuid::Uuid;

    use super::*;

    fn id(topic: u128, partition: i32) -> PartitionId {
        let partition = Partition::new(partition).unwrap();
        PartitionId { topic: TopicId(Uuid::from_u128(topic)), partition }
    }

    #[test]
    fn hexadecimal_digits_are_read_as_they_were_written() {
        let hash = ChainHash::begin(id(1, 2));
        assert_eq!(ChainHash::parse_hex(&hash.to_string()), Some(hash));
        assert_eq!(ChainHash::parse_hex("00"), None);
        assert_ne!(hash, ChainHash::begin(id(1, 3)));
    }

    #[test]
    fn the_root_changes_with_every_head_and_not_with_their_order() {
        let head = |partition, next: i64| {
            let partition = id(1, partition);
            let hash = ChainHash::begin(partition);
            ChainHead { partition, next: Offset::new(next).unwrap(), hash }
        };
        let root = root_hash(&[head(0, 5), head(1, 7)]);
        assert_eq!(root, root_hash(&[head(1, 7), head(0, 5)]));
        assert_ne!(root, root_hash(&[head(0, 5), head(1, 8)]));
        assert_ne!(root, root_hash(&[head(0, 5)]));
    }
}
