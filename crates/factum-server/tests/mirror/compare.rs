//! What `--verify` finds.

use factum_event::batch::Codec;

use crate::common::work::*;
use crate::world::*;

#[test]
fn a_tampered_a_missing_and_a_foreign_record_are_found_by_their_offsets() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    for client in [&mut source, &mut target] {
        create(client, "orders", 2);
    }
    append(&mut source, "orders", 0, batch_of(Codec::Lz4, None, &records(0..10)));
    append(&mut source, "orders", 1, batch(&records(0..10)));
    // Packed in another way, which is no difference.
    let mut tampered = records(0..10);
    tampered[4].value = Some("another".into());
    append(&mut target, "orders", 0, batch(&tampered[..7]));
    append(&mut target, "orders", 0, batch_of(Codec::Zstd, None, &tampered[7..]));
    append(&mut target, "orders", 1, batch(&records(0..8)));
    let (good, said, errors) = world.mirror(&["--verify"]);
    assert!(!good && errors.contains("orders-0 at offset 4"), "{errors}");
    assert!(errors.contains("orders-1 is 2 offsets behind"), "{errors}");
    let differences = said["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{said}");
    let found = &differences[0];
    assert_eq!(
        (&found["partition"], &found["offset"], &found["what"]),
        (&0.into(), &4.into(), &"changed".into())
    );
    assert_eq!(said["partitions"][1]["behind"], 2);
    assert_ne!(said["partitions"][0]["source_checksum"], said["partitions"][0]["target_checksum"]);

    // The same number of records, one in another's place.
    let mut moved = records(8..10);
    moved.swap(0, 1);
    append(&mut target, "orders", 1, batch(&moved));
    let (good, said, _) = world.mirror(&["--verify"]);
    assert!(!good);
    assert_eq!(said["differences"].as_array().unwrap().len(), 3, "{said}");
}

#[test]
fn a_topic_that_is_not_there_is_a_difference() {
    let world = World::new();
    let [mut source, _] = world.clients();
    create(&mut source, "orders", 1);
    let (good, said, errors) = world.mirror(&["--verify"]);
    assert!(!good && errors.contains("orders is not in the target"), "{errors}");
    assert_eq!(said["missing"], serde_json::json!(["orders"]));
    let said = world.mirror_well(&["--verify", "--exclude-topics", "ord.*"]);
    assert_eq!(said["records"], 0);
}

#[test]
fn a_difference_and_what_cannot_be_compared_have_exit_codes_of_their_own() {
    let world = World::new();
    let [mut source, _] = world.clients();
    create(&mut source, "orders", 1);
    let (from, to) = (world.source.kafka.to_string(), world.target.kafka.to_string());
    let code = |from: &str| mirror(from, &to, &["--verify"]).output().unwrap().status.code();
    assert_eq!(code(&from), Some(1), "the topic is not in the target");
    assert_eq!(code("127.0.0.1:1"), Some(2), "nobody answers there");
}
