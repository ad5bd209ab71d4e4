//! A sound log as bytes, to be damaged: its files, its batches, and what stands where.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::OnceLock;

use factum_event::batch::crc32c;
use factum_event::{Offset, Partition, TopicId};
use factum_log::disk::sim::SimDisk;
use factum_log::{
    ChainHead, Disk, Log, PartitionId, ReadError, Verification, VerifyError, VerifyOptions, verify,
};
use pollster::block_on;
use uuid::Uuid;

use crate::support::{append, numbered, open_on, partition, small};

/// Content by path.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

/// The partitions of the sample.
pub(crate) fn partitions() -> [PartitionId; 3] {
    [partition(1, 0), partition(1, 1), partition(2, 0)]
}

/// A log of several journals, all full ones sealed.
pub(crate) fn sample() -> &'static Content {
    static SAMPLE: OnceLock<Content> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimDisk::new(1);
        grow(&disk, 0..60);
        content(&disk)
    })
}

/// Appends batches with these numbers to the partitions in turn, and waits for the seals.
pub(crate) fn grow(disk: &SimDisk, numbers: Range<u64>) {
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    for number in numbers {
        let id = partitions()[usize::try_from(number % 3).unwrap()];
        append(&log, id, numbered(number, 1000 + usize::try_from(number % 7).unwrap())).unwrap();
    }
    block_on(log.sealed()).unwrap();
    log.close();
}

pub(crate) fn content(disk: &SimDisk) -> Content {
    let names = disk.list("journal").unwrap().into_iter().map(|name| format!("journal/{name}"));
    let paths = names.chain(["FORMAT".to_owned(), "starts".to_owned()]);
    let read = |path: String| {
        let file = disk.open(&path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (path, bytes)
    };
    paths.map(read).collect()
}

pub(crate) fn disk_with(files: &Content) -> SimDisk {
    let disk = SimDisk::new(2);
    disk.create_dir("journal").unwrap();
    for (path, bytes) in files {
        let file = disk.create(path).unwrap();
        file.write_all_at(&mut [IoSlice::new(bytes)], 0).unwrap();
        file.sync_data().unwrap();
    }
    disk.sync_dir("journal").unwrap();
    disk.sync_dir("").unwrap();
    disk
}

pub(crate) fn check(files: &Content) -> Result<Verification, VerifyError> {
    check_against(files, &[])
}

pub(crate) fn check_against(
    files: &Content,
    against: &[ChainHead],
) -> Result<Verification, VerifyError> {
    let options = VerifyOptions { against: against.to_vec(), ..VerifyOptions::default() };
    verify(&disk_with(files), &options, &mut ())
}

pub(crate) fn journal(number: u64) -> String {
    format!("journal/{number:020}.journal")
}

pub(crate) fn index(number: u64) -> String {
    format!("journal/{number:020}.index")
}

pub(crate) fn seal(number: u64) -> String {
    format!("journal/{number:020}.seal")
}

/// The number of the last journal.
pub(crate) fn last_journal(files: &Content) -> u64 {
    let last = files.keys().rfind(|path| path.ends_with(".journal")).unwrap();
    last["journal/".len()..][..20].parse().unwrap()
}

/// What stands at a place of a journal file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    FileHeader,
    /// Header and entries of a group, and whether it is the last of its file.
    GroupFront {
        last: bool,
    },
    Batch(PartitionId, Offset),
    Padding,
    Behind,
}

/// The parts of a journal file in their order, as the format has them.
pub(crate) fn parts(bytes: &[u8]) -> Vec<(Range<usize>, Part)> {
    let mut parts = vec![(0..64, Part::FileHeader)];
    let mut at = 64;
    while at + 64 <= bytes.len() && bytes[at..at + 4] == *b"FGRP" {
        let count = number(bytes, at + 12, 4);
        let end = at + number(bytes, at + 16, 8);
        let front = at + 64 + count * 64;
        let last = bytes.get(end..end + 4).is_none_or(|next| next != b"FGRP");
        parts.push((at..front, Part::GroupFront { last }));
        let mut batch = front;
        for entry in (at + 64..front).step_by(64) {
            let length = number(bytes, entry + 20, 4);
            let (id, base) = identity(&bytes[entry..entry + 64]);
            parts.push((batch..batch + length, Part::Batch(id, base)));
            batch += length;
        }
        parts.push((batch..end, Part::Padding));
        at = end;
    }
    parts.push((at..bytes.len(), Part::Behind));
    parts
}

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    bytes[at..at + size].iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

fn identity(entry: &[u8]) -> (PartitionId, Offset) {
    let topic = TopicId(Uuid::from_slice(&entry[..16]).unwrap());
    let partition = i32::try_from(number(entry, 16, 4)).unwrap();
    let base = i64::try_from(number(entry, 24, 8)).unwrap();
    let partition = Partition::new(partition).unwrap();
    (PartitionId { topic, partition }, Offset::new(base).unwrap())
}

/// The journal that has a batch, and where.
pub(crate) fn place_of(files: &Content, id: PartitionId, base: Offset) -> (String, Range<usize>) {
    let mut journals = files.iter().filter(|(path, _)| path.ends_with(".journal"));
    let found = journals.find_map(|(path, bytes)| {
        let wanted = Part::Batch(id, base);
        let (range, _) = parts(bytes).into_iter().find(|(_, part)| *part == wanted)?;
        Some((path.clone(), range))
    });
    found.unwrap()
}

/// Changes one byte of a batch's records and puts every checksum of the journal right, as
/// somebody does who knows the format.
pub(crate) fn rewrite(files: &mut Content, id: PartitionId, base: Offset) -> String {
    let (path, batch) = place_of(files, id, base);
    let bytes = files.get_mut(&path).unwrap();
    bytes[batch.start + 200] ^= 1;
    let crc = crc32c(&bytes[batch.start + 21..batch.end]).to_be_bytes();
    bytes[batch.start + 17..batch.start + 21].copy_from_slice(&crc);
    let all = parts(bytes);
    let front = all.iter().rfind(|(range, part)| {
        matches!(part, Part::GroupFront { .. }) && range.start < batch.start
    });
    let front = front.unwrap().0.clone();
    let entry = (front.start + 64..front.end)
        .step_by(64)
        .find(|&entry| identity(&bytes[entry..entry + 64]) == (id, base))
        .unwrap();
    bytes[entry + 60..entry + 64].copy_from_slice(&crc);
    let crc = crc32c(&bytes[front.start + 8..front.end]).to_be_bytes();
    bytes[front.start + 4..front.start + 8].copy_from_slice(&crc);
    let number: u64 = path["journal/".len()..][..20].parse().unwrap();
    files.remove(&index(number));
    path
}

/// What a log over the files serves, and the offsets that it says are damaged.
pub(crate) struct Served {
    pub(crate) batches: BTreeMap<(PartitionId, Offset), Vec<u8>>,
    pub(crate) damaged: Vec<(PartitionId, Offset, Offset)>,
}

/// Reads everything, around what is damaged; none where the log does not open.
pub(crate) fn serve(files: &Content) -> Option<Served> {
    let (log, _) = open_on(disk_with(files), small()).ok()?;
    let mut served = Served { batches: BTreeMap::new(), damaged: Vec::new() };
    for id in partitions() {
        serve_partition(&log, id, &mut served);
    }
    Some(served)
}

fn serve_partition(log: &Log, id: PartitionId, served: &mut Served) {
    let extent = log.extent(id);
    let mut next = extent.start;
    while next < extent.end {
        match block_on(log.read(id, next, 5000)) {
            Ok(batches) => {
                for batch in batches {
                    next = batch.entry.next_offset();
                    let bytes = [&batch.prefix[..], &batch.body[..]].concat();
                    served.batches.insert((id, batch.entry.base_offset), bytes);
                }
            }
            Err(ReadError::Damaged { first, last, .. }) => {
                assert!(first <= next && next <= last, "{first} to {last}, read at {next}");
                served.damaged.push((id, first, last));
                next = last.next();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
