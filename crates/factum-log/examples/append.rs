//! How fast the log appends, beside what the disk gives: plain writes with a flush each, in the
//! same run and the same directory.
//!
//! `cargo run --release -p factum-log --example append -- DIRECTORY [MIB] [BATCH_BYTES] [PARTITIONS]`

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use factum_event::batch::{Batch, crc32c};
use factum_event::{Partition, SystemClock, TopicId};
use factum_log::{Log, LogSettings, OsDisk, PartitionId};
use pollster::block_on;
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let directory = words.next().ok_or("give a directory")?;
    let mut number = |default: u64| words.next().map_or(Ok(default), |word| word.parse());
    let (mib, batch_bytes, partitions) = (number(1024)?, number(64 << 10)?, number(1)?);
    let root = Path::new(&directory).join("append-example");
    std::fs::create_dir_all(&root)?;
    println!("{mib} MiB, batches of {batch_bytes} bytes, {partitions} partitions");
    for block in [64 << 10, 1 << 20, 8 << 20] {
        raw(&root, mib << 20, block)?;
    }
    let result = journal(&root, mib << 20, usize::try_from(batch_bytes)?, partitions);
    std::fs::remove_dir_all(&root)?;
    result
}

fn report(what: &str, bytes: u64, flushes: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let (mib, flushes) = (bytes as f64 / f64::from(1 << 20), flushes as f64);
    println!("{what:32} {:8.0} MiB/s {:8.0} flushes/s", mib / seconds, flushes / seconds);
}

/// Writes and flushes blocks into a file with room for them.
fn raw(root: &Path, total: u64, block: usize) -> Result<(), Box<dyn Error>> {
    let path = root.join("raw");
    let file = File::create(&path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, total)?;
    file.sync_all()?;
    let bytes = vec![7; block];
    // Small blocks would take for ever: a part of them tells as much.
    let blocks = (total / block as u64).min(4000);
    let started = Instant::now();
    for number in 0..blocks {
        file.write_all_at(&bytes, number * block as u64)?;
        file.sync_data()?;
    }
    let what = format!("plain, {} KiB a flush", block >> 10);
    report(&what, blocks * block as u64, blocks, started.elapsed());
    Ok(std::fs::remove_file(path)?)
}

/// Appends batches as fast as the queue takes them.
fn journal(root: &Path, total: u64, bytes: usize, partitions: u64) -> Result<(), Box<dyn Error>> {
    let disk = Arc::new(OsDisk::new(root)?);
    let (log, _) = Log::open(disk, Arc::new(SystemClock::new()), LogSettings::default())?;
    let batch = any_batch(bytes)?;
    let topic = TopicId(Uuid::from_u128(1));
    let count = total / batch.len() as u64;
    let started = Instant::now();
    let mut last = Vec::new();
    for number in 0..count {
        let partition = i32::try_from(number % partitions)?;
        let partition = Partition::new(partition).ok_or("a partition below zero")?;
        let room = block_on(log.reserve(batch.len()))?;
        let appending = log.append(room, PartitionId { topic, partition }, batch.clone())?;
        if number + partitions >= count {
            last.push(appending);
        }
    }
    for appending in last {
        block_on(appending)?;
    }
    let took = started.elapsed();
    let metrics = log.metrics();
    report("journal", metrics.bytes_appended, metrics.flushes, took);
    let times = metrics.flush_times;
    let mean = times.sum_micros / metrics.flushes.max(1);
    println!("a group takes {mean} µs on average, {} µs at most", times.max_micros);
    let started = Instant::now();
    log.close();
    let (log, recovery) = Log::open(
        Arc::new(OsDisk::new(root)?),
        Arc::new(SystemClock::new()),
        LogSettings::default(),
    )?;
    println!("closed and opened again in {:?}: {recovery:?}", started.elapsed());
    let started = Instant::now();
    let id = PartitionId { topic, partition: Partition::ZERO };
    let (mut next, mut read) = (log.extent(id).start, 0);
    while next < log.extent(id).end {
        for stored in block_on(log.read(id, next, 1 << 20))? {
            next = stored.entry.next_offset();
            read += stored.len() as u64;
        }
    }
    report("read again from the files", read, 0, started.elapsed());
    Ok(())
}

fn any_batch(bytes: usize) -> Result<Batch, Box<dyn Error>> {
    let mut covered = BytesMut::new();
    covered.put_i16(0);
    covered.put_i32(0);
    covered.put_i64(0);
    covered.put_i64(0);
    covered.put_i64(-1);
    covered.put_i16(-1);
    covered.put_i32(-1);
    covered.put_i32(1);
    covered.resize(bytes.max(61) - 21, 7);
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(i32::try_from(covered.len() + 9)?);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(crc32c(&covered));
    batch.put_slice(&covered);
    Ok(Batch::parse(Bytes::from(batch))?)
}
