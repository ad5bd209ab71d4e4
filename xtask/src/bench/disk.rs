//! What the disk gives: fio writing in order with a flush after each block, and our own flushes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{MIB, failed, quantile};
use crate::step::{self, Failure, program};

/// Writes of one page each, with a flush after each.
const FLUSHES: usize = 2000;
const PAGE: [u8; 4096] = [7; 4096];
/// `O_DIRECT` of open(2), which the standard library does not name.
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200_000 } else { 0o40_000 };
const FILE_SIZE: &str = "1G";
/// What is made durable together, and the files that it goes to: as the log does under load.
const GROUP_BYTES: usize = 8 << 20;
const GROUPS_PER_FILE: usize = 16;
/// Memory that begins at a multiple of it goes to the disk in the fewest pieces.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// What the disk gave.
#[derive(Debug)]
pub(crate) struct Disk {
    /// By fio; none, where it is not installed.
    pub writes: Vec<Writes>,
    /// Appends to a file that grows.
    pub growing: Flushes,
    /// Writes into room that was allocated before, as the journal does; none without `fallocate`.
    pub allocated: Option<Flushes>,
    /// Past the page cache into room that was written before; none where the disk refuses.
    pub direct: Option<Flushes>,
}

/// Times of one write of 4 KiB with fdatasync.
#[derive(Debug)]
pub(crate) struct Flushes {
    /// Half are shorter.
    pub p50: Duration,
    /// 99 of 100 are shorter.
    pub p99: Duration,
}

impl Flushes {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self { p50: quantile(&times, 0.5), p99: quantile(&times, 0.99) }
    }
}

/// A run of fio.
#[derive(Debug)]
pub(crate) struct Writes {
    /// What was run, as a person would type it.
    pub command: String,
    /// Bytes of a block.
    pub block: &'static str,
    /// After how many blocks it flushed; 0 is at the end only.
    pub flush_every: u32,
    /// Bytes per second.
    pub bytes_per_second: f64,
}

/// Writes below `directory`, `span` per kind of write.
pub(crate) fn measure(directory: &Path, span: Duration) -> Result<Disk, Failure> {
    let mut writes = Vec::new();
    if step::answers(with_argument("fio", "--version")) {
        for (block, flush_every) in [("1M", 1), ("64k", 1), ("1M", 0)] {
            writes.push(fio(directory, span, block, flush_every)?);
        }
    } else {
        eprintln!("SKIPPED: fio: it is not installed");
    }
    let path = directory.join("flushes");
    let growing = growing(directory)?;
    let bytes = (FLUSHES * PAGE.len()).to_string();
    let mut allocate = program("fallocate");
    allocate.arg("--length").arg(bytes).arg(&path);
    let allocated = if step::answers(allocate) { Some(flushes(&path)?) } else { None };
    let direct = direct(directory).ok();
    Ok(Disk { writes, growing, allocated, direct })
}

fn with_argument(name: &str, argument: &str) -> Command {
    let mut command = program(name);
    command.arg(argument);
    command
}

fn fio(dir: &Path, span: Duration, block: &'static str, every: u32) -> Result<Writes, Failure> {
    let mut command = program("fio");
    command.args(["--name=journal", "--filename=fio.data", "--rw=write", "--ioengine=sync"]);
    command.args([format!("--bs={block}"), format!("--size={FILE_SIZE}")]);
    command.args([format!("--fdatasync={every}"), format!("--runtime={}", span.as_secs())]);
    command.args(["--time_based", "--end_fsync=1", "--output-format=json"]);
    command.current_dir(dir);
    let found: Value = serde_json::from_str(&step::output(&mut command)?)
        .map_err(|error| Failure::Found(format!("fio's output is no JSON: {error}")))?;
    let _ = fs::remove_file(dir.join("fio.data"));
    let rate = found["jobs"][0]["write"]["bw_bytes"].as_f64();
    let bytes_per_second = rate
        .ok_or_else(|| Failure::Found("fio's output has no jobs[0].write.bw_bytes".to_owned()))?;
    let command = step::shown(&command);
    Ok(Writes { command, block, flush_every: every, bytes_per_second })
}

/// Appends pages to a file that grows, with a flush after each.
fn growing(directory: &Path) -> Result<Flushes, Failure> {
    flushes(&directory.join("flushes"))
}

/// Appends pages to a file that grows, with a flush after each, so many a second: what a disk does
/// at that pace is not what it does without a pause. Times are of the write and its flush alone.
pub(super) fn paced(directory: &Path, per_second: u32, span: Duration) -> Result<Flushes, Failure> {
    let path = directory.join("flushes");
    let run = || {
        let mut file = File::create(&path)?;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while begin.elapsed() < span {
            let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
            let due = (Duration::from_secs(1) / per_second).saturating_mul(count);
            #[expect(clippy::disallowed_methods, reason = "the pace is what is measured")]
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            let from = Instant::now();
            file.write_all(&PAGE)?;
            file.sync_data()?;
            times.push(from.elapsed());
        }
        fs::remove_file(&path)?;
        Ok(times)
    };
    run().map(Flushes::of).map_err(|source| failed(&path, source))
}

/// Writes pages past the page cache over others, with a flush after each.
pub(super) fn direct(directory: &Path) -> Result<Flushes, Failure> {
    let path = directory.join("direct");
    let run = || {
        fs::write(&path, vec![0; FLUSHES * PAGE.len()])?;
        let file = File::options().write(true).custom_flags(O_DIRECT).open(&path)?;
        file.sync_all()?;
        let page = Box::new(Aligned(PAGE));
        let times = timed(file, &page.0)?;
        fs::remove_file(&path)?;
        Ok(times)
    };
    run().map(Flushes::of).map_err(|source| failed(&path, source))
}

/// MiB/s of writing groups to new files one after the other, with a flush after each group: the
/// most that anything on this disk can acknowledge.
pub(super) fn durable(directory: &Path, span: Duration) -> Result<f64, Failure> {
    let directory = directory.join("durable");
    let run = || {
        fs::create_dir_all(&directory)?;
        let memory = vec![7; GROUP_BYTES + HUGE_PAGE_BYTES];
        let address = memory.as_ptr().addr();
        let start = address.next_multiple_of(HUGE_PAGE_BYTES) - address;
        let group = &memory[start..start + GROUP_BYTES];
        let (begin, mut groups, mut file) = (Instant::now(), 0, None);
        while begin.elapsed() < span {
            if groups % GROUPS_PER_FILE == 0 {
                file = Some(reserved(&directory.join(groups.to_string()))?);
            }
            if let Some(file) = &mut file {
                file.write_all(group)?;
                file.sync_data()?;
            }
            groups += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (groups * GROUP_BYTES) as f64 / MIB / begin.elapsed().as_secs_f64();
        fs::remove_dir_all(&directory)?;
        Ok(rate)
    };
    run().map_err(|source| failed(&directory, source))
}

/// A new file with room for its groups, written past the page cache where the disk can.
fn reserved(path: &Path) -> io::Result<File> {
    let open = |flags| File::options().write(true).create(true).custom_flags(flags).open(path);
    let file = open(O_DIRECT).or_else(|_| open(0))?;
    let mut allocate = program("fallocate");
    allocate.arg("--length").arg((GROUPS_PER_FILE * GROUP_BYTES).to_string()).arg(path);
    // Without room that was reserved it is a file that grows.
    step::answers(allocate);
    Ok(file)
}

/// Memory that the disk may read by itself.
#[repr(align(4096))]
struct Aligned([u8; PAGE.len()]);

fn timed(mut file: File, page: &[u8]) -> io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begin = Instant::now();
        file.write_all(page)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// Writes pages from the start of a file, which it creates if it is missing and removes.
fn flushes(path: &Path) -> Result<Flushes, Failure> {
    let run = || {
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        // What was allocated is not part of the first write.
        file.sync_all()?;
        let times = timed(file, &PAGE)?;
        fs::remove_file(path)?;
        Ok(times)
    };
    run().map(Flushes::of).map_err(|source| failed(path, source))
}
