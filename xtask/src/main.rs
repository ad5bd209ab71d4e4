//! What people type daily. `cargo xtask help` lists it.
//!
//! Every command is a module or a few lines here; a check that reads the source tree is also a
//! test, so that `cargo test` says the same. Which checks run before a change lands, and in which
//! order, is told by `.ci/run` alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line for developers")]

mod bench;
mod capabilities;
mod house;
mod markdown;
mod simulate;
mod step;
mod tidy;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use step::{Failure, cargo, program, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What people type daily
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must pass before a change lands: .ci/run
    Ci,
    /// cargo test --workspace, with what else you say
    Test(Rest),
    /// Format, clippy and documentation, without a warning; then tidy and house
    Lint,
    /// Compare docs/capabilities.md with the tests that it names, and count by chapter
    Capabilities,
    /// Compare the tables of directions in ARCHITECTURE.md with the source
    House,
    /// Rules of style that no other tool knows
    Tidy,
    /// Run every fuzz target for a while
    Fuzz(FuzzArgs),
    /// Run log and broker on a simulated disk and a virtual clock, from many seeds
    Simulate(simulate::SimulateArgs),
    /// Build the release binary and run foreign Kafka clients against it
    Compat(Rest),
    /// Build the release binary, run librdkafka's tests, and write their table in docs
    Conformance(Rest),
    /// Build the release binary, measure it, and print BENCHMARKS.md
    Bench(bench::BenchArgs),
}

/// Arguments that are passed on.
#[derive(Debug, Args)]
struct Rest {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

#[derive(Debug, Args)]
struct FuzzArgs {
    /// For how long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Only this target
    #[arg(value_name = "TARGET")]
    target: Option<String>,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Ci => run("ci", program("bash").arg(".ci/run")),
        Command::Test(rest) => run("test", cargo(&["test", "--workspace"]).args(rest.rest)),
        Command::Lint => lint(),
        Command::Capabilities => capabilities::run(),
        Command::House => house::run(),
        Command::Tidy => tidy::run(),
        Command::Fuzz(args) => fuzz(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Compat(rest) => compat(rest),
        Command::Conformance(rest) => conformance(rest),
        Command::Bench(args) => bench::run(&args),
    }
}

fn lint() -> Result<(), Failure> {
    run("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run("clippy", &mut cargo(&clippy))?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    run("documentation", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    tidy::run()?;
    house::run()
}

fn compat(rest: Rest) -> Result<(), Failure> {
    release_binary()?;
    run("foreign clients", program("python3").arg("tests/compat/run").args(rest.rest))
}

fn conformance(rest: Rest) -> Result<(), Failure> {
    release_binary()?;
    let script = "tests/compat/librdkafka/conformance";
    run("tests of librdkafka", program("python3").arg(script).args(rest.rest))
}

/// Builds `target/release/factum`.
fn release_binary() -> Result<(), Failure> {
    let build = ["build", "--release", "--package", "factum-server", "--bin", "factum"];
    run("release build", &mut cargo(&build))
}

fn fuzz(args: &FuzzArgs) -> Result<(), Failure> {
    if !step::answers(cargo(&["fuzz", "--version"])) {
        run("install cargo-fuzz", &mut cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    let listed = step::output(&mut cargo(&["fuzz", "list"]))?;
    let wanted = |name: &&str| args.target.as_deref().is_none_or(|target| target == *name);
    let targets: Vec<&str> = listed.split_whitespace().filter(wanted).collect();
    if targets.is_empty() {
        let name = args.target.clone().unwrap_or_default();
        return Err(Failure::Found(format!("no fuzz target {name:?}; there are: {listed}")));
    }
    for target in targets {
        // Without a sanitizer the stable toolchain will do; our code has no unsafe to sanitize.
        let mut fuzz = cargo(&["fuzz", "run", target, "-s", "none", "--"]);
        fuzz.arg(format!("-max_total_time={}", args.seconds)).arg("-print_final_stats=1");
        run(&format!("fuzz {target}"), &mut fuzz)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
