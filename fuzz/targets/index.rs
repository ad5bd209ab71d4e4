//! Using a log whose indexes, segments, markers, seals and `starts` lie, on the simulated disk.
//!
//! Twelve bytes are a change to one of these files of a sound log; then their checksums are put
//! right, so that what they guard is reached. No disk does this, but a defect may. Whatever is
//! there: nothing panics, hangs, or reserves memory by what it says, and a batch that is served is
//! the one that its entry is of.

#![no_main]

use std::cell::Cell;

use factum_event::batch::{Batch, crc32c};
use factum_event::{Offset, Timestamp};
use factum_fuzz::{File, NEW, append, disk_with, open, partition, sound_log};
use factum_log::{
    Cleaning, Extent, Log, OpenError, PartitionId, ReadError, StoredBatch, VerifyOptions, verify,
};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

/// Bytes of a line of a directory, of an entry, and of the end of a segment.
const UNIT: usize = 64;

/// Bytes of the end of an index.
const INDEX_FOOTER: usize = 80;

/// Entries in a block of a list, and what stands behind them.
const BLOCK_ENTRIES: usize = 64;
const TRAILER: usize = 16;

/// Bytes of a change; what an input is short of is zeros.
const CHANGE: usize = 12;

/// Changes that one input makes.
const MAX_CHANGES: usize = 16;

/// Reads and batches of one partition: far more than the sound log has.
const MAX_STEPS: usize = 1000;

fuzz_target!(|input: &[u8]| {
    let disk = disk_with(&changed(sound_log().to_vec(), input));
    drop(verify(disk.as_ref(), &VerifyOptions::default(), &mut ()));
    let Ok((log, _)) = open(&disk) else { return };
    let partitions = log.partitions();
    partitions.iter().for_each(|&id| look(&log, id));
    let middle = |id| (id, middle(log.extent(id)));
    // What cannot be written down or cleaned stays as it is.
    let _ = log.trim(&partitions.iter().copied().step_by(2).map(middle).collect::<Vec<_>>());
    partitions.iter().skip(1).step_by(2).for_each(|&id| clean(&log, id));
    let numbers = (0..6).cycle().take(12).chain([NEW]);
    let acknowledged: Vec<_> = numbers
        .map(|number| (partition(number), append(&log, partition(number))))
        .filter(|(_, offset)| offset.get() < i64::MAX)
        .collect();
    partitions.iter().for_each(|&id| look(&log, id));
    log.close();
    drop(log);

    // A lie that is only found out now, when files are put together anew, refuses to open. What
    // opens has everything that was acknowledged, where it was; only what an index said and nobody
    // wrote may have been replaced by the truth.
    let log = match open(&disk) {
        Ok((log, _)) => log,
        Err(OpenError::Damaged { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    for &(id, offset) in &acknowledged {
        let Extent { start, end } = log.extent(id);
        assert!(start <= offset && offset < end, "{id:?} lost {offset}: it has {start} to {end}");
        match block_on(log.read(id, offset, 1)) {
            Ok(batches) => {
                let first = batches.first().map(|batch| batch.entry.base_offset);
                assert_eq!(first, Some(offset), "of {id:?}");
            }
            Err(ReadError::Damaged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    log.partitions().into_iter().for_each(|id| look(&log, id));
    for id in (0..6).chain([NEW]).map(partition) {
        let end = log.extent(id).end;
        assert!(append(&log, id) >= end, "{id:?} gives {end} twice");
    }
});

/// Asks a log everything about a partition.
fn look(log: &Log, id: PartitionId) {
    let Extent { start, end } = log.extent(id);
    assert!(start <= end);
    let mut next = start;
    let left = Cell::new(MAX_STEPS);
    let step = || left.set(left.get().checked_sub(1).expect("an end"));
    while next < end {
        step();
        let Ok(batches) = block_on(log.read(id, next, 2000)) else { break };
        let Some(last) = batches.last() else { break };
        let behind = last.entry.next_offset();
        assert!(behind > next, "a read from {next} went to {behind}");
        next = behind;
        batches.iter().for_each(check);
    }
    for time in [i64::MIN, 0, 1_700_000_000_000, i64::MAX] {
        let found = block_on(log.find_time(id, Offset::ZERO, Timestamp::from_millis(time)));
        found.ok().flatten().iter().for_each(check);
    }
    block_on(log.find_max_timestamp(id)).ok().flatten().iter().for_each(check);
    next = start;
    while let Ok(entries) = log.entries(id, next, 7) {
        step();
        let Some(last) = entries.last() else { break };
        let behind = last.next_offset();
        assert!(behind > next || behind.get() == i64::MAX, "from {next} to {behind}");
        if behind <= next {
            break;
        }
        next = behind;
    }
    (log.size(id), log.sealed_end(id), log.cleaned_end(id));
}

fn check(stored: &StoredBatch) {
    let batch = stored.to_batch().expect("what is served was checked");
    assert_eq!(batch.header().base_offset, stored.entry.base_offset.get());
    assert_eq!(batch.len(), stored.entry.length as usize);
}

fn middle(extent: Extent) -> Offset {
    let half = (extent.end.get() - extent.start.get()) / 2;
    Offset::new(extent.start.get() + half).expect("between two offsets")
}

/// Keeps every other batch that can be read.
fn clean(log: &Log, id: PartitionId) {
    let Ok(Some(cleaning)) = log.clean(id, log.sealed_end(id)) else { return };
    if let Some(kept) = keep(log, id, cleaning) {
        let _ = kept.commit(true);
    }
}

fn keep<'a>(log: &'a Log, id: PartitionId, mut cleaning: Cleaning<'a>) -> Option<Cleaning<'a>> {
    let mut next = log.extent(id).start;
    for _ in 0..MAX_STEPS {
        if next >= cleaning.end() {
            break;
        }
        let batches = block_on(log.read(id, next, 1)).ok()?;
        let stored = batches.first()?;
        next = stored.entry.next_offset();
        if stored.entry.base_offset.get() % 2 == 0 && next <= cleaning.end() {
            let batch: Batch = stored.to_batch().expect("what is served was checked");
            cleaning.push(batch, stored.entry.appended_at).ok()?;
        }
    }
    Some(cleaning)
}

/// A change: which file (1 byte), what (1), where, counted from its end in fours (2), a value (8).
fn changed(files: Vec<File>, changes: &[u8]) -> Vec<File> {
    let has = |path: &str, suffixes: &[&str]| suffixes.iter().any(|end| path.ends_with(end));
    let lies = |(path, _): &File| has(path, &[".index", ".segment", ".removed", ".seal", "starts"]);
    let (mut lying, mut files): (Vec<_>, Vec<_>) = files.into_iter().partition(lies);
    // Last, as the seeds count the others.
    lying.sort_by_key(|(path, _)| path.ends_with(".seal"));
    for part in changes.chunks(CHANGE).take(MAX_CHANGES) {
        if lying.is_empty() {
            break;
        }
        let mut change = [0; CHANGE];
        change[..part.len()].copy_from_slice(part);
        let file = usize::from(change[0]) % lying.len();
        let bytes = &mut lying[file].1;
        let back = 4 * (1 + usize::from(u16::from_be_bytes([change[2], change[3]])));
        let at = bytes.len().saturating_sub(back);
        let value = &change[4..];
        match change[1] % 8 {
            0 => drop(lying.remove(file)),
            1 => bytes.truncate(at),
            // Lengthens, or doubles what stands there.
            2 => bytes.extend_from_within(at..),
            3..=5 => put(bytes, at, &value[4..]),
            _ => put(bytes, at, value),
        }
    }
    for (path, bytes) in &mut lying {
        match path.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
            "index" => fit_index(bytes),
            "segment" => fit_segment(bytes),
            _ => fit_whole(bytes),
        }
    }
    files.append(&mut lying);
    files
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let room = bytes.len().saturating_sub(at).min(value.len());
    if room > 0 {
        bytes[at..at + room].copy_from_slice(&value[..room]);
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
    usize::try_from(u64::from_be_bytes(bytes)).expect("a machine of 64 bits")
}

fn count(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// `starts`, markers and seals: one checksum of everything behind it.
fn fit_whole(bytes: &mut [u8]) {
    if bytes.len() > 12 {
        let crc = crc32c(&bytes[12..]);
        put(bytes, 8, &crc.to_be_bytes());
    }
}

/// Checksums of the lines that stand from `start` on, and of the footer that says so.
fn fit_end(bytes: &mut [u8], start: usize, footer: usize) {
    if start <= footer {
        let crc = crc32c(&bytes[start..footer]);
        let at = bytes.len() - 4;
        put(bytes, at, &crc.to_be_bytes());
    }
    let crc = crc32c(&bytes[footer + 12..]);
    put(bytes, footer + 8, &crc.to_be_bytes());
}

fn fit_segment(bytes: &mut [u8]) {
    if let Some(footer) = bytes.len().checked_sub(UNIT) {
        let start = number(bytes, footer + 32);
        fit_end(bytes, start, footer);
    }
}

fn fit_index(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(INDEX_FOOTER) else { return };
    let start = number(bytes, footer + 56);
    if start <= footer {
        let lines = bytes[start..footer].to_vec();
        for line in lines.chunks_exact(UNIT) {
            fit_list(&mut bytes[..start], line);
        }
    }
    fit_end(bytes, start, footer);
}

/// Each block of a list, as far as there are bytes.
fn fit_list(bytes: &mut [u8], line: &[u8]) {
    let (mut left, mut at) = (count(line, 20), number(line, 24));
    for block in 0_u64.. {
        let entries = left.min(BLOCK_ENTRIES) * UNIT;
        let Some(end) = at.checked_add(entries + TRAILER).filter(|end| *end <= bytes.len()) else {
            return;
        };
        if left == 0 {
            return;
        }
        let mut covered = line[..20].to_vec();
        covered.extend(block.to_be_bytes());
        covered.extend(&bytes[at..at + entries + 8]);
        put(bytes, at + entries + 8, &crc32c(&covered).to_be_bytes());
        (left, at) = (left - entries / UNIT, end);
    }
}
