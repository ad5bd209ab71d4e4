//! `factum bench` against a fresh server, for one size of records and one number of partitions.

use std::path::Path;

use serde_json::Value;

use super::server::{Server, binary};
use crate::step::{self, Failure, program};

/// Seconds of each load that do not count.
const WARMUP: &str = "2s";

/// What one server gave for one kind of load.
#[derive(Debug)]
pub(crate) struct Load {
    /// Bytes of a record's value.
    pub record_bytes: u64,
    /// Partitions of the topic.
    pub partitions: u32,
    /// The measurements, in the order they ran.
    pub runs: Vec<Run>,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Run {
    /// What was measured, for the table.
    pub what: String,
    /// The command, as a person would type it against a server on the default port.
    pub command: String,
    /// What `factum bench --output json` printed.
    pub found: Value,
}

/// Produces as fast as possible, reads it back, and looks at latencies.
pub(crate) fn measure(
    directory: &Path,
    record_bytes: u64,
    partitions: u32,
    seconds: u64,
) -> Result<Load, Failure> {
    let size = record_bytes.to_string();
    let partitions_text = partitions.to_string();
    let duration = format!("{}s", seconds + 2);
    let load = ["--record-size", &size, "--partitions", &partitions_text];
    let span = ["--warmup", WARMUP, "--duration", &duration];
    let mut runs = Vec::new();

    let server = Server::start(directory)?;
    let one = [&load[..], &span, &["--topic", "one"]].concat();
    runs.push(bench(&server, "produce, 1 connection", "produce", &one)?);
    runs.push(bench(&server, "consume, 1 connection", "consume", &["--topic", "one"])?);
    drop(server);

    // A data directory of its own, so that neither load pays for the other's bytes.
    let server = Server::start(directory)?;
    let four = [&load[..], &span, &["--topic", "four", "--connections", "4"]].concat();
    runs.push(bench(&server, "produce, 4 connections", "produce", &four)?);
    drop(server);

    let server = Server::start(directory)?;
    for rate in ["1000", "10000"] {
        let paced = [&load[..], &span, &["--topic", rate, "--rate", rate, "--end-to-end"]].concat();
        runs.push(bench(&server, &format!("latency at {rate} records/s"), "latency", &paced)?);
    }
    Ok(Load { record_bytes, partitions, runs })
}

fn bench(server: &Server, what: &str, verb: &str, arguments: &[&str]) -> Result<Run, Failure> {
    eprintln!("   {what}");
    let (command, found) = run(server, verb, arguments)?;
    Ok(Run { what: what.to_owned(), command, found })
}

/// Runs `factum bench` against a server: the command as a person would type it, and what it found.
pub(crate) fn run(
    server: &Server,
    verb: &str,
    arguments: &[&str],
) -> Result<(String, Value), Failure> {
    let mut command = program(&binary().to_string_lossy());
    command.args(["bench", verb]).args(arguments).args(["--output", "json"]);
    let shown = format!("factum bench {verb} {}", arguments.join(" "));
    command.arg("--bootstrap").arg(server.kafka.to_string());
    let printed = step::output(&mut command)?;
    let found = serde_json::from_str(&printed)
        .map_err(|error| Failure::Found(format!("{shown} printed no JSON: {error}")))?;
    Ok((shown, found))
}
