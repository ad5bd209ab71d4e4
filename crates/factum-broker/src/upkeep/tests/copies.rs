//! Topics that are copies of another cluster's: offsets as they are there, with their gaps.

use factum_event::batch::{Batch, Outcome};

use super::*;

const COPY_OF: (&str, &str) = ("factum.mirror.source", "cluster/topic");

/// A batch of the source that begins at this offset.
fn source_batch(world: &World, first: i64, keys: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(Codec::Lz4, None);
    for key in keys {
        builder.push(&Record {
            key: Some((*key).to_owned().into()),
            value: Some(format!("{key} at {first}").into()),
            headers: Vec::new(),
            timestamp: world.clock.now(),
        });
    }
    builder.build().unwrap().at(offset(first))
}

fn send(world: &World, topic: &str, batch: Batch) -> Result<i64, ProduceError> {
    let topic = world.broker.topic(topic).unwrap();
    let produced = block_on(async {
        world.broker.enqueue(&topic, Partition::ZERO, batch).await?.durable().await
    });
    produced.map(|produced| produced.base_offset.get())
}

fn copy(world: &World, first: i64, keys: &[&str]) -> Result<i64, ProduceError> {
    send(world, "orders", source_batch(world, first, keys).as_copy())
}

fn gap(world: &World, from: i64, to: i64) -> Result<i64, ProduceError> {
    send(world, "orders", Batch::gap(offset(from), offset(to)).unwrap())
}

#[test]
fn copies_keep_their_offsets_over_gaps_and_restarts_and_none_is_taken_twice() {
    let mut world = World::new();
    world.create("orders", &[COPY_OF]);
    assert_eq!(copy(&world, 0, &["a", "b"]), Ok(0));
    assert_eq!(gap(&world, 2, 5_000_000_000), Ok(2));
    assert_eq!(
        copy(&world, 5_000_000_000, &["c"]).unwrap_err().to_string(),
        "a copy has offset 5000000000; the partition goes on at 2147483650"
    );
    assert_eq!(gap(&world, 2_147_483_650, 5_000_000_000), Ok(2_147_483_650));
    let rest = gap(&world, 4_294_967_298, 5_000_000_000);
    assert_eq!(rest, Ok(4_294_967_298), "a batch has at most 2^31 offsets");
    assert_eq!(copy(&world, 5_000_000_000, &["c"]), Ok(5_000_000_000));
    for _ in 0..2 {
        let again = copy(&world, 5_000_000_000, &["c"]).unwrap_err();
        let expected = offset(5_000_000_001);
        assert_eq!(again, ProduceError::CopyOffset { expected, came: 5_000_000_000 });
        world = world.reopened(&[]);
        assert_eq!(world.extent("orders"), (0, 5_000_000_001));
    }
    let counted = |found: &Kept| found.1.len() == 1;
    let kept: Vec<_> = world.records("orders").into_iter().filter(counted).collect();
    let offsets: Vec<_> = kept.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, [0, 1, 5_000_000_000]);
}

#[test]
fn a_copied_topic_takes_nothing_else_until_its_setting_is_gone() {
    let world = World::new();
    world.create("orders", &[COPY_OF]);
    world.create("plain", &[]);
    let refused = world.put_as("orders", None, &[("a", None)]).unwrap_err();
    assert!(matches!(refused, ProduceError::Mirrored { .. }), "{refused}");
    let refused = send(&world, "plain", source_batch(&world, 0, &["a"]).as_copy()).unwrap_err();
    assert!(matches!(refused, ProduceError::NotMirrored(_)), "{refused}");
    copy(&world, 0, &["a"]).unwrap();
    world.set("orders", COPY_OF.0, "");
    assert_eq!(world.put("orders", &[("b", None)]).base_offset, offset(1));
    assert!(copy(&world, 2, &["c"]).is_err());
}

#[test]
fn what_still_belongs_to_the_other_cluster_is_refused() {
    let world = World::new();
    world.create("orders", &[COPY_OF]);
    let producer = ProducerState { id: 7, epoch: 0, base_sequence: 0 };
    let mut batch = BatchBuilder::new(Codec::None, Some(producer)).transactional();
    batch.push(&Record {
        key: None,
        value: None,
        headers: Vec::new(),
        timestamp: world.clock.now(),
    });
    let own = batch.build().unwrap();
    let marker = Batch::marker((7, 0), Outcome::Abort, 0, world.clock.now()).unwrap();
    for foreign in [own, marker] {
        let mut bytes = foreign.bytes().to_vec();
        bytes[12..16].copy_from_slice(&factum_event::batch::COPY_EPOCH.to_be_bytes());
        let foreign = Batch::parse(bytes.into()).unwrap();
        let refused = send(&world, "orders", foreign).unwrap_err();
        assert!(matches!(refused, ProduceError::Batch(_)), "{refused}");
    }
}

#[test]
fn copies_are_as_the_source_had_them_whatever_the_settings_say() {
    let world = World::new();
    let settings = [
        COPY_OF,
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.before.max.ms", "1"),
        ("compression.type", "zstd"),
        ("max.message.bytes", "10"),
    ];
    world.create("orders", &settings);
    let batch = source_batch(&world, 0, &["a"]).as_copy();
    world.pass(HOUR_MS);
    send(&world, "orders", batch.clone()).unwrap();
    let log = world.broker.log();
    let stored = block_on(log.read(world.id("orders"), Offset::ZERO, 1 << 20)).unwrap();
    let stored = stored[0].to_batch().unwrap();
    assert_eq!(stored.bytes()[16..], batch.bytes()[16..]);
}

#[test]
fn compaction_and_retention_work_on_copies_with_gaps() {
    let mut world = World::new();
    let dirty = [COPY_OF, ("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    world.create("orders", &[&dirty[..], &[("segment.ms", "1")]].concat());
    copy(&world, 0, &["a", "b"]).unwrap();
    gap(&world, 2, 100).unwrap();
    world.pass(HOUR_MS);
    copy(&world, 100, &["a", "c"]).unwrap();
    world.pass(HOUR_MS);
    copy(&world, 102, &["d"]).unwrap();
    world.settle("orders");
    world.pass(48 * HOUR_MS);
    world.settle("orders");
    let keys = world.records("orders").into_iter().filter(|found| found.1.len() == 1);
    let kept: Vec<_> = keys.map(|(offset, key, _)| (offset, key)).collect();
    let expected = [(1, "b"), (100, "a"), (101, "c"), (102, "d")];
    assert_eq!(kept, expected.map(|(offset, key)| (offset, key.to_owned())));
    world = world.reopened(&[]);
    assert_eq!(world.extent("orders").1, 103);
    copy(&world, 103, &["e"]).unwrap();
    for (key, value) in [("cleanup.policy", "delete"), ("retention.ms", "1")] {
        world.set("orders", key, value);
    }
    world.pass(HOUR_MS);
    gap(&world, 104, 200).unwrap();
    world.settle("orders");
    let (start, end) = world.extent("orders");
    assert!(start >= 103 && end == 200, "{start} to {end}");
}
