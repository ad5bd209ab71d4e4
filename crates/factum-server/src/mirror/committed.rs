//! What of a fetched partition counts: as a reader of committed records sees it, batch by batch.
//!
//! Ends of transactions, what was aborted, and batches that compaction has emptied do not count;
//! their offsets do. The broker names the transactions that were aborted, and which of its batches
//! are theirs is for the reader to find, as in every client.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use factum_event::batch::{Batch, BatchError, Outcome};
use factum_wire::messages::AbortedTransaction;

/// The batches that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// In the order of their offsets; the first may begin before what was asked for.
    pub batches: Vec<Batch>,
    /// The offset behind everything that came.
    pub next: i64,
}

/// Looks through what came for a fetch from the offset `from` on. The last batch may be cut off,
/// as brokers do at the limit of bytes; it will come again.
///
/// # Errors
/// Where a batch is damaged, or older than format 2.
pub fn committed(
    from: i64,
    mut bytes: Bytes,
    aborted: &[AbortedTransaction],
) -> Result<Committed, BatchError> {
    let mut aborted = Aborted::new(aborted);
    let mut found = Committed { batches: Vec::new(), next: from };
    while !bytes.is_empty() {
        let batch = match Batch::parse_first(&bytes) {
            Ok(batch) => batch,
            Err(BatchError::Truncated { .. }) => break,
            Err(error) => return Err(error),
        };
        bytes = bytes.slice(batch.len()..);
        let last = last_offset(&batch)?;
        let counts = aborted.counts(&batch, last)? && batch.header().record_count > 0;
        if last < found.next {
            continue;
        }
        found.next = last + 1;
        if counts {
            found.batches.push(batch);
        }
    }
    Ok(found)
}

/// The offset of a batch's last record, which some number must follow.
pub fn last_offset(batch: &Batch) -> Result<i64, BatchError> {
    let (base_offset, delta) = (batch.header().base_offset, batch.header().last_offset_delta);
    let last = base_offset.checked_add(delta.into()).filter(|last| *last < i64::MAX);
    last.filter(|_| base_offset >= 0).ok_or(BatchError::Offset { base_offset, delta })
}

/// The aborted transactions, as the batches go by.
struct Aborted {
    /// Those that have not begun yet: first offset, producer. Brokers sort them by their ends.
    ahead: BTreeSet<(i64, i64)>,
    /// The producers of those that have begun.
    open: HashSet<i64>,
}

impl Aborted {
    fn new(all: &[AbortedTransaction]) -> Self {
        let ahead = all.iter().map(|one| (one.first_offset, one.producer_id)).collect();
        Self { ahead, open: HashSet::new() }
    }

    /// Whether the next batch counts.
    fn counts(&mut self, batch: &Batch, last: i64) -> Result<bool, BatchError> {
        while let Some(&(first, producer)) = self.ahead.first().filter(|(first, _)| *first <= last)
        {
            self.ahead.remove(&(first, producer));
            self.open.insert(producer);
        }
        let header = batch.header();
        if header.attributes.is_control() {
            if batch.outcome()? == Some(Outcome::Abort) {
                self.open.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(!header.attributes.is_transactional() || !self.open.contains(&header.producer_id))
    }
}

#[cfg(test)]
mod tests {
    use factum_event::batch::{BatchBuilder, Codec, ProducerState};
    use factum_event::{Offset, Record, Timestamp};

    use super::*;

    fn batch(first: i64, count: u8, producer: Option<i64>) -> Batch {
        let state = producer.map(|id| ProducerState { id, epoch: 0, base_sequence: 0 });
        let mut builder = BatchBuilder::new(Codec::None, state);
        if producer.is_some() {
            builder = builder.transactional();
        }
        for number in 0..count {
            builder.push(&Record {
                key: Some(vec![number].into()),
                value: None,
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(1),
            });
        }
        builder.build().unwrap().at(Offset::new(first).unwrap())
    }

    fn end(at: i64, producer: i64, outcome: Outcome) -> Batch {
        let marker = Batch::marker((producer, 0), outcome, 0, Timestamp::from_millis(1)).unwrap();
        marker.at(Offset::new(at).unwrap())
    }

    fn joined(batches: &[Batch]) -> Bytes {
        batches.iter().flat_map(|batch| batch.bytes().to_vec()).collect()
    }

    fn aborted(first_offset: i64, producer_id: i64) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset }
    }

    fn firsts(from: i64, batches: &[Batch], lost: &[AbortedTransaction]) -> (Vec<i64>, i64) {
        let found = committed(from, joined(batches), lost).unwrap();
        let firsts = found.batches.iter().map(|batch| batch.header().base_offset).collect();
        (firsts, found.next)
    }

    #[test]
    fn what_was_aborted_does_not_count_and_what_the_same_producer_committed_does() {
        let log = [
            batch(0, 2, Some(7)),
            batch(2, 1, None),
            batch(3, 1, Some(8)),
            end(4, 7, Outcome::Abort),
            batch(5, 1, Some(7)),
            end(6, 8, Outcome::Commit),
            end(7, 7, Outcome::Commit),
            batch(8, 1, Some(7)),
            end(9, 7, Outcome::Abort),
        ];
        // Not in the order of their beginnings.
        assert_eq!(firsts(0, &log, &[aborted(8, 7), aborted(0, 7)]), (vec![2, 3, 5], 10));
        assert_eq!(firsts(0, &log, &[]), (vec![0, 2, 3, 5, 8], 10));
    }

    #[test]
    fn two_open_transactions_are_told_apart() {
        let log = [
            batch(0, 1, Some(7)),
            batch(1, 1, Some(8)),
            end(2, 7, Outcome::Abort),
            batch(3, 1, Some(8)),
            end(4, 8, Outcome::Abort),
        ];
        assert_eq!(firsts(0, &log, &[aborted(0, 7), aborted(1, 8)]), (vec![], 5));
        assert_eq!(firsts(0, &log, &[aborted(1, 8)]), (vec![0], 5));
        assert_eq!(firsts(0, &log, &[aborted(0, 7)]), (vec![1, 3], 5));
    }

    #[test]
    fn a_batch_before_what_was_asked_for_is_left_out_and_half_a_batch_waits() {
        let log = [batch(0, 2, None), batch(2, 3, None), batch(5, 1, None)];
        assert_eq!(firsts(3, &log, &[]), (vec![2, 5], 6));
        let bytes = joined(&log);
        let cut = committed(0, bytes.slice(..bytes.len() - 3), &[]).unwrap();
        assert_eq!((cut.batches.len(), cut.next), (2, 5));
        assert_eq!(committed(9, Bytes::new(), &[]).unwrap().next, 9);
    }

    #[test]
    fn what_is_damaged_or_at_no_offset_is_an_error() {
        let mut bytes = joined(&[batch(0, 1, None)]).to_vec();
        bytes[65] ^= 1;
        assert!(matches!(committed(0, bytes.into(), &[]), Err(BatchError::Crc { .. })));
        let mut bytes = joined(&[batch(0, 1, None)]).to_vec();
        bytes[..8].copy_from_slice(&i64::MAX.to_be_bytes());
        assert!(matches!(committed(0, bytes.into(), &[]), Err(BatchError::Offset { .. })));
    }
}
