//! What the tests share: batches, a clock that nobody else turns, logs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use factum_event::batch::{Batch, crc32c};
use factum_event::{Clock, Offset, Partition, Timestamp, TopicId};
use factum_log::{
    AppendError, Appended, Appending, Disk, Log, LogSettings, OpenError, OsDisk, PartitionId,
    ReadError, Recovery, StoredBatch,
};
use pollster::block_on;
use uuid::Uuid;

/// A clock that goes on by a millisecond whenever somebody looks.
#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed).cast_signed())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TestClock::default())
}

pub(crate) fn partition(topic: u128, number: i32) -> PartitionId {
    let partition = Partition::new(number).unwrap();
    PartitionId { topic: TopicId(Uuid::from_u128(topic)), partition }
}

pub(crate) fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

/// A batch of `records` offsets whose records are any bytes: the log does not look inside.
pub(crate) fn batch(records: i32, max_timestamp: i64, content: &[u8]) -> Batch {
    let mut covered = BytesMut::new();
    covered.put_i16(0);
    covered.put_i32(records - 1);
    covered.put_i64(max_timestamp);
    covered.put_i64(max_timestamp);
    covered.put_i64(7);
    covered.put_i16(1);
    covered.put_i32(11);
    covered.put_i32(records);
    covered.put_slice(content);
    let mut bytes = BytesMut::new();
    bytes.put_i64(0);
    bytes.put_i32(i32::try_from(covered.len() + 9).unwrap());
    bytes.put_i32(-1);
    bytes.put_i8(2);
    bytes.put_u32(crc32c(&covered));
    bytes.put_slice(&covered);
    Batch::parse(bytes.freeze()).unwrap()
}

/// A batch of one record with a content of its own.
pub(crate) fn numbered(number: u64, bytes: usize) -> Batch {
    let content: Vec<u8> = (number..).flat_map(u64::to_be_bytes).take(bytes).collect();
    batch(1, number.cast_signed(), &content)
}

pub(crate) fn small() -> LogSettings {
    LogSettings {
        journal_bytes: 16 << 10,
        queue_bytes: 1 << 20,
        tail_bytes: 0,
        read_ahead_from: 1,
        seal_bytes_per_second: 1 << 40,
    }
}

pub(crate) fn open_on(
    disk: impl Disk,
    settings: LogSettings,
) -> Result<(Log, Recovery), OpenError> {
    Log::open(Arc::new(disk), clock(), settings)
}

pub(crate) fn open(directory: &Path, settings: LogSettings) -> Result<(Log, Recovery), OpenError> {
    open_on(OsDisk::new(directory).unwrap(), settings)
}

pub(crate) fn start(log: &Log, id: PartitionId, batch: Batch) -> Result<Appending, AppendError> {
    let room = block_on(log.reserve(batch.len()))?;
    log.append(room, id, batch)
}

pub(crate) fn append(log: &Log, id: PartitionId, batch: Batch) -> Result<Appended, AppendError> {
    block_on(start(log, id, batch)?)
}

/// Appends batches with the numbers `numbers`, one flush after the other.
pub(crate) fn fill(log: &Log, id: PartitionId, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        append(log, id, numbered(number, bytes)).unwrap();
    }
}

/// Everything from `from` on, read in steps of `max_bytes`.
pub(crate) fn read_from(
    log: &Log,
    id: PartitionId,
    from: Offset,
    max_bytes: usize,
) -> Result<Vec<StoredBatch>, ReadError> {
    let mut all = Vec::new();
    let mut next = from;
    while next < log.extent(id).end {
        let some = block_on(log.read(id, next, max_bytes))?;
        assert!(!some.is_empty(), "nothing at {next} of {:?}", log.extent(id));
        for batch in some {
            assert!(batch.entry.base_offset <= next, "a gap before {}", batch.entry.base_offset);
            next = batch.entry.next_offset();
            all.push(batch);
        }
    }
    Ok(all)
}

pub(crate) fn read_all(log: &Log, id: PartitionId) -> Result<Vec<StoredBatch>, ReadError> {
    read_from(log, id, log.extent(id).start, 10_000)
}

/// Whether `stored` is `batch` at its offset, byte by byte.
pub(crate) fn is_same(stored: &StoredBatch, batch: &Batch) -> bool {
    let expected: Bytes = batch.at(stored.entry.base_offset).bytes().clone();
    expected[..16] == stored.prefix[..] && expected[16..] == stored.body[..]
}

/// Checks that a partition has exactly the batches that [`fill`] wrote.
pub(crate) fn assert_filled(
    log: &Log,
    id: PartitionId,
    numbers: std::ops::Range<u64>,
    bytes: usize,
) {
    let read = read_all(log, id).unwrap();
    assert_eq!(read.len() as u64, numbers.end - numbers.start);
    for (stored, number) in read.iter().zip(numbers) {
        assert!(is_same(stored, &numbered(number, bytes)), "batch {number}");
    }
}
