//! `factum-sim`: runs simulations from many seeds, and says what they have found.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line for developers")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use factum_sim::{Found, Level, Options, Totals, run};
use indicatif::{ProgressBar, ProgressStyle};

/// Log and broker on a simulated disk and a virtual clock
#[derive(Debug, Parser)]
#[command(name = "factum-sim", max_term_width = 100)]
struct Cli {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "forever")]
    seeds: u64,
    /// The first seed; a violation is replayed with its seed here, and --seeds 1
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Begins no seed after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Only the log, or only the broker on it; without this, the seed says
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Until a violation is found, or Ctrl-C
    #[arg(long)]
    forever: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let began = Instant::now();
    let mut totals = Totals::default();
    let found = all(&cli, began, &mut totals);
    print!("{totals}");
    println!("{:<24} {}", "violations", u8::from(found.is_some()));
    println!("{:<24} {:.1} s", "real time", began.elapsed().as_secs_f64());
    match found {
        Some(found) => {
            tell(&found);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Runs seeds up to the first violation.
fn all(cli: &Cli, began: Instant, totals: &mut Totals) -> Option<Box<Found>> {
    let options = Options { level: cli.level, ..Options::default() };
    let last = if cli.forever { u64::MAX } else { cli.from.saturating_add(cli.seeds) };
    let end = cli.seconds.map(Duration::from_secs);
    let bar = progress(cli);
    for seed in cli.from..last {
        if end.is_some_and(|end| began.elapsed() >= end) {
            break;
        }
        match run(seed, &options) {
            Ok(ran) => totals.add(&ran.totals),
            Err(found) => {
                totals.add(&found.totals);
                bar.abandon();
                return Some(found);
            }
        }
        bar.inc(1);
        let (crashes, operations) = (totals.disk.crashes, totals.operations);
        bar.set_message(format!("{operations} operations, {crashes} crashes"));
    }
    bar.finish_and_clear();
    None
}

fn progress(cli: &Cli) -> ProgressBar {
    let bar = if cli.forever { ProgressBar::new_spinner() } else { ProgressBar::new(cli.seeds) };
    let template = if cli.forever {
        "{spinner} {elapsed_precise} seed {pos}, {per_sec}: {msg}"
    } else {
        "{bar:40} {pos}/{len} seeds, {eta} left: {msg}"
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn tell(found: &Found) {
    let Found { seed, violation, last, .. } = found;
    eprintln!("the last operations of seed {seed}:");
    for line in last {
        eprintln!("  {line}");
    }
    eprintln!("violation: {violation}");
    eprintln!("replay: cargo xtask simulate --seeds 1 --from {seed}");
}
