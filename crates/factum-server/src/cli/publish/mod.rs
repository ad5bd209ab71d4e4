//! `factum publish`: one event from flags, or many from a file or a pipe.
//!
//! Events are sent in their order, one batch at a time, while the next ones are read: what is
//! acknowledged is on the server's disk. Nothing is sent twice; where it stops, it says which
//! lines are in the log.

mod complete;
mod csv_rows;
mod data;
mod input;
mod queue;
mod send;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use factum_event::clock::{Clock, SystemClock};
use factum_event::event::{Event, EventIds, EventTime, json};
use factum_event::{Timestamp, TopicName};
use serde_json::Value;

use super::client::{Client, segment};
use super::terminal::{DIM, GOOD, TYPE};
use super::topic::key_value;
use super::{CliError, Terminal};

/// Publish events: one from flags, or many from a file or a pipe
#[derive(Debug, Args)]
#[command(
    long_about = "Publish events: one from flags, or many from a file or a pipe.\n\n\
        With --type and without --format, one event is made from the flags. Otherwise events are \
        read from FILE or stdin:\n\n  \
        --format events  a CloudEvent in JSON on each line (the default; what `factum read` prints)\n  \
        --format data    JSON on each line, which becomes the data of an event\n  \
        --format csv     a heading, then a row for each event; columns become data\n\n\
        Flags such as --type, --source and --subject then fill in what a line does not say. A \
        missing id becomes a UUIDv7, a missing time the present. Order is kept, and each batch is \
        on the server's disk before the next one is sent.",
    after_help = "Examples:\n  \
        factum publish orders --type order.placed --source /shop --subject order/7 --data '{\"total\": 12}'\n  \
        factum publish photos --type photo.taken --source /cam --data @a.jpg --datacontenttype image/jpeg\n  \
        factum publish orders events.ndjson\n  \
        factum publish backup < orders.ndjson\n  \
        factum publish metrics --format data --type metric.read --source /meter < readings.ndjson\n  \
        factum publish quakes quakes.csv --format csv --type quake.observed --source /usgs \
        --id-column id --time-column time --subject-column place"
)]
pub struct PublishArgs {
    /// The topic, which must exist
    topic: TopicName,

    /// Read events from this file; - or nothing is stdin
    file: Option<PathBuf>,

    /// What the input is [default: events]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,

    #[command(flatten)]
    attributes: Attributes,

    /// The event's data: JSON, text, @FILE, or - for stdin
    #[arg(short, long, value_name = "DATA", conflicts_with_all = ["file", "format"], requires = "event_type",
          allow_hyphen_values = true)]
    data: Option<String>,

    /// The partition; without one the partition key or subject decides
    #[arg(short, long, value_name = "N")]
    partition: Option<u32>,

    #[command(flatten)]
    columns: Columns,

    /// Leave out lines that are no event, and count them, instead of stopping there
    #[arg(long)]
    skip_invalid: bool,

    /// Events in one request
    #[arg(long, value_name = "N", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

/// What the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A CloudEvent in JSON on each line
    Events,
    /// JSON on each line, which becomes the data of an event
    Data,
    /// Rows under a heading
    Csv,
}

/// Attributes of one event, or of every line that does not say otherwise.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Attributes of the event")]
pub struct Attributes {
    /// What happened, such as order.placed
    #[arg(long = "type", id = "event_type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Where it happened: a URI reference, such as `/shop` or `https://shop.example`
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// What it happened to, such as order/7
    #[arg(long)]
    subject: Option<String>,
    /// Its identity within the source [default: a new UUIDv7]
    #[arg(long)]
    id: Option<String>,
    /// When it happened, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_parser = str::parse::<EventTime>)]
    time: Option<EventTime>,
    /// The media type of the data [default: application/json, or text/plain]
    #[arg(long, value_name = "TYPE")]
    datacontenttype: Option<String>,
    /// The schema of the data: a URI
    #[arg(long, value_name = "URI")]
    dataschema: Option<String>,
    /// The process that it belongs to
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// The event that caused it
    #[arg(long, value_name = "ID")]
    causation_id: Option<String>,
    /// What decides its partition, before the subject
    #[arg(long, value_name = "KEY")]
    partition_key: Option<String>,
    /// An extension attribute; may be repeated
    #[arg(short, long = "extension", value_name = "NAME=VALUE", value_parser = key_value)]
    extensions: Vec<(String, String)>,
}

/// Which columns of a CSV are attributes; the others become data.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Columns of a CSV that are attributes, by their heading")]
pub struct Columns {
    /// Column with the type
    #[arg(long, value_name = "COLUMN")]
    type_column: Option<String>,
    /// Column with the subject
    #[arg(long, value_name = "COLUMN")]
    subject_column: Option<String>,
    /// Column with the id
    #[arg(long, value_name = "COLUMN")]
    id_column: Option<String>,
    /// Column with the time: RFC 3339, or seconds or milliseconds since 1970
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Column with the correlation id
    #[arg(long, value_name = "COLUMN")]
    correlation_column: Option<String>,
    /// Column with the partition key
    #[arg(long, value_name = "COLUMN")]
    partition_key_column: Option<String>,
    /// Times without a zone are UTC
    #[arg(long)]
    utc: bool,
    /// Keep every value a string, instead of numbers, true, false and null where they look it
    #[arg(long)]
    strings: bool,
}

/// Fills in what every event needs.
struct Stamp {
    ids: EventIds,
    clock: SystemClock,
}

impl Stamp {
    fn new() -> Self {
        Self { ids: EventIds::new(), clock: SystemClock::new() }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Runs `factum publish`.
pub fn run(args: PublishArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    let mut path = format!("/topics/{}/events", segment(args.topic.as_str()));
    if let Some(partition) = args.partition {
        path.push_str(&format!("?partition={partition}"));
    }
    let one = args.format.is_none() && args.file.is_none() && args.attributes.event_type.is_some();
    if one {
        let event = single(&args.attributes, args.data.as_deref())?;
        let answer = client.post_bytes(&path, json::MEDIA_TYPE, json::encode(&event).as_bytes())?;
        return published(terminal, &event, &answer);
    }
    let file = args.file.filter(|file| file.as_os_str() != "-");
    if file.is_none() && terminal.stdin_is_terminal() {
        return Err(CliError::usage(
            "what is to be published? Say --type and --source for one event, name a file, or \
             pipe events in; `factum publish --help` shows examples",
        ));
    }
    let source = input::Source {
        format: args.format.unwrap_or(Format::Events),
        attributes: args.attributes,
        columns: args.columns,
        skip_invalid: args.skip_invalid,
    };
    let input = input::open(file.as_deref())?;
    send::run(client, terminal, &path, source, input, args.batch)
}

/// The event that the flags describe.
fn single(attributes: &Attributes, data: Option<&str>) -> Result<Event, CliError> {
    let stamp = Stamp::new();
    let builder = attributes.builder().map_err(CliError::usage)?;
    let builder = match data {
        Some(text) => data::attach(builder, data::read(text)?, attributes),
        None => builder,
    };
    builder
        .stamp(&stamp.ids, stamp.now())
        .build()
        .map_err(|error| CliError::failed(error.code(), error))
}

fn published(terminal: &Terminal, event: &Event, answer: &Value) -> Result<(), CliError> {
    let position = answer.pointer("/positions/0").ok_or_else(|| {
        CliError::failed("bad-answer", "the server's answer does not say the event's position")
    })?;
    if terminal.json() {
        return terminal.say_json(position);
    }
    let part = |name: &str| {
        position.get(name).map(|value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        })
    };
    let [topic, partition, offset] =
        ["topic", "partition", "offset"].map(|n| part(n).unwrap_or_default());
    let colors = terminal.colors;
    terminal.say(format!(
        "{} {} at {topic}/{partition}@{offset} {}",
        colors.paint(GOOD, "✓ published"),
        colors.paint(TYPE, event.event_type()),
        colors.paint(DIM, event.id()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            event_type: Some("order.placed".into()),
            source: Some("/shop".into()),
            correlation_id: Some("c-1".into()),
            extensions: vec![("tenant".into(), "a".into())],
            ..Attributes::default()
        }
    }

    #[test]
    fn an_event_from_flags_is_complete() {
        let event = single(&attributes(), Some(r#"{"total": 12}"#)).unwrap();
        assert_eq!(event.datacontenttype(), Some("application/json"));
        assert_eq!(event.correlationid().as_deref(), Some("c-1"));
        assert_eq!(event.attribute("tenant").as_deref(), Some("a"));
        assert!(event.time().is_some());
        assert_eq!(event.id().len(), 36);
    }

    #[test]
    fn an_event_without_a_source_is_a_wrong_usage() {
        let attributes = Attributes { source: None, ..attributes() };
        let error = single(&attributes, None).unwrap_err();
        assert!(matches!(&error, CliError::Usage(text) if text.contains("--source")), "{error}");
    }
}
