//! Cutting off, moving and cleaning: what is below a start is gone, everything else is as it was.

use std::fs;
use std::path::Path;

use factum_event::Offset;
use factum_event::batch::Batch;
use factum_log::{CleanError, Log, LogSettings, PartitionId, ReadError};
use pollster::block_on;
use tempfile::tempdir;

use crate::support::*;

fn names(directory: &Path, suffix: &str) -> usize {
    let names = fs::read_dir(directory.join("journal")).unwrap();
    names.filter(|name| name.as_ref().unwrap().path().to_string_lossy().ends_with(suffix)).count()
}

fn bases(log: &Log, id: PartitionId) -> Vec<i64> {
    read_all(log, id).unwrap().iter().map(|batch| batch.entry.base_offset.get()).collect()
}

fn reopen(log: Log, directory: &Path) -> Log {
    log.close();
    drop(log);
    let (log, recovery) = open(directory, small()).unwrap();
    assert_eq!(recovery.truncated, None);
    log
}

#[test]
fn what_is_cut_off_stays_cut_off_and_its_room_is_given_back() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..100, 1000);
    let whole = log.size(id);
    block_on(log.sealed()).unwrap();
    log.trim(&[(id, offset(80))]).unwrap();
    assert_eq!(log.extent(id).start, offset(80));
    assert!(matches!(block_on(log.read(id, offset(79), 1)), Err(ReadError::OutOfRange { .. })));
    assert_eq!(bases(&log, id), (80..100).collect::<Vec<_>>());
    assert_eq!(log.size(id), whole / 5);
    log.trim(&[(id, offset(10))]).unwrap();
    assert_eq!(log.extent(id).start, offset(80), "a start never moves down");
    let log = reopen(log, directory.path());
    assert_eq!(log.extent(id).start, offset(80));
    assert_eq!(log.size(id), whole / 5);
    assert_eq!(bases(&log, id), (80..100).collect::<Vec<_>>());
    assert!(names(directory.path(), ".journal") <= 4, "journals below the start are gone");
    fill(&log, id, 100..110, 1000);
    assert_eq!(bases(&log, id), (80..110).collect::<Vec<_>>());
}

#[test]
fn a_partition_that_was_cut_off_entirely_goes_on_where_it_was() {
    let directory = tempdir().unwrap();
    let (id, other) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..50, 1000);
    log.trim(&[(id, offset(1000))]).unwrap();
    assert_eq!((log.extent(id).start, log.extent(id).end), (offset(50), offset(50)));
    fill(&log, other, 0..50, 1000);
    let log = reopen(log, directory.path());
    assert_eq!((log.extent(id).start, log.extent(id).end), (offset(50), offset(50)));
    assert_eq!(log.size(id), 0);
    fill(&log, id, 50..60, 1000);
    let log = reopen(log, directory.path());
    assert_eq!(bases(&log, id), (50..60).collect::<Vec<_>>());
}

#[test]
fn what_is_left_of_a_mostly_empty_journal_moves_into_a_segment() {
    let directory = tempdir().unwrap();
    let (kept, short) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    for number in 0..100 {
        append(&log, kept, numbered(number, 100)).unwrap();
        append(&log, short, numbered(number, 1000)).unwrap();
    }
    let before = names(directory.path(), ".journal");
    block_on(log.sealed()).unwrap();
    log.trim(&[(short, offset(100))]).unwrap();
    let log = reopen(log, directory.path());
    assert!(names(directory.path(), ".journal") <= 2, "of {before}");
    assert!(names(directory.path(), ".segment") >= 1);
    assert_filled(&log, kept, 0..100, 100);
    assert_eq!(bases(&log, short), [] as [i64; 0]);
    fill(&log, kept, 100..130, 100);
    // Segments are read by what they say themselves, too.
    for entry in fs::read_dir(directory.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "index") {
            fs::remove_file(path).unwrap();
        }
    }
    let log = reopen(log, directory.path());
    assert_filled(&log, kept, 0..130, 100);
    let time = factum_event::Timestamp::from_millis(40);
    let found = block_on(log.find_time(kept, offset(0), time)).unwrap().unwrap();
    assert_eq!(found.entry.base_offset, offset(40));
}

/// Keeps one batch in `every` of what can be cleaned.
pub(crate) fn clean(log: &Log, id: PartitionId, every: usize) -> Result<Offset, CleanError> {
    let mut cleaning = log.clean(id, log.sealed_end(id))?.unwrap();
    let end = cleaning.end();
    let start = log.extent(id).start;
    let mut next = start;
    let mut number = 0;
    while next < end {
        for stored in block_on(log.read(id, next, 10_000)).unwrap() {
            next = stored.entry.next_offset();
            if number % every == 0 && next <= end {
                let batch: Batch = stored.to_batch().unwrap();
                cleaning.push(batch, stored.entry.appended_at)?;
            }
            number += 1;
        }
    }
    cleaning.commit(true)?;
    Ok(end)
}

fn read_with_holes(log: &Log, id: PartitionId) -> Vec<i64> {
    let mut found = Vec::new();
    let mut next = log.extent(id).start;
    while next < log.extent(id).end {
        let batches = block_on(log.read(id, next, 3000)).unwrap();
        assert!(!batches.is_empty(), "nothing from {next} on, and no error");
        for batch in batches {
            assert!(batch.entry.last_offset >= next);
            next = batch.entry.next_offset();
            found.push(batch.entry.base_offset.get());
        }
    }
    found
}

#[test]
fn cleaned_partitions_have_holes_and_every_offset_can_be_read_from() {
    let directory = tempdir().unwrap();
    let (id, other) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    for number in 0..100 {
        append(&log, id, numbered(number, 500)).unwrap();
        append(&log, other, numbered(number, 500)).unwrap();
    }
    block_on(log.sealed()).unwrap();
    let end = clean(&log, id, 10).unwrap().get();
    assert!(end > 60);
    assert_eq!((log.cleaned_end(id).get(), log.cleaned_end(other).get()), (end, 0));
    let expected: Vec<i64> = (0..100).filter(|n| n % 10 == 0 || *n >= end).collect();
    assert_eq!(read_with_holes(&log, id), expected);
    for from in 0..100 {
        let found = block_on(log.read(id, offset(from), 1)).unwrap();
        let next = expected.iter().find(|base| **base >= from).unwrap();
        assert_eq!(found[0].entry.base_offset.get(), *next, "from {from}");
    }
    assert_filled(&log, other, 0..100, 500);
    fill(&log, id, 100..160, 500);
    let log = reopen(log, directory.path());
    assert_eq!(log.cleaned_end(id).get(), end);
    let expected: Vec<i64> = (0..160).filter(|n| n % 10 == 0 || *n >= end).collect();
    assert_eq!(read_with_holes(&log, id), expected);
    // Once more, over what was cleaned and what came since.
    block_on(log.sealed()).unwrap();
    clean(&log, id, 2).unwrap();
    let log = reopen(log, directory.path());
    assert_eq!(log.extent(id).end, offset(160));
    assert!(read_with_holes(&log, id).len() < expected.len());
    let first = directory.path().join(format!("journal/{:020}.segment", 1_u64 << 62));
    assert!(!first.exists(), "the segment of the first cleaning is gone");
    assert_filled(&log, other, 0..100, 500);
}

#[test]
fn a_cleaning_that_is_given_up_changes_nothing() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..60, 500);
    block_on(log.sealed()).unwrap();
    let mut cleaning = log.clean(id, log.sealed_end(id)).unwrap().unwrap();
    cleaning.push(numbered(7, 10), factum_event::Timestamp::from_millis(1)).unwrap();
    let again = cleaning.push(numbered(7, 10), factum_event::Timestamp::from_millis(1));
    assert!(matches!(again, Err(CleanError::Misplaced { .. })), "{again:?}");
    drop(cleaning);
    assert_filled(&log, id, 0..60, 500);
    assert_eq!(names(directory.path(), ".segment.new"), 0);
    assert!(log.clean(id, offset(0)).unwrap().is_none());
}

#[test]
fn a_segment_that_vanished_is_noticed() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..100, 500);
    block_on(log.sealed()).unwrap();
    clean(&log, id, 2).unwrap();
    log.close();
    for entry in fs::read_dir(directory.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            fs::remove_file(path).unwrap();
        }
    }
    let error = open(directory.path(), small()).err().unwrap();
    assert!(error.to_string().contains("but 0 was expected"), "{error}");
}

#[test]
fn without_its_starts_a_log_opens_with_what_is_there() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), LogSettings { ..small() }).unwrap();
    fill(&log, id, 0..100, 1000);
    block_on(log.sealed()).unwrap();
    log.trim(&[(id, offset(80))]).unwrap();
    log.close();
    drop(log);
    fs::remove_file(directory.path().join("starts")).unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let start = log.extent(id).start.get();
    assert!(start <= 80 && start > 0, "{start}");
    assert_eq!(bases(&log, id), (start..100).collect::<Vec<_>>());
}

#[test]
fn room_is_given_back_however_many_partitions_the_open_journal_has() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..50, 1000);
    (2..10).for_each(|topic| fill(&log, partition(topic, 0), 0..1, 10));
    block_on(log.sealed()).unwrap();
    log.trim(&[(id, offset(50))]).unwrap();
    log.close();
    assert_eq!(names(directory.path(), ".journal"), 1);
}

#[test]
fn a_log_that_lost_its_starts_may_cut_off_again_and_opens() {
    let directory = tempdir().unwrap();
    let (id, other) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    for id in [id, other] {
        fill(&log, id, 0..50, 1000);
    }
    block_on(log.sealed()).unwrap();
    log.trim(&[(id, offset(40)), (other, offset(40))]).unwrap();
    log.close();
    drop(log);
    fs::remove_file(directory.path().join("starts")).unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let start = log.extent(id).start;
    assert!(start > offset(0));
    log.trim(&[(other, offset(45))]).unwrap();
    let log = reopen(log, directory.path());
    assert_eq!((log.extent(id).start, log.extent(other).start), (start, offset(45)));
}

#[test]
fn a_topic_that_was_cut_off_and_then_removed_is_not_missed() {
    // Once the next cut forgot where its partitions had begun, but not that files still had them.
    let directory = tempdir().unwrap();
    let (gone, kept) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    for number in 0..100 {
        append(&log, gone, numbered(number, 500)).unwrap();
        append(&log, kept, numbered(number, 500)).unwrap();
    }
    log.trim(&[(gone, offset(70)), (kept, offset(60))]).unwrap();
    let log = reopen(log, directory.path());
    log.remove_topic(gone.topic);
    log.trim(&[(kept, offset(65))]).unwrap();
    let log = reopen(log, directory.path());
    assert_eq!(bases(&log, kept), (65..100).collect::<Vec<_>>());
}
