//! Compaction of a partition in memory: single cases, and random ones against a model.

mod model;
mod partition;

use std::ops::ControlFlow;

use factum_event::batch::{BatchError, Codec, Outcome};

use super::*;
use partition::{DELETE_RETENTION_MS, Defect, Partition, offset};

/// Room for more keys than any test has.
const LARGE: usize = 1 << 16;

/// A budget for this many keys.
fn room_for(keys: usize) -> usize {
    let fits = |budget: &usize| KeyMap::with_budget(*budget).capacity() == keys;
    (0..LARGE).find(fits).unwrap()
}

#[test]
fn the_last_record_of_every_key_stays_at_its_offset() {
    for codec in Codec::ALL {
        let mut partition = Partition { codec, ..Partition::default() };
        partition.produce(&[("a", Some("1")), ("b", Some("2"))]);
        partition.produce(&[("a", Some("3"))]);
        partition.produce(&[("c", Some("4")), ("a", Some("5"))]);
        let compaction = partition.compact(LARGE).unwrap();
        assert_eq!(partition.contents(), ["1 b 2", "3 c 4", "4 a 5"], "{codec}");
        assert_eq!(compaction.clean_until, offset(5));
        let stats = compaction.stats;
        assert_eq!((stats.batches_read, stats.records_read, stats.superseded), (3, 5, 2));
        assert_eq!((stats.keys, stats.indexed_bytes), (3, stats.bytes_read));
        assert_eq!(stats.bytes_left, partition.bytes());
        assert!(stats.bytes_rewritten < stats.bytes_left);
    }
}

#[test]
fn a_tombstone_stays_for_its_time_after_the_compaction_that_first_saw_it() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1")), ("b", Some("2"))]);
    partition.produce(&[("a", None)]);
    partition.produce(&[("c", Some("3"))]);
    partition.now_ms += 10 * DELETE_RETENTION_MS;
    partition.compact(LARGE).unwrap();
    partition.now_ms += DELETE_RETENTION_MS - 1;
    partition.compact(LARGE).unwrap();
    assert_eq!(partition.contents(), ["1 b 2", "2 a -", "3 c 3"]);
    partition.now_ms += 1;
    let compaction = partition.compact(LARGE).unwrap();
    assert_eq!(partition.contents(), ["1 b 2", "3 c 3"]);
    assert_eq!(compaction.stats.expired_tombstones, 1);
}

#[test]
fn what_was_aborted_goes_and_supersedes_nothing() {
    let mut partition =
        Partition { producer: Some(7), in_transaction: true, ..Partition::default() };
    partition.produce(&[("a", Some("1")), ("b", Some("2"))]);
    partition.end_transaction(Outcome::Commit);
    partition.produce(&[("a", Some("3")), ("b", None)]);
    partition.end_transaction(Outcome::Abort);
    partition.produce(&[("b", Some("4"))]);
    partition.end_transaction(Outcome::Commit);
    partition.producers.clear();
    let stats = partition.compact(LARGE).unwrap().stats;
    partition.batches.retain(|stored| stored.bytes[22] & 0x20 == 0);
    assert_eq!(partition.contents(), ["0 a 1", "6 b 4"]);
    assert_eq!((stats.aborted, stats.superseded, stats.unopened), (2, 1, 0));
}

#[test]
fn a_marker_goes_some_time_after_all_that_it_ended() {
    let mut partition =
        Partition { producer: Some(7), in_transaction: true, ..Partition::default() };
    for (value, outcome) in [("1", Outcome::Commit), ("2", Outcome::Abort), ("3", Outcome::Commit)]
    {
        partition.produce(&[("a", Some(value))]);
        partition.end_transaction(outcome);
    }
    partition.producers.clear();
    partition.in_transaction = false;
    partition.producer = None;
    partition.produce(&[("b", Some("4"))]);
    for _ in 0..2 {
        partition.compact_from_start(LARGE).unwrap();
        assert_eq!(partition.markers(), [1, 3, 5], "readers may be before them");
        partition.now_ms += DELETE_RETENTION_MS - 1;
    }
    partition.compact_from_start(LARGE).unwrap();
    assert_eq!(partition.markers(), [5], "what it ended is there");
    partition.produce(&[("a", Some("5")), ("c", Some("6"))]);
    partition.compact_from_start(LARGE).unwrap();
    assert_eq!(partition.markers(), [5]);
    partition.now_ms += DELETE_RETENTION_MS;
    partition.compact_from_start(LARGE).unwrap();
    assert!(partition.markers().is_empty());
}

#[test]
fn a_full_map_ends_the_range_before_the_batch_that_does_not_fit() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1")), ("a", Some("2"))]);
    partition.produce(&[("b", Some("3"))]);
    partition.produce(&[("b", Some("4")), ("c", Some("5")), ("a", Some("6"))]);
    assert_eq!(partition.compact(room_for(2)).unwrap().clean_until, offset(3));
    // What it noted of the third batch removes what came before all the same.
    assert_eq!(partition.contents(), ["1 a 2", "3 b 4", "4 c 5", "5 a 6"]);
    assert_eq!(partition.compact(room_for(3)).unwrap().clean_until, offset(6));
    assert_eq!(partition.contents(), ["3 b 4", "4 c 5", "5 a 6"]);
}

#[test]
fn a_batch_with_more_keys_than_the_map_is_compacted_in_parts() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("0"))]);
    partition.compact(LARGE).unwrap();
    partition.produce(&[("a", Some("1")), ("a", Some("2")), ("b", Some("3")), ("a", Some("4"))]);
    let mut ends = Vec::new();
    while partition.clean_until < partition.end {
        ends.push(partition.compact(room_for(1)).unwrap().clean_until.get());
    }
    assert_eq!(ends, [3, 4, 5]);
    assert_eq!(partition.contents(), ["3 b 3", "4 a 4"]);
}

#[test]
fn the_last_batch_and_those_that_sequences_hang_on_keep_their_headers() {
    let mut partition = Partition::default();
    for producer in [1, 2, 1] {
        partition.producer = Some(producer);
        partition.produce(&[("a", Some("1")), ("a", Some("2"))]);
    }
    partition.producer = None;
    partition.produce_keyless(2);
    partition.compact(LARGE).unwrap();
    assert_eq!(partition.contents(), ["5 a 2"]);
    let headers: Vec<_> = partition
        .batches
        .iter()
        .map(|stored| {
            let batch = factum_event::batch::Batch::parse(stored.bytes.clone()).unwrap();
            let header = *batch.header();
            (header.base_offset, header.last_offset_delta, header.producer_id, header.record_count)
        })
        .collect();
    // The first batch is gone: of producer 1 the third is the last.
    assert_eq!(headers, [(2, 1, 2, 0), (4, 1, 1, 1), (6, 1, -1, 0)]);
    assert_eq!(partition.fates().len(), 3);
    assert!(partition.fates().iter().all(|fate| *fate == Fate::Kept));
}

#[test]
fn records_without_a_key_are_removed_and_counted() {
    let mut partition = Partition::default();
    partition.produce_keyless(3);
    partition.produce(&[("a", Some("1"))]);
    let stats = partition.compact(LARGE).unwrap().stats;
    assert_eq!(partition.contents(), ["3 a 1"]);
    assert_eq!((stats.keyless, stats.superseded), (3, 0));
}

#[test]
fn what_cannot_be_read_is_kept_whole_and_said_and_supersedes_nothing() {
    for defect in Defect::ALL {
        let mut partition = Partition::default();
        partition.produce(&[("a", Some("1"))]);
        partition.produce(&[("a", Some("2")), ("b", None)]);
        partition.spoil_last(defect);
        let spoiled = partition.batches[1].clone();
        partition.produce(&[("b", Some("3")), ("b", Some("4"))]);
        let stats = partition.compact(LARGE).unwrap().stats;
        assert_eq!(partition.contents(), ["0 a 1", "4 b 4"], "{defect:?}");
        assert_eq!(partition.batches[1], spoiled);
        assert_eq!(stats.unopened, 1);
        let Fate::Unopened(why) = &partition.fates()[1] else { panic!("{defect:?}") };
        let as_expected = match defect {
            Defect::BitFlip => matches!(why, Unopened::Unreadable(BatchError::Crc { .. })),
            Defect::UnknownCodec => matches!(why, Unopened::Unreadable(BatchError::Codec { .. })),
            Defect::Count => matches!(why, Unopened::Unreadable(BatchError::Record { .. })),
            Defect::OtherOffset => matches!(why, Unopened::Misplaced { .. }),
        };
        assert!(as_expected, "{defect:?}: {why}");
    }
}

#[test]
fn a_batch_that_unpacks_to_too_much_is_kept_whole() {
    let mut partition = Partition { codec: Codec::Zstd, ..Partition::default() };
    let large = "x".repeat(partition::UNPACK_LIMIT);
    partition.produce(&[("a", Some(&large)), ("a", Some("1"))]);
    partition.produce(&[("a", Some("2"))]);
    partition.compact(LARGE).unwrap();
    let expected = Unopened::Unreadable(BatchError::TooLarge { limit: partition::UNPACK_LIMIT });
    assert_eq!(partition.fates()[0], Fate::Unopened(expected));
}

#[test]
fn no_tombstone_goes_while_an_older_value_may_hide_before_it() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1"))]);
    partition.spoil_last(Defect::UnknownCodec);
    partition.produce(&[("a", None)]);
    partition.produce(&[("z", Some("2"))]);
    for _ in 0..3 {
        partition.compact_from_start(LARGE).unwrap();
        partition.now_ms += 2 * DELETE_RETENTION_MS;
    }
    assert_eq!(partition.contents(), ["1 a -", "2 z 2"]);
    partition.start_at(offset(1));
    for _ in 0..2 {
        partition.compact_from_start(LARGE).unwrap();
        partition.now_ms += DELETE_RETENTION_MS;
    }
    assert_eq!(partition.contents(), ["2 z 2"]);
}

#[test]
fn a_tombstone_that_was_unreadable_when_its_turn_came_stays_until_its_key_is_noted() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1"))]);
    partition.produce(&[("a", None)]);
    let readable = partition.batches[1].clone();
    partition.spoil_last(Defect::BitFlip);
    partition.produce(&[("z", Some("2"))]);
    partition.compact(LARGE).unwrap();
    partition.batches[1] = readable;
    for _ in 0..3 {
        partition.now_ms += DELETE_RETENTION_MS;
        partition.compact(LARGE).unwrap();
        assert_eq!(partition.contents(), ["0 a 1", "1 a -", "2 z 2"]);
    }
    for expected in [&["1 a -", "2 z 2"][..], &["2 z 2"]] {
        partition.compact_from_start(LARGE).unwrap();
        assert_eq!(partition.contents(), expected);
        partition.now_ms += DELETE_RETENTION_MS;
    }
}

#[test]
fn what_may_not_be_cleaned_is_neither_noted_nor_touched() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1"))]);
    partition.produce(&[("a", Some("2")), ("b", Some("3"))]);
    partition.produce(&[("a", Some("4"))]);
    for (uncleanable, expected) in [(0, 4), (1, 4), (2, 4), (3, 3), (4, 2)] {
        partition.uncleanable = Some(offset(uncleanable));
        partition.compact_from_start(LARGE).unwrap();
        assert_eq!(partition.contents().len(), expected, "{uncleanable}");
    }
}

#[test]
fn the_caller_may_end_it_after_every_batch() {
    let mut partition = Partition::default();
    for _ in 0..3 {
        partition.produce(&[("a", Some("1"))]);
    }
    let mut calls = 0;
    let mut never = |_: &CompactionStats| {
        calls += 1;
        ControlFlow::Continue(())
    };
    partition.clone().compact_paced(LARGE, &mut never).unwrap();
    assert_eq!(calls, 6);
    for allowed in 0..6 {
        let mut partition = partition.clone();
        let error = partition.compact_paced(LARGE, &mut partition::stop_after(allowed));
        assert_eq!(error, Err(CompactionError::Cancelled));
        assert_eq!(partition.contents().last().unwrap(), "2 a 1");
        assert_eq!(partition.clean_until, offset(0));
        partition.compact(LARGE).unwrap();
        assert_eq!(partition.contents(), ["2 a 1"]);
    }
}

#[test]
fn a_source_that_goes_backwards_ends_it() {
    let mut partition = Partition::default();
    partition.produce(&[("a", Some("1"))]);
    partition.produce(&[("a", Some("2"))]);
    partition.goes_backwards = true;
    let error = partition.compact(LARGE).unwrap_err();
    assert!(matches!(error, CompactionError::Backwards { .. }), "{error}");
}
