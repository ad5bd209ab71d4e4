//! The simulation finds what is broken and nothing else, and does the same again.

use factum_sim::{Mutant, Options, Totals, run};

/// Seeds within which a broken log must be found.
const SEEDS_TO_FIND: u64 = 100;

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

fn first_found(mutant: Mutant) -> Option<(u64, String)> {
    let options = Options { mutant };
    (0..SEEDS_TO_FIND).find_map(|seed| Some((seed, run(seed, &options).err()?.violation)))
}

#[test]
fn no_accident_breaks_a_promise_of_the_log() {
    let totals = all_good(0..SEEDS_TO_FIND, &Options::default());
    println!("{totals}");
    let disk = totals.disk;
    for count in [disk.crashes, disk.kills, disk.lost_writes, disk.torn_writes, disk.lost_syncs] {
        assert!(count > 0, "{totals}");
    }
    for count in [disk.failed_syncs, disk.failed_writes, disk.refused_writes, disk.flipped_bits] {
        assert!(count > 0, "{totals}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let first = run(seed, &Options::default()).unwrap();
        let again = run(seed, &Options::default()).unwrap();
        assert_eq!(first, again, "seed {seed}");
        digests.insert(first.digest);
    }
    assert_eq!(digests.len(), 50, "every seed is a run of its own");
}

#[test]
fn a_log_that_does_not_flush_is_found() {
    let found = first_found(Mutant::NoFlush);
    println!("{found:?}");
    assert!(found.is_some(), "no violation in {SEEDS_TO_FIND} seeds: the checker checks nothing");
}

#[test]
fn a_log_that_believes_a_torn_end_is_found() {
    let found = first_found(Mutant::NoTornTailCheck);
    println!("{found:?}");
    assert!(found.is_some(), "no violation in {SEEDS_TO_FIND} seeds: torn ends are not checked");
}
