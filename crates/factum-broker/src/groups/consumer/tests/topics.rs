//! Subscriptions, and topics that come, grow and go.

use super::*;

#[test]
fn topics_that_come_grow_and_go_are_noticed_at_the_next_heartbeat() {
    let scene = Scene::new();
    let mut client = Client::new("a");
    client.topics.push("later".to_owned());
    scene.join(&mut client).unwrap();
    assert_eq!(client.owned.len(), 4);
    scene.world.create("later", 2);
    scene.beat(&mut client).unwrap();
    assert_eq!((client.epoch, client.owned.len()), (2, 6));
    assert_eq!(scene.cause(), (Cause::TopicsChanged, vec!["later".to_owned()]));
    scene.world.grow("orders", 5);
    scene.beat(&mut client).unwrap();
    assert_eq!((client.epoch, client.owned.len()), (3, 7));
    scene.world.delete("later");
    scene.beat(&mut client).unwrap();
    assert_eq!(client.owned.len(), 5);
    scene.beat(&mut client).unwrap();
    assert_eq!((client.epoch, scene.state()), (4, "Stable"));
    scene.world.create("unrelated", 1);
    scene.beat(&mut client).unwrap();
    assert_eq!((client.epoch, scene.describe().rebalances), (4, 4));
}

#[test]
fn a_topic_that_is_deleted_and_created_anew_is_another() {
    let scene = Scene::new();
    let mut client = scene.enter("a");
    let before = client.owned.clone();
    scene.world.delete("orders");
    scene.world.create("orders", 4);
    scene.settle(&mut [&mut client]);
    assert_eq!((client.owned.len(), client.owned.overlaps(&before)), (4, false));
}

#[test]
fn topics_by_a_regular_expression_besides_those_by_name() {
    let scene = Scene::new();
    scene.world.create("eu.orders", 1);
    let mut client = Client::new("a");
    let topic_regex = Some(r"eu\..*".to_owned());
    let beat = scene.ask(ConsumerHeartbeat { topic_regex, ..client.joining() }).unwrap();
    client.follow(&beat);
    assert_eq!(client.owned.len(), 5);
    scene.world.create("eu.payments", 2);
    scene.world.create("us.payments", 2);
    scene.beat(&mut client).unwrap();
    assert_eq!(client.owned.len(), 7);
    let names = scene.groups.standing(&scene.group).unwrap().topics.unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["eu.orders", "eu.payments", "orders"]);
    // An empty one takes it back; what is not spoken of stays.
    let none = ConsumerHeartbeat { topic_regex: Some(String::new()), ..client.beating() };
    client.follow(&scene.ask(none).unwrap());
    assert_eq!(client.owned.len(), 4);
    assert_eq!(scene.cause(), (Cause::SubscriptionChanged, vec!["a".to_owned()]));
    scene.beat(&mut client).unwrap();
    assert_eq!(
        (scene.state(), scene.describe().members[0].topic_regex.as_deref()),
        ("Stable", None)
    );
    let rebalances = scene.describe().rebalances;
    scene.world.delete("eu.orders");
    scene.beat(&mut client).unwrap();
    assert_eq!(scene.describe().rebalances, rebalances, "nobody reads it any more");
}

#[test]
fn members_of_other_topics_share_only_what_both_read() {
    let scene = Scene::new();
    scene.world.create("payments", 4);
    let mut one = scene.enter("a");
    let mut two = Client::new("b");
    two.topics = vec!["orders".to_owned(), "payments".to_owned()];
    scene.join(&mut two).unwrap();
    scene.settle(&mut [&mut one, &mut two]);
    assert_eq!((one.owned.len(), two.owned.len()), (4, 4));
    one.topics.clear();
    let unsubscribe = ConsumerHeartbeat { topic_names: Some(Vec::new()), ..one.beating() };
    one.follow(&scene.ask(unsubscribe).unwrap());
    scene.settle(&mut [&mut one, &mut two]);
    assert_eq!((one.owned.len(), two.owned.len()), (0, 8));
}
