//! The batches that end transactions: control batches of one record (KIP-98).
//!
//! ```text
//! key:   version i16 (0) | type i16, 0 abort, 1 commit
//! value: version i16 (0) | coordinator epoch i32
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::builder::ProducerState;
use super::{Attributes, Batch, BatchBuilder, BatchError};
use crate::{Record, Timestamp};

/// The attributes of a marker: transactional, control.
const MARKER: Attributes = Attributes(0x30);

/// A marker belongs to no sequence.
const NO_SEQUENCE: i32 = -1;

/// More is not unpacked of a control batch, in bytes.
const UNPACKED_LIMIT: usize = 64 << 10;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// What it wrote does not count.
    Abort,
    /// What it wrote counts.
    Commit,
}

impl Outcome {
    const fn number(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
        }
    }
}

impl Batch {
    /// The batch that ends the transaction of a producer in a partition.
    ///
    /// # Errors
    /// [`BatchError`]; one record can always be built.
    pub fn marker(
        (producer_id, epoch): (i64, i16),
        outcome: Outcome,
        coordinator_epoch: i32,
        at: Timestamp,
    ) -> Result<Self, BatchError> {
        let (mut key, mut value) = (BytesMut::new(), BytesMut::new());
        key.put_i16(0);
        key.put_i16(outcome.number());
        value.put_i16(0);
        value.put_i32(coordinator_epoch);
        let producer = ProducerState { id: producer_id, epoch, base_sequence: NO_SEQUENCE };
        let mut builder = BatchBuilder::with_attributes(MARKER, producer);
        builder.push(&Record {
            key: Some(key.freeze()),
            value: Some(value.freeze()),
            headers: Vec::new(),
            timestamp: at,
        });
        builder.build()
    }

    /// How a control batch says that a transaction ended; none where it is of another kind, or
    /// compaction has left only its header.
    ///
    /// # Errors
    /// [`BatchError`] where it cannot be read.
    pub fn outcome(&self) -> Result<Option<Outcome>, BatchError> {
        if !self.header().attributes.is_control() {
            return Ok(None);
        }
        let first = self.decode(UNPACKED_LIMIT)?.next().transpose()?;
        Ok(first.and_then(|found| found.record.key).and_then(outcome_of))
    }
}

/// The outcome that the key of a control record names.
fn outcome_of(mut key: Bytes) -> Option<Outcome> {
    let (version, kind) = (key.try_get_i16().ok()?, key.try_get_i16().ok()?);
    match kind {
        _ if version < 0 => None,
        0 => Some(Outcome::Abort),
        1 => Some(Outcome::Commit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use super::*;

    #[test]
    fn a_marker_has_the_bytes_that_clients_expect_and_says_its_outcome() {
        for outcome in [Outcome::Abort, Outcome::Commit] {
            let at = Timestamp::from_millis(5);
            let marker = Batch::marker((7, 3), outcome, 9, at).unwrap();
            let header = marker.header();
            assert!(header.attributes.is_control() && header.attributes.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
            assert_eq!((header.base_sequence, header.record_count), (-1, 1));
            let records = marker.records(UNPACKED_LIMIT).unwrap();
            let kind = u8::from(outcome == Outcome::Commit);
            assert_eq!(records[0].record.key.as_deref(), Some(&[0, 0, 0, kind][..]));
            assert_eq!(records[0].record.value.as_deref(), Some(&[0, 0, 0, 0, 0, 9][..]));
            assert_eq!(marker.outcome(), Ok(Some(outcome)));
            assert!(marker.check_producible().is_err(), "only a broker writes markers");
        }
    }

    #[test]
    fn what_is_no_marker_has_no_outcome() {
        let record = |key: &'static [u8]| Record {
            key: Some(Bytes::from_static(key)),
            value: None,
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(0),
        };
        let mut plain = BatchBuilder::new(Codec::None, None);
        plain.push(&record(&[0, 0, 0, 1]));
        assert_eq!(plain.build().unwrap().outcome(), Ok(None));
        for key in [&[0, 0, 0, 2][..], &[0, 0], &[0xff, 0xff, 0, 1], &[]] {
            let producer = ProducerState { id: 1, epoch: 0, base_sequence: -1 };
            let mut control = BatchBuilder::with_attributes(MARKER, producer);
            control.push(&record(key));
            assert_eq!(control.build().unwrap().outcome(), Ok(None), "{key:?}");
        }
    }
}
