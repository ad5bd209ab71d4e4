//! Every bit of a small data directory, flipped one by one: it is found by verification, no batch
//! comes back other than it was written, and what is not damaged is read, unless opening is
//! refused with the file's name. Only damage of the last group passes for an append that a crash
//! interrupted, and is noted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::thread;

use factum_event::Offset;
use factum_log::disk::sim::SimDisk;
use factum_log::{Log, LogSettings, OpenError, PartitionId, ReadError, VerifyError};
use pollster::block_on;

use crate::retention::clean;
use crate::sample::{Content, Part, check, content, disk_with, journal, last_journal, parts};
use crate::support::{append, clock, numbered, offset, partition};

/// More than all batches of a partition have.
const READ_BYTES: usize = 10_000;

const SETTINGS: LogSettings = LogSettings {
    journal_bytes: 4096,
    queue_bytes: 1 << 20,
    tail_bytes: 0,
    read_ahead_from: 1,
    seal_bytes_per_second: 1 << 40,
};

/// Two partitions that stay, one that is cleaned, one that is cut off, one that is removed.
fn ids() -> [PartitionId; 5] {
    [partition(1, 0), partition(1, 1), partition(2, 0), partition(3, 0), partition(4, 0)]
}

/// All kinds of files, as small as they can be.
fn sample() -> &'static Content {
    static SAMPLE: OnceLock<Content> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimDisk::new(1);
        let [first, second, cleaned, cut, removed] = ids();
        let journals =
            [&[removed, cut][..], &[first, second, first], &[cleaned, cleaned], &[first, removed]];
        step(&disk, |log| journals.iter().for_each(|ids| fill(log, ids)));
        step(&disk, |log| {
            clean(log, cleaned, 2).unwrap();
            log.trim(&[(cut, offset(1))]).unwrap();
            log.remove_topic(removed.topic);
        });
        step(&disk, |log| fill(log, &[second, first, second]));
        step(&disk, |log| [first, second].into_iter().for_each(|id| put(log, id)));
        content(&disk)
    })
}

/// Opens the log, does something, and closes it with all journals sealed.
fn step(disk: &SimDisk, work: impl FnOnce(&Log)) {
    let (log, _) = Log::open(Arc::new(disk.clone()), clock(), SETTINGS).unwrap();
    work(&log);
    block_on(log.sealed()).unwrap();
    log.close();
}

/// Fills a journal of its own.
fn fill(log: &Log, ids: &[PartitionId]) {
    ids.iter().for_each(|&id| put(log, id));
    let journals = log.metrics().journals;
    log.seal();
    while log.metrics().journals == journals {
        thread::yield_now();
    }
    block_on(log.sealed()).unwrap();
}

fn put(log: &Log, id: PartitionId) {
    append(log, id, numbered(log.extent(id).end.get().unsigned_abs(), 11)).unwrap();
}

/// Of each batch its bytes, as far as they can be read, and its length, as far as it is known.
#[derive(Debug, PartialEq)]
struct Served {
    batches: BTreeMap<(PartitionId, Offset), Vec<u8>>,
    listed: BTreeMap<(PartitionId, Offset), usize>,
}

/// What a log over the files has, around what it says is damaged.
fn serve(files: &Content) -> Result<Served, OpenError> {
    let (log, _workers, _) = Log::open_stepped(Arc::new(disk_with(files)), clock(), SETTINGS)?;
    log.remove_topic(ids()[4].topic);
    let (mut served, mut listed) = (BTreeMap::new(), BTreeMap::new());
    for id in ids() {
        let extent = log.extent(id);
        let mut next = extent.start;
        while next < extent.end {
            match log.read_blocking(id, next, READ_BYTES) {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => {
                    for batch in batches {
                        next = batch.entry.next_offset();
                        let bytes = [&batch.prefix[..], &batch.body[..]].concat();
                        served.insert((id, batch.entry.base_offset), bytes);
                    }
                }
                Err(ReadError::Damaged { first, last, .. }) => {
                    assert!(first <= next && next <= last, "{first} to {last}, read at {next}");
                    next = last.next();
                }
                Err(error) => panic!("{error}"),
            }
        }
        let entries = log.entries(id, extent.start, 100).unwrap_or_default();
        let at = entries.iter().map(|entry| (entry.base_offset, entry.length as usize));
        listed.extend(at.map(|(base, length)| ((id, base), length)));
    }
    Ok(Served { batches: served, listed })
}

/// What is served without damage.
fn whole() -> &'static Served {
    static WHOLE: OnceLock<Served> = OnceLock::new();
    WHOLE.get_or_init(|| serve(sample()).unwrap())
}

/// What of a file the flipped byte is, where it is one of a journal or a segment.
fn part_of(path: &str, at: usize) -> Option<Part> {
    let has_groups = path.ends_with(".journal") || path.ends_with(".segment");
    let parts = has_groups.then(|| parts(&sample()[path]))?;
    parts.into_iter().find(|(range, _)| range.contains(&at)).map(|(_, part)| part)
}

/// Whether the byte is in the last group of the log, whose damage looks like a torn end.
fn in_last_group(path: &str, at: usize) -> bool {
    let front = |(_, part): &(_, Part)| matches!(part, Part::GroupFront { .. });
    let is_active = path == journal(last_journal(sample()));
    let start = parts(&sample()[path]).into_iter().rfind(front).map(|(range, _)| range.start);
    is_active && start.is_some_and(|start| at >= start)
}

fn check_flipped(path: &str, at: usize, bit: u8) {
    let place = format!("bit {bit} of byte {at} of {path}");
    let mut files = sample().clone();
    files.get_mut(path).unwrap()[at] ^= 1 << bit;
    let torn = path.ends_with(".journal") && in_last_group(path, at);
    match check(&files) {
        Ok(found) if torn => {
            let said = found.notes.iter().any(|note| note.contains(path));
            assert!(said || !found.findings.is_empty(), "{place} is not noted");
        }
        Ok(found) => {
            let named = found.findings.iter().any(|finding| finding.file == path);
            assert!(named, "{place} is not found: {:?}", found.findings);
        }
        Err(VerifyError::Open(_)) => assert_eq!(path, "FORMAT", "{place}"),
        Err(error) => panic!("{place}: {error}"),
    }
    let part = part_of(path, at);
    match serve(&files) {
        Ok(served) => {
            for (key, bytes) in &served.batches {
                assert_eq!(whole().batches.get(key), Some(bytes), "{place}: {key:?} is another");
            }
            for (key, length) in &served.listed {
                assert_eq!(whole().listed.get(key), Some(length), "{place}: {key:?} is another");
            }
            let lost = whole().batches.keys().filter(|key| !served.batches.contains_key(*key));
            for (id, base) in lost {
                let damaged = part == Some(Part::Batch(*id, *base)) || torn;
                assert!(damaged, "{place}: {id:?} at {base} cannot be read");
            }
        }
        Err(error) => {
            let header = matches!(part, Some(Part::FileHeader));
            let active = path == journal(last_journal(sample()));
            let needed = path == "FORMAT" || path == "starts" || path.ends_with(".removed");
            assert!(header || active || needed, "{place}: {error}");
            let named = path == "FORMAT" || error.to_string().contains(path);
            assert!(named, "{place}: {error}");
        }
    }
}

/// All bits; of zeros behind the end of the log, another one in each byte.
fn bits(path: &str, at: usize) -> Range<u8> {
    let one = u8::try_from(at % 8).unwrap();
    let behind = part_of(path, at) == Some(Part::Behind) && path == journal(last_journal(sample()));
    if behind { one..one + 1 } else { 0..8 }
}

#[test]
fn every_flipped_bit_is_found_and_none_is_served() {
    let files = sample();
    assert_eq!(check(files).unwrap().findings, []);
    for kind in [".journal", ".index", ".seal", ".removed", ".segment", "starts", "FORMAT"] {
        assert!(files.keys().any(|path| path.ends_with(kind)), "no {kind}");
    }
    assert_eq!(whole().batches.len(), 10);
    let places: Vec<(&str, usize)> = files
        .iter()
        .flat_map(|(path, bytes)| (0..bytes.len()).map(move |at| (path.as_str(), at)))
        .collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..threads {
            let mine = places.iter().skip(first).step_by(threads);
            scope.spawn(move || {
                mine.for_each(|(path, at)| {
                    bits(path, *at).for_each(|bit| check_flipped(path, *at, bit));
                });
            });
        }
    });
}
