//! A mirror that goes on: what changes at the source changes in the target.

use factum_wire::messages::*;

use crate::common::server::until;
use crate::common::work::*;
use crate::world::*;

#[test]
fn what_is_new_at_the_source_follows_until_it_is_told_to_stop() {
    let world = World::new();
    let [mut source, mut target] = world.clients();
    create(&mut source, "orders", 1);
    append(&mut source, "orders", 0, batch(&records(0..5)));
    create(&mut source, "passing", 1);
    append(&mut source, "passing", 0, batch(&records(0..5)));
    let mirror = Running(world.command(&[]).spawn().unwrap());
    until("it is there", || partitions(&mut target, "orders") == 1);
    until("it is copied", || end_of(&mut target, "orders", 0) == 5);
    for first in (5..50).step_by(5) {
        append(&mut source, "orders", 0, batch(&records(first..first + 5)));
        until("it follows", || end_of(&mut target, "orders", 0) == first + 5);
    }
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name("orders"),
            count: 3,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    ok("grow", source.ask(&grow).results[0].error_code);
    append(&mut source, "orders", 2, batch(&records(0..7)));
    create(&mut source, "later", 1);
    append(&mut source, "later", 0, batch(&records(0..3)));
    commit(&mut source, "billing", "orders", (0, 20));
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(name("passing")), ..Default::default() }],
        ..Default::default()
    };
    ok("delete", source.ask(&delete).responses[0].error_code);
    until("it has grown", || partitions(&mut target, "orders") == 3);
    until("the new partition is copied", || end_of(&mut target, "orders", 2) == 7);
    until("the new topic is there", || partitions(&mut target, "later") == 1);
    until("the new topic is copied", || end_of(&mut target, "later", 0) == 3);
    until("the group follows", || committed(&mut target, "billing", "orders", 0).0 == 20);
    let (good, said, errors) = mirror.interrupt();
    assert!(good, "{said} {errors}");
    assert!(errors.contains("topic passing is gone from the source"), "{errors}");
    assert_eq!(said["records"], 65, "{said} {errors}");
    assert_eq!(end_of(&mut target, "passing", 0), 5, "the copy stays");
    assert_eq!(seen(&mut target, "orders", 0), seen(&mut source, "orders", 0));
}
