//! `factum serve`: resolves the configuration, runs the server, says where it listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use super::table::grouped;
use super::terminal::{BOLD, DIM, GOOD, WARN};
use super::{CliError, Terminal};
use crate::byte_size::ByteSize;
use crate::config::{ConfigError, Layer, Protocol, ServeConfig};
use crate::server::{self, Listening};

/// Run a server
#[derive(Debug, Args)]
#[command(
    long_about = "Run a server: a durable log in a directory, open to Kafka clients and HTTP.\n\n\
        Every setting has one name in three spellings: `queue_bytes` in a file, \
        FACTUM_QUEUE_BYTES in the environment, --queue-bytes here. Flags win over the \
        environment, the environment over the file, the file over the defaults. The file is \
        factum.toml in the working directory, unless --config names another.\n\n\
        Ctrl-C or SIGTERM stops it: what was appended is flushed first. Logs go to stderr; \
        FACTUM_LOG filters them (info, factum=debug, …).",
    after_help = "Examples:\n  \
        factum serve\n  \
        factum serve --data /var/lib/factum --kafka 127.0.0.1:19092\n  \
        factum serve --kafka 0.0.0.0:9092 --advertise events.internal:9092 --insecure-listen\n  \
        factum serve --listener 'sasl_ssl://0.0.0.0:9093?advertise=events.example:9093' \
        --tls-certificate chain.pem --tls-key key.pem\n  \
        factum serve --kafka 127.0.0.1:0 --http 127.0.0.1:0 --output json   (free ports, for a test)"
)]
pub struct ServeArgs {
    /// Configuration file [default: factum.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "FACTUM_CONFIG")]
    config: Option<PathBuf>,

    /// How log lines look on stderr
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        env = "FACTUM_LOG_FORMAT"
    )]
    log_format: LogFormat,

    #[command(flatten)]
    layer: Layer,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For programs: one object a line
    Json,
}

/// Runs `factum serve` until it is told to stop.
pub fn run(args: ServeArgs, terminal: &Terminal) -> Result<(), CliError> {
    start_logging(args.log_format, terminal)?;
    let unusable = |error: ConfigError| CliError::usage(error.to_string());
    let file = Layer::from_file(args.config.as_deref()).map_err(unusable)?;
    let mut typed = args.layer;
    typed.admin_password = std::env::var("FACTUM_ADMIN_PASSWORD").ok().map(Into::into);
    let config = typed.over(file).resolve().map_err(unusable)?;
    let (terminal, shown) = (*terminal, config.clone());
    server::run(config, move |listening| announce(&terminal, &shown, listening))
        .map_err(|error| CliError::failed("serve", error))
}

fn start_logging(format: LogFormat, terminal: &Terminal) -> Result<(), CliError> {
    let filter = match std::env::var("FACTUM_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            CliError::usage(format!("FACTUM_LOG={text:?} is no filter ({error}); try info"))
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal.error_colors_on());
    match format {
        LogFormat::Text => subscriber.compact().init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Says that the server is ready. That nobody reads it is no reason to stop serving.
fn announce(terminal: &Terminal, config: &ServeConfig, listening: &Listening) {
    let said = if terminal.json() {
        terminal.say_json(&ready(config, listening))
    } else {
        terminal.say(banner(terminal, config, listening))
    };
    if let Err(error) = said {
        tracing::debug!(%error, "nobody reads where the server listens");
    }
}

fn ready(config: &ServeConfig, listening: &Listening) -> Value {
    let recovery = &listening.recovery;
    let listeners: Vec<String> = listening.kafka.iter().map(listener).collect();
    json!({
        "kafka": listening.kafka.first().map(|(_, address)| address.to_string()),
        "listeners": listeners,
        "http": listening.http.to_string(),
        "data": config.data,
        "recovery": {
            "journals": recovery.journals,
            "batches": recovery.batches,
            "rebuilt_indexes": recovery.rebuilt_indexes,
            "truncated": recovery.truncated.as_ref().map(|cut| {
                json!({ "file": cut.file, "position": cut.position, "bytes": cut.bytes })
            }),
        },
    })
}

/// A listener as it is typed.
fn listener((protocol, address): &(Protocol, SocketAddr)) -> String {
    format!("{protocol}://{address}")
}

fn banner(terminal: &Terminal, config: &ServeConfig, listening: &Listening) -> String {
    let colors = terminal.colors;
    let label = |text: &str| colors.paint(DIM, format!("{text:<8}"));
    let recovery = &listening.recovery;
    let mut lines = vec![
        format!(
            "{} {}",
            colors.paint(BOLD, concat!("Factum ", env!("CARGO_PKG_VERSION"))),
            colors.paint(GOOD, "is ready")
        ),
        String::new(),
    ];
    for of in &listening.kafka {
        let shown = match of {
            (Protocol::Plaintext, address) => address.to_string(),
            of => listener(of),
        };
        lines.push(format!("  {}{shown}", label("Kafka")));
    }
    let scheme = if listening.is_https { "https" } else { "http" };
    lines.extend([
        format!("  {}{scheme}://{}", label("HTTP"), listening.http),
        format!(
            "  {}{} ({} batches recovered)",
            label("Data"),
            config.data.display(),
            grouped(recovery.batches)
        ),
    ]);
    if let Some(cut) = &recovery.truncated {
        let bytes = ByteSize::from(cut.bytes);
        let text = format!(
            "{bytes} at the end of {} were cut off: an append that a crash interrupted, and that \
             was never acknowledged",
            cut.file
        );
        lines.push(format!("  {}{}", label(""), colors.paint(WARN, text)));
    }
    lines.push(String::new());
    let server = match listening.http.port() {
        8080 if !listening.is_https => String::new(),
        _ => format!(" --server {scheme}://{}", listening.http),
    };
    lines.push(format!("  {}factum topic create orders{server}", label("Try")));
    lines.push(format!("  {}factum read orders --follow{server}", label("")));
    lines.push(format!("  {}Ctrl-C", label("Stop")));
    lines.join("\n") + "\n"
}
