//! A small log with every kind of file, for the targets that change its bytes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use factum_event::batch::{Batch, BatchBuilder, Codec};
use factum_event::{Clock, Offset, Partition, Record, Timestamp, TopicId};
use factum_log::disk::sim::SimDisk;
use factum_log::{Disk, Log, LogSettings, OpenError, PartitionId, Recovery};
use pollster::block_on;
use uuid::Uuid;

use crate::directory::{File, files_of};

/// The partition of the sound log that was compacted: its offsets have holes.
pub const CLEANED: i32 = 5;

/// A partition of which the sound log has nothing.
pub const NEW: i32 = 9;

/// Partitions that are cut off where the sound log is made: one that has journals of its own, and
/// one that has most of journals that others need as well.
const CUT: [i32; 2] = [3, 4];

/// Small, so that a few batches fill several journals; nothing in memory, so that disks are read.
pub(crate) const SETTINGS: LogSettings = LogSettings {
    journal_bytes: 4096,
    queue_bytes: 1 << 20,
    tail_bytes: 0,
    read_ahead_from: usize::MAX,
    seal_bytes_per_second: 1 << 40,
};

/// Journals with their indexes, markers, segments, and `starts`; made once, always the same.
pub fn sound_log() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        // Closed after every step: the housekeeper has done its part then, and draws its salts
        // while nobody else does.
        step(&disk, fill);
        step(&disk, |log| {
            let cuts = CUT.map(|number| (partition(number), log.extent(partition(number)).end));
            log.trim(&cuts).expect("a flush");
        });
        step(&disk, |log| log.remove_topic(removed().topic));
        step(&disk, clean);
        step(&disk, |log| {
            let third = Offset::ZERO.plus(2);
            log.trim(&[(partition(1), third)]).expect("a flush");
        });
        step(&disk, |log| {
            (0..8).for_each(|number| {
                append(log, partition(number % 3));
            })
        });
        files_of(disk.as_ref())
    })
}

fn step(disk: &Arc<dyn Disk>, act: impl FnOnce(&Log)) {
    let (log, _) = open(disk).expect("a sound log");
    act(&log);
    log.close();
}

fn fill(log: &Log) {
    let own = CUT[0];
    let (most, other) = (CUT[1], CLEANED);
    let numbers = [0, 1, 2].into_iter().cycle().take(12);
    let numbers = numbers.chain([own; 18]).chain([0, most, most, most, most, most].repeat(2));
    let numbers = numbers.chain([1, other, other, 2].repeat(5));
    for number in numbers {
        append(log, partition(number));
    }
    append(log, removed());
    (0..4).for_each(|number| {
        append(log, partition(number % 3));
    });
    append(log, removed());
    (0..6).for_each(|number| {
        append(log, partition(number % 3));
    });
}

/// Keeps every other batch of one partition.
fn clean(log: &Log) {
    let id = partition(CLEANED);
    let mut cleaning = log.clean(id, log.sealed_end(id)).expect("room").expect("batches");
    let mut next = log.extent(id).start;
    while next < cleaning.end() {
        for stored in block_on(log.read(id, next, 1)).expect("a sound log") {
            next = stored.entry.next_offset();
            if stored.entry.base_offset.get() % 2 == 0 {
                let batch = stored.to_batch().expect("a batch");
                cleaning.push(batch, stored.entry.appended_at).expect("room");
            }
        }
    }
    cleaning.commit(true).expect("a flush");
}

/// Opens a log with journals of 4 KiB that keeps nothing in memory.
///
/// # Errors
/// As [`Log::open`].
pub fn open(disk: &Arc<dyn Disk>) -> Result<(Log, Recovery), OpenError> {
    Log::open(Arc::clone(disk), Arc::new(Still), SETTINGS)
}

/// Appends a batch of one record, waits until it is durable, and answers its offset.
pub fn append(log: &Log, id: PartitionId) -> Offset {
    let batch = batch();
    let room = block_on(log.reserve(batch.len())).expect("room");
    let appending = log.append(room, id, batch).expect("a log that takes batches");
    block_on(appending).expect("a flush").base_offset
}

/// A batch of one record.
pub fn batch() -> Batch {
    let mut builder = BatchBuilder::new(Codec::None, None);
    let value = Some(Bytes::from_static(&[b'v'; 400]));
    builder.push(&Record { key: None, value, headers: Vec::new(), timestamp: Still.now() });
    builder.build().expect("a batch of one record")
}

/// A partition of the topic that the sound log has.
pub fn partition(number: i32) -> PartitionId {
    let partition = Partition::new(number).expect("a number from 0 on");
    PartitionId { topic: TopicId(Uuid::from_u128(7)), partition }
}

/// A partition of a topic that was removed, but for some of its bytes.
fn removed() -> PartitionId {
    PartitionId { topic: TopicId(Uuid::from_u128(8)), partition: Partition::ZERO }
}

/// A clock that stands still, so that every run of an input is the same.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sound_log_has_every_kind_of_file_and_is_always_the_same() {
        let files = sound_log();
        for suffix in ["FORMAT", "starts", ".journal", ".index", ".segment", ".removed"] {
            assert!(files.iter().any(|(path, _)| path.ends_with(suffix)), "{suffix}");
        }
        for (number, (path, bytes)) in files.iter().enumerate() {
            let sum = factum_event::batch::crc32c(bytes);
            println!("{number:2} {path} {} {sum:08x}", bytes.len());
        }
        let (log, recovery) = open(&crate::disk_with(files)).expect("a sound log");
        assert_eq!((recovery.rebuilt_indexes, recovery.truncated), (0, None));
        let holes = |number| {
            let entries = log.entries(partition(number), Offset::ZERO, 100).expect("entries");
            entries.windows(2).filter(|pair| pair[0].next_offset() != pair[1].base_offset).count()
        };
        assert!(holes(CLEANED) > 0);
        assert_eq!((0..3).map(holes).sum::<usize>(), 0);
    }
}
