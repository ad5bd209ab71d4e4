//! The `factum` binary: command line, configuration and the doors of the server.
//!
//! `cli` reads what a person typed and prints what they get; `config` says what the server runs
//! with; `server` wires the log to its doors, `kafka` and `http`; `tls`, `sasl` and `login` keep
//! watch at them; `bench` measures any broker that speaks the Kafka protocol, `mirror` copies one;
//! `verify` checks a data directory that no server has.

#![allow(
    unreachable_pub,
    reason = "nothing of a binary can be reached from outside: here `pub` marks the interface of a room"
)]

use std::process::ExitCode;

mod bench;
mod byte_size;
mod cli;
mod config;
mod http;
mod kafka;
mod kafka_client;
mod login;
mod metrics;
mod mirror;
mod open_files;
mod password;
mod sasl;
mod server;
mod tls;
mod token;
mod verify;

/// Buffers of requests come and go by the megabyte: here they come back warm. `docs/log.md` has
/// what it brought.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
