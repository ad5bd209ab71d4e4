//! `factum quota`: list, set, unset.

use std::collections::BTreeMap;
use std::fmt::Display;

use clap::{Args, Subcommand};
use factum_event::access::{Quota, QuotaEntity, QuotaKey, QuotaName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::terminal::GOOD;
use super::topic::read_answer;
use super::{CliError, Table, Terminal};
use crate::byte_size::ByteSize;

/// Say how fast Kafka clients may write, read and ask
#[derive(Debug, Args)]
#[command(
    long_about = "Say how fast Kafka clients may write, read and ask.\n\n\
        Clients that have had more than their quota are answered, and then not listened to until \
        it has come in again; ten seconds of it can be saved up. A quota is about a user, a \
        client id, or the clients of a user; all that it is about share it. That of --each-user \
        or --each-client holds for each that has no quota of its own. Of several, the one that is \
        most about a client holds: user and client, then user, then client.",
    after_help = "Examples:\n  factum quota set --user shop --produce 10MiB --fetch 50MiB\n  factum quota set --each-user --requests 50\n  factum quota list",
    arg_required_else_help = true
)]
pub struct QuotaArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all quotas
    #[command(after_help = "Examples:\n  factum quota list")]
    List,
    /// Set quotas
    #[command(after_help = "Examples:\n  \
        factum quota set --user shop --produce 10MiB\n  \
        factum quota set --user shop --client importer --produce 1MiB\n  \
        factum quota set --each-client --fetch 100MiB --requests 25")]
    Set {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        limits: Limits,
    },
    /// Take quotas away; all that somebody has, or those named
    #[command(after_help = "Examples:\n  \
        factum quota unset --user shop\n  \
        factum quota unset --each-client --requests")]
    Unset {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        which: Which,
    },
}

/// Whom a quota is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Whose {
    /// A user
    #[arg(long = "user", value_name = "USER")]
    of_user: Option<String>, // `user` is who asks
    /// Each user without a quota of its own
    #[arg(long, conflicts_with = "of_user")]
    each_user: bool,
    /// A client id
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Each client id without a quota of its own
    #[arg(long, conflicts_with = "client")]
    each_client: bool,
}

/// How much.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Bytes to produce in a second, such as 10MiB
    #[arg(long, value_name = "BYTES")]
    produce: Option<ByteSize>,
    /// Bytes to fetch in a second, such as 50MiB
    #[arg(long, value_name = "BYTES")]
    fetch: Option<ByteSize>,
    /// Work for requests, in percent of one thread
    #[arg(long, value_name = "PERCENT")]
    requests: Option<f64>,
}

/// Which quotas.
#[derive(Debug, Args)]
struct Which {
    /// Of bytes to produce
    #[arg(long)]
    produce: bool,
    /// Of bytes to fetch
    #[arg(long)]
    fetch: bool,
    /// Of work for requests
    #[arg(long)]
    requests: bool,
}

#[derive(Deserialize)]
struct Quotas {
    quotas: Vec<Quota>,
}

/// Runs `factum quota`.
pub fn run(args: QuotaArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::List => list(terminal, client.get("/quotas")?),
        Verb::Set { whose, limits } => {
            let entity = whose.entity()?;
            let body = json!({ "entity": entity, "set": limits.by_key() });
            said(terminal, client.post("/quotas", &body)?)
        }
        Verb::Unset { whose, which } => {
            let entity = whose.entity()?;
            let Quotas { quotas } = read_answer(client.get("/quotas")?)?;
            let theirs = quotas.into_iter().find(|quota| quota.entity == entity);
            let theirs = theirs.ok_or_else(|| {
                CliError::failed("unknown-quota", format!("{entity} has no quota"))
                    .advise("see which there are with `factum quota list`")
            })?;
            let keys: Vec<_> = theirs.limits.into_keys().filter(|key| which.has(*key)).collect();
            if keys.is_empty() {
                let message = format!("{entity} has no such quota");
                return Err(CliError::failed("unknown-quota", message)
                    .advise("see which there are with `factum quota list`"));
            }
            let body = json!({ "entity": entity, "unset": keys });
            said(terminal, client.post("/quotas", &body)?)
        }
    }
}

impl Whose {
    fn entity(&self) -> Result<QuotaEntity, CliError> {
        let name = |name: &Option<String>, each: bool| match name {
            Some(name) => Some(QuotaName::Name(name.clone())),
            None => each.then_some(QuotaName::Default),
        };
        let (user, client) =
            (name(&self.of_user, self.each_user), name(&self.client, self.each_client));
        QuotaEntity::new(user, client)
            .map_err(|error| CliError::failed("invalid-quota", error.to_string()))
    }
}

impl Limits {
    fn by_key(&self) -> BTreeMap<QuotaKey, f64> {
        let bytes = |size: Option<ByteSize>| size.map(|size| size.get() as f64);
        let limits = [
            (QuotaKey::ProducerByteRate, bytes(self.produce)),
            (QuotaKey::ConsumerByteRate, bytes(self.fetch)),
            (QuotaKey::RequestPercentage, self.requests),
        ];
        limits.into_iter().filter_map(|(key, limit)| Some((key, limit?))).collect()
    }
}

impl Which {
    /// Whether a quota is meant: without any flag, all are.
    const fn has(&self, key: QuotaKey) -> bool {
        let all = !self.produce && !self.fetch && !self.requests;
        all || match key {
            QuotaKey::ProducerByteRate => self.produce,
            QuotaKey::ConsumerByteRate => self.fetch,
            QuotaKey::RequestPercentage => self.requests,
        }
    }
}

/// Says what somebody has now.
fn said(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let quota: Quota = read_answer(answer)?;
    let words = words(&quota);
    let has = if words.is_empty() { "no quota".to_owned() } else { words.join(", ") };
    terminal.say(format!("{} {}: {has}", terminal.colors.paint(GOOD, "✓"), quota.entity))
}

fn words(quota: &Quota) -> Vec<String> {
    let word = |(key, limit): (&QuotaKey, &factum_event::access::QuotaLimit)| match key {
        QuotaKey::ProducerByteRate => format!("produce {}", rate(limit.get())),
        QuotaKey::ConsumerByteRate => format!("fetch {}", rate(limit.get())),
        QuotaKey::RequestPercentage => format!("requests {} %", limit.get()),
    };
    quota.limits.iter().map(word).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits are above zero, and what is too much to say is said as the most"
)]
fn rate(bytes: f64) -> String {
    format!("{}/s", ByteSize::from(bytes as u64))
}

fn list(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let Quotas { quotas } = read_answer(answer)?;
    if quotas.is_empty() {
        return terminal.say("Nobody has a quota; set one with `factum quota set`");
    }
    let mut table = Table::new(terminal.colors, &["of", "may"]);
    for quota in &quotas {
        table.row([&quota.entity as &dyn Display, &words(quota).join(", ")]);
    }
    terminal.say(table)
}
