//! `factum read`: events of a topic, for people as blocks, for programs as lines of JSON.

mod block;
mod fold;
mod follow;
mod sse;

use std::io::{BufRead, BufReader, Read, Write};

use clap::Args;
use factum_event::TopicName;
use factum_event::event::{StoredEvent, json};

use self::block::Blocks;
use super::client::{Client, segment};
use super::group::place;
use super::{CliError, Terminal};

/// The longest line that a stream may have.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Read events, and follow them as they arrive
#[derive(Debug, Args)]
#[command(
    long_about = "Read events, and follow them as they arrive.\n\n\
        On a terminal each event is a block: when it happened, where it stands, its type and \
        subject, its data folded to what fits. In a pipe each event is a line of JSON, with its \
        position in factumtopic, factumpartition, factumoffset and factumappendtime. Filters are \
        exact, and all of them must hold.\n\n\
        One partition is read in the order of its offsets; several are merged by the time at \
        which they were appended. --follow goes on after a lost connection where it was.",
    after_help = "Examples:\n  \
        factum read orders\n  \
        factum read orders --follow --type order.placed\n  \
        factum read orders --from 2026-01-31T12:00:00Z --limit 20\n  \
        factum read orders --partition 0 --from 1200 --full\n  \
        factum read --correlation-id 0190-7d                 (a process, over all topics)\n  \
        factum read orders | jq -r .subject | sort | uniq -c"
)]
pub struct ReadArgs {
    /// The topic; without one all topics are read
    topic: Option<TopicName>,

    /// Where to begin: start, end, an offset, or a time [default: start; with --follow: end]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    from: Option<String>,

    /// Where to end: end, an offset, or a time; it is not read itself [default: end]
    #[arg(long, value_name = "PLACE", value_parser = place, conflicts_with = "follow")]
    until: Option<String>,

    /// Only this partition
    #[arg(short, long, value_name = "N", requires = "topic")]
    partition: Option<u32>,

    /// Only events of this type; may be repeated, any of them then
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Only events with this subject
    #[arg(long)]
    subject: Option<String>,

    /// Only events from this source
    #[arg(long, value_name = "URI")]
    source: Option<String>,

    /// Only events of this process
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// Only the event with this id
    #[arg(long)]
    id: Option<String>,

    /// Stop after this many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Do not stop at the end: wait for more
    #[arg(short = 'F', long)]
    follow: bool,

    /// Show all data of each event, unfolded
    #[arg(long)]
    full: bool,
}

impl ReadArgs {
    fn path(&self) -> String {
        match &self.topic {
            Some(topic) => format!("/topics/{}/events", segment(topic.as_str())),
            None => "/events".to_owned(),
        }
    }

    /// What to ask for, with this many events left to read.
    fn query(&self, limit: Option<u64>) -> Vec<(&'static str, String)> {
        let from = self
            .from
            .clone()
            .unwrap_or_else(|| if self.follow { "end" } else { "start" }.to_owned());
        let mut query = vec![("from", from)];
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                query.push((name, value));
            }
        };
        add("until", self.until.clone());
        add("partition", self.partition.map(|partition| partition.to_string()));
        add("subject", self.subject.clone());
        add("source", self.source.clone());
        add("correlationid", self.correlation_id.clone());
        add("id", self.id.clone());
        add("limit", limit.map(|limit| limit.to_string()));
        query.extend(self.types.iter().map(|one| ("type", one.clone())));
        query
    }
}

/// Runs `factum read`.
pub fn run(args: &ReadArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    let mut printer = Printer::new(terminal, args.full);
    if args.follow {
        follow::run(args, client, terminal, &mut printer)
    } else {
        let query = args.query(args.limit);
        let stream = client.stream(&args.path(), &query, "application/x-ndjson", None)?;
        let read = read_lines(stream, &mut printer);
        // What came before an error is shown before it.
        printer.flush()?;
        read
    }
}

fn read_lines(stream: impl Read, printer: &mut Printer) -> Result<(), CliError> {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        read.map_err(|error| {
            CliError::failed("broken-stream", format!("the server broke off: {error}"))
                .advise("what was printed is right; read on from its last position")
        })?;
        if line.is_empty() {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Err(CliError::failed("broken-stream", "the server broke off within an event"));
        }
        printer.event(line.trim_ascii_end())?;
    }
}

/// Prints events.
struct Printer {
    out: std::io::BufWriter<std::io::StdoutLock<'static>>,
    blocks: Option<Blocks>,
}

impl Printer {
    fn new(terminal: &Terminal, full: bool) -> Self {
        let blocks = (!terminal.json()).then(|| Blocks::new(terminal.colors, full));
        Self { out: terminal.stdout(), blocks }
    }

    /// Prints an event that came as a line of JSON; programs get the line as it is.
    fn event(&mut self, line: &[u8]) -> Result<(), CliError> {
        let written = match &self.blocks {
            None => self.out.write_all(line).and_then(|()| self.out.write_all(b"\n")),
            Some(blocks) => {
                let stored = json::decode(line).and_then(StoredEvent::from_event);
                let stored = stored.map_err(|error| {
                    CliError::failed("bad-answer", format!("the server sent no event: {error}"))
                })?;
                writeln!(self.out, "{}", blocks.show(&stored))
            }
        };
        written.map_err(|error| CliError::from_stdout(&error))
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.out.flush().map_err(|error| CliError::from_stdout(&error))
    }
}
