//! `cargo xtask simulate`: log and broker on a simulated disk and a virtual clock, from seeds.

use clap::Args;

use crate::step::{self, Failure, cargo};

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "forever")]
    seeds: u64,
    /// The first seed; a violation is replayed with its seed here, and --seeds 1
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Until a violation is found, or Ctrl-C
    #[arg(long)]
    forever: bool,
}

/// Runs the simulation's own program, optimised: it prints what was done and injected.
pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let mut command = cargo(&["run", "--quiet", "--release", "--package", "factum-sim", "--"]);
    command.arg("--from").arg(args.from.to_string());
    if args.forever {
        command.arg("--forever");
    } else {
        command.arg("--seeds").arg(args.seeds.to_string());
    }
    step::run("simulation", &mut command)
}
