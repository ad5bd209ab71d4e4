//! How much memory a log takes for what its sealed journals have of each partition, and how long
//! opening takes: by partitions and journals.
//!
//! `cargo run --release -p factum-log --example summaries -- DIRECTORY [PARTITIONS] [JOURNALS]`
//!
//! The first run writes the journals, the next one opens them.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use factum_event::batch::{Batch, crc32c};
use factum_event::{Offset, Partition, SystemClock, TopicId};
use factum_log::{Log, LogSettings, OsDisk, PartitionId, Recovery};
use pollster::block_on;
use uuid::Uuid;

/// What a batch without records takes with its entry, and some of a group's header.
const BATCH_BYTES: u64 = 126;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let directory = words.next().ok_or("give a directory")?;
    let mut number = |default: u64| words.next().map_or(Ok(default), |word| word.parse());
    let (partitions, journals) = (number(10_000)?, number(200)?);
    let root = Path::new(&directory).join("summaries-example");
    let settings = LogSettings {
        journal_bytes: 2 * partitions * BATCH_BYTES,
        seal_bytes_per_second: 1 << 30,
        ..LogSettings::default()
    };
    if root.exists() {
        let before = resident_bytes()?;
        let started = Instant::now();
        let (log, recovery) = open(&root, settings)?;
        let took = started.elapsed();
        let bytes = resident_bytes()?.saturating_sub(before);
        let lines = partitions * (recovery.journals as u64 - 1);
        println!("opened {recovery:?} in {took:.2?}");
        println!("{bytes} bytes more in memory, {} for each of {lines} lines", bytes / lines);
        println!("{} bytes of them for lines", log.summary_bytes());
        let started = Instant::now();
        for partition in 0..1000 {
            let extent = log.extent(id(partition % partitions)?);
            let middle = extent.end.get() / 2 + i64::try_from(partition)? % 7;
            block_on(log.read(id(partition % partitions)?, offset(middle)?, 1))?;
        }
        println!("{:.2?} for each of 1000 reads of one batch", started.elapsed() / 1000);
        log.close();
        return Ok(());
    }
    std::fs::create_dir_all(&root)?;
    let (log, _) = open(&root, settings)?;
    for round in 0..journals {
        let mut last = None;
        for partition in 0..partitions {
            let batch = batch(round)?;
            let room = block_on(log.reserve(batch.len()))?;
            last = Some(log.append(room, id(partition)?, batch)?);
        }
        block_on(last.ok_or("no partitions")?)?;
        // Each round gets a journal of its own.
        log.seal();
        while (log.metrics().journals) < round + 2 {
            std::thread::yield_now();
        }
    }
    block_on(log.sealed())?;
    println!("wrote {} journals; run it again", log.metrics().journals);
    log.close();
    Ok(())
}

fn open(root: &Path, settings: LogSettings) -> Result<(Log, Recovery), Box<dyn Error>> {
    Ok(Log::open(Arc::new(OsDisk::new(root)?), Arc::new(SystemClock::new()), settings)?)
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? << 10)
}

fn id(partition: u64) -> Result<PartitionId, Box<dyn Error>> {
    let partition = Partition::new(i32::try_from(partition)?).ok_or("too many partitions")?;
    Ok(PartitionId { topic: TopicId(Uuid::nil()), partition })
}

fn offset(number: i64) -> Result<Offset, Box<dyn Error>> {
    Ok(Offset::new(number).ok_or("an offset below zero")?)
}

/// A batch of 160 offsets without records, 13 s after the one before.
fn batch(round: u64) -> Result<Batch, Box<dyn Error>> {
    let time = 1_700_000_000_000 + i64::try_from(round)? * 13_107;
    let mut after_crc = BytesMut::new();
    after_crc.put_i16(0);
    after_crc.put_i32(159);
    after_crc.put_i64(time);
    after_crc.put_i64(time);
    after_crc.put_i64(-1);
    after_crc.put_i16(-1);
    after_crc.put_i32(-1);
    after_crc.put_i32(160);
    let mut bytes = BytesMut::new();
    bytes.put_i64(0);
    bytes.put_i32(i32::try_from(after_crc.len() + 9)?);
    bytes.put_i32(0);
    bytes.put_u8(2);
    bytes.put_u32(crc32c(&after_crc));
    bytes.put_slice(&after_crc);
    Ok(Batch::parse(Bytes::from(bytes))?)
}
