//! The simulation finds what is broken, nothing else, and does the same again.

use factum_sim::{Level, Mutant, Options, Totals, run};

fn options(level: Level) -> Options {
    Options { level: Some(level), ..Options::default() }
}

/// Runs seeds that must all be good.
fn all_good(seeds: std::ops::Range<u64>, options: &Options) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        match run(seed, options) {
            Ok(ran) => totals.add(&ran.totals),
            Err(found) => panic!("seed {seed}: {}\n{}", found.violation, found.last.join("\n")),
        }
    }
    totals
}

#[test]
fn no_accident_breaks_a_promise_of_the_log() {
    println!("{}", all_good(0..150, &options(Level::Log)));
}
