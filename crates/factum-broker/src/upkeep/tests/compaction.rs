//! `cleanup.policy=compact`, alone and with `delete`.

use std::collections::BTreeMap;

use super::*;

/// A segment ends after an hour, and everything that is dirty is compacted.
const EAGER: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "3600000"), ("min.cleanable.dirty.ratio", "0")];

/// The last value of each key, as a reader ends up with it.
fn table(records: &[Kept]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (_, key, value) in records {
        match value {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => table.remove(key),
        };
    }
    table
}

/// Batches of three records of seven keys, some of them tombstones.
fn mixed(world: &World, topic: &str, batches: usize) {
    for number in 0..batches {
        let text = |index: usize| format!("value {}", number * 3 + index);
        let values: Vec<_> = (0..3).map(text).collect();
        let keys: Vec<_> =
            (0..3).map(|index| format!("key {}", (number + index * 2) % 7)).collect();
        let records: Vec<_> = (0..3)
            .map(|index| {
                let is_tombstone = (number + index) % 11 == 0;
                (keys[index].as_str(), (!is_tombstone).then_some(values[index].as_str()))
            })
            .collect();
        world.put(topic, &records);
    }
}

#[test]
fn the_last_value_of_each_key_stays_where_it_is() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    mixed(&world, "orders", 50);
    let before = world.records("orders");
    world.settle("orders");
    assert_eq!(world.records("orders"), before, "the active segment is left alone");
    world.pass(2 * HOUR_MS);
    world.step();
    let after = world.records("orders");
    assert_eq!(table(&after), table(&before));
    let last: BTreeMap<&str, &Kept> = before.iter().map(|record| (&*record.1, record)).collect();
    let mut expected: Vec<_> = last.into_values().cloned().collect();
    expected.sort_unstable();
    assert_eq!(after, expected, "once each, at its own offset");
    assert_eq!(world.extent("orders"), (0, 150));
    let metrics = world.broker.upkeep_metrics();
    assert_eq!(metrics.compactions, 1);
    assert_eq!(metrics.compaction_records_removed, 150 - expected.len() as u64);
    assert!(metrics.compaction_bytes_left < metrics.compaction_bytes_read / 3, "{metrics:?}");
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(world.broker.upkeep_metrics().compactions, 1, "what is clean is left alone");
    let world = world.reopened(&[("journal", ".index"), ("checkpoints", "")]);
    assert_eq!(world.records("orders"), expected);
    assert_eq!(world.put("orders", &[("key 0", None)]).base_offset, offset(150));
}

#[test]
fn closed_segments_are_compacted_while_the_active_one_shares_their_file() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    // Not by time: a batch of this size fills a segment.
    world.set("orders", "segment.ms", "604800000");
    world.set("orders", "segment.bytes", "2000");
    for _ in 0..10 {
        world.put("orders", &[("k", Some(&value(1500)))]);
    }
    world.settle("orders");
    assert_eq!(world.offsets("orders"), [8, 9], "the last closed segment, and the active one");
    world.put("orders", &[("k", Some(&value(1500)))]);
    world.settle("orders");
    assert_eq!(world.offsets("orders"), [9, 10]);
    let mut world = world.reopened(&[("journal", ".index")]);
    world.step();
    assert_eq!(world.offsets("orders"), [9, 10]);
}

#[test]
fn a_tombstone_stays_for_delete_retention_ms_and_then_goes() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    world.set("orders", "delete.retention.ms", "7200000");
    world.put("orders", &[("a", Some("1")), ("b", Some("1"))]);
    world.put("orders", &[("a", None)]);
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    let tombstone = (2, "a".to_owned(), None);
    let b = (1, "b".to_owned(), Some("1".to_owned()));
    assert_eq!(world.records("orders"), [b.clone(), tombstone.clone()]);
    // Something new, so that it is compacted again: too early, and then in time.
    world.put("orders", &[("c", Some("1"))]);
    world.pass(HOUR_MS + 1);
    world.settle("orders");
    assert_eq!(world.broker.upkeep_metrics().compactions, 2);
    assert!(world.records("orders").contains(&tombstone));
    world.put("orders", &[("c", Some("2"))]);
    world.pass(HOUR_MS + 1);
    world.settle("orders");
    let c = (4, "c".to_owned(), Some("2".to_owned()));
    assert_eq!(world.records("orders"), [b, c]);
    assert_eq!(world.extent("orders"), (0, 5));
}

#[test]
fn compaction_waits_for_its_ratio_and_for_its_lags() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    mixed(&world, "orders", 50);
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    let clean = world.records("orders");
    let compactions = |world: &World| world.broker.upkeep_metrics().compactions;
    // Ratio: something small is not half of it all; at nearly none it is.
    world.set("orders", "min.cleanable.dirty.ratio", "0.5");
    world.put("orders", &[("key 0", Some("x"))]);
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(compactions(&world), 1);
    assert_eq!(world.records("orders").len(), clean.len() + 1);
    world.set("orders", "min.cleanable.dirty.ratio", "0.01");
    world.step();
    assert_eq!(compactions(&world), 2, "at once, not only when something is appended");
    // The shortest lag: until then nothing is touched.
    world.set("orders", "min.compaction.lag.ms", "36000000");
    world.put("orders", &[("key 0", Some("y"))]);
    world.pass(9 * HOUR_MS);
    world.settle("orders");
    assert_eq!(compactions(&world), 2);
    world.pass(HOUR_MS + 1);
    world.step();
    assert_eq!(compactions(&world), 3);
    // The longest: then also what is little, and in a segment that would be active.
    world.set("orders", "min.compaction.lag.ms", "0");
    world.set("orders", "min.cleanable.dirty.ratio", "1");
    world.set("orders", "segment.ms", "604800000");
    world.set("orders", "max.compaction.lag.ms", "7200000");
    world.put("orders", &[("key 0", Some("z"))]);
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(compactions(&world), 3);
    world.pass(60_000);
    world.step();
    assert_eq!(compactions(&world), 4);
    assert_eq!(world.records("orders").len(), clean.len());
    assert_eq!(table(&world.records("orders"))["key 0"], "z");
}

#[test]
fn a_map_that_is_smaller_than_the_keys_takes_several_turns() {
    // Room for 38 keys.
    let mut world = World::with(|settings| settings.compaction_key_bytes = 1024);
    world.create("orders", &EAGER);
    for round in ["1", "2", "3"] {
        for number in 0..100 {
            world.put("orders", &[(&format!("key {number}"), Some(round))]);
        }
    }
    let before = world.records("orders");
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    let mut turns = 1;
    while world.records("orders").len() > 100 {
        assert_eq!(table(&world.records("orders")), table(&before));
        world.step();
        turns += 1;
        assert!(turns < 20, "it comes to an end");
    }
    assert!(turns > 5, "{turns} turns");
    assert_eq!(world.offsets("orders"), (200..300).collect::<Vec<_>>());
    assert_eq!(world.extent("orders"), (0, 300));
}

#[test]
fn both_policies_do_both() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    world.set("orders", "cleanup.policy", "compact,delete");
    world.set("orders", "retention.ms", "36000000");
    world.put("orders", &[("a", Some("1")), ("b", Some("1"))]);
    world.pass(2 * HOUR_MS);
    world.put("orders", &[("a", Some("2"))]);
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(world.offsets("orders"), [1, 2]);
    assert_eq!(world.extent("orders"), (0, 3));
    world.pass(7 * HOUR_MS);
    world.step();
    assert_eq!(world.extent("orders"), (2, 3), "b is too old, although it is the last of its key");
    world.pass(2 * HOUR_MS);
    world.step();
    assert_eq!(world.extent("orders"), (3, 3));
}

#[test]
fn a_policy_that_is_set_later_compacts_what_was_there_before() {
    let mut world = World::new();
    world.create("orders", &[("segment.ms", "3600000")]);
    mixed(&world, "orders", 50);
    let before = world.records("orders");
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(world.records("orders"), before);
    world.set("orders", "cleanup.policy", "compact");
    world.step();
    assert!(world.records("orders").len() <= 7);
    assert_eq!(table(&world.records("orders")), table(&before));
}

#[test]
fn times_are_found_although_headers_without_records_are_left() {
    let mut world = World::new();
    world.create("orders", &EAGER);
    let start = world.clock.now().as_millis();
    let at = |ms| Place::Time(Timestamp::from_millis(start + ms));
    let producer = |base_sequence| Some(ProducerState { id: 7, epoch: 0, base_sequence });
    // The latest times are superseded by records with earlier ones.
    world.pass(2000);
    world.put_as("orders", producer(0), &[("a", Some("1"))]).unwrap();
    world.put_as("orders", producer(1), &[("b", Some("1"))]).unwrap();
    world.pass(-1000);
    world.put_as("orders", producer(2), &[("a", Some("2"))]).unwrap();
    world.put_as("orders", producer(3), &[("b", Some("2"))]).unwrap();
    assert_eq!(world.locate("orders", at(1500)).offset, offset(0));
    world.pass(2 * HOUR_MS);
    world.settle("orders");
    assert_eq!(world.offsets("orders"), [2, 3]);
    let entries = world.broker.log().entries(world.id("orders"), offset(0), 10).unwrap();
    assert_eq!(entries.len(), 4, "headers that the producer's sequences hang on");
    let found = |ms: i64, value: i64| {
        let timestamp = Some(Timestamp::from_millis(start + ms));
        Located { offset: offset(value), timestamp }
    };
    assert_eq!(world.locate("orders", at(0)), found(1000, 2));
    assert_eq!(world.locate("orders", at(1001)), Located { offset: offset(4), timestamp: None });
    assert_eq!(world.locate("orders", Place::MaxTimestamp), found(1000, 2));
}

#[test]
fn what_is_not_sealed_is_sealed_but_not_all_the_time() {
    let mut world = World::with(|settings| settings.seal_interval = Duration::from_secs(60));
    world.create("orders", &EAGER);
    mixed(&world, "orders", 50);
    world.pass(2 * HOUR_MS);
    world.step();
    let id = world.id("orders");
    let started = SystemClock::new();
    while world.broker.log().sealed_end(id) < offset(150) {
        assert!(started.monotonic() < PATIENCE, "the first step has asked for a seal");
        std::thread::yield_now();
    }
    world.step();
    assert_eq!(world.broker.upkeep_metrics().compactions, 1);
    assert!(world.upkeep.sealed_at.is_some());
    let sealed_at = world.upkeep.sealed_at;
    world.set("orders", "segment.ms", "1000");
    mixed(&world, "orders", 50);
    world.pass(59_999);
    world.step();
    assert_eq!(world.upkeep.sealed_at, sealed_at, "not again within a minute");
    world.pass(1);
    world.step();
    assert_ne!(world.upkeep.sealed_at, sealed_at);
}
