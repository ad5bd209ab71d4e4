//! `factum acl`: list, allow, deny, delete, explain.

use std::fmt::Display;
use std::net::IpAddr;

use clap::{Args, Subcommand};
use factum_event::access::{
    Acl, CLUSTER_NAME, Operation, Pattern, Permission, Principal, ResourceType,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::terminal::{BOLD, DIM, ERROR, GOOD};
use super::topic::{confirm, read_answer};
use super::{CliError, Table, Terminal};

/// Say who may do what, and find out why somebody may not
#[derive(Debug, Args)]
#[command(
    long_about = "Say who may do what, and find out why somebody may not.\n\n\
        A rule (ACL) allows or denies a principal an operation on a topic, a consumer group, a \
        transactional id or the cluster. What no rule allows is denied, and one rule that denies \
        beats all that allow. Rules hold at once, for Kafka clients and HTTP alike, on a server \
        that runs with --access-control.",
    after_help = "Examples:\n  factum acl allow alice --produce orders\n  factum acl allow billing --consume orders --group billing\n  factum acl explain alice write --topic orders",
    arg_required_else_help = true
)]
pub struct AclArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the rules
    #[command(after_help = "Examples:\n  \
        factum acl list\n  \
        factum acl list --topic orders           (all rules that are about it)\n  \
        factum acl list --principal alice")]
    List(Filter),
    /// Allow somebody something
    #[command(
        long_about = "Allow somebody something.\n\n--produce and --consume are what a producer or \
            a consumer of a topic needs; a consumer needs its group besides. Anything else is \
            said with --operation.",
        after_help = "Examples:\n  \
            factum acl allow alice --produce orders\n  \
            factum acl allow billing --consume orders --group billing\n  \
            factum acl allow etl --consume raw. --produce clean. --group etl --prefix\n  \
            factum acl allow ops --operation describe --cluster"
    )]
    Allow(Grant),
    /// Deny somebody something, whatever other rules allow
    #[command(after_help = "Examples:\n  \
        factum acl deny intern --operation all --topic salaries\n  \
        factum acl deny '*' --operation delete --topic orders")]
    Deny(Grant),
    /// Delete the rules that fit
    #[command(after_help = "Examples:\n  \
        factum acl delete --principal alice\n  \
        factum acl delete --principal alice --topic orders --operation write --yes")]
    Delete {
        #[command(flatten)]
        filter: Filter,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Say whether somebody may do something, and which rule decides
    #[command(after_help = "Examples:\n  \
        factum acl explain alice write --topic orders\n  \
        factum acl explain billing read --group billing --host 10.0.0.7")]
    Explain {
        /// Who: a user, or a principal such as User:alice
        #[arg(value_parser = principal)]
        principal: Principal,
        /// What: read, write, create, delete, alter, describe, …
        operation: Operation,
        #[command(flatten)]
        on: On,
        /// From where [default: this machine]
        #[arg(long, value_name = "IP")]
        host: Option<IpAddr>,
    },
}

/// Rules for somebody.
#[derive(Debug, Args)]
pub struct Grant {
    /// Whom: a user, or a principal such as User:alice; '*' is everyone
    #[arg(value_parser = principal)]
    principal: Principal,
    #[command(flatten)]
    what: What,
}

/// What rules are about.
#[derive(Debug, Args)]
pub struct What {
    /// Write to a topic, and create it; may be repeated
    #[arg(long, value_name = "TOPIC")]
    produce: Vec<String>,
    /// Read a topic; may be repeated
    #[arg(long, value_name = "TOPIC")]
    consume: Vec<String>,
    /// What is meant with --topic, --group, --transactional-id and --cluster [default: read for
    /// a group, write for a transactional id]; may be repeated
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<Operation>,
    /// A topic, with --operation; may be repeated
    #[arg(long = "topic", value_name = "TOPIC", requires = "operations")]
    topics: Vec<String>,
    /// A consumer group; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A transactional id; may be repeated
    #[arg(long = "transactional-id", value_name = "ID")]
    transactional_ids: Vec<String>,
    /// The cluster as a whole, with --operation
    #[arg(long, requires = "operations")]
    cluster: bool,
    /// Names are how names begin
    #[arg(long)]
    prefix: bool,
    /// Only from this address
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
}

/// Which rules.
#[derive(Debug, Args)]
struct Filter {
    /// About whom: a user, or a principal such as User:alice
    #[arg(long, value_parser = principal)]
    principal: Option<Principal>,
    #[command(flatten)]
    on: On,
    /// About what may be done
    #[arg(long)]
    operation: Option<Operation>,
}

/// What a rule or a question is about.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
struct On {
    /// A topic
    #[arg(long)]
    topic: Option<String>,
    /// A consumer group
    #[arg(long)]
    group: Option<String>,
    /// A transactional id
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,
    /// The cluster as a whole
    #[arg(long)]
    cluster: bool,
}

impl On {
    fn resource(&self) -> Option<(ResourceType, &str)> {
        let topic = self.topic.as_deref().map(|name| (ResourceType::Topic, name));
        let group = self.group.as_deref().map(|name| (ResourceType::Group, name));
        let id = self.transactional_id.as_deref();
        let id = id.map(|name| (ResourceType::TransactionalId, name));
        let cluster = self.cluster.then_some((ResourceType::Cluster, CLUSTER_NAME));
        topic.or(group).or(id).or(cluster)
    }
}

impl Filter {
    /// Its query; `pattern` says how the name is meant.
    fn query(&self, pattern: Option<&str>) -> String {
        let mut pairs = Vec::new();
        if let Some(principal) = &self.principal {
            pairs.push(("principal", principal.to_string()));
        }
        if let Some((resource_type, name)) = self.on.resource() {
            pairs.push(("resource_type", resource_type.to_string()));
            pairs.push(("name", name.to_owned()));
            pairs.extend(pattern.map(|pattern| ("pattern", pattern.to_owned())));
        }
        if let Some(operation) = self.operation {
            pairs.push(("operation", operation.to_string()));
        }
        query(&pairs)
    }
}

impl What {
    /// The rules that say it of somebody.
    ///
    /// # Errors
    /// Where nothing is said.
    pub fn acls(
        &self,
        principal: &Principal,
        permission: Permission,
    ) -> Result<Vec<Acl>, CliError> {
        let pattern = if self.prefix { Pattern::Prefixed } else { Pattern::Literal };
        let host = self.host.map_or_else(|| "*".to_owned(), |host| host.to_string());
        let mut acls = Vec::new();
        let mut add = |resource_type, name: &str, operations: &[Operation]| {
            acls.extend(operations.iter().map(|operation| Acl {
                resource_type,
                name: name.to_owned(),
                pattern: if name == "*" || resource_type == ResourceType::Cluster {
                    Pattern::Literal
                } else {
                    pattern
                },
                principal: principal.clone(),
                host: host.clone(),
                operation: *operation,
                permission,
            }));
        };
        let or = |default: Operation| match self.operations.is_empty() {
            true => vec![default],
            false => self.operations.clone(),
        };
        for topic in &self.produce {
            add(ResourceType::Topic, topic, &[Operation::Write, Operation::Create]);
        }
        for topic in &self.consume {
            add(ResourceType::Topic, topic, &[Operation::Read]);
        }
        for topic in &self.topics {
            add(ResourceType::Topic, topic, &self.operations);
        }
        for group in &self.groups {
            add(ResourceType::Group, group, &or(Operation::Read));
        }
        for id in &self.transactional_ids {
            add(ResourceType::TransactionalId, id, &or(Operation::Write));
        }
        if self.cluster {
            add(ResourceType::Cluster, CLUSTER_NAME, &self.operations);
        }
        Ok(acls)
    }
}

/// A user's name, or a whole principal.
fn principal(text: &str) -> Result<Principal, String> {
    let whole = if text.contains(':') { text.to_owned() } else { format!("User:{text}") };
    whole.parse().map_err(|error: factum_event::access::InvalidPrincipal| error.to_string())
}

#[derive(Deserialize)]
struct Acls {
    acls: Vec<Acl>,
}

/// Runs `factum acl`.
pub fn run(args: AclArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::List(filter) => {
            list(terminal, client.get(&format!("/acls{}", filter.query(Some("MATCH"))))?)
        }
        Verb::Allow(grant) => create(&grant, Permission::Allow, client, terminal),
        Verb::Deny(grant) => create(&grant, Permission::Deny, client, terminal),
        Verb::Delete { filter, yes } => delete(&filter, yes, client, terminal),
        Verb::Explain { principal, operation, on, host } => {
            let (resource_type, name) = on.resource().ok_or_else(|| {
                CliError::usage("say with what: --topic, --group, --transactional-id or --cluster")
            })?;
            let mut pairs = vec![
                ("principal", principal.to_string()),
                ("operation", operation.to_string()),
                ("resource_type", resource_type.to_string()),
                ("name", name.to_owned()),
            ];
            pairs.extend(host.map(|host| ("host", host.to_string())));
            explain(terminal, client.get(&format!("/acls/explain{}", query(&pairs)))?)
        }
    }
}

fn create(
    grant: &Grant,
    permission: Permission,
    client: &Client,
    terminal: &Terminal,
) -> Result<(), CliError> {
    let acls = grant.what.acls(&grant.principal, permission)?;
    if acls.is_empty() {
        return Err(CliError::usage(
            "say what: --produce, --consume, --group, --transactional-id, or --operation with \
             --topic or --cluster",
        ));
    }
    let answer = client.post("/acls", &json!({ "acls": acls }))?;
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    said(terminal, &acls)
}

/// Says which rules there are now.
pub fn said(terminal: &Terminal, acls: &[Acl]) -> Result<(), CliError> {
    let done = terminal.colors.paint(GOOD, "✓");
    acls.iter().try_for_each(|acl| terminal.say(format!("{done} {acl}")))
}

fn list(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let Acls { acls } = read_answer(answer)?;
    if acls.is_empty() {
        return terminal.say("There is no such rule; what no rule allows is denied");
    }
    terminal.say(table(terminal, &acls))
}

fn table(terminal: &Terminal, acls: &[Acl]) -> Table {
    let headings = ["principal", "", "operation", "resource", "name", "host"];
    let mut table = Table::new(terminal.colors, &headings);
    for acl in acls {
        let may = match acl.permission {
            Permission::Allow => terminal.colors.paint(GOOD, "may"),
            Permission::Deny => terminal.colors.paint(ERROR, "may not"),
        };
        let name = match acl.pattern {
            Pattern::Literal => acl.name.clone(),
            Pattern::Prefixed => format!("{}…", acl.name),
        };
        let (who, what) = (&acl.principal as &dyn Display, &acl.operation as &dyn Display);
        table.row([who, &may, what, &acl.resource_type, &name, &acl.host]);
    }
    table
}

fn delete(
    filter: &Filter,
    yes: bool,
    client: &Client,
    terminal: &Terminal,
) -> Result<(), CliError> {
    let query = filter.query(None);
    if query.is_empty() {
        return Err(CliError::usage("say which rules: --principal, --topic, --operation, …"));
    }
    let path = format!("/acls{query}");
    if !yes {
        let Acls { acls } = read_answer(client.get(&path)?)?;
        if acls.is_empty() {
            return terminal.say("There is no such rule");
        }
        terminal.note(table(terminal, &acls));
        confirm(terminal, &format!("Delete these {} rules?", acls.len()))?;
    }
    let answer = client.delete_for(&path)?;
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let Acls { acls } = read_answer(answer)?;
    let done = terminal.colors.paint(GOOD, "✓ deleted");
    terminal.say(format!("{done} {} rules", acls.len()))
}

fn explain(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    #[derive(Deserialize)]
    struct Explained {
        allowed: bool,
        text: String,
    }
    let Explained { allowed, text } = read_answer(answer)?;
    let colors = terminal.colors;
    let word = if allowed { colors.paint(GOOD, "allowed") } else { colors.paint(ERROR, "denied") };
    terminal.say(format!("{}: {}", colors.paint(BOLD, word), colors.paint(DIM, text)))
}

fn query(pairs: &[(&str, String)]) -> String {
    let pair = |(name, value): &(&str, String)| format!("{name}={}", segment(value));
    match pairs.iter().map(pair).collect::<Vec<_>>().join("&") {
        empty if empty.is_empty() => empty,
        query => format!("?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grant: Grant,
    }

    fn rules(line: &str) -> Vec<String> {
        let line = Line::parse_from(format!("x {line}").split(' '));
        let acls = line.grant.what.acls(&line.grant.principal, Permission::Allow).unwrap();
        acls.iter().map(Acl::to_string).collect()
    }

    #[test]
    fn a_grant_becomes_the_rules_that_it_takes() {
        assert_eq!(
            rules("alice --produce orders"),
            [r#"User:alice may WRITE TOPIC "orders""#, r#"User:alice may CREATE TOPIC "orders""#]
        );
        assert_eq!(
            rules("User:b --consume o. --group g --prefix --host 10.0.0.1"),
            [
                r#"User:b may READ TOPIC that begin with "o." from 10.0.0.1"#,
                r#"User:b may READ GROUP that begin with "g" from 10.0.0.1"#,
            ]
        );
        assert_eq!(
            rules("ops --operation describe --operation alter --cluster"),
            [
                r#"User:ops may DESCRIBE CLUSTER "kafka-cluster""#,
                r#"User:ops may ALTER CLUSTER "kafka-cluster""#,
            ]
        );
        assert_eq!(rules("t --transactional-id x"), [r#"User:t may WRITE TRANSACTIONAL_ID "x""#]);
        assert!(Line::try_parse_from(["x", "alice", "--topic", "orders"]).is_err(), "do what?");
    }

    #[test]
    fn everything_is_a_name_of_its_own_also_with_prefixes() {
        assert_eq!(rules("a --consume * --prefix"), [r#"User:a may READ TOPIC "*""#]);
    }
}
