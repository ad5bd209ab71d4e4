//! `cleanup.policy=delete`.

use super::*;

/// Ten batches of one record and a kilobyte each, a minute apart.
fn ten_minutes(world: &World, topic: &str) {
    for _ in 0..10 {
        world.put(topic, &[("k", Some(&value(1000)))]);
        world.pass(60_000);
    }
}

#[test]
fn segments_go_when_all_of_them_is_older_than_retention_ms() {
    let mut world = World::new();
    // Two batches are a segment.
    world.create("orders", &[("retention.ms", "540000"), ("segment.bytes", "2300")]);
    ten_minutes(&world, "orders");
    world.step();
    // The batch at minute 0 is 10 minutes old, the one in its segment 9: not more than 540 s.
    assert_eq!(world.extent("orders"), (0, 10));
    world.pass(1);
    world.step();
    assert_eq!(world.extent("orders"), (2, 10), "whole segments");
    world.pass(60_000);
    world.step();
    assert_eq!(world.extent("orders"), (2, 10), "one batch of the next is not too old");
    world.pass(HOUR_MS);
    world.step();
    assert_eq!(world.extent("orders"), (10, 10), "the active segment, too");
    let metrics = world.broker.upkeep_metrics();
    assert_eq!(metrics.retention_offsets, 10);
    assert!(metrics.retention_bytes > 10_000, "{metrics:?}");
    let mut world = world.reopened(&[("journal", ".index"), ("checkpoints", "")]);
    assert_eq!(world.extent("orders"), (10, 10));
    assert_eq!(world.put("orders", &[("k", None)]).base_offset, offset(10), "offsets go on");
    world.step();
    assert_eq!(world.offsets("orders"), [10]);
}

#[test]
fn segments_end_by_time_where_they_do_not_by_bytes() {
    let mut world = World::new();
    world.create("orders", &[("retention.ms", "300000"), ("segment.ms", "120000")]);
    ten_minutes(&world, "orders");
    world.step();
    // Segments of minutes 0 to 2, 3 to 5, ... of which the first ended 8 minutes ago.
    assert_eq!(world.extent("orders"), (3, 10));
}

#[test]
fn segments_go_while_the_rest_has_retention_bytes() {
    let mut world = World::new();
    let configs = [("retention.ms", "-1"), ("retention.bytes", "4000"), ("segment.bytes", "2300")];
    world.create("orders", &configs);
    ten_minutes(&world, "orders");
    world.step();
    assert_eq!(world.extent("orders"), (6, 10), "four batches are more than 4000 bytes");
    world.pass(1000 * HOUR_MS);
    world.step();
    assert_eq!(world.extent("orders"), (6, 10), "they are never too old");
    world.put("orders", &[("k", Some(&value(1000)))]);
    world.put("orders", &[("k", Some(&value(1000)))]);
    world.step();
    assert_eq!(world.extent("orders"), (8, 12));
}

#[test]
fn retention_follows_the_settings_of_the_moment() {
    let mut world = World::new();
    world.create("orders", &[("retention.ms", "-1"), ("segment.bytes", "1100")]);
    ten_minutes(&world, "orders");
    world.step();
    assert_eq!(world.extent("orders"), (0, 10));
    world.set("orders", "retention.ms", "300000");
    world.step();
    assert_eq!(world.extent("orders"), (5, 10), "a shorter time holds at once");
    world.set("orders", "retention.ms", "3000000");
    world.pass(600_000);
    world.step();
    assert_eq!(world.extent("orders"), (5, 10), "and so does a longer one");
    world.set("orders", "cleanup.policy", "compact");
    world.pass(1000 * HOUR_MS);
    world.upkeep.retain(world.clock.now());
    assert_eq!(world.extent("orders"), (5, 10), "compaction alone keeps starts where they are");
    world.set("orders", "cleanup.policy", "delete");
    let mut world = world.reopened(&[]);
    world.step();
    assert_eq!(world.extent("orders"), (10, 10));
}

#[test]
fn a_time_is_looked_up_after_what_was_cut_off() {
    let mut world = World::new();
    world.create("orders", &[("retention.ms", "-1"), ("segment.bytes", "1100")]);
    let start = world.clock.now().as_millis();
    ten_minutes(&world, "orders");
    world.set("orders", "retention.ms", "300000");
    world.step();
    let at = |ms| Place::Time(Timestamp::from_millis(start + ms));
    assert_eq!(world.locate("orders", at(0)).offset, offset(5));
    assert_eq!(world.locate("orders", at(360_000)).offset, offset(6));
    let latest = world.locate("orders", Place::MaxTimestamp);
    let time = Timestamp::from_millis(start + 540_000);
    assert_eq!(latest, Located { offset: offset(9), timestamp: Some(time) });
    assert_eq!(
        world.locate("orders", at(540_001)),
        Located { offset: offset(10), timestamp: None }
    );
}

/// The log forgets how much of an open journal was cut off when that is sealed and the log opened
/// again. Retention by size believed it, and cut off what had to stay.
#[test]
fn what_was_cut_off_before_a_restart_does_not_count_after_it() {
    let mut world = World::new();
    world.create("orders", &[("retention.bytes", "2500"), ("segment.bytes", "1100")]);
    for _ in 0..10 {
        world.put("orders", &[("k", Some(&value(1000)))]);
    }
    world.step();
    assert_eq!(world.extent("orders"), (7, 10));
    world.settle("orders");
    let mut world = world.reopened(&[]);
    world.step();
    assert_eq!(world.extent("orders"), (7, 10));
}
