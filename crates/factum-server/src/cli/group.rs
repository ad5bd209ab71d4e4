//! `factum group`: list, describe, reset, delete.

use std::collections::BTreeMap;
use std::fmt::Display;

use clap::{Args, Subcommand};
use factum_event::{GroupName, Place, TopicName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::table::grouped;
use super::terminal::{BOLD, DIM, GOOD, WARN};
use super::topic::{confirm, read_answer};
use super::{CliError, Colors, Table, Terminal};

/// Look at consumer groups, move them, delete them
#[derive(Debug, Args)]
#[command(
    long_about = "Look at consumer groups, move them, delete them.\n\n\
        A consumer group is readers that share the partitions of topics, and remember together \
        how far they are.",
    after_help = "Examples:\n  factum group list\n  factum group describe billing\n  factum group reset billing --topic orders --to start",
    arg_required_else_help = true
)]
pub struct GroupArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all groups
    #[command(after_help = "Examples:\n  \
        factum group list\n  \
        factum group list --output json | jq '.groups[].name'")]
    List,
    /// Show a group: its members, what each reads, and how far behind it is
    #[command(after_help = "Examples:\n  factum group describe billing")]
    Describe {
        /// The group
        name: GroupName,
    },
    /// Move a group to another place; it must have no members
    #[command(
        long_about = "Move a group to another place of a topic.\n\nIts members must be stopped, \
            or they would go on from where they are. With a time, the group goes to the first \
            event that is as late or later.",
        after_help = "Examples:\n  \
            factum group reset billing --topic orders --to start\n  \
            factum group reset billing --topic orders --to 2026-01-31T12:00:00Z\n  \
            factum group reset billing --topic orders --to 1200 --partition 3"
    )]
    Reset {
        /// The group
        name: GroupName,
        /// The topic
        #[arg(short, long, value_name = "TOPIC")]
        topic: TopicName,
        /// Where to: start, end, an offset, or a time such as 2026-01-31T12:00:00Z
        #[arg(long, value_name = "PLACE", value_parser = place)]
        to: String,
        /// Only this partition [default: all]
        #[arg(short, long, value_name = "N")]
        partition: Option<u32>,
    },
    /// Delete a group that has no members, with what it remembers
    #[command(after_help = "Examples:\n  \
        factum group delete billing\n  \
        factum group delete billing --yes")]
    Delete {
        /// The group
        name: GroupName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Checks a place and keeps its text, which the server reads again.
///
/// # Errors
/// What a place looks like.
pub fn place(text: &str) -> Result<String, String> {
    text.parse::<Place>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Runs `factum group`.
pub fn run(args: GroupArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::List => list(terminal, client.get("/groups")?),
        Verb::Describe { name } => describe(terminal, client.get(&path(&name))?),
        Verb::Reset { name, topic, to, partition } => {
            let mut body = json!({ "topic": topic, "to": to });
            if let Some(partition) = partition {
                body["partition"] = partition.into();
            }
            let answer = client.put(&format!("{}/offsets", path(&name)), &body)?;
            reset(terminal, &name, answer)
        }
        Verb::Delete { name, yes } => {
            if !yes {
                confirm(terminal, &format!("Delete consumer group {name} with its offsets?"))?;
            }
            client.delete(&path(&name))?;
            if terminal.json() {
                return terminal.say_json(&json!({ "deleted": name }));
            }
            terminal.say(format!("{} group {name}", terminal.colors.paint(GOOD, "✓ deleted")))
        }
    }
}

/// What the server says of a group.
#[derive(Debug, Deserialize)]
struct Group {
    name: String,
    state: String,
    members: Vec<Member>,
    offsets: Vec<Committed>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    client_id: String,
    client_host: String,
    partitions: Vec<TopicPartition>,
}

#[derive(Debug, Deserialize)]
struct TopicPartition {
    topic: String,
    partition: u32,
}

#[derive(Debug, Deserialize)]
struct Committed {
    topic: String,
    partition: u32,
    offset: u64,
    lag: Option<u64>,
}

impl Group {
    fn lag(&self) -> u64 {
        self.offsets.iter().filter_map(|committed| committed.lag).sum()
    }

    /// The member that has a partition.
    fn owner(&self, topic: &str, partition: u32) -> Option<&Member> {
        let has = |one: &TopicPartition| one.topic == topic && one.partition == partition;
        self.members.iter().find(|member| member.partitions.iter().any(has))
    }

    /// Every partition that is committed or assigned, in order.
    fn rows(&self) -> BTreeMap<(&str, u32), Option<&Committed>> {
        let assigned = self.members.iter().flat_map(|member| &member.partitions);
        let assigned = assigned.map(|one| ((one.topic.as_str(), one.partition), None));
        let committed =
            self.offsets.iter().map(|one| ((one.topic.as_str(), one.partition), Some(one)));
        // What is committed comes last and wins.
        assigned.chain(committed).collect()
    }
}

fn path(name: &GroupName) -> String {
    format!("/groups/{}", segment(name.as_str()))
}

fn list(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    #[derive(Deserialize)]
    struct Groups {
        groups: Vec<Group>,
    }
    let Groups { groups } = read_answer(answer)?;
    if groups.is_empty() {
        return terminal.say("There is no consumer group: one appears when a consumer joins it");
    }
    let mut table = Table::new(terminal.colors, &["group", "state", ">members", ">lag"]);
    for group in &groups {
        let lag = grouped(group.lag());
        table.row([&group.name as &dyn Display, &group.state, &group.members.len(), &lag]);
    }
    terminal.say(table)
}

fn describe(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let group: Group = read_answer(answer)?;
    terminal.say(described(&group, terminal.colors))
}

fn described(group: &Group, colors: Colors) -> String {
    let style = if group.state == "Stable" { GOOD } else { WARN };
    let heading =
        format!("{}  {}", colors.paint(BOLD, &group.name), colors.paint(style, &group.state));
    let members = if group.members.is_empty() {
        colors.paint(DIM, "no members")
    } else {
        let mut table = Table::new(colors, &["member", "client", "host", ">partitions"]);
        for member in &group.members {
            let (count, id) = (member.partitions.len(), &member.id);
            table.row([id as &dyn Display, &member.client_id, &member.client_host, &count]);
        }
        table.to_string()
    };
    format!("{heading}\n\n{members}\n\n{}", offsets(group, colors))
}

fn offsets(group: &Group, colors: Colors) -> String {
    let headings = ["topic", ">partition", ">committed", ">end", ">lag", "member"];
    let mut table = Table::new(colors, &headings);
    let dash = || "-".to_owned();
    let rows = group.rows();
    for ((topic, partition), committed) in &rows {
        let offset = committed.map_or_else(dash, |one| grouped(one.offset));
        let lag = committed.and_then(|one| one.lag);
        let end = committed.and_then(|one| one.lag.map(|lag| one.offset.saturating_add(lag)));
        let owner = group.owner(topic, *partition).map_or_else(dash, |member| member.id.clone());
        let (end, lag) = (end.map_or_else(dash, grouped), lag.map_or_else(dash, grouped));
        table.row([topic as &dyn Display, partition, &offset, &end, &lag, &owner]);
    }
    let lag = grouped(group.lag());
    table.total([&"total" as &dyn Display, &rows.len(), &"", &"", &lag, &""]);
    table.to_string()
}

fn reset(terminal: &Terminal, name: &GroupName, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    #[derive(Deserialize)]
    struct Reset {
        offsets: Vec<Committed>,
    }
    let Reset { offsets } = read_answer(answer)?;
    let mut table = Table::new(terminal.colors, &["topic", ">partition", ">offset"]);
    for one in &offsets {
        table.row([&one.topic as &dyn Display, &one.partition, &grouped(one.offset)]);
    }
    let done = terminal.colors.paint(GOOD, "✓ moved");
    terminal.say(format!("{done} group {name}\n\n{table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        read_answer(json!({
            "name": "billing", "state": "Stable",
            "members": [{"id": "m-1", "client_id": "app", "client_host": "/127.0.0.1",
                         "partitions": [{"topic": "orders", "partition": 0}, {"topic": "orders", "partition": 1}]}],
            "offsets": [{"topic": "orders", "partition": 0, "offset": 90, "lag": 10},
                        {"topic": "gone", "partition": 0, "offset": 5, "lag": null}],
        }))
        .unwrap()
    }

    #[test]
    fn a_group_shows_lag_by_partition_with_its_total_and_owner() {
        let text = described(&group(), Colors::OFF);
        let row = |start: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("gone"), ["gone", "0", "5", "-", "-", "-"]);
        assert_eq!(row("orders"), ["orders", "0", "90", "100", "10", "m-1"]);
        assert_eq!(row("total"), ["total", "3", "10"]);
        assert!(text.contains("Stable"), "{text}");
    }

    #[test]
    fn a_partition_that_is_assigned_but_never_committed_is_shown() {
        let group = group();
        assert_eq!(group.rows().len(), 3);
        assert!(group.rows()[&("orders", 1)].is_none());
    }

    #[test]
    fn places_are_checked_before_they_are_sent() {
        assert_eq!(place("start").as_deref(), Ok("start"));
        assert!(place("yesterday").unwrap_err().contains("expected"));
    }
}
