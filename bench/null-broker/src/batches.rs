//! The one batch that is served again and again, at the offset that is asked for.
//!
//! The base offset stands in the first eight bytes of a batch, and its CRC does not cover them: so
//! every answer shares the rest.

use bytes::Bytes;
use factum_event::batch::{BatchBuilder, BatchError, Codec};
use factum_event::{Record, Timestamp};

const OFFSET_BYTES: usize = 8;

/// A log of equal batches that takes the memory of one.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The batch without its base offset.
    rest: Bytes,
    records_per_batch: i64,
    /// The offset after the last record.
    end: i64,
}

impl Prepared {
    /// At least `records` records with values of `record_bytes`, in batches of at most
    /// `batch_bytes`, but of one record at least.
    ///
    /// # Errors
    /// [`BatchError`] if the batch cannot be built.
    pub(crate) fn new(
        record_bytes: u32,
        batch_bytes: u32,
        records: u32,
    ) -> Result<Self, BatchError> {
        let value = Bytes::from(vec![b'x'; record_bytes as usize]);
        let record = Record {
            key: None,
            value: Some(value),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(0),
        };
        let mut builder = BatchBuilder::new(Codec::None, None);
        builder.push(&record);
        let room_for_one = builder.bytes();
        while builder.bytes() + room_for_one <= batch_bytes as usize {
            builder.push(&record);
        }
        let batch = builder.build()?;
        let per_batch = batch.header().offsets();
        let end = u64::from(records).next_multiple_of(u64::from(per_batch));
        Ok(Self {
            rest: batch.bytes().slice(OFFSET_BYTES..),
            records_per_batch: i64::from(per_batch),
            end: end.cast_signed(),
        })
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Batches from the one that holds `offset` on, of together `limit` bytes at most; the first
    /// one comes even if it is longer, where `first` says so.
    pub(crate) fn read(&self, offset: i64, limit: usize, first: bool) -> Vec<Bytes> {
        let batch_bytes = OFFSET_BYTES + self.rest.len();
        let fitting = limit / batch_bytes;
        let count = if first { fitting.max(1) } else { fitting };
        let from = offset.max(0) / self.records_per_batch;
        let until = self.end / self.records_per_batch;
        let batches = (from..until).take(count);
        let base = |batch: i64| (batch * self.records_per_batch).to_be_bytes();
        batches.flat_map(|at| [Bytes::copy_from_slice(&base(at)), self.rest.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use factum_event::batch::Batch;

    use super::*;

    #[test]
    fn the_batch_of_an_offset_is_served_whole_and_valid() {
        let served = Prepared::new(100, 1500, 95).unwrap();
        let per_batch = served.records_per_batch;
        assert!((10..14).contains(&per_batch));
        assert!(served.end() >= 95 && served.end() % per_batch == 0);
        let bytes = Bytes::from(served.read(per_batch + 3, 0, true).concat());
        let batch = Batch::parse(bytes).unwrap();
        assert_eq!(batch.header().base_offset, per_batch);
        assert_eq!(i64::from(batch.header().offsets()), per_batch);
        assert!(batch.bytes().len() <= 1500);
    }

    #[test]
    fn reading_stops_at_the_limit_and_at_the_end() {
        let served = Prepared::new(10, 1, 5).unwrap();
        let one = served.rest.len() + OFFSET_BYTES;
        assert_eq!(served.read(0, 3 * one, true).len(), 2 * 3);
        assert_eq!(served.read(0, one - 1, false).len(), 0);
        assert_eq!(served.read(4, usize::MAX, true).len(), 2);
        assert_eq!(served.read(5, usize::MAX, true).len(), 0);
        assert_eq!(served.read(i64::MAX, usize::MAX, true).len(), 0);
    }
}
