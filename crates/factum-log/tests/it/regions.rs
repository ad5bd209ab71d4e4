//! Slices of partitions, as they go to a socket: the same bytes, left in their files.

use std::fs::OpenOptions;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use factum_event::Offset;
use factum_log::disk::sim::SimDisk;
use factum_log::{Chunk, FileRegion, Log, LogSettings, OsDisk, PartitionSlice, ReadError, Worker};
use pollster::block_on;
use tempfile::tempdir;

use crate::real_disk::journal;
use crate::support::{append, clock, fill, numbered, offset, open, partition, read_from, start};

/// Larger than the window through which batches are checked.
const LARGE: usize = 700_000;

/// Bytes of a batch of that size in which a bit is flipped.
const FLIPPED: [u64; 11] = [0, 9, 14, 16, 18, 21, 100, 262_143, 262_144, 262_145, 699_999];

fn settings() -> LogSettings {
    LogSettings {
        journal_bytes: 8 << 20,
        queue_bytes: 32 << 20,
        tail_bytes: 0,
        read_ahead_from: usize::MAX,
        ..LogSettings::default()
    }
}

fn content(slice: &PartitionSlice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in &slice.chunks {
        match chunk {
            Chunk::Memory(chunk) => bytes.extend_from_slice(chunk),
            Chunk::File(region) => bytes.extend(content_of(region)),
        }
    }
    assert_eq!(bytes.len(), slice.len());
    bytes
}

fn content_of(region: &FileRegion) -> Vec<u8> {
    let mut bytes = vec![0; region.len()];
    assert_eq!(region.read(&mut bytes).unwrap(), region.len());
    bytes
}

fn regions(slice: &PartitionSlice) -> Vec<&FileRegion> {
    let mut regions = Vec::new();
    for chunk in &slice.chunks {
        if let Chunk::File(region) = chunk {
            regions.push(region);
        }
    }
    regions
}

#[test]
fn slices_have_the_bytes_of_the_batches_wherever_these_are() {
    let (in_memory, in_files) = all_slices(settings());
    assert!(in_memory > 100 && in_files > 100, "{in_memory} in memory, {in_files} in files");
    // What nobody has read so far comes in memory as well.
    let (_, fewer_in_files) = all_slices(LogSettings { read_ahead_from: 1, ..settings() });
    assert!(fewer_in_files < in_files, "{fewer_in_files} of {in_files} in files");
}

/// Reads slices of several sizes, and counts their chunks in memory and in files.
fn all_slices(settings: LogSettings) -> (usize, usize) {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), settings).unwrap();
    let sizes = [10, 100, 3000, 20_000, 70_000, 200_000, LARGE];
    for round in 0..12 {
        for (number, size) in sizes.into_iter().cycle().skip(round).step_by(3).take(7).enumerate() {
            let id = partition(1, i32::try_from(number % 3).unwrap());
            fill(&log, id, 0..(round as u64 % 4 + 1), size);
        }
    }
    assert!(log.metrics().journals > 2);
    let (mut in_memory, mut in_files) = (0, 0);
    for (number, max_bytes) in (0..3).flat_map(|p| [1, 5000, 300_000, 1 << 20].map(|m| (p, m))) {
        let id = partition(1, number);
        let (mut next, mut bytes) = (offset(0), Vec::new());
        while next < log.extent(id).end {
            let slice = block_on(log.read_regions(id, next, max_bytes)).unwrap();
            assert!(!slice.is_empty() && slice.next > next, "progress at {next}");
            bytes.extend(content(&slice));
            next = slice.next;
            in_files += regions(&slice).len();
            in_memory += slice.chunks.len() - regions(&slice).len();
        }
        let batches = read_from(&log, id, offset(0), max_bytes).unwrap();
        let expected: Vec<u8> =
            batches.iter().flat_map(|b| [&b.prefix[..], &b.body[..]]).flatten().copied().collect();
        assert!(bytes == expected, "partition {number} by {max_bytes}");
    }
    (in_memory, in_files)
}

#[test]
fn neighbours_are_one_region_and_one_turn_is_bounded() {
    let directory = tempdir().unwrap();
    let (log, _) =
        open(directory.path(), LogSettings { journal_bytes: 32 << 20, ..settings() }).unwrap();
    let id = partition(1, 0);
    // What waits for a flush is one group, where batches stand back to back.
    let waiting: Vec<_> = (0..100)
        .map(|number| {
            let batch = numbered(number, 70_000);
            let room = block_on(log.reserve(batch.len())).unwrap();
            log.append(room, id, batch).unwrap()
        })
        .collect();
    for appending in waiting {
        block_on(appending).unwrap();
    }
    let slice = block_on(log.read_regions(id, offset(0), usize::MAX)).unwrap();
    assert!(slice.len() > 3 << 20 && slice.len() < 5 << 20, "{} bytes", slice.len());
    let adjoin =
        |pair: &[&FileRegion]| pair[0].position() + pair[0].len() as u64 == pair[1].position();
    assert!(!regions(&slice).windows(2).any(adjoin), "{slice:?}");
    assert_eq!(log.metrics().bytes_read_disk, slice.len() as u64);
}

#[test]
fn a_flipped_bit_ends_a_slice_before_its_batch() {
    flipped_bits(settings(), &FLIPPED);
    // Past the cache, each of them for the first time.
    for at in FLIPPED {
        flipped_bits(LogSettings { read_ahead_from: 1, ..settings() }, &[at]);
    }
}

fn flipped_bits(settings: LogSettings, flipped: &[u64]) {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), settings).unwrap();
    let id = partition(1, 0);
    for number in 0..5 {
        append(&log, id, numbered(number, LARGE)).unwrap();
    }
    let length = numbered(0, LARGE).len() as u64;
    assert!(flipped.iter().all(|&at| at < length));
    let group = (64 + 64 + length).next_multiple_of(64);
    let start = 64 + 2 * group + 128;
    let file =
        OpenOptions::new().read(true).write(true).open(journal(directory.path(), 1)).unwrap();
    for &at in flipped {
        let mut byte = [0];
        file.read_exact_at(&mut byte, start + at).unwrap();
        file.write_all_at(&[byte[0] ^ 16], start + at).unwrap();
        let before = block_on(log.read_regions(id, offset(0), 64 << 20)).unwrap();
        assert_eq!((before.len() as u64, before.next), (2 * length, offset(2)), "byte {at}");
        let error = block_on(log.read_regions(id, offset(2), 64 << 20)).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { position, .. } if position == start), "{at}");
        let after = block_on(log.read_regions(id, offset(3), 64 << 20)).unwrap();
        assert_eq!((after.len() as u64, after.next), (2 * length, offset(5)), "byte {at}");
        file.write_all_at(&byte, start + at).unwrap();
    }
    assert_eq!(block_on(log.read_regions(id, offset(2), 1)).unwrap().next, offset(3));
}

#[test]
fn a_region_outlives_its_journal() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), settings()).unwrap();
    let id = partition(1, 0);
    fill(&log, id, 0..20, LARGE);
    let slice = block_on(log.read_regions(id, offset(0), 1 << 20)).unwrap();
    let before = content(&slice);
    // A journal goes once it was sealed.
    block_on(log.sealed()).unwrap();
    log.remove_topic(id.topic);
    log.close();
    assert!(!journal(directory.path(), 1).exists(), "its journal was deleted");
    assert!(content(&slice) == before);
}

#[test]
fn what_is_in_memory_is_handed_out_from_there() {
    let directory = tempdir().unwrap();
    let (log, _) =
        open(directory.path(), LogSettings { tail_bytes: 8 << 20, ..settings() }).unwrap();
    let id = partition(1, 0);
    fill(&log, id, 0..3, 100_000);
    let slice = block_on(log.read_regions(id, offset(1), 1 << 20)).unwrap();
    assert!(regions(&slice).is_empty() && slice.next == offset(3));
    assert_eq!(log.metrics().bytes_read_disk, 0);
    let end = block_on(log.read_regions(id, offset(3), 1 << 20)).unwrap();
    assert!(end.is_empty() && end.next == offset(3));
}

#[test]
fn who_reads_first_reads_past_the_cache_and_who_comes_second_through_it() {
    let disk = SimDisk::new(1);
    let settings = LogSettings { read_ahead_from: 256 << 10, ..settings() };
    let (log, mut workers, _) =
        Log::open_stepped(Arc::new(disk.clone()), clock(), settings).unwrap();
    let id = partition(1, 0);
    let waiting: Vec<_> =
        (0..40).map(|number| start(&log, id, numbered(number, 70_000)).unwrap()).collect();
    while workers.step(Worker::Writer) {}
    for appending in waiting {
        block_on(appending).unwrap();
    }
    let mut read = |from, max_bytes| {
        let mut reading = Box::pin(log.read_regions(id, from, max_bytes));
        let mut poll = || reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let begun = poll();
        while workers.step(Worker::Reader) {}
        let Poll::Ready(slice) = (if begun.is_ready() { begun } else { poll() }) else {
            panic!("it was read");
        };
        slice.unwrap()
    };
    let mut read_all = || {
        let (mut next, mut bytes, mut in_files) = (offset(0), Vec::new(), 0);
        while next < offset(40) {
            let slice = read(next, 1 << 20);
            bytes.extend(content(&slice));
            in_files += regions(&slice).len();
            next = slice.next;
        }
        (bytes, in_files, disk.stats().direct_read_bytes)
    };
    let (first, in_files, direct) = read_all();
    assert_eq!(in_files, 0);
    assert!((0..100_000).contains(&(direct - first.len() as u64)), "{direct} bytes");
    let (second, in_files, no_more) = read_all();
    assert!(second == first && in_files > 0);
    assert_eq!(no_more, direct);
}

#[test]
fn who_reads_little_reads_through_the_cache() {
    let disk = SimDisk::new(1);
    let settings = LogSettings { read_ahead_from: 256 << 10, ..settings() };
    let (log, _) = Log::open(Arc::new(disk.clone()), clock(), settings).unwrap();
    fill(&log, partition(1, 0), 0..9, 70_000);
    block_on(log.read_regions(partition(1, 0), offset(0), 200_000)).unwrap();
    assert_eq!(disk.stats().direct_read_bytes, 0);
}

#[test]
fn who_reads_on_finds_what_follows_checked() {
    let directory = tempdir().unwrap();
    let disk = Arc::new(OsDisk::new(directory.path()).unwrap());
    let settings = LogSettings { read_ahead_from: 2 * LARGE, ..settings() };
    let (log, mut workers, _) = Log::open_stepped(disk, clock(), settings).unwrap();
    let id = partition(1, 0);
    for number in 0..9 {
        let appending = start(&log, id, numbered(number, LARGE)).unwrap();
        workers.step(Worker::Writer);
        block_on(appending).unwrap();
    }
    let read = |from, batches: usize| {
        let (log, max_bytes) = (log.clone(), batches * (LARGE + 1000));
        Box::pin(async move { log.read_regions(id, offset(from), max_bytes).await.unwrap().next })
    };
    let poll = |read: Pin<&mut dyn Future<Output = Offset>>| {
        read.poll(&mut Context::from_waker(Waker::noop()))
    };
    let mut begin = read(0, 3);
    assert_eq!(poll(begin.as_mut()), Poll::Pending);
    assert!(workers.step(Worker::Reader));
    assert_eq!(poll(begin.as_mut()), Poll::Ready(offset(3)));
    assert!(workers.step(Worker::Reader), "it is read ahead");
    let follow = poll(read(3, 3).as_mut());
    assert_eq!(follow, Poll::Ready(offset(6)), "the next slice was there");
    assert!(workers.step(Worker::Reader));
    let mut less = read(6, 2);
    assert_eq!(poll(less.as_mut()), Poll::Pending, "less than that is read again");
    assert!(workers.step(Worker::Reader));
    assert_eq!(poll(less.as_mut()), Poll::Ready(offset(8)));
    let mut single = read(2, 1);
    assert_eq!(poll(single.as_mut()), Poll::Pending);
    while workers.step(Worker::Reader) {}
    assert_eq!(poll(single.as_mut()), Poll::Ready(offset(3)));
    assert!(!workers.step(Worker::Reader), "who reads little reads for himself");
}

#[test]
fn what_is_read_ahead_may_be_one_batch_above_the_limit() {
    let directory = tempdir().unwrap();
    let disk = Arc::new(OsDisk::new(directory.path()).unwrap());
    let settings = LogSettings { read_ahead_from: LARGE, ..settings() };
    let (log, mut workers, _) = Log::open_stepped(disk, clock(), settings).unwrap();
    let id = partition(1, 0);
    for number in 0..3 {
        let appending = start(&log, id, numbered(number, LARGE)).unwrap();
        workers.step(Worker::Writer);
        block_on(appending).unwrap();
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut begin = Box::pin(log.read_regions(id, offset(0), 1000));
    assert!(begin.as_mut().poll(&mut context).is_pending());
    assert!(workers.step(Worker::Reader));
    assert!(begin.as_mut().poll(&mut context).is_ready());
    assert!(workers.step(Worker::Reader), "it is read ahead");
    let Poll::Ready(next) =
        Box::pin(log.read_regions(id, offset(1), 1000)).as_mut().poll(&mut context)
    else {
        panic!("it was read again");
    };
    assert_eq!(next.unwrap().next, offset(2));
}
