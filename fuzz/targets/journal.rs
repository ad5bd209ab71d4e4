//! Opening a log over files that nobody vouches for, on the simulated disk.
//!
//! The first byte says how the rest is taken: even, as a journal file whose checksums are put
//! right, so that what they guard is reached; odd, as bytes to change in the files of a sound log.
//! Whatever was there: opening answers, what is served is sound, and a log that opened once takes
//! a batch and opens again with everything that it served.

#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use factum_event::batch::{Batch, BatchBuilder, Codec, crc32c};
use factum_event::{Clock, Offset, Partition, Record, Timestamp, TopicId};
use factum_log::disk::sim::SimDisk;
use factum_log::{Disk, Extent, Log, LogSettings, PartitionId, ReadError, Recovery};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use uuid::Uuid;

const JOURNAL: &str = "journal/00000000000000000001.journal";

/// Bytes of the header of a file, of the fixed part of a group's header, and of an entry.
const UNIT: usize = 64;

/// Small, so that a few batches fill several journals; nothing in memory, so that disks are read.
const SETTINGS: LogSettings =
    LogSettings { journal_bytes: 4096, queue_bytes: 1 << 20, tail_bytes: 0 };

/// More than a read has to return at once.
const READ_BYTES: usize = 1 << 20;

/// A file with its content.
type File = (String, Vec<u8>);

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let files = if how % 2 == 0 {
        vec![(JOURNAL.to_owned(), with_fitting_checksums(rest.to_vec()))]
    } else {
        changed(sound_log().clone(), rest)
    };
    let disk = disk_with(&files);
    let Ok((log, _)) = open(&disk) else { return };
    let served = read_all(&log);
    append(&log, partition(9));
    log.close();
    drop(log);

    let (log, recovery) = open(&disk).expect("what was opened opens again");
    assert_eq!(recovery.truncated, None, "a log that was closed has no torn end");
    for (id, extent) in served {
        let again = log.extent(id);
        assert!(again.start == extent.start && again.end >= extent.end, "{id:?} lost records");
    }
    assert!(log.extent(partition(9)).end > Offset::ZERO);
});

/// Reads every partition to its end, or to what is damaged; answers what was there to read.
fn read_all(log: &Log) -> Vec<(PartitionId, Extent)> {
    let mut partitions = Vec::new();
    log.scan(&mut |id, _| partitions.push(id)).ok();
    partitions.sort_unstable();
    partitions.dedup();
    for &id in &partitions {
        read_partition(log, id);
    }
    partitions.into_iter().map(|id| (id, log.extent(id))).collect()
}

fn read_partition(log: &Log, id: PartitionId) {
    let Extent { start, end } = log.extent(id);
    let mut next = start;
    while next < end {
        let batches = match block_on(log.read(id, next, READ_BYTES)) {
            Ok(batches) => batches,
            // Damage of one batch, or of an index that can no longer be built again.
            Err(ReadError::Damaged { .. } | ReadError::Io { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        assert!(!batches.is_empty(), "nothing at {next} before the end at {end}");
        for stored in batches {
            assert_eq!(stored.entry.base_offset, next);
            let batch = stored.to_batch().expect("what is served was checked");
            assert_eq!(batch.header().base_offset, next.get());
            next = stored.entry.next_offset();
        }
    }
}

/// A sound log of several journals with their indexes, made once.
fn sound_log() -> &'static Vec<File> {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(1);
        let (log, _) = open(&disk).expect("a log on an empty disk");
        for number in 0..16 {
            append(&log, partition(number % 3));
        }
        log.close();
        let names = |directory| disk.list(directory).expect("a list").into_iter();
        let paths = names("").filter(|name| name != "journal" && name != "factum.lock");
        let paths = paths.chain(names("journal").map(|name| format!("journal/{name}")));
        paths.map(|path| (path.clone(), content(&disk, &path))).collect()
    })
}

fn content(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path).expect("a file of the log");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("a small file")];
    file.read_exact_at(&mut bytes, 0).expect("its content");
    bytes
}

/// Four bytes are a change: which file, where (two bytes), and what to flip there; 0 cuts off.
fn changed(mut files: Vec<File>, changes: &[u8]) -> Vec<File> {
    for change in changes.chunks_exact(4) {
        let count = files.len();
        let (_, bytes) = &mut files[usize::from(change[0]) % count];
        let at = usize::from(u16::from_be_bytes([change[1], change[2]]));
        match change[3] {
            0 => bytes.truncate(at),
            flip => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= flip),
        }
    }
    files
}

/// Puts right what the format in `docs/formats/journal.md` guards by magic, salt, and CRC.
fn with_fitting_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < UNIT {
        return bytes;
    }
    bytes[..8].copy_from_slice(b"FACTUMJN");
    bytes[12..16].copy_from_slice(&1_u32.to_be_bytes());
    bytes[16..24].copy_from_slice(&1_u64.to_be_bytes());
    let crc = crc32c(&bytes[12..UNIT]);
    bytes[8..12].copy_from_slice(&crc.to_be_bytes());
    let salt: Vec<u8> = bytes[24..32].to_vec();
    let mut rest = &mut bytes[UNIT..];
    while rest.len() >= 2 * UNIT && rest[..UNIT] != [0; UNIT] {
        rest[..4].copy_from_slice(b"FGRP");
        rest[8..12].copy_from_slice(&[0, 1, 0, 0]);
        rest[32..40].copy_from_slice(&salt);
        let count = u32::from_be_bytes([rest[12], rest[13], rest[14], rest[15]]);
        let front = (count as usize).saturating_add(1).saturating_mul(UNIT).min(rest.len());
        let crc = crc32c(&rest[8..front]);
        rest[4..8].copy_from_slice(&crc.to_be_bytes());
        let length = u32::from_be_bytes([rest[20], rest[21], rest[22], rest[23]]) as usize;
        let length = length.clamp(UNIT, rest.len());
        rest = &mut rest[length..];
    }
    bytes
}

fn disk_with(files: &[File]) -> SimDisk {
    let disk = SimDisk::new(2);
    disk.create_dir("journal").expect("a directory");
    for (path, bytes) in files {
        let file = disk.create(path).expect("a file");
        file.write_all_at(&mut [std::io::IoSlice::new(bytes)], 0).expect("room");
        file.sync_data().expect("a flush");
    }
    disk.sync_dir("journal").and_then(|()| disk.sync_dir("")).expect("a flush");
    disk
}

fn open(disk: &SimDisk) -> Result<(Log, Recovery), factum_log::OpenError> {
    Log::open(Arc::new(disk.clone()), Arc::new(Still), SETTINGS)
}

fn append(log: &Log, id: PartitionId) {
    let batch = batch();
    let room = block_on(log.reserve(batch.len())).expect("room");
    let appending = log.append(room, id, batch).expect("a log that takes batches");
    block_on(appending).expect("a flush");
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(Codec::None, None);
    let value = Some(Bytes::from_static(&[b'v'; 400]));
    builder.push(&Record { key: None, value, headers: Vec::new(), timestamp: Still.now() });
    builder.build().expect("a batch of one record")
}

fn partition(number: i32) -> PartitionId {
    let partition = Partition::new(number).expect("a number from 0 on");
    PartitionId { topic: TopicId(Uuid::from_u128(7)), partition }
}

/// A clock that stands still, so that every run of an input is the same.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}
