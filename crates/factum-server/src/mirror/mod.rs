//! `factum mirror`: copies a Kafka cluster into a Factum server, and goes on doing so.
//!
//! Records keep their offsets, so that the offsets which groups have committed mean the same in
//! both. The target knows by itself how far it is: where a partition ends, copying goes on, and a
//! copy that does not belong there is refused. `docs/mirror.md` says what holds.
//!
//! For each broker of the source there is a lane of two threads: one reads what was committed and
//! makes copies of it, the other appends them. A third looks at both clusters every few seconds.

mod bootstrap;
mod cluster;
mod committed;
mod copies;
mod error;
mod fetching;
mod groups;
mod lane;
mod plan;
mod problems;
mod progress;
mod run;
mod selection;
mod slot;
mod topics;
mod verify;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use clap::Args;
use regex::Regex;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{CliError, Terminal, grouped};
use crate::kafka_client::ClientError;
use bootstrap::Bootstrap;
use cluster::Cluster;
use error::MirrorError;
use plan::Plan;
use progress::Progress;
use run::{Mirror, Outcome};
use selection::{Selection, pattern};
use slot::Shared;

/// Copy a Kafka cluster into this server, and keep up with it
#[derive(Debug, Args)]
#[command(
    long_about = "Copy a Kafka cluster into this server, and keep up with it: topics, records, \
        settings, and the offsets of consumer groups.\n\n\
        Records keep their offsets, so a group that is moved over goes on exactly where it was. \
        The copies take no other records while they are copies; `factum topic configure TOPIC \
        --unset factum.mirror.source` makes one a topic like any other, when its producers move. \
        It can be ended and started at any time, and goes on where it was; nothing is copied \
        twice. docs/mirror.md says what is copied and what is not.\n\n\
        The source is any cluster that speaks Kafka's protocol, from Kafka 1.1 on.",
    after_help = "Examples:\n  \
        factum mirror --from kafka://broker-1:9092,broker-2:9092\n  \
        factum mirror --from kafka://broker-1:9092 --once --verify\n  \
        factum mirror --from kafka://broker-1:9092 --topics 'orders|shop\\..*' --exclude-groups 'test-.*'\n  \
        factum mirror --from kafka://broker-1:9092 --verify --output json     only compare"
)]
pub struct MirrorArgs {
    /// The cluster to copy
    #[arg(long, value_name = "kafka://HOST:PORT,…")]
    from: Bootstrap,

    /// The Factum server that takes the copies, by its Kafka door
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092",
        env = "FACTUM_BOOTSTRAP"
    )]
    to: Bootstrap,

    /// Only topics with such a name; may be said several times [default: all]
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    topics: Vec<Regex>,

    /// No topics with such a name
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    exclude_topics: Vec<Regex>,

    /// Only groups with such a name; may be said several times [default: all]
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    groups: Vec<Regex>,

    /// No groups with such a name
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    exclude_groups: Vec<Regex>,

    /// What the names of copies begin with; needed where source and target are one cluster
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// End when everything is copied that was there at the beginning
    #[arg(long)]
    once: bool,

    /// Compare every record of source and target: after copying with --once, else instead
    #[arg(long)]
    verify: bool,
}

/// Runs `factum mirror`.
pub fn run(args: MirrorArgs, terminal: &Terminal) -> Result<(), CliError> {
    let plan = Plan {
        topics: Selection::new(args.topics, args.exclude_topics),
        groups: Selection::new(args.groups, args.exclude_groups),
        prefix: args.prefix,
        once: args.once,
    };
    let clusters = || (Cluster::new(args.from.clone()), Cluster::new(args.to.clone()));
    if args.once || !args.verify {
        let outcome = copy(plan.clone(), clusters(), terminal)?;
        // A part of a copy is not compared as if it were the whole.
        if !args.verify || !outcome.problems.is_empty() || !outcome.caught_up {
            return show(&outcome, plan.once, terminal);
        }
        terminal.note(text(&outcome));
    }
    verify::run(&plan, clusters(), terminal)
}

fn copy(
    plan: Plan,
    clusters: (Cluster, Cluster),
    terminal: &Terminal,
) -> Result<Outcome, CliError> {
    let shared = Arc::new(Shared::default());
    stop_on_interrupt(&shared)?;
    let progress = Progress::new(*terminal);
    let outcome = Mirror::new(plan, clusters, Arc::clone(&shared), progress).run();
    // From here on an interrupt ends the process.
    shared.stop.store(true, Relaxed);
    let mut outcome = outcome.map_err(failed)?;
    (outcome.records, outcome.bytes) = (shared.records.load(Relaxed), shared.bytes.load(Relaxed));
    Ok(outcome)
}

/// Exit code of what an interrupt has ended.
const INTERRUPTED: i32 = 130;

/// Waits for Ctrl-C, or to be terminated.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Ctrl-C ends mirroring; a second one ends the process, as ever.
fn stop_on_interrupt(shared: &Arc<Shared>) -> Result<(), CliError> {
    let shared = Arc::clone(shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(MirrorError::Thread(error)))?;
    let wait = move || loop {
        runtime.block_on(interrupted());
        if shared.stop.swap(true, Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    let thread = thread::Builder::new().name("factum-mirror-stop".to_owned()).spawn(wait);
    thread.map(drop).map_err(|error| failed(MirrorError::Thread(error)))
}

fn show(outcome: &Outcome, once: bool, terminal: &Terminal) -> Result<(), CliError> {
    if terminal.json() {
        terminal.say_json(&json!({
            "topics": outcome.topics,
            "partitions": outcome.partitions,
            "groups": outcome.groups,
            "records": outcome.records,
            "bytes": outcome.bytes,
            "caught_up": once && outcome.caught_up,
            "problems": outcome.problems,
        }))?;
    } else {
        terminal.say(text(outcome))?;
    }
    match outcome.problems.len() {
        0 if once && !outcome.caught_up => {
            Err(CliError::failed("stopped", "it ended before everything was seen to be copied")
                .advise("start it again: it goes on where it was"))
        }
        _ if !once => Ok(()),
        0 => Ok(()),
        _ => Err(CliError::failed("not-copied", problems(outcome))),
    }
}

fn text(outcome: &Outcome) -> String {
    format!(
        "{} records ({}) copied; {} topics with {} partitions and {} groups are mirrored",
        grouped(outcome.records),
        crate::byte_size::ByteSize::from(outcome.bytes),
        grouped(outcome.topics as u64),
        grouped(outcome.partitions as u64),
        grouped(outcome.groups.len() as u64)
    )
}

/// What was not copied, the first few by name.
fn problems(outcome: &Outcome) -> String {
    const SHOWN: usize = 10;
    let all = &outcome.problems;
    let shown = all.iter().take(SHOWN).map(|(what, why)| format!("\n  {what} {why}"));
    let more = all.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!("not everything is copied:{}{more}", shown.collect::<String>())
}

fn failed(error: MirrorError) -> CliError {
    let (code, advice) = match &error {
        MirrorError::Source(ClientError::Connect { .. }) => (
            "unreachable",
            "name a broker with --from; the addresses that brokers advertise must be reachable too",
        ),
        MirrorError::Target(ClientError::Connect { .. }) => {
            ("unreachable", "start a server (factum serve), or name one with --to")
        }
        MirrorError::Source(ClientError::Version { .. }) => {
            ("version", "mirror a cluster that speaks as Apache Kafka does from 1.1 on")
        }
        MirrorError::Target(ClientError::Version { .. }) => {
            ("version", "name a Factum server of this version with --to")
        }
        MirrorError::Source(_) => ("source", "see the log of the source's brokers"),
        MirrorError::Target(_) => ("target", "see the server's log"),
        _ => return CliError::failed("mirror", error),
    };
    CliError::failed(code, error).advise(advice)
}
