//! Verification: what is damaged or rewritten is found, with its place, and nothing else is.

use factum_event::batch::{BatchBuilder, Codec};
use factum_event::{Record, Timestamp};
use factum_log::disk::sim::SimDisk;
use factum_log::{
    ChainHead, Fault, Finding, LogSettings, OsDisk, ReadOnlyDisk, Verification, VerifyError,
    VerifyOptions, root_hash, verify,
};
use pollster::block_on;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::sample::{
    Content, Part, check, check_against, content, disk_with, grow, index, journal, last_journal,
    partitions, parts, place_of, rewrite, sample, seal, serve,
};
use crate::support::{append, batch, fill, offset, open_on, partition, small};

fn only(found: &Verification) -> &Finding {
    let [finding] = found.findings.as_slice() else { panic!("{:#?}", found.findings) };
    finding
}

fn range(finding: &Finding) -> Option<(i64, i64)> {
    finding.offsets.map(|(first, last)| (first.get(), last.get()))
}

#[test]
fn a_sound_log_is_sound_and_is_not_changed() {
    let disk = disk_with(sample());
    let found = verify(&disk, &VerifyOptions::default(), &mut ()).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!((found.batches, found.partitions, found.heads.len()), (60, 3, 3));
    assert!(found.journals >= 4 && found.seals == found.journals - 1, "{found:?}");
    assert_eq!(&content(&disk), sample());
}

#[test]
fn a_read_only_directory_is_checked_unless_a_log_has_it() {
    let directory = tempdir().unwrap();
    let check = || {
        let disk = ReadOnlyDisk::new(directory.path()).unwrap();
        verify(&disk, &VerifyOptions::default(), &mut ())
    };
    assert!(matches!(check(), Err(VerifyError::NoLog { .. })));
    let (log, _) = open_on(OsDisk::new(directory.path()).unwrap(), small()).unwrap();
    fill(&log, partition(1, 0), 0..40, 1000);
    let error = check().unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    log.close();
    assert_eq!(check().unwrap().findings, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any bit of any file: found with its file and offsets, never served, the rest is readable.
    #[test]
    fn a_flipped_bit_anywhere_is_found_and_never_served(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut files = sample().clone();
        let path = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let bytes = files.get_mut(&path).unwrap();
        let at = at.index(bytes.len());
        let part = path.ends_with(".journal").then(|| {
            parts(bytes).into_iter().find(|(range, _)| range.contains(&at)).unwrap().1
        });
        bytes[at] ^= 1 << bit;
        check_flipped(&files, &path, at, part)?;
    }
}

fn check_flipped(
    files: &Content,
    path: &str,
    at: usize,
    part: Option<Part>,
) -> Result<(), TestCaseError> {
    let active = path == journal(last_journal(files));
    let found = match check(files) {
        Err(VerifyError::Open(_)) if path == "FORMAT" => return Ok(()),
        other => other.unwrap(),
    };
    let whole = serve(sample()).unwrap().batches;
    let served = serve(files);
    if let Some(served) = &served {
        let same = served.batches.iter().all(|(key, bytes)| whole[key] == *bytes);
        prop_assert!(same, "a damaged batch was served");
    }
    let lost = served.map_or(0, |served| whole.len() - served.batches.len());
    let files_found: Vec<_> = found.findings.iter().map(|finding| finding.file.as_str()).collect();
    let faults: Vec<_> = found.findings.iter().map(|finding| finding.fault).collect();
    let in_last_group = || {
        let parts = parts(&files[path]);
        let last = parts.iter().rfind(|(_, part)| matches!(part, Part::GroupFront { .. }));
        last.is_some_and(|(range, _)| at > range.start)
    };
    match part {
        Some(Part::Batch(..)) if active && in_last_group() => {
            prop_assert_eq!(&faults, &[]);
            prop_assert!(found.notes.iter().any(|note| note.contains(path)), "{:?}", found.notes);
        }
        Some(Part::Batch(id, base)) => {
            let finding = only(&found);
            prop_assert_eq!((finding.fault, finding.file.as_str()), (Fault::Batch, path));
            prop_assert_eq!((finding.partition, finding.offsets), (Some(id), Some((base, base))));
            prop_assert!(lost <= 1, "{} batches cannot be read", lost);
        }
        Some(Part::GroupFront { last: true } | Part::Behind) if active => {
            prop_assert_eq!(&faults, &[]);
            prop_assert!(found.notes.iter().any(|note| note.contains(path)), "{:?}", found.notes);
        }
        Some(Part::Padding) => {
            let finding = only(&found);
            prop_assert_eq!((finding.fault, finding.position), (Fault::Padding, at as u64));
            prop_assert_eq!(lost, 0);
        }
        Some(Part::GroupFront { .. }) if !active => {
            prop_assert!(files_found.iter().all(|file| *file == path), "{:?}", found.findings);
            prop_assert!(!faults.is_empty() && found.findings.iter().all(|f| f.offsets.is_some()));
            prop_assert_eq!(lost, 0, "the index knows where the batches are");
        }
        _ => {
            prop_assert!(files_found.contains(&path), "{:?} for {}", found.findings, path);
            prop_assert_eq!(lost, 0);
        }
    }
    Ok(())
}

#[test]
fn damage_before_the_very_last_group_is_no_torn_end() {
    let disk = SimDisk::new(7);
    let id = partition(1, 0);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    fill(&log, id, 0..3, 1000);
    log.close();
    let files = content(&disk);
    for (base, findings) in [(0, 1), (1, 1), (2, 0)] {
        let mut files = files.clone();
        let (path, place) = place_of(&files, id, offset(base));
        files.get_mut(&path).unwrap()[place.start + 500] ^= 1;
        let found = check(&files).unwrap();
        assert_eq!(found.findings.len(), findings, "{base}: {:?}", found.findings);
        assert_eq!((found.batches, found.notes.len()), (2, 1 - findings));
        assert!(
            found
                .findings
                .iter()
                .all(|f| f.fault == Fault::Batch && range(f) == Some((base, base)))
        );
    }
}

#[test]
fn a_batch_that_was_rewritten_with_all_its_checksums_is_found_by_its_first_offset() {
    for (id, base) in [(partitions()[0], 0), (partitions()[1], 7), (partitions()[2], 4)] {
        let mut files = sample().clone();
        let path = rewrite(&mut files, id, offset(base));
        let served = serve(&files).unwrap();
        assert!(served.damaged.is_empty(), "no checksum knows it");
        let found = check(&files).unwrap();
        let finding = only(&found);
        assert_eq!((finding.fault, &finding.file), (Fault::Chain, &path));
        assert_eq!((finding.partition, range(finding)), (Some(id), Some((base, base))));
        let (_, place) = place_of(&files, id, offset(base));
        assert_eq!(finding.position, place.start as u64);
        assert!(finding.reason.contains(&format!("rewritten from offset {base} on")));
    }
}

#[test]
fn a_past_that_was_rewritten_with_all_seals_is_found_by_what_was_attested() {
    let attested = check(sample()).unwrap().heads;
    let mut files = sample().clone();
    rewrite(&mut files, partitions()[1], offset(2));
    files.retain(|path, _| !path.ends_with(".seal"));
    let disk = disk_with(&files);
    grow(&disk, 60..90);
    let files = content(&disk);
    assert_eq!(check(&files).unwrap().findings, [], "it is consistent in itself");
    let found = check_against(&files, &attested).unwrap();
    let finding = only(&found);
    assert_eq!((finding.fault, finding.partition), (Fault::Attestation, Some(partitions()[1])));
    assert!(finding.reason.contains("rewritten before offset 20"), "{}", finding.reason);
}

#[test]
fn what_was_attested_holds_while_the_log_grows_and_not_when_it_is_cut() {
    let first = check(sample()).unwrap().heads;
    let disk = disk_with(sample());
    grow(&disk, 60..100);
    let grown = content(&disk);
    let later = check_against(&grown, &first).unwrap();
    assert_eq!(later.findings, []);
    assert_ne!(root_hash(&later.heads), root_hash(&first));
    // The other way round: what was attested later is not in the older log.
    let found = check_against(sample(), &later.heads).unwrap();
    assert_eq!(found.findings.len(), 3);
    assert!(found.findings[0].reason.contains("it ends at offset 20, but was attested up to"));
    let unknown = ChainHead { partition: partition(9, 0), ..later.heads[0] };
    let found = check_against(&grown, &[unknown]).unwrap();
    assert!(only(&found).reason.contains("is not there"), "{:?}", found.findings);
}

#[test]
fn a_sealed_journal_that_lost_its_end_is_found_with_its_offsets() {
    let whole = &sample()[&journal(2)];
    let fronts: Vec<_> = parts(whole)
        .into_iter()
        .filter(|(_, part)| matches!(part, Part::GroupFront { .. }))
        .map(|(range, _)| range.start)
        .collect();
    let cut = fronts[fronts.len() - 3];
    for length in [cut, cut + 10, cut + 64, cut + 200] {
        let mut files = sample().clone();
        files.get_mut(&journal(2)).unwrap().truncate(length);
        let found = check(&files).unwrap();
        assert_eq!(found.findings.len(), 3, "cut at {length}: {:#?}", found.findings);
        for finding in &found.findings {
            assert_eq!((finding.fault, &finding.file), (Fault::Structure, &journal(2)));
            assert_eq!(finding.position, cut as u64);
            let (first, last) = finding.offsets.unwrap();
            assert_eq!(first, last, "one batch of each partition");
        }
        assert_eq!(found.batches, 57);
        // Without the index the next journal tells where offsets are missing.
        files.remove(&index(2));
        let found = check(&files).unwrap();
        assert!(found.findings[0].reason.contains("are not there"), "{:?}", found.findings[0]);
        let holes = found.findings.iter().filter(|finding| finding.fault == Fault::Offsets);
        assert_eq!(holes.count(), 3);
    }
}

#[test]
fn a_missing_journal_is_found_and_its_offsets_as_far_as_the_index_is_there() {
    let mut files = sample().clone();
    files.remove(&journal(2));
    let found = check(&files).unwrap();
    assert_eq!(found.findings.len(), 3, "{:#?}", found.findings);
    for finding in &found.findings {
        assert_eq!((finding.fault, &finding.file), (Fault::Missing, &journal(2)));
        assert!(finding.offsets.is_some());
    }
    files.remove(&index(2));
    let found = check(&files).unwrap();
    assert_eq!(found.findings[0].fault, Fault::Missing);
    assert!(found.findings.iter().filter(|f| f.fault == Fault::Offsets).count() == 3);
}

#[test]
fn a_log_that_lost_its_last_journals_is_found_by_the_seal() {
    let mut files = sample().clone();
    let last = last_journal(&files);
    files.remove(&journal(last));
    let found = check(&files).unwrap();
    assert_eq!((only(&found).fault, &only(&found).file), (Fault::Missing, &journal(last)));
}

#[test]
fn files_in_the_wrong_place_are_found() {
    let mut swapped = sample().clone();
    swapped.insert(journal(1), sample()[&journal(2)].clone());
    swapped.insert(journal(2), sample()[&journal(1)].clone());
    let mut twice = sample().clone();
    twice.insert(journal(2), sample()[&journal(1)].clone());
    let mut seals = sample().clone();
    seals.insert(seal(2), sample()[&seal(1)].clone());
    for (files, fault, paths) in [
        (swapped, Fault::Structure, vec![journal(1), journal(2)]),
        (twice, Fault::Structure, vec![journal(2)]),
        (seals, Fault::Seal, vec![seal(2)]),
    ] {
        let found = check(&files).unwrap();
        let of_fault = found.findings.iter().filter(|finding| finding.fault == fault);
        let mut named: Vec<_> = of_fault.map(|finding| finding.file.clone()).collect();
        named.dedup();
        assert_eq!(named, paths, "{:#?}", found.findings);
    }
}

#[test]
fn a_seal_that_is_missing_among_others_is_found_and_the_newest_is_made_again() {
    let mut files = sample().clone();
    files.remove(&seal(1));
    let found = check(&files).unwrap();
    assert!(found.findings.iter().any(|finding| finding.file == seal(1)), "{:?}", found.findings);
    let newest = last_journal(sample()) - 1;
    for damaged in [false, true] {
        let mut files = sample().clone();
        files.remove(&seal(newest));
        if damaged {
            files.insert(seal(newest), b"nothing of a seal".to_vec());
        }
        let disk = disk_with(&files);
        grow(&disk, 0..0);
        assert_eq!(content(&disk)[&seal(newest)], sample()[&seal(newest)]);
    }
}

#[test]
fn the_sealer_finds_damage_and_seals_what_comes_after() {
    let mut files = sample().clone();
    files.retain(|path, _| !path.ends_with(".seal"));
    let (path, place) = place_of(&files, partitions()[0], offset(5));
    let damaged: u64 = path["journal/".len()..][..20].parse().unwrap();
    files.get_mut(&path).unwrap()[place.start + 300] ^= 1;
    let disk = disk_with(&files);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    block_on(log.sealed()).unwrap();
    log.close();
    let metrics = log.metrics();
    assert_eq!((metrics.scrub_damage, metrics.unsealed_bytes), (1, 0));
    let files = content(&disk);
    assert!(!files.contains_key(&seal(damaged)) && files.contains_key(&seal(damaged + 1)));
    let found = check(&files).unwrap();
    let faults: Vec<_> = found.findings.iter().map(|finding| finding.fault).collect();
    assert_eq!(faults, [Fault::Seal, Fault::Batch], "{:#?}", found.findings);
}

/// It once was read up to five times: each group's reader went on into the groups behind it.
#[test]
fn what_is_sealed_is_read_from_the_disk_once() {
    let disk = SimDisk::new(1);
    let settings = LogSettings { journal_bytes: 4 << 20, queue_bytes: 16 << 20, ..small() };
    let (log, _) = open_on(disk.clone(), settings).unwrap();
    fill(&log, partition(1, 0), 0..120, 100_000);
    block_on(log.sealed()).unwrap();
    log.close();
    let files = content(&disk);
    let sealed = files.iter().filter(|(path, _)| {
        path.strip_suffix(".journal")
            .is_some_and(|stem| files.contains_key(&format!("{stem}.seal")))
    });
    let lengths: Vec<_> = sealed.map(|(_, bytes)| bytes.len() as u64).collect();
    assert!(lengths.len() >= 2, "{lengths:?}");
    let (read, written) = (disk.stats().direct_read_bytes, lengths.iter().sum());
    assert!((written / 2..=written).contains(&read), "{read} bytes were read of {written}");
}

#[test]
fn removed_topics_leave_explained_holes() {
    let disk = SimDisk::new(5);
    let (kept, gone) = (partition(1, 0), partition(2, 0));
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    // More than half of the first journal is kept, so it stays, and the holes are behind it.
    fill(&log, kept, 0..12, 1000);
    fill(&log, gone, 0..60, 1000);
    fill(&log, kept, 12..30, 1000);
    block_on(log.sealed()).unwrap();
    log.remove_topic(gone.topic);
    fill(&log, kept, 30..60, 1000);
    block_on(log.sealed()).unwrap();
    log.close();
    let files = content(&disk);
    let markers: Vec<_> = files.keys().filter(|path| path.ends_with(".removed")).collect();
    assert!(!markers.is_empty());
    assert_eq!(check(&files).unwrap().findings, []);
    let mut damaged = files.clone();
    damaged.get_mut(markers[0]).unwrap()[30] ^= 1;
    let found = check(&damaged).unwrap();
    assert_eq!((found.findings[0].fault, &found.findings[0].file), (Fault::Marker, markers[0]));
}

#[test]
fn records_are_decoded_where_that_is_asked_for() {
    let disk = SimDisk::new(6);
    let id = partition(1, 0);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    let mut builder = BatchBuilder::new(Codec::Lz4, None);
    for _ in 0..5 {
        let value = Some(bytes::Bytes::from_static(&[7; 200]));
        let timestamp = Timestamp::from_millis(1);
        builder.push(&Record { key: None, value, headers: Vec::new(), timestamp });
    }
    append(&log, id, builder.build().unwrap()).unwrap();
    append(&log, id, batch(2, 1, b"no records at all")).unwrap();
    log.close();
    let deep = VerifyOptions { deep: true, ..VerifyOptions::default() };
    let found = verify(&disk, &deep, &mut ()).unwrap();
    assert_eq!((only(&found).fault, range(only(&found))), (Fault::Records, Some((5, 6))));
    assert_eq!((found.records, found.batches), (5, 2));
    assert_eq!(check(&content(&disk)).unwrap().findings, []);
}

#[test]
fn a_journal_and_its_index_that_are_both_damaged_are_answered_as_damaged() {
    let mut files = sample().clone();
    let (path, place) = place_of(&files, partitions()[0], offset(5));
    let number: u64 = path["journal/".len()..][..20].parse().unwrap();
    let front = parts(&files[&path]).into_iter().rfind(|(range, part)| {
        matches!(part, Part::GroupFront { .. }) && range.start < place.start
    });
    files.get_mut(&path).unwrap()[front.unwrap().0.start + 70] ^= 1;
    // A list, not the directory: the log opens.
    files.get_mut(&index(number)).unwrap()[10] ^= 1;
    let served = serve(&files).unwrap();
    assert_eq!(served.damaged.len(), 1);
    let found = check(&files).unwrap();
    assert!(found.findings.iter().any(|finding| finding.file == path));
    assert!(found.findings.iter().any(|finding| finding.file == index(number)));
}
