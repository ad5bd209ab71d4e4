//! `factum verify`: checks a data directory while no server has it.

use std::path::PathBuf;

use clap::Args;

use super::table::grouped;
use super::terminal::{BOLD, DIM, ERROR, GOOD, HINT, WARN};
use super::{CliError, Terminal};
use crate::byte_size::ByteSize;
use crate::verify::{self, Failure, Found, Progress, Report, Request};

/// What a person sees while it reads.
const PROGRESS: &str =
    "{spinner} checking [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";

/// Check a data directory: damage, and a past that was rewritten
#[derive(Debug, Args)]
#[command(
    long_about = "Check a data directory while no server has it: the structure of every file, every \
        checksum, offsets without gaps, indexes, and the hash chain over each partition, by which \
        a rewritten past is found. Nothing in the directory is changed, and the check goes on \
        after what it finds.\n\n\
        An attestation is a small file that fixes the past: where each partition ends, the hash of \
        everything before, and one root hash over all of them. Give it away; whoever has it can \
        check later that the log still has that past. docs/verify.md says how.\n\n\
        Exit codes: 0 sound, 1 something is wrong, 2 it could not be checked.",
    after_help = "Examples:\n  \
        factum verify ./data\n  \
        factum verify ./data --deep --output json\n  \
        factum verify ./data --attest today.json          fix the past as it is now\n  \
        factum verify ./data --against last-year.json     is it still the same past?"
)]
pub struct VerifyArgs {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Unpack and decode every record as well
    #[arg(long)]
    deep: bool,

    /// Write an attestation to this file, which must not be there yet, if the log is sound
    #[arg(long, value_name = "FILE")]
    attest: Option<PathBuf>,

    /// Compare with an attestation that was written earlier
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Runs `factum verify`.
pub fn run(args: VerifyArgs, terminal: &Terminal) -> Result<(), CliError> {
    let VerifyArgs { directory, deep, attest, against } = args;
    let request = Request { directory, deep, attest, against };
    let bar = terminal.progress(Some(0), PROGRESS);
    let checked = verify::run(&request, &mut |progress| match progress {
        Progress::Total(bytes) => bar.set_length(bytes),
        Progress::Read(bytes) => bar.inc(bytes),
    });
    bar.finish_and_clear();
    let report = checked.map_err(|failure| match failure {
        Failure::Write { .. } => CliError::failed("attestation", failure),
        _ => CliError::cannot("verify", failure),
    })?;
    if terminal.json() {
        terminal.say_json(&report)?;
    } else {
        terminal.say(text(&report, terminal))?;
    }
    let count = report.findings.len() as u64 + report.more_findings;
    match count {
        0 => Ok(()),
        1 => Err(damaged("one thing is wrong", &report)),
        _ => Err(damaged(&format!("{} things are wrong", grouped(count)), &report)),
    }
}

fn damaged(what: &str, report: &Report) -> CliError {
    CliError::failed("damaged", format!("{what} in {}", report.directory.display()))
}

fn text(report: &Report, terminal: &Terminal) -> String {
    let colors = terminal.colors;
    let mut lines = Vec::new();
    for found in &report.findings {
        lines.push(format!(
            "{} {} {}",
            colors.paint(ERROR, found.fault),
            colors.paint(BOLD, &found.file),
            colors.paint(DIM, format!("at byte {}", found.position))
        ));
        lines.push(format!("  {}{}", place(found), found.reason));
        lines.push(format!("  {} {}", colors.paint(HINT, "hint:"), found.advice));
    }
    if report.more_findings > 0 {
        lines.push(format!("and {} more", grouped(report.more_findings)));
    }
    for note in &report.notes {
        lines.push(format!("{} {note}", colors.paint(WARN, "note:")));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let verdict = if report.sound {
        colors.paint(GOOD, "sound")
    } else {
        colors.paint(ERROR, "not sound; what is not listed above is")
    };
    lines.push(format!("{}: {verdict}", report.directory.display()));
    let bytes = ByteSize::from(report.bytes);
    lines.push(format!(
        "  {} batches ({bytes}) in {} partitions, {} journals, {} of them sealed",
        grouped(report.batches),
        grouped(report.partitions),
        grouped(report.journals),
        grouped(report.seals)
    ));
    if report.moved_offsets > 0 {
        lines.push(format!(
            "  {} offsets of {} partitions were moved or compacted, into {} segments: no longer \
             covered by a chain",
            grouped(report.moved_offsets),
            grouped(report.moved_partitions),
            grouped(report.segments)
        ));
    }
    if report.unproven > 0 {
        lines.push(format!(
            "  {} attested partitions could not be compared: see the notes",
            grouped(report.unproven)
        ));
    }
    lines.extend(report.records.map(|count| format!("  {} records decoded", grouped(count))));
    lines.extend(report.root.as_ref().map(|root| format!("  root hash {root}")));
    lines.extend(report.attested.as_ref().map(|file| format!("  attested in {}", file.display())));
    lines.join("\n")
}

/// Which records it concerns.
fn place(found: &Found) -> String {
    let (Some(id), Some(partition)) = (found.topic_id, found.partition) else {
        return String::new();
    };
    let topic = match &found.topic {
        Some(name) => format!("{name} ({id})"),
        None => id.to_string(),
    };
    match (found.first_offset, found.last_offset) {
        (Some(first), Some(last)) if first == last => {
            format!("topic {topic}, partition {partition}, offset {first}: ")
        }
        (Some(first), Some(last)) => {
            format!("topic {topic}, partition {partition}, offsets {first} to {last}: ")
        }
        _ => format!("topic {topic}, partition {partition}: "),
    }
}
