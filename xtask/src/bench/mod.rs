//! `cargo xtask bench`: measures the release binary, and what its machine can do without it.
//!
//! Prints BENCHMARKS.md to standard output; what is going on is told on standard error. The data
//! directory is below `target`, so the disk that is measured is the one with the repository.

mod disk;
mod load;
mod loopback;
mod machine;
mod report;
mod server;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::step::Failure;
use crate::tree;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// For how long each measurement runs, after its warm-up
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Do not build the binary: it is there
    #[arg(long)]
    no_build: bool,
}

/// Builds, measures, prints.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    if !args.no_build {
        crate::release_binary()?;
    }
    let span = Duration::from_secs(args.seconds);
    let directory = Scratch::new(&tree::root().join("target"))?;
    eprintln!("== start and memory");
    let footprint = server::footprint(&directory.path)?;
    eprintln!("== disk");
    let disk = disk::measure(&directory.path, span)?;
    eprintln!("== loopback");
    let loopback = loopback::measure(span)?;
    let mut loads = Vec::new();
    for (record_bytes, partitions) in [(100, 1), (100, 100), (1024, 1), (1024, 100)] {
        eprintln!("== {record_bytes} B records, {partitions} partitions");
        loads.push(load::measure(&directory.path, record_bytes, partitions, args.seconds)?);
    }
    let machine = machine::describe()?;
    print!("{}", report::markdown(args.seconds, &machine, &footprint, &disk, &loopback, &loads));
    Ok(())
}

/// A directory that is gone afterwards, and the lock that keeps a second measurement away: two at
/// once would remove each other's data, and measure each other.
struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    fn new(target: &Path) -> Result<Self, Failure> {
        let lock_path = target.join("bench.lock");
        let lock = File::create(&lock_path).map_err(|source| failed(&lock_path, source))?;
        lock.try_lock().map_err(|error| {
            Failure::Found(format!("another measurement runs ({error}); wait until it has ended"))
        })?;
        let path = target.join("bench");
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path, source));
            }
            _ => {}
        }
        fs::create_dir_all(&path).map_err(|source| failed(&path, source))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is removed at the next run, or said there.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn failed(path: &Path, source: io::Error) -> Failure {
    Failure::File { path: path.display().to_string(), source }
}

/// The value below which this share of sorted values lies.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into thousands of values"
    )]
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_measurement_is_refused_and_leaves_the_first_its_data() {
        let target = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        fs::create_dir_all(&target).unwrap();
        let first = Scratch::new(&target).unwrap();
        assert!(Scratch::new(&target).is_err());
        assert!(first.path.is_dir());
        drop(first);
        assert!(Scratch::new(&target).is_ok());
        fs::remove_dir_all(&target).unwrap();
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&values, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&values, 1.0), Duration::from_millis(100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
