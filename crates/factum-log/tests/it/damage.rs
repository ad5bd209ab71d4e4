//! Torn ends and flipped bits: the first are cut off and said, the second are never served.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use factum_log::disk::sim::{Faults, SimDisk};
use factum_log::{AppendError, Extent, OpenError, ReadError};
use pollster::block_on;
use tempfile::tempdir;

use crate::real_disk::{index, journal};
use crate::support::{
    append, assert_filled, fill, numbered, offset, open, open_on, partition, small, start,
};

/// One group of [`fill`] with batches of 1000 bytes of content.
const GROUP: u64 = 64 + 64 + 1088;

fn file(directory: &Path, number: u64) -> File {
    OpenOptions::new().read(true).write(true).open(journal(directory, number)).unwrap()
}

fn flip(file: &File, position: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 4], position).unwrap();
}

#[test]
fn a_torn_end_is_cut_off_and_said() {
    for cut in [1, 63, 64, 100, GROUP - 300, GROUP - 1] {
        let directory = tempdir().unwrap();
        let id = partition(1, 0);
        let (log, _) = open(directory.path(), small()).unwrap();
        fill(&log, id, 0..5, 1000);
        log.close();
        file(directory.path(), 1).set_len(64 + 4 * GROUP + cut).unwrap();
        let (log, recovery) = open(directory.path(), small()).unwrap();
        let truncated = recovery.truncated.expect("it says so");
        assert_eq!(truncated.position, 64 + 4 * GROUP, "cut {cut}");
        assert!(truncated.file.ends_with("1.journal") && truncated.bytes <= cut);
        assert_eq!(recovery.batches, 4);
        fill(&log, id, 4..7, 1000);
        log.close();
        let (log, recovery) = open(directory.path(), small()).unwrap();
        assert_eq!(recovery.truncated, None);
        assert_filled(&log, id, 0..7, 1000);
    }
}

#[test]
fn a_damaged_last_group_is_a_torn_end() {
    for at in [0, 5, 30, 64, 100, 140, GROUP - 100] {
        let directory = tempdir().unwrap();
        let id = partition(1, 0);
        let (log, _) = open(directory.path(), small()).unwrap();
        fill(&log, id, 0..5, 1000);
        log.close();
        flip(&file(directory.path(), 1), 64 + 4 * GROUP + at);
        let (log, recovery) = open(directory.path(), small()).unwrap();
        assert_eq!(recovery.truncated.unwrap().position, 64 + 4 * GROUP, "byte {at}");
        assert_filled(&log, id, 0..4, 1000);
    }
}

#[test]
fn a_group_of_which_only_the_middle_was_written_is_a_torn_end() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..5, 1000);
    log.close();
    file(directory.path(), 1).write_all_at(&[0; 512], 64 + 4 * GROUP).unwrap();
    let (log, recovery) = open(directory.path(), small()).unwrap();
    let truncated = recovery.truncated.unwrap();
    assert_eq!(truncated.position, 64 + 4 * GROUP);
    assert_filled(&log, id, 0..4, 1000);
}

#[test]
fn damage_before_a_sound_group_refuses_to_open_and_changes_nothing() {
    for at in [0, 5, 30, 64, 100, 140, GROUP - 100] {
        let directory = tempdir().unwrap();
        let (log, _) = open(directory.path(), small()).unwrap();
        fill(&log, partition(1, 0), 0..5, 1000);
        log.close();
        flip(&file(directory.path(), 1), 64 + 2 * GROUP + at);
        let before = std::fs::read(journal(directory.path(), 1)).unwrap();
        let error = open(directory.path(), small()).err().unwrap();
        let OpenError::Damaged { file, position, reason } = &error else { panic!("{error}") };
        assert_eq!(
            (file.as_str(), *position),
            ("journal/00000000000000000001.journal", 64 + 2 * GROUP,)
        );
        assert!(reason.contains("group 4 stands"), "{reason}");
        assert_eq!(std::fs::read(journal(directory.path(), 1)).unwrap(), before);
    }
}

#[test]
fn a_damaged_file_header_refuses_to_open() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, partition(1, 0), 0..40, 1000);
    log.close();
    for number in [1, 2] {
        flip(&file(directory.path(), number), 20);
        let error = open(directory.path(), small()).err().unwrap();
        assert!(matches!(error, OpenError::Damaged { position: 0, .. }), "{error}");
        flip(&file(directory.path(), number), 20);
    }
    assert!(open(directory.path(), small()).is_ok());
}

#[test]
fn a_flipped_bit_in_a_sealed_journal_is_never_served() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, id, 0..40, 1000);
    log.close();
    // Anywhere in the third batch: prefix, magic, CRC, content.
    let start = 64 + 2 * GROUP + 128;
    let length = numbered(0, 1000).len() as u64;
    for at in (0..70).chain([500, length - 1]) {
        flip(&file(directory.path(), 1), start + at);
        let (log, _) = open(directory.path(), small()).unwrap();
        let before = block_on(log.read(id, offset(0), 100_000)).unwrap();
        assert_eq!(before.len(), 2, "what is sound before it is served");
        let error = block_on(log.read(id, offset(2), 100_000)).unwrap_err();
        let ReadError::Damaged { file: name, position, first, last, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((name.as_str(), *position), ("journal/00000000000000000001.journal", start));
        assert_eq!((*first, *last), (offset(2), offset(2)));
        let after = block_on(log.read(id, offset(3), 100_000)).unwrap();
        assert!(after.len() > 3, "what is sound after it is served");
        log.close();
        flip(&file(directory.path(), 1), start + at);
    }
}

#[test]
fn a_sealed_journal_that_lost_its_end_refuses_to_open() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    fill(&log, partition(1, 0), 0..40, 1000);
    log.close();
    file(directory.path(), 1).set_len(64 + 5 * GROUP).unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    // Without its index the next journal tells that groups are missing.
    std::fs::remove_file(index(directory.path(), 1)).unwrap();
    let error = open(directory.path(), small()).err().unwrap();
    assert!(error.to_string().contains("groups are missing"), "{error}");
}

#[test]
fn a_failed_flush_ends_appending_but_not_reading() {
    let disk = SimDisk::new(3);
    let id = partition(1, 0);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    fill(&log, id, 0..3, 100);
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    let error = append(&log, id, numbered(3, 100)).unwrap_err();
    let AppendError::Failed(reason) = &error else { panic!("{error}") };
    assert!(reason.contains("simulated flush error") && reason.contains("start again"), "{reason}");
    assert_eq!(log.failure().as_ref(), Some(reason));
    assert_eq!(start(&log, id, numbered(4, 100)).err(), Some(error.clone()));
    assert_eq!(log.extent(id), Extent { start: offset(0), end: offset(3) });
    assert_filled(&log, id, 0..3, 100);
    log.close();
    assert_eq!(start(&log, id, numbered(4, 100)).err(), Some(error));
}
