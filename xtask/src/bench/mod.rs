//! `cargo xtask bench`: measures the release binary, and what its machine can do without it.
//!
//! Prints BENCHMARKS.md to standard output; what is going on is told on standard error. The data
//! directory is below `target`, so the disk that is measured is the one with the repository.

mod ask;
mod broker;
mod client;
mod connection;
mod disk;
mod endurance;
mod kafka;
mod kafka_scale;
mod load;
mod loopback;
mod machine;
mod null;
mod page_cache;
mod process;
mod proof;
mod ratio;
mod report;
mod server;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::step::{self, Failure, cargo};
use crate::tree;

use client::Client;
use kafka::Kafka;
use kafka_scale::Scale;
use proof::Ground;
use report::Section;

const MIB: f64 = (1 << 20) as f64;
const GIB: f64 = (1 << 30) as f64;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// For how long each measurement runs, after its warm-up
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Only this part; may be repeated. Those that start Apache Kafka run only if they are named
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// How often each side of a comparison is measured, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Size of the topic that is read
    #[arg(long, value_name = "GIB", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    read_gib: u64,
    /// Size of the larger log that is opened
    #[arg(long, value_name = "GIB", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1024))]
    large_gib: u64,
    /// Partitions of kafka-scale
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Groups of kafka-scale
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    groups: u32,
    /// Idle connections of kafka-scale, as far as the limit of open files allows
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Do not build the binaries: they are there
    #[arg(long)]
    no_build: bool,
}

/// A part of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What disk and loopback give
    Machine,
    /// Start, memory, size
    Rest,
    /// Producing into one partition, beside a broker that forgets
    Produce,
    /// 10,000 partitions beside one
    Partitions,
    /// Acknowledgements beside one flush and a round trip
    Latency,
    /// Reading everything, beside a broker that answers from memory
    CatchUp,
    /// Fifty readers, some of them slow
    Readers,
    /// Processor time per GiB, beside one copy
    Processor,
    /// Opening after kill -9
    Opening,
    /// Producing while retention and compaction run
    Maintenance,
    /// Seeds of the simulation, and what was injected
    Simulation,
    /// kill -9 at random times on the real disk
    Kills,
    /// factum bench, for two sizes of records and two numbers of partitions
    Loads,
    /// Idle connections, groups and partitions, beside Apache Kafka; needs Java and Maven
    KafkaScale,
    /// Producing, consuming and latency, beside Apache Kafka; needs Java and Maven
    KafkaLoads,
}

/// Measures something beside its reference.
type Proof = fn(&Ground<'_>) -> Result<Section, Failure>;

impl Part {
    /// What needs the client on librdkafka and a reference; none for what is measured by itself.
    fn proof(self) -> Option<Proof> {
        match self {
            Self::Produce => Some(proof::produce),
            Self::Partitions => Some(proof::partitions),
            Self::Latency => Some(proof::latency),
            Self::CatchUp => Some(proof::catch_up),
            Self::Readers => Some(proof::readers),
            Self::Processor => Some(proof::processor),
            Self::Opening => Some(proof::opening),
            Self::Maintenance => Some(proof::maintenance),
            Self::KafkaLoads => Some(proof::kafka_loads),
            Self::Machine
            | Self::Rest
            | Self::Simulation
            | Self::Kills
            | Self::Loads
            | Self::KafkaScale => None,
        }
    }

    /// Whether Apache Kafka is started, which not every machine can.
    fn needs_kafka(self) -> bool {
        matches!(self, Self::KafkaScale | Self::KafkaLoads)
    }
}

/// Builds, measures, prints.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let wanted = |part: &&Part| match args.only.as_slice() {
        [] => !part.needs_kafka(),
        only => only.contains(part),
    };
    let parts: Vec<Part> = Part::value_variants().iter().filter(wanted).copied().collect();
    let proofs = parts.iter().any(|part| part.proof().is_some());
    if !args.no_build {
        build(proofs)?;
    }
    let scratch = Scratch::new(&tree::root().join("target"))?;
    let client = if proofs { Some(Client::build(&scratch.path)?) } else { None };
    let beside_kafka = parts.iter().any(|part| part.needs_kafka());
    let kafka = if beside_kafka { Some(Kafka::install(&scratch.path)?) } else { None };
    let mut sections = Vec::new();
    for part in parts {
        let name = part.to_possible_value();
        eprintln!("== {}", name.as_ref().map_or("", |name| name.get_name()));
        match (part.proof(), &client) {
            (Some(proof), Some(client)) => {
                let ground = Ground {
                    directory: &scratch.path,
                    client,
                    seconds: args.seconds,
                    rounds: args.rounds,
                    read_gib: args.read_gib,
                    large_gib: args.large_gib,
                    kafka: kafka.as_ref(),
                };
                sections.push(proof(&ground)?);
            }
            _ => sections.extend(look(part, &scratch.path, args, kafka.as_ref())?),
        }
    }
    let machine = machine::describe()?;
    print!("{}", report::markdown(&how(args), &machine, &sections));
    Ok(())
}

/// The release binaries.
fn build(proofs: bool) -> Result<(), Failure> {
    let mut build = cargo(&["build", "--release", "--package", "factum-server"]);
    if proofs {
        build.args(["--package", "null-broker"]);
    }
    step::run("release build", &mut build)
}

/// What is measured by itself.
fn look(
    part: Part,
    directory: &Path,
    args: &BenchArgs,
    kafka: Option<&Kafka>,
) -> Result<Vec<Section>, Failure> {
    let seconds = args.seconds;
    let span = Duration::from_secs(seconds);
    match part {
        Part::Machine => {
            let disk = disk::measure(directory, span)?;
            Ok(vec![report::floor(&disk, &loopback::measure(span)?)])
        }
        Part::Rest => Ok(vec![report::at_rest(&server::footprint(directory)?)]),
        Part::Simulation => Ok(vec![endurance::simulation()?]),
        Part::Kills => Ok(vec![endurance::kills()?]),
        Part::KafkaScale => {
            let scale = Scale {
                partitions: args.partitions,
                groups: args.groups,
                connections: args.connections,
            };
            let kafka = kafka::required(kafka)?;
            let bench = kafka_scale::Bench { directory, seconds, rounds: args.rounds, kafka };
            Ok(vec![bench.measure(scale)?])
        }
        _ => {
            let mut sections = Vec::new();
            for (record_bytes, partitions) in [(100, 1), (100, 100), (1024, 1), (1024, 100)] {
                eprintln!("== {record_bytes} B records, {partitions} partitions");
                let load = load::measure(directory, record_bytes, partitions, seconds)?;
                sections.push(report::load(&load));
            }
            Ok(sections)
        }
    }
}

/// The command that was asked for.
fn how(args: &BenchArgs) -> String {
    let mut command = format!("cargo xtask bench --seconds {}", args.seconds);
    for part in &args.only {
        if let Some(name) = part.to_possible_value() {
            command.push_str(&format!(" --only {}", name.get_name()));
        }
    }
    let others = [
        ("--rounds", u64::from(args.rounds), 3),
        ("--read-gib", args.read_gib, 4),
        ("--large-gib", args.large_gib, 20),
        ("--partitions", u64::from(args.partitions), 10_000),
        ("--groups", u64::from(args.groups), 2_000),
        ("--connections", u64::from(args.connections), 10_000),
    ];
    for (name, value, default) in others {
        if value != default {
            command.push_str(&format!(" {name} {value}"));
        }
    }
    command
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
