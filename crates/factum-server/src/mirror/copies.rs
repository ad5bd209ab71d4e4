//! Makes copies of batches, with gaps between them, so that every record keeps its offset.
//!
//! A batch is copied as it is packed. Only where the target ends within a batch of the source
//! (a source that packs its batches anew, in tiered storage for example) is it unpacked, and what
//! the target lacks is packed again.

use factum_event::Offset;
use factum_event::batch::{Batch, BatchBuilder, BatchError};
use thiserror::Error;

use super::committed::{Committed, last_offset};

/// The most that one batch may unpack to, in bytes.
pub const UNPACKED_LIMIT: usize = 256 << 20;

/// Batches that one gap may take: more than 10^12 offsets without a record are a mistake.
const MAX_GAP_BATCHES: usize = 1_024;

/// Why what came cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CopyError {
    /// Not a batch that can be read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Too many offsets without a record.
    #[error(
        "the source has no record from offset {from} to {to}; at most {} offsets without one can \
         be copied",
        (MAX_GAP_BATCHES as u64) << 31
    )]
    Gap {
        /// Where it begins.
        from: i64,
        /// Where it ends.
        to: i64,
    },
}

/// What the target is to append at its end, from the offset `end` on, to have what was committed.
///
/// # Errors
/// [`CopyError`].
pub fn copies(end: i64, committed: &Committed) -> Result<Vec<Batch>, CopyError> {
    let mut out = Vec::with_capacity(committed.batches.len() + 1);
    let mut at = end;
    for batch in &committed.batches {
        let last = last_offset(batch)?;
        if last < at {
            continue;
        }
        let pieces =
            if batch.header().base_offset < at { cut(batch, at)? } else { vec![batch.as_copy()] };
        for piece in pieces {
            fill(at, piece.header().base_offset, &mut out)?;
            at = last_offset(&piece)? + 1;
            out.push(piece);
        }
    }
    fill(at, committed.next, &mut out)?;
    Ok(out)
}

/// Gaps from `at` to `to`; none where that is no distance.
pub fn fill(at: i64, to: i64, out: &mut Vec<Batch>) -> Result<(), CopyError> {
    let too_long = CopyError::Gap { from: at, to };
    let (Some(mut from), Some(end)) = (Offset::new(at), Offset::new(to)) else {
        return Err(too_long);
    };
    for _ in 0..MAX_GAP_BATCHES {
        if from >= end {
            return Ok(());
        }
        let gap = Batch::gap(from, end)?;
        from = from.plus(gap.header().offsets());
        out.push(gap);
    }
    if from >= end { Ok(()) } else { Err(too_long) }
}

/// The records of a batch from the offset `at` on, as batches without holes.
fn cut(batch: &Batch, at: i64) -> Result<Vec<Batch>, CopyError> {
    let mut runs: Vec<(Offset, BatchBuilder)> = Vec::new();
    let mut next = None;
    for found in batch.decode(UNPACKED_LIMIT)? {
        let found = found?;
        if found.offset.get() < at {
            continue;
        }
        if next != Some(found.offset) {
            runs.push((found.offset, BatchBuilder::new(batch.codec()?, None)));
        }
        next = Some(found.offset.next());
        if let Some((_, builder)) = runs.last_mut() {
            builder.push(&found.record);
        }
    }
    let built = |(first, builder): (Offset, BatchBuilder)| {
        builder.build().map(|batch| batch.at(first).as_copy())
    };
    Ok(runs.into_iter().map(built).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use factum_event::batch::{Codec, CompactOptions, Compacted, compact};
    use factum_event::{Record, Timestamp};

    use super::*;

    fn batch(first: i64, count: i64) -> Batch {
        let mut builder = BatchBuilder::new(Codec::Zstd, None);
        for number in first..first + count {
            builder.push(&Record {
                key: Some(number.to_string().into()),
                value: Some("value".into()),
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(number),
            });
        }
        builder.build().unwrap().at(Offset::new(first).unwrap())
    }

    /// The batch without its records at these offsets.
    fn holed(batch: &Batch, without: &[i64]) -> Batch {
        let mut keep =
            |found: &factum_event::batch::BatchRecord| !without.contains(&found.offset.get());
        match compact(batch, 1 << 20, CompactOptions::default(), &mut keep).unwrap() {
            Compacted::Batch(left) => left,
            other => panic!("{other:?}"),
        }
    }

    /// Where the batches begin and end, and whether they are gaps; they must follow each other.
    fn layout(end: i64, batches: &[Batch]) -> Vec<(i64, i64, bool)> {
        let mut at = end;
        let mut found = Vec::new();
        for batch in batches {
            let (first, last) = (batch.header().base_offset, last_offset(batch).unwrap());
            assert_eq!(first, at, "without a hole between batches");
            assert_eq!(batch.check_copy(), Ok(()));
            at = last + 1;
            found.push((first, last, batch.header().attributes.is_control()));
        }
        found
    }

    #[test]
    fn gaps_stand_where_the_source_has_no_records_that_count() {
        let committed =
            Committed { batches: vec![batch(5, 2), batch(7, 1), batch(10, 1)], next: 12 };
        let copied = copies(0, &committed).unwrap();
        let expected = [
            (0, 4, true),
            (5, 6, false),
            (7, 7, false),
            (8, 9, true),
            (10, 10, false),
            (11, 11, true),
        ];
        assert_eq!(layout(0, &copied), expected);
        assert_eq!(copied[1].bytes()[16..], committed.batches[0].bytes()[16..], "as it was packed");
        assert!(copies(12, &committed).unwrap().is_empty());
    }

    #[test]
    fn a_batch_with_holes_stays_as_it_is() {
        let left = holed(&batch(0, 5), &[0, 2, 4]);
        let committed = Committed { batches: vec![left], next: 5 };
        assert_eq!(layout(0, &copies(0, &committed).unwrap()), [(0, 4, false)]);
    }

    #[test]
    fn where_the_target_ends_within_a_batch_the_rest_of_it_is_copied() {
        let left = holed(&batch(0, 9), &[5, 8]);
        let committed = Committed { batches: vec![left.clone()], next: 9 };
        let copied = copies(3, &committed).unwrap();
        let expected = [(3, 4, false), (5, 5, true), (6, 7, false), (8, 8, true)];
        assert_eq!(layout(3, &copied), expected);
        let records = |batches: &[Batch]| -> Vec<_> {
            let data = batches.iter().filter(|batch| !batch.header().attributes.is_control());
            data.flat_map(|batch| batch.records(1 << 20).unwrap()).collect()
        };
        assert_eq!(records(&copied), left.records(1 << 20).unwrap()[3..]);
    }

    #[test]
    fn a_gap_has_a_limit() {
        let mut out = Vec::new();
        fill(0, 3 << 31, &mut out).unwrap();
        assert_eq!(out.len(), 3);
        assert!(matches!(fill(0, i64::MAX, &mut Vec::new()), Err(CopyError::Gap { .. })));
        assert!(fill(-1, 5, &mut Vec::new()).is_err());
    }
}
