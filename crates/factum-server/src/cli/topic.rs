//! `factum topic`: create, list, describe, grow, delete.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, Write};

use clap::{Args, Subcommand};
use factum_event::TopicName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::table::grouped;
use super::terminal::{BOLD, DIM, GOOD};
use super::{CliError, Table, Terminal};

/// Create, look at, grow and delete topics
#[derive(Debug, Args)]
#[command(
    long_about = "Create, look at, grow and delete topics.\n\n\
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
        Verb::Describe { name } => describe(terminal, client.get(&path(&name))?),
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
    configs: BTreeMap<String, String>,
    partitions: Vec<Extent>,
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
    for (key, value) in &topic.configs {
        line("config", &format!("{key}={value}"));
    }
    let mut table = Table::new(colors, &[">partition", ">start", ">end", ">records"]);
    for extent in &topic.partitions {
        let (start, end) = (grouped(extent.start), grouped(extent.end));
        let records = grouped(extent.records());
        table.row([&extent.partition as &dyn Display, &start, &end, &records]);
    }
    terminal.say(format!("{text}\n{table}"))
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
    fn the_records_of_a_topic_are_those_that_are_kept() {
        let topic: Topic = read_answer(json!({
            "name": "t", "id": "0", "created_at": "x", "internal": false, "configs": {},
            "partitions": [{"partition": 0, "start": 5, "end": 12}, {"partition": 1, "start": 0, "end": 3}],
        }))
        .unwrap();
        assert_eq!(topic.records(), 10);
    }
}
