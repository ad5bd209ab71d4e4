//! Takes records out of a batch, as Kafka's log cleaner does.
//!
//! What is left keeps its offset, its timestamp and its content. The header keeps what the log
//! and the producer's sequences hang on: base offset, last offset delta, producer id, epoch and
//! base sequence. Compression stays the same. As in Kafka (`MemoryRecords.filterTo`), the base
//! timestamp becomes that of the first record left, the largest timestamp that of the records
//! left, and both are as they were where the broker gave the time.
//!
//! **Delete horizon** (KIP-534). A batch whose tombstones are kept for the first time gets bit 6
//! of the attributes, and the time at which they may go as its base timestamp; the records'
//! deltas are counted from there, so that every client still reads the right times.

use bytes::{Bytes, BytesMut};

use super::builder::put_record;
use super::{
    Attributes, Batch, BatchError, BatchHeader, BatchRecord, CODEC_BITS, Codec, DELETE_HORIZON_BIT,
    HEADER_BYTES, LENGTH_OVERHEAD, Records, crc32c,
};
use crate::Timestamp;

/// What becomes of a batch beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactOptions {
    /// Whether the header is kept when no record is: for the last batch of a producer, and for
    /// the last batch before an offset that must not be forgotten.
    pub retain_empty: bool,
    /// The delete horizon for a batch that keeps tombstones and has none yet; without it, it
    /// gets none.
    pub delete_horizon: Option<Timestamp>,
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compacted {
    /// All of it: its bytes stay as they are.
    Unchanged,
    /// Some records, or all with a delete horizon.
    Batch(Batch),
    /// Only a header, without records and not compressed.
    Empty(Batch),
    /// Nothing.
    Gone,
}

/// Keeps the records of `batch` for which `keep` is true; it is asked once for each, in order.
///
/// `limit` is how many bytes a compressed batch may unpack to; what comes out can be read with
/// the same limit. Beside the batch itself, memory is taken for what it unpacks to, for the
/// result, and one byte a record.
///
/// A control batch gets a delete horizon as a tombstone does. Whether what is part of a transaction
/// counts is for the caller to know.
///
/// # Errors
/// [`BatchError`] where the batch cannot be read, or not be packed again: keep it as it is.
pub fn compact(
    batch: &Batch,
    limit: usize,
    options: CompactOptions,
    keep: &mut dyn FnMut(&BatchRecord) -> bool,
) -> Result<Compacted, BatchError> {
    let header = batch.header();
    let records = batch.decode(limit)?;
    let chosen = Chosen::from(records.clone(), keep)?;
    if chosen.count == 0 {
        return match (options.retain_empty, header.record_count) {
            (false, _) => Ok(Compacted::Gone),
            (true, 0) => Ok(Compacted::Unchanged),
            (true, _) => empty(batch).map(Compacted::Empty),
        };
    }
    let horizon = header.delete_horizon();
    let goes_later = chosen.tombstones || header.attributes.is_control();
    let new_horizon = options.delete_horizon.filter(|_| horizon.is_none() && goes_later);
    if chosen.count == header.record_count && new_horizon.is_none() {
        return Ok(Compacted::Unchanged);
    }
    rewrite(batch, limit, records, &chosen, horizon.or(new_horizon)).map(Compacted::Batch)
}

/// Which records stay, and what the new header must say of them.
struct Chosen {
    kept: Vec<bool>,
    count: i32,
    tombstones: bool,
    first_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl Chosen {
    fn from(
        records: Records,
        keep: &mut dyn FnMut(&BatchRecord) -> bool,
    ) -> Result<Self, BatchError> {
        let mut chosen = Self {
            kept: Vec::new(),
            count: 0,
            tombstones: false,
            first_timestamp: Timestamp::UNKNOWN,
            max_timestamp: Timestamp::UNKNOWN,
        };
        for found in records {
            let found = found?;
            let keep = keep(&found);
            chosen.kept.push(keep);
            if keep {
                chosen.add(&found);
            }
        }
        Ok(chosen)
    }

    fn add(&mut self, found: &BatchRecord) {
        let timestamp = found.record.timestamp;
        if self.count == 0 {
            self.first_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.tombstones |= found.record.value.is_none();
        self.count += 1;
    }
}

/// The batch with the chosen records alone.
fn rewrite(
    batch: &Batch,
    limit: usize,
    records: Records,
    chosen: &Chosen,
    horizon: Option<Timestamp>,
) -> Result<Batch, BatchError> {
    let header = batch.header();
    let base_timestamp = horizon.unwrap_or(chosen.first_timestamp);
    let horizon_bit = if horizon.is_some() { DELETE_HORIZON_BIT } else { 0 };
    let changed = BatchHeader {
        attributes: Attributes(header.attributes.0 | horizon_bit),
        base_timestamp,
        max_timestamp: chosen.max_timestamp,
        record_count: chosen.count,
        ..*header
    };
    let mut plain = BytesMut::zeroed(HEADER_BYTES);
    for (found, keep) in records.zip(&chosen.kept) {
        let found = found?;
        if *keep {
            // Wraps, as reading does: any two times have a difference.
            let timestamp = found.record.timestamp.as_millis();
            let timestamp_delta = timestamp.wrapping_sub(base_timestamp.as_millis());
            put_record(&mut plain, timestamp_delta, offset_delta(header, &found)?, &found.record);
        }
    }
    let out = match batch.codec()? {
        Codec::None => plain,
        // Deltas from a horizon are longer: what could be read must not become too large to be.
        _ if plain.len() - HEADER_BYTES > limit => return Err(BatchError::TooLarge { limit }),
        codec => {
            let mut packed = BytesMut::zeroed(HEADER_BYTES);
            codec.compress(&plain[HEADER_BYTES..], &mut packed)?;
            packed
        }
    };
    finish(batch, &changed, out)
}

fn offset_delta(header: &BatchHeader, found: &BatchRecord) -> Result<i32, BatchError> {
    let (base_offset, came) = (header.base_offset, found.offset.get());
    let delta = i32::try_from(came - base_offset);
    delta.map_err(|_| BatchError::Offset { base_offset, delta: header.last_offset_delta })
}

/// The header alone: no codec, and no timestamps. Kafka keeps the largest timestamp as it was,
/// and then finds nothing there when it looks for that time.
fn empty(batch: &Batch) -> Result<Batch, BatchError> {
    let header = batch.header();
    let changed = BatchHeader {
        attributes: Attributes(header.attributes.0 & !(CODEC_BITS | DELETE_HORIZON_BIT)),
        base_timestamp: Timestamp::UNKNOWN,
        max_timestamp: Timestamp::UNKNOWN,
        record_count: 0,
        ..*header
    };
    finish(batch, &changed, BytesMut::zeroed(HEADER_BYTES))
}

/// Writes the header before the records: the original's, but for what has changed.
fn finish(original: &Batch, changed: &BatchHeader, mut out: BytesMut) -> Result<Batch, BatchError> {
    let bytes = out.len();
    let length = i32::try_from(bytes - LENGTH_OVERHEAD);
    let length = length.map_err(|_| BatchError::TooLong { bytes })?;
    out[..HEADER_BYTES].copy_from_slice(&original.bytes()[..HEADER_BYTES]);
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&changed.attributes.0.to_be_bytes());
    out[27..35].copy_from_slice(&changed.base_timestamp.as_millis().to_be_bytes());
    out[35..43].copy_from_slice(&changed.max_timestamp.as_millis().to_be_bytes());
    out[57..61].copy_from_slice(&changed.record_count.to_be_bytes());
    let crc = crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::tests::{built, patched, record, some_codec, some_record};
    use super::super::{BatchBuilder, Outcome, ProducerState};
    use super::*;
    use crate::{Offset, Record};

    const LIMIT: usize = 1 << 20;
    const BASE: i64 = 1_000;
    const HORIZON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    const PLAIN: CompactOptions = CompactOptions { retain_empty: false, delete_horizon: None };
    const RETAIN: CompactOptions = CompactOptions { retain_empty: true, delete_horizon: None };
    const SETTLE: CompactOptions =
        CompactOptions { retain_empty: false, delete_horizon: Some(HORIZON) };

    fn stored(codec: Codec, records: &[Record]) -> Batch {
        let producer = ProducerState { id: 4711, epoch: 3, base_sequence: 42 };
        let mut builder = BatchBuilder::new(codec, Some(producer));
        for record in records {
            builder.push(record);
        }
        builder.build().unwrap().at(Offset::new(BASE).unwrap())
    }

    fn with_tombstone() -> [Record; 3] {
        [record(5, Some(b"a"), Some(b"1")), record(9, Some(b"b"), None), record(7, None, None)]
    }

    /// Keeps the records at these places.
    fn kept(batch: &Batch, options: CompactOptions, places: &[i64]) -> Compacted {
        let mut keep = |found: &BatchRecord| places.contains(&(found.offset.get() - BASE));
        compact(batch, LIMIT, options, &mut keep).unwrap()
    }

    fn rewritten(compacted: Compacted) -> Batch {
        match compacted {
            Compacted::Batch(batch) => batch,
            other => panic!("expected a rewritten batch, got {other:?}"),
        }
    }

    #[test]
    fn a_batch_that_loses_nothing_is_not_written_again() {
        for codec in Codec::ALL {
            let batch = stored(codec, &with_tombstone());
            assert_eq!(kept(&batch, PLAIN, &[0, 1, 2]), Compacted::Unchanged, "{codec}");
        }
    }

    #[test]
    fn the_header_keeps_offsets_and_sequences_and_states_the_times_of_what_is_left() {
        for codec in Codec::ALL {
            let batch = stored(codec, &with_tombstone());
            let left = rewritten(kept(&batch, PLAIN, &[2]));
            let time = Timestamp::from_millis(7);
            let expected = BatchHeader {
                base_timestamp: time,
                max_timestamp: time,
                record_count: 1,
                ..*batch.header()
            };
            assert_eq!(*left.header(), expected, "{codec}");
            assert_eq!(left.records(LIMIT).unwrap(), batch.records(LIMIT).unwrap()[2..]);
        }
    }

    #[test]
    fn the_horizon_stands_in_the_base_timestamp_and_no_record_changes_its_time() {
        for codec in Codec::ALL {
            let batch = stored(codec, &with_tombstone());
            assert_eq!(batch.header().delete_horizon(), None);
            let settled = rewritten(kept(&batch, SETTLE, &[0, 1, 2]));
            assert_eq!(settled.header().delete_horizon(), Some(HORIZON), "{codec}");
            assert_eq!(settled.header().base_timestamp, HORIZON);
            assert_eq!(settled.header().max_timestamp, batch.header().max_timestamp);
            assert_eq!(settled.records(LIMIT), batch.records(LIMIT));
            // A second one does not move it, and losing the tombstones does not remove it.
            let later = Some(Timestamp::from_millis(HORIZON.as_millis() + 1));
            let later = CompactOptions { delete_horizon: later, ..PLAIN };
            assert_eq!(kept(&settled, later, &[0, 1, 2]), Compacted::Unchanged);
            let left = rewritten(kept(&settled, later, &[0]));
            assert_eq!(left.header().delete_horizon(), Some(HORIZON));
            assert_eq!(left.records(LIMIT).unwrap(), batch.records(LIMIT).unwrap()[..1]);
        }
    }

    #[test]
    fn only_a_batch_that_keeps_tombstones_gets_a_horizon() {
        let batch = stored(Codec::Zstd, &with_tombstone());
        let left = rewritten(kept(&batch, SETTLE, &[0]));
        assert_eq!(left.header().delete_horizon(), None);
    }

    #[test]
    fn an_empty_batch_is_its_header_and_stays_one() {
        for codec in Codec::ALL {
            let batch = stored(codec, &with_tombstone());
            let batch = rewritten(kept(&batch, SETTLE, &[1, 2]));
            assert_eq!(kept(&batch, PLAIN, &[]), Compacted::Gone);
            let Compacted::Empty(empty) = kept(&batch, RETAIN, &[]) else { panic!("{codec}") };
            let expected = BatchHeader {
                attributes: Attributes(0),
                base_timestamp: Timestamp::UNKNOWN,
                max_timestamp: Timestamp::UNKNOWN,
                record_count: 0,
                ..*batch.header()
            };
            assert_eq!(*empty.header(), expected);
            assert_eq!(empty.len(), HEADER_BYTES);
            assert_eq!(empty.records(LIMIT), Ok(Vec::new()));
            assert_eq!(kept(&empty, RETAIN, &[]), Compacted::Unchanged);
            assert_eq!(kept(&empty, PLAIN, &[]), Compacted::Gone);
        }
    }

    #[test]
    fn the_brokers_append_time_is_kept() {
        let batch = patched(&stored(Codec::None, &with_tombstone()), 21, &[0, 0x08]);
        for (options, places) in [(PLAIN, &[0, 2][..]), (SETTLE, &[0, 1]), (SETTLE, &[2])] {
            let left = rewritten(kept(&batch, options, places));
            assert_eq!(left.header().max_timestamp, batch.header().max_timestamp);
            assert!(left.header().attributes.is_log_append_time());
            for found in left.records(LIMIT).unwrap() {
                assert_eq!(found.record.timestamp, batch.header().max_timestamp);
            }
        }
        let Compacted::Empty(empty) = kept(&batch, RETAIN, &[]) else { panic!() };
        assert!(empty.header().attributes.is_log_append_time());
    }

    #[test]
    fn a_marker_gets_a_horizon_and_stays_the_marker_that_it_is() {
        let marker = Batch::marker((7, 3), Outcome::Abort, 0, Timestamp::from_millis(5)).unwrap();
        let settled = rewritten(compact(&marker, LIMIT, SETTLE, &mut |_| true).unwrap());
        assert_eq!(settled.header().delete_horizon(), Some(HORIZON));
        assert_eq!(settled.outcome(), Ok(Some(Outcome::Abort)));
        assert_eq!(settled.records(LIMIT), marker.records(LIMIT));
        let again = compact(&settled, LIMIT, SETTLE, &mut |_| true);
        assert_eq!(again, Ok(Compacted::Unchanged));
    }

    #[test]
    fn what_cannot_be_read_or_not_be_read_again_is_an_error() {
        let batch = stored(Codec::Gzip, &with_tombstone());
        let unknown = patched(&batch, 21, &[0, 7]);
        let damaged = patched(&batch, HEADER_BYTES, &[0]);
        for batch in [unknown, damaged] {
            assert!(compact(&batch, LIMIT, PLAIN, &mut |_| false).is_err());
        }
        let plain = stored(Codec::None, &with_tombstone()).len() - HEADER_BYTES;
        assert!(compact(&batch, plain - 1, PLAIN, &mut |_| false).is_err());
        // It can be read, but deltas from the horizon are longer.
        let error = compact(&batch, plain, SETTLE, &mut |_| true).unwrap_err();
        assert_eq!(error, BatchError::TooLarge { limit: plain });
    }

    proptest! {
        #[test]
        fn what_is_kept_keeps_its_offset_time_and_content(
            codec in some_codec(),
            records in vec((some_record(), any::<bool>()), 1..20),
            append_time in any::<bool>(),
            delete_horizon in proptest::option::of(any::<i64>().prop_map(Timestamp::from_millis)),
        ) {
            let (records, keep): (Vec<_>, Vec<_>) = records.into_iter().unzip();
            let batch = built(codec, &records).at(Offset::new(BASE).unwrap());
            let append_bit = if append_time { 0x08 } else { 0 };
            let batch = patched(&batch, 22, &[append_bit | codec.number()]);
            let expected: Vec<_> = batch
                .records(LIMIT)
                .unwrap()
                .into_iter()
                .zip(&keep)
                .filter_map(|(found, &keep)| keep.then_some(found))
                .collect();

            let options = CompactOptions { retain_empty: true, delete_horizon };
            let mut asked = keep.iter().copied();
            let compacted = compact(&batch, LIMIT, options, &mut |_| asked.next().unwrap());
            let compacted = compacted.unwrap();
            prop_assert_eq!(asked.next(), None);
            let left = match &compacted {
                Compacted::Unchanged => &batch,
                Compacted::Batch(left) | Compacted::Empty(left) => left,
                Compacted::Gone => panic!("it was to be retained"),
            };
            prop_assert_eq!(left.records(LIMIT).unwrap(), expected);
            prop_assert_eq!(left.header().base_offset, batch.header().base_offset);
            prop_assert_eq!(left.header().last_offset_delta, batch.header().last_offset_delta);
            let again = compact(left, LIMIT, options, &mut |_| true);
            prop_assert_eq!(again, Ok(Compacted::Unchanged));
        }
    }
}
