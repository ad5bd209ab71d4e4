//! The simulation finds what is broken and nothing else, and does the same again.

#![expect(clippy::print_stdout, reason = "tests print with which seed something was found")]

use std::ops::Range;

use factum_sim::{BrokerMutant, Level, Mutant, Options, Totals, run};

/// Seeds within which something broken must be found.
const SEEDS_TO_FIND: u64 = 100;

/// Runs seeds that must all be good.
fn all_good(seeds: Range<u64>, level: Level) -> Totals {
    let options = Options { level: Some(level), ..Options::default() };
    let mut totals = Totals::default();
    for seed in seeds {
        match run(seed, &options) {
            Ok(ran) => totals.add(&ran.totals),
            Err(found) => panic!("seed {seed}: {}\n{}", found.violation, found.last.join("\n")),
        }
    }
    println!("{totals}");
    totals
}

fn assert_accidents(totals: &Totals) {
    let disk = totals.disk;
    for count in [disk.crashes, disk.kills, disk.lost_writes, disk.torn_writes, disk.lost_syncs] {
        assert!(count > 0, "{totals}");
    }
    for count in [disk.failed_syncs, disk.failed_writes, disk.refused_writes, disk.flipped_bits] {
        assert!(count > 0, "{totals}");
    }
    assert!(totals.acknowledged > 0 && totals.compared > 0 && totals.reductions > 0, "{totals}");
}

/// The checker must find this in one of the seeds.
fn assert_found(level: Level, mutant: BrokerMutant) {
    let options = Options { level: Some(level), mutant };
    let first =
        (0..SEEDS_TO_FIND).find_map(|seed| Some((seed, run(seed, &options).err()?.violation)));
    println!("{level:?}, {mutant:?}: {first:?}");
    assert!(first.is_some(), "{level:?}, {mutant:?}: nothing in {SEEDS_TO_FIND} seeds");
}

#[test]
fn no_accident_breaks_a_promise_of_the_log() {
    assert_accidents(&all_good(0..SEEDS_TO_FIND, Level::Log));
}

#[test]
fn no_accident_breaks_a_promise_of_the_broker() {
    assert_accidents(&all_good(0..SEEDS_TO_FIND, Level::Broker));
}

#[test]
fn no_accident_breaks_a_promise_of_transactions() {
    let totals = all_good(0..SEEDS_TO_FIND, Level::Transactions);
    let disk = totals.disk;
    for count in [disk.crashes, disk.kills, disk.lost_writes, disk.torn_writes, disk.lost_syncs] {
        assert!(count > 0, "{totals}");
    }
    assert!(totals.acknowledged > 0 && totals.compared > 0, "{totals}");
}

/// Records were deleted up to the middle of a batch of an open transaction: readers of what is
/// committed were shown the rest of it.
#[test]
fn a_partition_that_begins_within_an_open_batch_shows_none_of_it() {
    all_good(7304..7305, Level::Transactions);
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
    assert_found(Level::Log, BrokerMutant::Log(Mutant::NoFlush));
    assert_found(Level::Broker, BrokerMutant::Log(Mutant::NoFlush));
}

#[test]
fn a_log_that_believes_a_torn_end_is_found() {
    assert_found(Level::Log, BrokerMutant::Log(Mutant::NoTornTailCheck));
    assert_found(Level::Broker, BrokerMutant::Log(Mutant::NoTornTailCheck));
}

#[test]
fn a_broker_that_forgets_its_producers_is_found() {
    assert_found(Level::Broker, BrokerMutant::ForgottenProducers);
}

#[test]
fn a_compaction_that_removes_the_last_of_a_key_is_found() {
    assert_found(Level::Broker, BrokerMutant::GreedyCompaction);
}

#[test]
fn a_deletion_of_records_that_is_answered_too_early_is_found() {
    assert_found(Level::Broker, BrokerMutant::HastyDeletion);
}

#[test]
fn markers_that_count_too_early_are_found() {
    assert_found(Level::Transactions, BrokerMutant::HastyMarkers);
}

#[test]
fn readers_that_are_not_told_what_was_aborted_are_found() {
    assert_found(Level::Transactions, BrokerMutant::ForgottenAborts);
}

#[test]
fn an_opening_that_leaves_transactions_unfinished_is_found() {
    assert_found(Level::Transactions, BrokerMutant::UnfinishedTransactions);
}
