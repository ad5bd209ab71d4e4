//! The reference of the benchmarks: what a client and a machine reach without a log.
//!
//! * `serve`: a Kafka broker that reads every produced byte from its socket, acknowledges it and
//!   forgets it, and that answers every fetch from memory with the same prepared batch. It checks
//!   nothing and keeps nothing, so no broker behind the same client is faster.
//! * `receive` and `send`: one copy of bytes from a socket into a file, and back; what the kernel
//!   asks for the mere transport.
//!
//! Each prints one line of JSON with its address when it listens, the copies another when done.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line")]

mod answer;
mod batches;
mod catalog;
mod copy;
mod serve;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use answer::Broker;
use batches::Prepared;
use catalog::Catalog;

/// What a Kafka client and a machine reach without a log behind them
#[derive(Debug, Parser)]
#[command(name = "null-broker", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where to listen; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Acknowledge and forget what is produced; answer fetches with prepared batches
    Serve(ServeArgs),
    /// Copy what one connection sends into a file, and flush it once at the end
    Receive(FileArgs),
    /// Send a file to one connection
    Send(FileArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Partitions of a topic that nobody created
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(catalog::MAX_PARTITIONS)))]
    partitions: u32,
    /// Bytes of the value of each record that is served
    #[arg(long, value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    record_size: u32,
    /// Bytes of the batches that are served; at least one record
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    batch_bytes: u32,
    /// Records that each partition seems to have, rounded up to whole batches
    #[arg(long, value_name = "N", default_value_t = 0)]
    records: u32,
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The file
    #[arg(long)]
    file: PathBuf,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<()> {
    let listener = TcpListener::bind(cli.listen)?;
    let address = listener.local_addr()?;
    match &cli.command {
        Command::Serve(args) => {
            let served = Prepared::new(args.record_size, args.batch_bytes, args.records)
                .map_err(io::Error::other)?;
            let broker = Broker { address, catalog: Catalog::new(args.partitions), served };
            say(&json!({ "address": address.to_string() }))?;
            serve::forever(&listener, &Arc::new(broker))
        }
        Command::Receive(args) => {
            say(&json!({ "address": address.to_string() }))?;
            say(&copy::receive(&listener, &args.file)?.to_json())
        }
        Command::Send(args) => {
            say(&json!({ "address": address.to_string() }))?;
            say(&copy::send(&listener, &args.file)?.to_json())
        }
    }
}

fn say(value: &Value) -> io::Result<()> {
    println!("{value}");
    io::stdout().flush()
}
