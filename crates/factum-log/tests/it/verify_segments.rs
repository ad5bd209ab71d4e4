//! Verification of logs that were cut off, moved and cleaned.

use std::sync::{Arc, OnceLock};

use factum_log::disk::sim::SimDisk;
use factum_log::{ChainHead, Disk, Fault, Finding, Log, PartitionId, Worker};
use pollster::block_on;
use proptest::prelude::*;

use crate::retention::clean;
use crate::sample::{
    Content, Part, check, check_against, content, disk_with, parts, rewrite, seal,
};
use crate::support::{append, clock, fill, numbered, offset, open_on, partition, small, start};

fn kept() -> PartitionId {
    partition(1, 0)
}

fn cut() -> PartitionId {
    partition(2, 0)
}

fn cleaned() -> PartitionId {
    partition(3, 0)
}

/// Opens the log, does something with all journals sealed, and ends it.
fn with_log(disk: &SimDisk, work: impl FnOnce(&Log)) -> Content {
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    work(&log);
    block_on(log.sealed()).unwrap();
    log.close();
    content(disk)
}

fn grow(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        append(log, kept(), numbered(number, 100)).unwrap();
        append(log, cut(), numbered(number, 1000)).unwrap();
        append(log, cleaned(), numbered(number, 500)).unwrap();
    }
    block_on(log.sealed()).unwrap();
}

fn shrink(log: &Log) {
    log.trim(&[(cut(), offset(60))]).unwrap();
    clean(log, cleaned(), 3).unwrap();
}

fn paths<'a>(files: &'a Content, suffix: &str) -> Vec<&'a String> {
    files.keys().filter(|path| path.ends_with(suffix)).collect()
}

/// A log before something was cut off, moved and cleaned, and after.
fn sample() -> &'static (Content, Content) {
    static SAMPLE: OnceLock<(Content, Content)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimDisk::new(1);
        let before = with_log(&disk, |log| grow(log, 0..100));
        let after = with_log(&disk, |log| {
            grow(log, 100..110);
            shrink(log);
        });
        // What is removed and moved last, after it was sealed.
        let after = with_log(&disk_with(&after), |_| {});
        (before, after)
    })
}

fn range(finding: &Finding) -> (i64, i64) {
    let (first, last) = finding.offsets.unwrap();
    (first.get(), last.get())
}

#[test]
fn what_was_cut_off_moved_and_cleaned_is_sound_and_said() {
    let (before, after) = sample();
    assert_eq!(check(before).unwrap().findings, []);
    assert!(paths(after, ".journal").len() < paths(before, ".journal").len());
    let found = check(after).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.segments, paths(after, ".segment").len() as u64);
    assert!(found.segments > 0 && found.moved_offsets > 60, "{found:?}");
    assert_eq!((found.partitions, found.moved_partitions), (3, 3));
    assert_eq!(found.heads.len(), 3, "seals have the values of what was moved");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_in_a_segment_or_its_index_or_the_starts_is_found(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut files = sample().1.clone();
        let segments = paths(&files, ".segment");
        let indexes = segments.iter().map(|path| path.replace(".segment", ".index"));
        let all: Vec<String> = indexes
            .chain(segments.iter().map(ToString::to_string))
            .chain(["starts".to_owned()])
            .collect();
        let path = file.get(&all).clone();
        let bytes = files.get_mut(&path).unwrap();
        let at = at.index(bytes.len());
        let part = path.ends_with(".segment").then(|| {
            parts(bytes).into_iter().find(|(range, _)| range.contains(&at)).unwrap().1
        });
        bytes[at] ^= 1 << bit;
        let found = check(&files).unwrap().findings;
        prop_assert!(!found.is_empty(), "byte {} of {}", at, path);
        prop_assert!(found.iter().all(|finding| finding.file == path), "{:#?}", found);
        let fault = match part {
            Some(Part::Batch(id, base)) => {
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].partition, Some(id));
                prop_assert_eq!(range(&found[0]), (base.get(), base.get()));
                Fault::Batch
            }
            Some(Part::Padding) => Fault::Padding,
            Some(Part::GroupFront { .. } | Part::FileHeader) => {
                prop_assert!(found.iter().all(|finding| finding.offsets.is_some()));
                Fault::Structure
            }
            Some(Part::Behind) => Fault::Structure,
            None if path == "starts" => Fault::Starts,
            None => Fault::Index,
        };
        prop_assert!(found.iter().all(|finding| finding.fault == fault), "{:#?}", found);
    }
}

#[test]
fn a_segment_that_vanished_is_named_with_its_offsets() {
    let after = &sample().1;
    for path in paths(after, ".segment") {
        let mut files = after.clone();
        files.remove(path);
        let found = check(&files).unwrap().findings;
        assert!(!found.is_empty());
        for finding in &found {
            assert_eq!((finding.fault, &finding.file), (Fault::Missing, path));
            assert!(finding.partition.is_some() && finding.offsets.is_some());
        }
        files.remove(&path.replace(".segment", ".index"));
        let holes = check(&files).unwrap().findings;
        let same =
            |(a, b): (&Finding, &Finding)| (a.partition, range(a)) == (b.partition, range(b));
        assert!(found.iter().zip(&holes).all(same), "{found:#?}\n{holes:#?}");
        assert!(holes.iter().all(|finding| finding.fault == Fault::Offsets));
    }
}

#[test]
fn the_end_of_a_partition_that_vanished_with_its_segment_is_known_by_the_seal() {
    let disk = SimDisk::new(3);
    let (ended, goes_on) = (partition(1, 0), partition(1, 1));
    let mut files = with_log(&disk, |log| {
        fill(log, ended, 0..8, 1000);
        fill(log, goes_on, 0..60, 1000);
        block_on(log.sealed()).unwrap();
        clean(log, ended, 1).unwrap();
    });
    assert_eq!(check(&files).unwrap().findings, []);
    let segments: Vec<_> = paths(&files, ".segment").into_iter().cloned().collect();
    for path in segments {
        files.remove(&path.replace(".segment", ".index"));
        files.remove(&path);
    }
    files.retain(|path, _| !path.contains("00001."));
    let found = check(&files).unwrap().findings;
    let of_ended: Vec<_> = found.iter().filter(|f| f.partition == Some(ended)).collect();
    assert_eq!(of_ended.len(), 1, "{found:#?}");
    assert_eq!((of_ended[0].fault, range(of_ended[0])), (Fault::Offsets, (0, 7)));
    assert!(of_ended[0].file.ends_with(".seal"));
}

#[test]
fn a_list_of_starts_that_vanished_is_found() {
    let mut files = sample().1.clone();
    files.remove("starts");
    let found = check(&files).unwrap().findings;
    let [finding] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((finding.fault, finding.file.as_str()), (Fault::Starts, "starts"));
}

#[test]
fn an_attested_past_that_was_compacted_is_told_from_one_that_was_rewritten() {
    let disk = SimDisk::new(4);
    let before = with_log(&disk, |log| grow(log, 0..50));
    let attested: Vec<ChainHead> = check(&before).unwrap().heads;
    let grown = with_log(&disk, |log| grow(log, 50..100));
    let found = check_against(&grown, &attested).unwrap();
    assert_eq!((found.findings, found.unproven), (vec![], 0));
    let younger = check(&with_log(&disk, shrink)).unwrap().heads;
    // The seals of what was removed go with the next ones.
    let grown = with_log(&disk, |log| grow(log, 100..120));
    let found = check_against(&grown, &attested).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.unproven, 3, "{:?}", found.notes);
    let note = |id: PartitionId| {
        let name = format!("topic {}, partition {}", id.topic, id.partition);
        found.notes.iter().find(|note| note.contains(&name)).unwrap()
    };
    assert!(note(cut()).contains("cut off"), "{}", note(cut()));
    assert!(note(cleaned()).contains("compacted"), "{}", note(cleaned()));
    // What was attested since holds, beside segments too, and only while nobody rewrites it.
    let found = check_against(&grown, &younger).unwrap();
    assert_eq!((found.findings, found.unproven), (vec![], 0));
    let mut rewritten = grown;
    rewrite(&mut rewritten, cut(), offset(99));
    rewritten.retain(|path, _| !path.ends_with(".seal"));
    let found = check_against(&rewritten, &younger).unwrap().findings;
    assert!(found.iter().any(|f| (f.fault, f.partition) == (Fault::Attestation, Some(cut()))));
}

#[test]
fn journals_are_sealed_before_they_are_removed_and_their_seals_go_with_the_next() {
    let disk = SimDisk::new(5);
    let (log, mut workers, _) =
        Log::open_stepped(Arc::new(disk.clone()), clock(), small()).unwrap();
    let append = |workers: &mut factum_log::Workers, numbers: std::ops::Range<u64>| {
        for number in numbers {
            drop(start(&log, cut(), numbered(number, 1000)).unwrap());
            while workers.step(Worker::Writer) || workers.step(Worker::Preparer) {}
        }
    };
    let journals = || names(&disk, ".journal");
    append(&mut workers, 0..60);
    while workers.step(Worker::Housekeeper) {}
    log.trim(&[(cut(), offset(60))]).unwrap();
    while workers.step(Worker::Housekeeper) {}
    let before = journals();
    assert!(before >= 4, "they wait for their seals");
    while workers.step(Worker::Sealer) {}
    assert!(workers.pending().has_task, "the sealer asks for another sweep");
    while workers.step(Worker::Housekeeper) {}
    assert_eq!((journals(), names(&disk, ".seal")), (1, before - 1));
    append(&mut workers, 60..80);
    while workers.step(Worker::Housekeeper) || workers.step(Worker::Sealer) {}
    assert!(names(&disk, ".seal") < journals(), "the seals of what is gone are gone");
    log.close();
    workers.finish();
    let found = check(&content(&disk)).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.heads.len(), 1);
}

fn names(disk: &SimDisk, suffix: &str) -> usize {
    disk.list("journal").unwrap().iter().filter(|name| name.ends_with(suffix)).count()
}

/// A journal whose predecessors are gone says nothing of what its chains follow: only its seal
/// does. Without that, they were taken for chains that begin there, so that the next seal seemed
/// to be of another past.
#[test]
fn a_lost_seal_behind_removed_journals_is_missing_and_nothing_else() {
    let disk = SimDisk::new(7);
    let files = with_log(&disk, |log| {
        fill_cut(log, 0..60);
        log.trim(&[(cut(), offset(30))]).unwrap();
    });
    let mut files = with_log(&disk_with(&files), |_| {});
    let first = number_of(paths(&files, ".journal")[0]);
    assert!(first > 1, "its predecessors are gone");
    files.remove(&seal(first)).unwrap();
    let found = check(&files).unwrap();
    let faults: Vec<_> = found.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(faults, [Fault::Seal], "{:#?}", found.findings);
}

/// Seals of removed journals go in any order. Where an older one stayed and younger ones went, the
/// next seal seemed to have another end than partitions had that were removed in between.
#[test]
fn an_old_seal_of_a_removed_journal_does_not_contradict_later_ones() {
    let disk = SimDisk::new(8);
    let before = with_log(&disk, |log| fill_cut(log, 0..60));
    let after = with_log(&disk, |log| {
        log.trim(&[(cut(), offset(60))]).unwrap();
        grow(log, 60..90);
    });
    let mut after = with_log(&disk_with(&after), |log| grow(log, 90..120));
    assert!(number_of(paths(&after, ".journal")[0]) > 2 && !after.contains_key(&seal(2)));
    assert!(after.insert(seal(1), before[&seal(1)].clone()).is_none());
    assert_eq!(check(&after).unwrap().findings, []);
}

/// The sealer knows of a damaged journal only what can be read of it. Where that was cut off
/// before the sealer came, the next seal has an older end of the partition than the journal.
#[test]
fn a_damaged_journal_of_which_a_part_was_cut_off_has_no_seal_and_nothing_else() {
    let disk = SimDisk::new(9);
    let (log, mut workers, _) =
        Log::open_stepped(Arc::new(disk.clone()), clock(), small()).unwrap();
    let mut write = |id, number| {
        drop(start(&log, id, numbered(number, 1000)).unwrap());
        while workers.step(Worker::Writer) || workers.step(Worker::Housekeeper) {}
        while names(&disk, ".journal") == 2 && workers.step(Worker::Sealer) {}
    };
    let mut count = 0;
    while names(&disk, ".journal") < 3 {
        write(cut(), count);
        write(kept(), count);
        count += 1;
    }
    (0..40).for_each(|number| write(kept(), 1000 + number));
    log.trim(&[(cut(), log.extent(cut()).end)]).unwrap();
    let path = crate::sample::journal(2);
    disk.flip_bit(&path, 1000, 1).unwrap();
    while workers.step(Worker::Sealer) || workers.step(Worker::Housekeeper) {}
    disk.flip_bit(&path, 1000, 1).unwrap();
    log.close();
    workers.finish();
    let files = content(&disk);
    assert!(files.contains_key(&seal(1)) && !files.contains_key(&seal(2)));
    assert!(files.contains_key(&seal(3)) && files.contains_key(&path));
    let found = check(&files).unwrap();
    let faults: Vec<_> = found.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(faults, [Fault::Seal], "{:#?}", found.findings);
}

fn fill_cut(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        append(log, cut(), numbered(number, 1000)).unwrap();
    }
    block_on(log.sealed()).unwrap();
}

fn number_of(path: &str) -> u64 {
    path["journal/".len()..][..20].parse().unwrap()
}
