//! `factum topic`: create, list, describe, configure, grow, trim, delete.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, Write};

use clap::{Args, Subcommand};
use factum_event::{Partition, TopicName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::table::grouped;
use super::terminal::{BOLD, DIM, GOOD};
use super::{CliError, Table, Terminal};

/// Create, look at, change and delete topics
#[derive(Debug, Args)]
#[command(
    long_about = "Create, look at, change and delete topics.\n\n\
        A topic is a named log with one or more partitions. Order holds within a partition; \
        events with an equal key go to the same one.",
    after_help = "Examples:\n  factum topic create orders --partitions 4\n  factum topic list\n  factum topic describe orders",
    arg_required_else_help = true
)]
pub struct TopicArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a topic
    #[command(after_help = "Examples:\n  \
        factum topic create orders\n  \
        factum topic create orders --partitions 4\n  \
        factum topic create images --config max.message.bytes=10000000")]
    Create {
        /// Its name: letters, digits, '.', '_' and '-'
        name: TopicName,
        /// How many partitions; more can be added later, never fewer [default: the server's]
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        partitions: Option<u32>,
        /// A setting by Kafka's name; may be repeated
        #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
    },
    /// List all topics
    #[command(after_help = "Examples:\n  \
        factum topic list\n  \
        factum topic list --internal\n  \
        factum topic list --output json | jq -r '.topics[].name'")]
    List {
        /// Factum's own topics too
        #[arg(long)]
        internal: bool,
    },
    /// Show a topic with its partitions and settings
    #[command(after_help = "Examples:\n  factum topic describe orders")]
    Describe {
        /// The topic
        name: TopicName,
    },
    /// Change settings of a topic
    #[command(
        long_about = "Change settings of a topic.\n\nNames, defaults and meaning are Kafka's: \
            `factum topic describe` shows them all. A change holds at once.",
        after_help = "Examples:\n  \
            factum topic configure orders --set retention.ms=2592000000\n  \
            factum topic configure orders --set cleanup.policy=compact --unset retention.ms"
    )]
    Configure {
        /// The topic
        name: TopicName,
        /// A setting to set; may be repeated
        #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
        #[arg(required_unless_present = "unset")]
        set: Vec<(String, String)>,
        /// A setting that goes back to its default; may be repeated
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Delete the records of a partition before an offset
    #[command(after_help = "Examples:\n  \
        factum topic trim orders --partition 0 --before 1000\n  \
        factum topic trim orders --partition 0 --before end --yes")]
    Trim {
        /// The topic
        name: TopicName,
        /// The partition
        #[arg(short, long, value_name = "P", value_parser = partition)]
        partition: Partition,
        /// The first offset that stays; 'end' deletes all there is now
        #[arg(short, long, value_name = "OFFSET", value_parser = before)]
        before: Before,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Add partitions to a topic
    #[command(
        long_about = "Add partitions to a topic.\n\nEvents that were published stay where they \
            are. From then on a key may go to another partition than before, so that the order \
            of its events is only kept on either side of the change.",
        after_help = "Examples:\n  factum topic grow orders --partitions 8"
    )]
    Grow {
        /// The topic
        name: TopicName,
        /// How many partitions it shall have in all
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
    },
    /// Delete a topic with everything in it
    #[command(after_help = "Examples:\n  \
        factum topic delete orders\n  \
        factum topic delete orders --yes")]
    Delete {
        /// The topic
        name: TopicName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Runs `factum topic`.
pub fn run(args: TopicArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::Create { name, partitions, configs } => {
            let mut body = json!({ "name": name });
            if let Some(partitions) = partitions {
                body["partitions"] = partitions.into();
            }
            if !configs.is_empty() {
                body["configs"] = json!(configs.into_iter().collect::<BTreeMap<_, _>>());
            }
            changed(terminal, "created", client.post("/topics", &body)?)
        }
        Verb::List { internal } => {
            list(terminal, client.get(if internal { "/topics?internal=true" } else { "/topics" })?)
        }
        Verb::Describe { name } => {
            let mut topic = client.get(&path(&name))?;
            let mut settings = match client.get(&format!("{}/settings", path(&name))) {
                // Who may know of a topic need not know its settings.
                Err(error) if error.code() == "forbidden" => json!({ "settings": [] }),
                answer => answer?,
            };
            topic["settings"] = settings["settings"].take();
            describe(terminal, topic)
        }
        Verb::Configure { name, set, unset } => {
            let unset = unset.into_iter().map(|key| (key, Value::Null));
            let set = set.into_iter().map(|(key, value)| (key, Value::String(value)));
            let body = json!({ "configs": unset.chain(set).collect::<BTreeMap<_, _>>() });
            changed(terminal, "configured", client.patch(&path(&name), &body)?)
        }
        Verb::Trim { name, partition, before, yes } => {
            trim(&name, (partition, before), yes, client, terminal)
        }
        Verb::Grow { name, partitions } => {
            let body = json!({ "partitions": partitions });
            changed(terminal, "grown", client.patch(&path(&name), &body)?)
        }
        Verb::Delete { name, yes } => delete(&name, yes, client, terminal),
    }
}

/// What the server says of a topic.
#[derive(Debug, Deserialize)]
struct Topic {
    name: String,
    id: String,
    created_at: String,
    partitions: Vec<Extent>,
    #[serde(default)]
    settings: Vec<Setting>,
}

#[derive(Debug, Deserialize)]
struct Setting {
    name: String,
    value: String,
    source: String,
}

/// What a partition is to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Offset(u64),
    End,
}

#[derive(Debug, Deserialize)]
struct Extent {
    partition: u32,
    start: u64,
    end: u64,
}

impl Extent {
    const fn records(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Topic {
    fn records(&self) -> u64 {
        self.partitions.iter().map(Extent::records).sum()
    }
}

fn path(name: &TopicName) -> String {
    format!("/topics/{}", segment(name.as_str()))
}

fn changed(terminal: &Terminal, verb: &str, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let topic: Topic = read_answer(answer)?;
    let count = topic.partitions.len();
    let plural = if count == 1 { "partition" } else { "partitions" };
    let done = terminal.colors.paint(GOOD, format!("✓ {verb}"));
    terminal.say(format!("{done} topic {} with {count} {plural}", topic.name))
}

fn list(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    #[derive(Deserialize)]
    struct Topics {
        topics: Vec<Topic>,
    }
    let Topics { topics } = read_answer(answer)?;
    if topics.is_empty() {
        return terminal.say("There is no topic yet: factum topic create NAME");
    }
    let mut table = Table::new(terminal.colors, &["topic", ">partitions", ">records", "created"]);
    for topic in &topics {
        let (partitions, records) = (topic.partitions.len(), grouped(topic.records()));
        table.row([&topic.name as &dyn Display, &partitions, &records, &topic.created_at]);
    }
    terminal.say(table)
}

fn describe(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let topic: Topic = read_answer(answer)?;
    let colors = terminal.colors;
    let mut text = format!("{}\n", colors.paint(BOLD, &topic.name));
    let mut line = |label: &str, value: &str| {
        text.push_str(&format!("  {} {value}\n", colors.paint(DIM, format!("{label:<10}"))));
    };
    line("id", &topic.id);
    line("created", &topic.created_at);
    line("records", &grouped(topic.records()));
    let mut table = Table::new(colors, &[">partition", ">start", ">end", ">records"]);
    for extent in &topic.partitions {
        let (start, end) = (grouped(extent.start), grouped(extent.end));
        let records = grouped(extent.records());
        table.row([&extent.partition as &dyn Display, &start, &end, &records]);
    }
    let mut settings = Table::new(colors, &["setting", "value", "source"]);
    for setting in &topic.settings {
        settings.row([&setting.name as &dyn Display, &setting.value, &setting.source]);
    }
    terminal.say(format!("{text}\n{table}\n{settings}"))
}

fn trim(
    name: &TopicName,
    (partition, before): (Partition, Before),
    yes: bool,
    client: &Client,
    terminal: &Terminal,
) -> Result<(), CliError> {
    let topic: Topic = read_answer(client.get(&path(name))?)?;
    let number = partition.get().unsigned_abs();
    let extent = topic.partitions.iter().find(|extent| extent.partition == number);
    let extent = extent.ok_or_else(|| {
        let count = topic.partitions.len();
        CliError::usage(format!("topic {name} has no partition {partition}; it has {count}"))
    })?;
    let before = match before {
        Before::Offset(offset) => offset,
        Before::End => extent.end,
    };
    if !yes {
        let gone = grouped(before.min(extent.end).saturating_sub(extent.start));
        let what = format!("partition {partition} of topic {name}, before offset {before}");
        confirm(terminal, &format!("Delete {gone} records of {what}?"))?;
    }
    let body = json!({ "partition": number, "before": before });
    let answer = client.post(&format!("{}/trim", path(name)), &body)?;
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let done = terminal.colors.paint(GOOD, "✓ trimmed");
    terminal.say(format!("{done} partition {partition} of topic {name}"))
}

fn delete(
    name: &TopicName,
    yes: bool,
    client: &Client,
    terminal: &Terminal,
) -> Result<(), CliError> {
    if !yes {
        let topic: Topic = read_answer(client.get(&path(name))?)?;
        let question = format!("Delete topic {name} with {} records?", grouped(topic.records()));
        confirm(terminal, &question)?;
    }
    client.delete(&path(name))?;
    if terminal.json() {
        return terminal.say_json(&json!({ "deleted": name }));
    }
    terminal.say(format!("{} topic {name}", terminal.colors.paint(GOOD, "✓ deleted")))
}

/// Asks before something that cannot be undone.
///
/// # Errors
/// Unless the answer is yes, or where nobody can be asked.
#[expect(clippy::print_stderr, reason = "a question is for people")]
pub fn confirm(terminal: &Terminal, question: &str) -> Result<(), CliError> {
    if !terminal.can_ask() {
        return Err(CliError::usage("this cannot be undone and nobody can be asked: say --yes"));
    }
    eprint!("{question} This cannot be undone. [y/N] ");
    let failed = |error: io::Error| CliError::failed("input", format!("no answer: {error}"));
    io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failed("declined", "nothing was deleted")),
    }
}

/// What the server answered, in the form that this version knows.
pub fn read_answer<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, CliError> {
    serde_json::from_value(answer).map_err(|error| {
        CliError::failed("bad-answer", format!("the server's answer is not understood: {error}"))
            .advise("is --server a Factum server of this version?")
    })
}

fn partition(text: &str) -> Result<Partition, String> {
    let number = text.parse().ok().and_then(Partition::new);
    number.ok_or_else(|| format!("expected a partition, 0 or more, not {text:?}"))
}

fn before(text: &str) -> Result<Before, String> {
    match text {
        "end" => Ok(Before::End),
        _ => text
            .parse()
            .map(Before::Offset)
            .map_err(|_| format!("expected an offset, 0 or more, or end, not {text:?}")),
    }
}

/// `KEY=VALUE`.
///
/// # Errors
/// Text that says what was expected.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_keys_and_values() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("a").is_err());
        assert!(key_value("=b").is_err());
    }

    #[test]
    fn a_partition_is_trimmed_before_an_offset_or_its_end() {
        assert_eq!(before("end"), Ok(Before::End));
        assert_eq!(before("12"), Ok(Before::Offset(12)));
        assert!(before("-1").is_err() && before("soon").is_err());
        assert!(partition("-1").is_err());
    }

    #[test]
    fn the_records_of_a_topic_are_those_that_are_kept() {
        let topic: Topic = read_answer(json!({
            "name": "t", "id": "0", "created_at": "x", "internal": false, "configs": {},
            "partitions": [{"partition": 0, "start": 5, "end": 12}, {"partition": 1, "start": 0, "end": 3}],
        }))
        .unwrap();
        assert_eq!(topic.records(), 10);
    }
}
