//! What the log says of a batch, and a batch as it is read.

use bytes::{Bytes, BytesMut};
use factum_event::batch::{
    Attributes, Batch, BatchError, HEADER_BYTES, LEADER_EPOCH, PREFIX_BYTES, crc32c,
};
use factum_event::{Offset, Partition, Timestamp, TopicId};

/// Bytes of a batch that the entry foretells; its CRC covers all after them.
pub(crate) const FRONT_BYTES: usize = 21;

/// A partition of a topic, by the topic's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition of the topic.
    pub partition: Partition,
}

/// What of a partition can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first offset that is kept.
    pub start: Offset,
    /// The end of what is durable: the offset after the last that can be read.
    pub end: Offset,
}

impl Extent {
    /// A partition without records.
    pub const EMPTY: Self = Self { start: Offset::ZERO, end: Offset::ZERO };
}

/// What the log says of a batch without looking into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
    /// When the log took it.
    pub appended_at: Timestamp,
    /// The producer's id, or -1.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence of its first record, or -1.
    pub base_sequence: i32,
    /// Its length in bytes.
    pub length: u32,
    /// The batch's attributes.
    pub(crate) attributes: i16,
    /// The batch's own CRC.
    pub crc: u32,
    /// The number of the journal that has it.
    pub(crate) journal: u64,
    /// Where it begins there.
    pub(crate) position: u64,
}

impl BatchEntry {
    /// Where the next batch of the partition begins.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.last_offset.next()
    }

    /// The batch's attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes {
        Attributes(self.attributes)
    }

    /// The byte after the batch in its journal.
    pub(crate) fn end_position(&self) -> u64 {
        self.position + u64::from(self.length)
    }

    /// Checks the front of the batch: what its own CRC does not cover, and what the entry repeats.
    pub(crate) fn check_header(&self, header: &[u8; HEADER_BYTES]) -> Result<(), String> {
        self.check_front(&header[..FRONT_BYTES])?;
        let delta = self.last_offset.get() - self.base_offset.get();
        let repeated = [
            ("attributes", 21..23, i64::from(self.attributes)),
            ("last offset", 23..27, delta),
            ("largest timestamp", 35..43, self.max_timestamp.as_millis()),
            ("producer id", 43..51, self.producer_id),
            ("producer epoch", 51..53, i64::from(self.producer_epoch)),
            ("base sequence", 53..57, i64::from(self.base_sequence)),
        ];
        for (name, range, entry) in repeated {
            let size = range.len();
            if header[range] != entry.to_be_bytes()[8 - size..] {
                return Err(format!("the batch's {name} is not the {entry} of its entry"));
            }
        }
        Ok(())
    }

    /// Compares the CRC that the batch's bytes have.
    pub(crate) fn check_crc(&self, computed: u64) -> Result<(), String> {
        if computed == u64::from(self.crc) {
            return Ok(());
        }
        Err(format!("CRC {:08x} was expected, the bytes have {computed:08x}", self.crc))
    }

    /// The bytes up to the CRC, which it does not cover.
    fn front(&self) -> [u8; FRONT_BYTES] {
        let mut front = [0; FRONT_BYTES];
        front[..8].copy_from_slice(&self.base_offset.get().to_be_bytes());
        front[8..12].copy_from_slice(&self.length.saturating_sub(12).to_be_bytes());
        front[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        front[16] = 2;
        front[17..].copy_from_slice(&self.crc.to_be_bytes());
        front
    }

    /// Checks that `bytes` are the batch: also those that the batch's own CRC does not cover.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() < HEADER_BYTES || bytes.len() != self.length as usize {
            return Err(format!("a batch of {} bytes, not {}", bytes.len(), self.length));
        }
        self.check_front(&bytes[..FRONT_BYTES])?;
        self.check_crc(u64::from(crc32c(&bytes[FRONT_BYTES..])))
    }

    /// Begins to check a batch that comes in pieces, the first of at least [`FRONT_BYTES`].
    pub(crate) fn begin_check(&self) -> BatchCheck<'_> {
        let crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        BatchCheck { entry: self, crc, bytes: 0 }
    }

    fn check_front(&self, front: &[u8]) -> Result<(), String> {
        if front == self.front() {
            return Ok(());
        }
        Err("the batch's offset, length, format or CRC is not the one indexed".into())
    }
}

/// The check of one batch that comes in pieces.
pub(crate) struct BatchCheck<'a> {
    entry: &'a BatchEntry,
    crc: crc_fast::Digest,
    bytes: usize,
}

impl BatchCheck<'_> {
    /// Takes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) -> Result<(), String> {
        let covered = if self.bytes == 0 {
            let Some((front, covered)) = piece.split_at_checked(FRONT_BYTES) else {
                return Err(format!("a batch that begins with {} bytes", piece.len()));
            };
            self.entry.check_front(front)?;
            covered
        } else {
            piece
        };
        self.crc.update(covered);
        self.bytes += piece.len();
        Ok(())
    }

    /// Whether the pieces were the batch.
    pub(crate) fn finish(self) -> Result<(), String> {
        if self.bytes != self.entry.length as usize {
            return Err(format!("a batch of {} bytes, not {}", self.bytes, self.entry.length));
        }
        self.entry.check_crc(self.crc.finalize())
    }
}

/// A batch as it is stored: its first 16 bytes, with its offset, and the rest, shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// What the log says of it.
    pub entry: BatchEntry,
    /// The bytes that state its offset and length.
    pub prefix: Bytes,
    /// Everything after.
    pub body: Bytes,
}

impl StoredBatch {
    /// From the bytes of the whole batch, which are shared.
    pub(crate) fn split(entry: BatchEntry, bytes: &Bytes) -> Self {
        Self { entry, prefix: bytes.slice(..PREFIX_BYTES), body: bytes.slice(PREFIX_BYTES..) }
    }

    /// The batch in one piece, to look into it; copies its bytes.
    ///
    /// # Errors
    /// [`BatchError`], which does not happen with what the log returned.
    pub fn to_batch(&self) -> Result<Batch, BatchError> {
        let mut bytes = BytesMut::with_capacity(self.len());
        bytes.extend_from_slice(&self.prefix);
        bytes.extend_from_slice(&self.body);
        Batch::parse(bytes.freeze())
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch has a header")]
    pub fn len(&self) -> usize {
        self.prefix.len() + self.body.len()
    }
}
