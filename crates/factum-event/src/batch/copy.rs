//! Batches that are copied from another log, and keep the offsets that they have there.
//!
//! A copy says by its leader epoch that its base offset counts: no producer and no broker writes
//! [`COPY_EPOCH`]. What belongs to the other cluster is taken off: the producer with its sequence,
//! and that it was part of a transaction, which has ended. Records stay packed as they are.
//!
//! Where the other log has offsets without records that count (ends of transactions, what was
//! aborted, what compaction removed), a **gap** takes their place: a control batch of no producer,
//! which every client skips. Batches without a record would do, but librdkafka takes an answer
//! with nothing else for one in which a batch did not find room.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Attributes, Batch, BatchError, BatchHeader, Outcome, TRANSACTIONAL_BIT, at, crc32c};
use crate::{Offset, Timestamp};

/// The leader epoch of a batch whose base offset counts.
pub const COPY_EPOCH: i32 = -2;

/// What a batch says that has no producer.
const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

impl Batch {
    /// Whether its base offset counts.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.bytes
            .first_chunk()
            .is_some_and(|header| i32::from_be_bytes(at(header, 12)) == COPY_EPOCH)
    }

    /// The batch as a copy for another log, at the same offset; its bytes are copied.
    #[must_use]
    pub fn as_copy(&self) -> Self {
        let (producer_id, producer_epoch, base_sequence) = NO_PRODUCER;
        let attributes = Attributes(self.header.attributes.0 & !TRANSACTIONAL_BIT);
        let header =
            BatchHeader { attributes, producer_id, producer_epoch, base_sequence, ..self.header };
        let old = &self.bytes;
        let mut bytes = BytesMut::with_capacity(old.len());
        bytes.put_slice(&old[..12]);
        bytes.put_i32(COPY_EPOCH);
        if header == self.header {
            bytes.put_slice(&old[16..]);
        } else {
            bytes.put_slice(&old[16..21]);
            bytes.put_i16(attributes.0);
            bytes.put_slice(&old[23..43]);
            bytes.put_i64(producer_id);
            bytes.put_i16(producer_epoch);
            bytes.put_i32(base_sequence);
            bytes.put_slice(&old[57..]);
            let crc = crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        Self { bytes: bytes.freeze(), header }
    }

    /// A gap from `from` on and before `to`, or as much of it as one batch can be.
    ///
    /// # Errors
    /// [`BatchError`] where `to` is not behind `from`; a gap can be built otherwise.
    pub fn gap(from: Offset, to: Offset) -> Result<Self, BatchError> {
        let offsets = to.get() - from.get();
        if offsets < 1 {
            return Err(BatchError::Empty);
        }
        let last_offset_delta = i32::try_from(offsets - 1).unwrap_or(i32::MAX);
        let (producer_id, epoch, _) = NO_PRODUCER;
        let marker = Self::marker((producer_id, epoch), Outcome::Commit, 0, Timestamp::UNKNOWN)?;
        let mut bytes = BytesMut::from(&marker.bytes[..]);
        bytes[..8].copy_from_slice(&from.get().to_be_bytes());
        bytes[12..16].copy_from_slice(&COPY_EPOCH.to_be_bytes());
        bytes[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Self::parse(Bytes::from(bytes))
    }

    /// Whether it can be appended as a copy, as far as its header tells. Unlike a producer's batch
    /// it may have offsets without records, timestamps of the broker, and a delete horizon.
    ///
    /// # Errors
    /// [`BatchError`] for an unknown codec, counts that contradict each other, a batch that still
    /// has a producer or is part of a transaction, or a control batch that is no gap.
    pub fn check_copy(&self) -> Result<(), BatchError> {
        self.codec()?;
        let header = &self.header;
        let producer = (header.producer_id, header.producer_epoch, header.base_sequence);
        // A gap looks like the end of a transaction, which nobody has begun.
        let is_gap = header.attributes.is_control();
        if producer != NO_PRODUCER || header.attributes.is_transactional() != is_gap {
            return Err(BatchError::Copy { producer_id: header.producer_id });
        }
        let too_many = i64::from(header.record_count) > i64::from(header.last_offset_delta) + 1;
        if header.record_count < 1 || too_many {
            return Err(BatchError::Counts {
                records: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        if is_gap && !self.is_gap() {
            return Err(BatchError::Gap);
        }
        Ok(())
    }

    /// Whether it is the gap over its offsets, to the byte: what else a control batch may hold is
    /// read when the log is opened.
    fn is_gap(&self) -> bool {
        let from = self.header.base_offset;
        let to = from.checked_add(i64::from(self.header.offsets())).and_then(Offset::new);
        let gap = Offset::new(from).zip(to).and_then(|(from, to)| Self::gap(from, to).ok());
        gap.is_some_and(|gap| gap.bytes == self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, Codec, ProducerState};
    use super::*;
    use crate::Record;

    fn offset(number: i64) -> Offset {
        Offset::new(number).unwrap()
    }

    fn stored(codec: Codec, producer: Option<ProducerState>, transactional: bool) -> Batch {
        let mut builder = BatchBuilder::new(codec, producer);
        if transactional {
            builder = builder.transactional();
        }
        for number in 0..3_u8 {
            builder.push(&Record {
                key: Some(vec![number].into()),
                value: Some(vec![number; 50].into()),
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(1_000 + i64::from(number)),
            });
        }
        builder.build().unwrap().at(offset(500))
    }

    #[test]
    fn a_copy_has_the_same_records_at_the_same_offsets_and_no_producer() {
        let producer = Some(ProducerState { id: 7, epoch: 1, base_sequence: 3 });
        for codec in Codec::ALL {
            for (producer, transactional) in [(None, false), (producer, false), (producer, true)] {
                let batch = stored(codec, producer, transactional);
                let copy = batch.as_copy();
                // Parsing checks the CRC, and that the header kept is the one in the bytes.
                assert_eq!(Batch::parse(copy.bytes().clone()).unwrap(), copy);
                assert!(copy.is_copy() && !batch.is_copy());
                assert_eq!(copy.check_copy(), Ok(()));
                assert_eq!(copy.records(1 << 20).unwrap(), batch.records(1 << 20).unwrap());
                assert_eq!(copy.bytes()[61..], batch.bytes()[61..], "packed as it came");
                assert_eq!(copy.header().producer_id, -1);
                assert_eq!(batch.check_copy().is_ok(), producer.is_none());
            }
        }
    }

    #[test]
    fn a_batch_without_a_producer_changes_only_in_its_leader_epoch() {
        let batch = stored(Codec::Zstd, None, false);
        let copy = batch.as_copy();
        assert_eq!(copy.bytes()[..12], batch.bytes()[..12]);
        assert_eq!(copy.bytes()[16..], batch.bytes()[16..]);
    }

    #[test]
    fn a_gap_is_a_control_batch_over_all_its_offsets() {
        let gap = Batch::gap(offset(10), offset(25)).unwrap();
        assert_eq!((gap.header().base_offset, gap.header().offsets()), (10, 15));
        assert!(gap.header().attributes.is_control() && gap.is_copy());
        assert_eq!(gap.check_copy(), Ok(()));
        assert_eq!(gap.outcome(), Ok(Some(Outcome::Commit)), "which every client skips");
        let long = Batch::gap(offset(0), offset(1 << 40)).unwrap();
        assert_eq!(long.header().offsets(), 1 << 31, "as much as one batch can be");
        assert!(Batch::gap(offset(5), offset(5)).is_err());
    }

    #[test]
    fn a_gap_with_any_other_byte_is_refused() {
        let gap = Batch::gap(offset(10), offset(25)).unwrap();
        let is_checked = |at: usize| (21..gap.len()).contains(&at);
        for at in (0..gap.len()).filter(|at| is_checked(*at)) {
            let mut bytes = BytesMut::from(&gap.bytes()[..]);
            bytes[at] ^= 0x20;
            let crc = crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            let Ok(changed) = Batch::parse(bytes.freeze()) else { continue };
            // As many offsets more or fewer are another gap.
            let other = changed.header().offsets() != gap.header().offsets();
            let control = changed.header().attributes.is_control();
            assert!(changed.check_copy().is_err() || other || !control, "byte {at}");
        }
    }

    #[test]
    fn what_belongs_to_a_transaction_is_no_copy() {
        let at = Timestamp::from_millis(1);
        let marker = Batch::marker((7, 3), Outcome::Commit, 0, at).unwrap();
        assert!(matches!(marker.check_copy(), Err(BatchError::Copy { producer_id: 7 })));
        let mut bytes = BytesMut::from(&stored(Codec::None, None, false).bytes()[..]);
        bytes[57..61].copy_from_slice(&4_i32.to_be_bytes());
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let batch = Batch::parse(bytes.freeze()).unwrap();
        assert!(matches!(batch.check_copy(), Err(BatchError::Counts { .. })));
    }
}
