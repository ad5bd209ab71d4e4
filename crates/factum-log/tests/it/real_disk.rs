//! The log on the real disk: opening, recovery, limits.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use factum_event::{Offset, Timestamp};
use factum_log::{AppendError, Extent, LogSettings, OpenError, ReadError};
use pollster::block_on;
use tempfile::tempdir;

use crate::support::{
    append, assert_filled, batch, fill, numbered, offset, open, partition, read_all, small, start,
};

pub(crate) fn journal(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("journal/{number:020}.journal"))
}

pub(crate) fn index(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("journal/{number:020}.index"))
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let directory = tempdir().unwrap();
    let (a, b) = (partition(1, 0), partition(1, 1));
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert_eq!((recovery.journals, recovery.batches), (1, 0));
    fill(&log, a, 0..50, 1000);
    fill(&log, b, 100..103, 10);
    let before = read_all(&log, a).unwrap();
    log.close();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert!(recovery.journals > 2, "{recovery:?}");
    assert_eq!((recovery.batches, recovery.rebuilt_indexes), (53, 0));
    assert_eq!(recovery.truncated, None);
    assert_eq!(log.extent(a), Extent { start: offset(0), end: offset(50) });
    assert_eq!(read_all(&log, a).unwrap(), before);
    assert_filled(&log, b, 100..103, 10);
    // And it goes on where it was.
    assert_eq!(append(&log, a, numbered(50, 1000)).unwrap().base_offset, offset(50));
    assert_filled(&log, a, 0..51, 1000);
}

#[test]
fn an_empty_log_opens_again() {
    let directory = tempdir().unwrap();
    for _ in 0..3 {
        let (log, recovery) = open(directory.path(), small()).unwrap();
        assert_eq!((recovery.journals, recovery.batches, recovery.truncated), (1, 0, None));
        assert_eq!(log.extent(partition(1, 0)), Extent::EMPTY);
        assert_eq!(block_on(log.read(partition(1, 0), Offset::ZERO, 100)), Ok(vec![]));
    }
}

#[test]
fn batches_take_as_many_offsets_as_they_have_records() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let id = partition(1, 0);
    let offsets: Vec<_> = (1..=4).map(|n| append(&log, id, batch(n, 0, b"x")).unwrap()).collect();
    let offsets: Vec<_> = offsets.iter().map(|appended| appended.base_offset.get()).collect();
    assert_eq!(offsets, [0, 1, 3, 6]);
    let read = block_on(log.read(id, offset(4), 1)).unwrap();
    assert_eq!((read.len(), read[0].entry.base_offset), (1, offset(3)), "the one that contains it");
    assert_eq!(read[0].to_batch().unwrap().header().record_count, 3);
    assert_eq!((read[0].entry.producer_id, read[0].entry.base_sequence), (7, 11));
}

#[test]
fn an_offset_outside_the_partition_is_refused_with_its_extent() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let id = partition(1, 0);
    fill(&log, id, 0..3, 10);
    assert_eq!(block_on(log.read(id, offset(3), 10)), Ok(vec![]));
    let refused =
        |from| ReadError::OutOfRange { from: offset(from), start: offset(0), end: offset(3) };
    assert_eq!(block_on(log.read(id, offset(4), 10)), Err(refused(4)));
    let unknown = block_on(log.read(partition(9, 0), offset(1), 10)).unwrap_err();
    assert!(matches!(unknown, ReadError::OutOfRange { .. }));
}

#[test]
fn reads_return_at_least_one_batch_and_no_more_than_asked() {
    for tail_bytes in [0, 1 << 20] {
        let directory = tempdir().unwrap();
        let settings = LogSettings { tail_bytes, journal_bytes: 1 << 20, ..small() };
        let (log, _) = open(directory.path(), settings).unwrap();
        let id = partition(1, 0);
        fill(&log, id, 0..20, 1000);
        let length = numbered(0, 1000).len();
        for (max_bytes, count) in [(0, 1), (length, 1), (length * 3 + 1, 3), (usize::MAX, 20)] {
            let read = block_on(log.read(id, offset(0), max_bytes)).unwrap();
            assert_eq!(read.len(), count, "{max_bytes} bytes, tail {tail_bytes}");
        }
        let metrics = log.metrics();
        let (tail, disk) = (metrics.bytes_read_tail, metrics.bytes_read_disk);
        assert!(if tail_bytes == 0 { tail == 0 && disk > 0 } else { tail > 0 && disk == 0 });
        assert_eq!((metrics.flushes, metrics.batches), (20, 20));
    }
}

#[test]
fn a_missing_or_damaged_index_is_built_again() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..80, 1000);
    log.close();
    fs::remove_file(index(directory.path(), 1)).unwrap();
    fs::write(index(directory.path(), 2), b"not an index").unwrap();
    let bytes = fs::read(index(directory.path(), 3)).unwrap();
    fs::write(index(directory.path(), 3), &bytes[..bytes.len() - 1]).unwrap();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert_eq!((recovery.rebuilt_indexes, recovery.batches), (3, 80));
    assert_filled(&log, id, 0..80, 1000);
    log.close();
    let (_log, recovery) = open(directory.path(), small()).unwrap();
    assert_eq!(recovery.rebuilt_indexes, 0);
}

#[test]
fn a_list_damaged_while_the_log_is_open_is_built_again() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..40, 1000);
    log.close();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    let file = OpenOptions::new().write(true).open(index(directory.path(), 1)).unwrap();
    file.write_all_at(b"damage", 20).unwrap();
    assert_eq!(recovery.rebuilt_indexes, 0, "lists are not read when the log is opened");
    assert_filled(&log, id, 0..40, 1000);
    fs::remove_file(index(directory.path(), 2)).unwrap();
    let entries = log.entries(id, offset(0), usize::MAX).unwrap();
    let bases: Vec<_> = entries.iter().map(|entry| entry.base_offset.get()).collect();
    assert_eq!(bases, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    log.close();
    assert!(open(directory.path(), small()).is_ok());
}

#[test]
fn a_newer_format_is_refused_and_garbage_too() {
    let directory = tempdir().unwrap();
    drop(open(directory.path(), small()).unwrap());
    fs::write(directory.path().join("FORMAT"), "factum-log 2\n").unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    fs::write(directory.path().join("FORMAT"), "something else").unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_batch_larger_than_a_journal_gets_one_of_its_own() {
    let directory = tempdir().unwrap();
    let settings = LogSettings { queue_bytes: 10_000, ..small() };
    let (log, _) = open(directory.path(), settings).unwrap();
    let id = partition(1, 0);
    for number in 0..6 {
        let bytes = if number % 2 == 0 { 100_000 } else { 100 };
        append(&log, id, numbered(number, bytes)).unwrap();
    }
    log.close();
    let (log, _) = open(directory.path(), settings).unwrap();
    let lengths: Vec<_> = read_all(&log, id).unwrap().iter().map(|b| b.body.len()).collect();
    assert_eq!(lengths, [100_045, 145, 100_045, 145, 100_045, 145]);
}

#[test]
fn one_flush_serves_all_that_waits() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), LogSettings::default()).unwrap();
    let open_appends: Vec<_> =
        (0..2000).map(|n| start(&log, partition(1, n % 500), numbered(0, 100)).unwrap()).collect();
    for appending in open_appends {
        block_on(appending).unwrap();
    }
    let metrics = log.metrics();
    assert_eq!(metrics.batches, 2000);
    assert!(metrics.flushes < 200, "{} flushes", metrics.flushes);
    assert_eq!(metrics.flush_times.counts.iter().sum::<u64>(), metrics.flushes);
}

#[test]
fn times_are_looked_up_in_sealed_and_open_journals() {
    for tail_bytes in [0, 1 << 20] {
        let directory = tempdir().unwrap();
        let (log, _) = open(directory.path(), LogSettings { tail_bytes, ..small() }).unwrap();
        let id = partition(1, 0);
        assert_eq!(block_on(log.find_max_timestamp(id)), Ok(None));
        // 0 10 20 … but in between one that is early and one that is late.
        let times: Vec<i64> = (0..60)
            .map(|n| {
                if n == 7 {
                    3
                } else if n == 9 {
                    305
                } else {
                    n * 10
                }
            })
            .collect();
        for &time in &times {
            append(&log, id, batch(1, time, &[0; 1000])).unwrap();
        }
        let find = |time| {
            let found =
                block_on(log.find_time(id, offset(0), Timestamp::from_millis(time))).unwrap();
            found.map(|stored| stored.entry.base_offset.get())
        };
        for time in 0..600 {
            let expected = times.iter().position(|&t| t >= time);
            assert_eq!(find(time), expected.map(|at| i64::try_from(at).unwrap()), "time {time}");
        }
        let largest = block_on(log.find_max_timestamp(id)).unwrap().unwrap();
        assert_eq!(largest.entry.base_offset, offset(59));
    }
}

#[test]
fn a_removed_topic_is_gone_and_its_journals_with_it() {
    let directory = tempdir().unwrap();
    let (kept, gone) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, kept, 0..3, 1000);
    fill(&log, gone, 0..100, 1000);
    fill(&log, kept, 3..20, 1000);
    let before = log.metrics().journals;
    log.remove_topic(gone.topic);
    assert_eq!(log.extent(gone), Extent::EMPTY);
    let error = start(&log, gone, numbered(0, 1)).err();
    assert_eq!(error, Some(AppendError::Removed), "its offsets are not used again");
    for from in [0, 50, 100] {
        let read = block_on(log.read(gone, offset(from), 1)).err();
        assert_eq!(read, Some(ReadError::Removed), "an offset is not what is wrong");
    }
    log.close();
    let after = log.metrics().journals;
    assert!(after < before / 2, "{after} of {before} journals are left");
    assert!(!journal(directory.path(), 4).exists());
    // The hole is explained: it opens, and what is left of the topic is known to be dead.
    let (log, _) = open(directory.path(), small()).unwrap();
    assert_filled(&log, kept, 0..20, 1000);
    assert_eq!(log.extent(gone), Extent::EMPTY);
    assert_eq!(log.partitions(), [kept]);
}

#[test]
fn a_missing_journal_is_noticed() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, partition(1, 0), 0..80, 1000);
    log.close();
    fs::remove_file(journal(directory.path(), 2)).unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(error.to_string().contains("missing"), "{error}");
    fs::remove_file(index(directory.path(), 2)).unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn what_a_crash_left_unfinished_is_cleared_away() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..5, 1000);
    log.close();
    let unfinished = directory.path().join("journal/00000000000000000002.journal.new");
    fs::write(&unfinished, b"half a header").unwrap();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert!(!unfinished.exists());
    assert_eq!(recovery.batches, 5);
    assert_filled(&log, id, 0..5, 1000);
}

#[test]
fn an_index_has_removed_topics_too() {
    // Once it did not: a topic removed while it was written to left a hole between two journals
    // that knew it, and the log did not open.
    let directory = tempdir().unwrap();
    let (kept, gone) = (partition(1, 0), partition(2, 0));
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, kept, 0..3, 1000);
    fill(&log, gone, 0..3, 1000);
    log.remove_topic(gone.topic);
    fill(&log, kept, 3..40, 1000);
    log.close();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert_eq!((recovery.batches, recovery.rebuilt_indexes), (43, 0));
    assert_filled(&log, kept, 0..40, 1000);
    assert_eq!(log.extent(gone).end, offset(3), "until it is removed again");
}
