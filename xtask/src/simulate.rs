//! `cargo xtask simulate`: the log on a simulated disk that crashes, from many seeds.

use clap::Args;

use crate::step::{self, Failure, cargo};

/// Seeds of one run of the test, where it goes on for ever.
const ROUND: u64 = 1000;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "forever")]
    seeds: u64,
    /// The first seed; a violation is replayed with its seed here, and --seeds 1
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
    /// Until a violation is found, or Ctrl-C
    #[arg(long)]
    forever: bool,
    /// Optimised: more seeds a second, without debug assertions
    #[arg(long)]
    release: bool,
}

/// Runs the test until it ends, once or for ever.
pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    if !args.forever {
        return round(args.first, args.seeds, args.release);
    }
    let mut first = args.first;
    loop {
        round(first, ROUND, args.release)?;
        first = first.saturating_add(ROUND);
    }
}

fn round(first: u64, seeds: u64, release: bool) -> Result<(), Failure> {
    let name = format!("seeds {first} to {}", first.saturating_add(seeds.saturating_sub(1)));
    let mut command = cargo(&["test", "--package", "factum-log", "--test", "it"]);
    command.args(release.then_some("--release"));
    command.args(["--", "--nocapture", "no_crash_loses_or_invents_anything"]);
    command.env("FACTUM_SEED", first.to_string()).env("FACTUM_SEEDS", seeds.to_string());
    step::run(&name, &mut command)
}
