//! `factum bench`: measures any broker that speaks the Kafka protocol.
//!
//! A small client of its own, so that the same program measures every broker in the same way:
//! batches are built before they are needed, and nothing is decoded that need not be. It does
//! not retry: an error is a result.

mod cluster;
mod consume;
mod end_to_end;
mod error;
#[cfg(test)]
mod fake_broker;
mod fetch;
mod histogram;
mod load;
mod payload;
mod report;
mod window;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use factum_event::TopicName;
use factum_event::batch::Codec;
use factum_wire::ErrorCode;

use crate::byte_size::ByteSize;
use crate::cli::{CliError, Terminal};
use crate::kafka_client::ClientError;
use cluster::Topic;
use end_to_end::Watchers;
use error::BenchError;
use report::Report;

/// What brokers see that are measured.
const CLIENT_ID: &str = "factum-bench";
/// Bytes that a record adds to its value in a batch.
const RECORD_OVERHEAD: u64 = 12;
const TEMPLATE: &str =
    "{spinner} {bar:30} {percent:>3}%  {human_pos} records  {per_sec}  {elapsed_precise}";
const ENDLESS_TEMPLATE: &str = "{spinner} {human_pos} records  {per_sec}  {elapsed_precise}";

/// Measure a broker: throughput and latency over the Kafka protocol
#[derive(Debug, Args)]
#[command(
    long_about = "Measure a broker: throughput and latency over the Kafka protocol.\n\n\
        Works with any broker that speaks it, in clusters too. Latency is measured on schedule: \
        each record has a time at which it is due, and its latency counts from there, so that a \
        broker that stalls cannot hide it. The exit code is 1 if a record was sent and not \
        acknowledged.",
    after_help = "Examples:\n  \
        factum bench produce --records 1000000 --record-size 100\n  \
        factum bench latency --rate 10000 --end-to-end\n  \
        factum bench consume --connections 2",
    arg_required_else_help = true
)]
pub struct BenchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    Latency(LatencyArgs),
}

/// How fast records are taken: as fast as possible, or at a rate
#[derive(Debug, Args)]
#[command(
    long_about = "How fast records are taken: as fast as possible, or at a rate.\n\n\
        Without --rate each connection sends full batches, with --in-flight requests under way; \
        latency counts from sending. With --rate records are sent on schedule, and latency \
        counts from when each was due.",
    after_help = "Examples:\n  \
        factum bench produce\n  \
        factum bench produce --bootstrap broker:9092 --partitions 100 --record-size 1KiB --duration 30s\n  \
        factum bench produce --compression zstd --connections 4 --in-flight 5\n  \
        factum bench produce --rate 50000 --linger-ms 5 --warmup 5s --duration 60s --output json"
)]
struct ProduceArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: Load,
    /// Records per second over all connections [default: as many as are taken]
    #[arg(long, value_name = "N", value_parser = positive)]
    rate: Option<f64>,
    /// Bytes of values that a batch holds
    #[arg(long, value_name = "SIZE", default_value = "64KiB")]
    batch_size: ByteSize,
    /// Requests of each connection that may wait for their answer
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
}

/// How long it takes until a record is acknowledged, or read, at a rate
#[derive(Debug, Args)]
#[command(
    long_about = "How long it takes until a record is acknowledged, or read, at a rate.\n\n\
        An open loop: records are due evenly in time, whatever the broker does. With \
        --end-to-end a consumer reads along, and the time until it has each record is shown too.",
    after_help = "Examples:\n  \
        factum bench latency\n  \
        factum bench latency --rate 10000 --duration 60s --warmup 5s --end-to-end\n  \
        factum bench latency --bootstrap broker:9092 --acks 1 --record-size 1KiB"
)]
struct LatencyArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: Load,
    /// Records per second over all connections
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive)]
    rate: f64,
    /// Also measure until a consumer has read the record
    #[arg(long)]
    end_to_end: bool,
    /// Bytes of values that a batch holds
    #[arg(long, value_name = "SIZE", default_value = "16KiB")]
    batch_size: ByteSize,
    /// Requests of each connection that may wait for their answer
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
}

/// How fast records are read from the start of a topic
#[derive(Debug, Args)]
#[command(
    long_about = "How fast records are read from the start of a topic to its present end.\n\n\
        Batches are checked (CRC) and counted; records are not unpacked. The latency shown is \
        that of one request for records.",
    after_help = "Examples:\n  \
        factum bench consume\n  \
        factum bench consume --topic orders --connections 4 --fetch-size 8MiB"
)]
struct ConsumeArgs {
    #[command(flatten)]
    target: Target,
    /// Stop after so many records [default: the end of the topic]
    #[arg(short = 'n', long, value_name = "N")]
    records: Option<u64>,
    /// Stop after so long, such as 30s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Connections; each reads its own partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Bytes of a partition in one answer
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    fetch_size: ByteSize,
}

/// Which broker and topic.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
struct Target {
    /// A broker of the cluster
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092",
        env = "FACTUM_BOOTSTRAP"
    )]
    bootstrap: String,
    /// The topic; created if it is missing
    #[arg(short, long, default_value = "factum-bench")]
    topic: TopicName,
    /// Partitions of the topic, if it is created
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Replicas of the topic, if it is created; -1 is the broker's default
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    replication_factor: i16,
}

/// What is produced.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct Load {
    /// Stop after so many records [default: 1000000, or 10 s at a rate]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Stop after so long, such as 30s or 2m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Leave out the results of the first so long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    warmup: Duration,
    /// Bytes of each record's value: noise, which no codec makes smaller
    #[arg(short = 's', long, value_name = "SIZE", default_value = "100")]
    record_size: ByteSize,
    /// How long a record that is due may wait for others to share its batch
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    linger_ms: u64,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value = "none")]
    compression: Codec,
    /// Connections; each produces to its own partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Whose acknowledgement is waited for
    #[arg(long, value_enum, default_value = "all")]
    acks: Acks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Acks {
    /// All replicas that are in sync; for Factum: the disk
    #[value(alias = "-1")]
    All,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// Nobody: nothing is known of what was sent
    #[value(name = "0")]
    None,
}

impl Acks {
    const fn number(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// How a load is paced.
struct Pace {
    rate: Option<f64>,
    batch_size: ByteSize,
    in_flight: u32,
}

/// Runs `factum bench`.
pub fn run(args: BenchArgs, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::Produce(args) => {
            let pace =
                Pace { rate: args.rate, batch_size: args.batch_size, in_flight: args.in_flight };
            produce("produce", &args.target, &args.load, &pace, false, terminal)
        }
        Verb::Latency(args) => {
            let pace = Pace {
                rate: Some(args.rate),
                batch_size: args.batch_size,
                in_flight: args.in_flight,
            };
            produce("latency", &args.target, &args.load, &pace, args.end_to_end, terminal)
        }
        Verb::Consume(args) => consume(&args, terminal),
    }
}

fn produce(
    name: &'static str,
    target: &Target,
    load: &Load,
    pace: &Pace,
    end_to_end: bool,
    terminal: &Terminal,
) -> Result<(), CliError> {
    let plan = plan(load, pace, end_to_end)?;
    let create = Some((target.partitions, target.replication_factor));
    let topic = find(target, create)?;
    note_partitions(&topic, target, terminal);
    let total = planned(&plan);
    let bar = terminal.progress(total, if total.is_some() { TEMPLATE } else { ENDLESS_TEMPLATE });
    let watchers = end_to_end.then(|| Watchers::start(&topic)).transpose().map_err(failed)?;
    let outcome = load::run(&topic, &plan, &bar).map_err(failed)?;
    bar.finish_and_clear();
    let seen = watchers.map(|all| all.finish(&outcome.batches)).transpose().map_err(failed)?;
    let report = Report::produced(name, &target.bootstrap, &topic, &plan, &outcome, seen.as_ref());
    report.show(terminal)?;
    report.verdict()
}

fn consume(args: &ConsumeArgs, terminal: &Terminal) -> Result<(), CliError> {
    let partition_bytes = i32::try_from(args.fetch_size.get())
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| CliError::usage("--fetch-size is from 1 byte to 2 GiB"))?;
    let topic = find(&args.target, None)?;
    let plan = consume::Plan {
        records: args.records,
        duration: args.duration,
        connections: args.connections as usize,
        partition_bytes,
    };
    let bar = terminal.progress(Some(0), TEMPLATE);
    let outcome = consume::run(&topic, &plan, &bar).map_err(failed)?;
    bar.finish_and_clear();
    Report::consumed(&args.target.bootstrap, &topic, &plan, &outcome).show(terminal)
}

fn find(target: &Target, create: Option<(i32, i16)>) -> Result<Topic, CliError> {
    cluster::find_topic(&target.bootstrap, target.topic.as_str(), create).map_err(failed)
}

fn plan(load: &Load, pace: &Pace, remember: bool) -> Result<load::Plan, CliError> {
    let max = 64 << 20;
    let record_bytes = load.record_size.get();
    if record_bytes > max || pace.batch_size.get() > max {
        return Err(CliError::usage("--record-size and --batch-size are at most 64MiB"));
    }
    let per_batch = (pace.batch_size.get() / (record_bytes + RECORD_OVERHEAD)).max(1);
    let unlimited = load.records.is_none() && load.duration.is_none();
    let (records, duration) = match (unlimited, pace.rate) {
        (true, None) => (Some(1_000_000), None),
        (true, Some(_)) => (None, Some(load.warmup + Duration::from_secs(10))),
        (false, _) => (load.records, load.duration),
    };
    if remember && load.acks == Acks::None {
        return Err(CliError::usage("--end-to-end needs offsets: say --acks all or --acks 1"));
    }
    Ok(load::Plan {
        records,
        duration,
        warmup: load.warmup,
        rate: pace.rate,
        record_bytes: usize::try_from(record_bytes).unwrap_or(usize::MAX),
        batch_records: u32::try_from(per_batch).unwrap_or(u32::MAX),
        linger: Duration::from_millis(load.linger_ms),
        codec: load.compression,
        connections: load.connections as usize,
        in_flight: pace.in_flight as usize,
        acks: load.acks.number(),
        remember,
    })
}

/// How many records will be sent, if that is known.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for a progress bar")]
fn planned(plan: &load::Plan) -> Option<u64> {
    let by_time =
        plan.duration.zip(plan.rate).map(|(time, rate)| (time.as_secs_f64() * rate) as u64);
    match (plan.records, by_time) {
        (Some(records), Some(by_time)) => Some(records.min(by_time)),
        (records, by_time) => records.or(by_time),
    }
}

fn note_partitions(topic: &Topic, target: &Target, terminal: &Terminal) {
    let (there, asked) = (topic.partitions(), target.partitions);
    if usize::try_from(asked) != Ok(there) {
        terminal.note(format!(
            "topic {} exists with {there} partitions, which are used; {asked} were asked for",
            topic.name
        ));
    }
}

fn failed(error: impl Into<BenchError>) -> CliError {
    let error = error.into();
    let BenchError::Client(client) = &error else { return CliError::failed("bench", error) };
    let (code, advice) = match client {
        ClientError::Connect { .. } => {
            ("unreachable", "start a broker (factum serve), or name one with --bootstrap")
        }
        ClientError::Connection { .. } => ("connection-lost", "see the broker's log"),
        ClientError::Refused { .. } if client.is(ErrorCode::UnknownTopicOrPartition) => {
            ("refused", "produce to the topic first: factum bench produce")
        }
        ClientError::Refused { .. } => return CliError::failed("refused", error),
        _ => return CliError::failed("bench", error),
    };
    CliError::failed(code, error).advise(advice)
}

/// A span of time: `500ms`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a span of time; expected 500ms, 30s, 2m or 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| invalid())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(invalid()),
    };
    let week = 7 * 24 * 3_600_000;
    let millis = number.checked_mul(millis).filter(|millis| *millis <= week);
    millis.map(Duration::from_millis).ok_or_else(|| format!("{text} is longer than a week"))
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err(format!("{text:?} is not a rate; expected records per second, up to 10^9")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1.5s", "9999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_positive_numbers() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for bad in ["0", "-1", "NaN", "inf", "x"] {
            assert!(positive(bad).is_err(), "{bad}");
        }
    }
}
