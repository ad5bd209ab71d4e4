//! Who is let in, under which id, and in which epoch.

use super::*;

#[test]
fn the_first_member_gets_all_at_once() {
    let scene = Scene::new();
    let client = scene.enter("a");
    assert_eq!((client.epoch, client.owned.len(), scene.state()), (1, 4, "Stable"));
    assert_eq!(scene.cause(), (Cause::MemberJoined, vec!["a".to_owned()]));
    let metrics = scene.groups.metrics();
    assert_eq!(
        (metrics.rebalances_begun, metrics.rebalances_completed, metrics.members),
        (1, 1, 1)
    );
}

#[test]
fn who_makes_no_id_gets_one_in_version_0_and_is_refused_later() {
    let scene = Scene::new();
    let beat = |makes_its_id| ConsumerHeartbeat { makes_its_id, ..Client::new("").joining() };
    let error = scene.ask(beat(true)).unwrap_err();
    assert!(matches!(error, GroupError::InvalidRequest(_)), "{error}");
    let beat = scene.ask(beat(false)).unwrap();
    assert_eq!(beat.member_id, Uuid::from_u128(1).to_string());
    assert_eq!(beat.heartbeat_interval, Duration::from_secs(5));
}

#[test]
fn a_request_that_contradicts_itself_is_refused() {
    let scene = Scene::new();
    let owned = || Some([(TopicId(Uuid::nil()), 0)].into_iter().collect());
    type Spoil = fn(&mut ConsumerHeartbeat);
    let wrong: [(&str, Spoil); 7] = [
        ("instance", |beat| beat.instance_id = Some(String::new())),
        ("rack", |beat| beat.rack_id = Some(String::new())),
        ("epoch", |beat| beat.member_epoch = -3),
        ("no instance", |beat| beat.member_epoch = -2),
        ("timeout", |beat| beat.rebalance_timeout = None),
        ("topics", |beat| beat.topic_names = None),
        ("long id", |beat| beat.member_id = "x".repeat(256)),
    ];
    for (what, spoil) in wrong {
        let mut beat = Client::new("a").joining();
        spoil(&mut beat);
        assert!(matches!(scene.ask(beat), Err(GroupError::InvalidRequest(_))), "{what}");
    }
    let beat = ConsumerHeartbeat { owned: owned(), ..Client::new("a").joining() };
    assert!(matches!(scene.ask(beat), Err(GroupError::InvalidRequest(_))), "owns at once");
    let assignor = Some("sticky".to_owned());
    let beat = ConsumerHeartbeat { assignor, ..Client::new("a").joining() };
    assert!(matches!(scene.ask(beat), Err(GroupError::UnsupportedAssignor(_))));
    let topic_regex = Some("(".to_owned());
    let beat = ConsumerHeartbeat { topic_regex, ..Client::new("a").joining() };
    assert!(matches!(scene.ask(beat), Err(GroupError::InvalidRegularExpression(_))));
    assert!(scene.groups.list().is_empty(), "none of them made a group");
}

#[test]
fn who_is_unknown_is_told_to_join_again() {
    let scene = Scene::new();
    let mut stranger = Client { epoch: 5, ..Client::new("s") };
    assert_eq!(scene.beat(&mut stranger), Err(GroupError::UnknownMemberId), "no group");
    scene.enter("a");
    assert_eq!(scene.beat(&mut stranger), Err(GroupError::UnknownMemberId), "not in the group");
    scene.join(&mut stranger).unwrap();
}

#[test]
fn a_member_of_a_wrong_epoch_is_fenced_but_one_that_lost_an_answer_goes_on() {
    let scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    // It gives up its half; the answer with its new epoch is lost.
    scene.beat(&mut one).unwrap();
    let before = one.clone();
    scene.beat(&mut one).unwrap();
    assert_eq!((before.epoch, one.epoch), (1, 2), "it has come on");
    let mut lagging = before;
    scene.beat(&mut lagging).unwrap();
    assert_eq!(lagging.epoch, 2);
    let ahead = ConsumerHeartbeat { member_epoch: 3, ..one.beating() };
    let fenced = GroupError::FencedMemberEpoch { came: 3, current: 2 };
    assert_eq!(scene.ask(ahead), Err(fenced));
    let greedy = Client { owned: two.owned.clone(), epoch: 1, ..one.clone() };
    scene.beat(&mut two).unwrap();
    let greedy = Client { owned: two.owned.clone(), ..greedy };
    assert!(matches!(
        scene.ask(greedy.beating()),
        Err(GroupError::FencedMemberEpoch { came: 1, current: 2 })
    ));
}

#[test]
fn who_joins_again_by_its_id_keeps_its_place() {
    let scene = Scene::new();
    let mut client = scene.enter("a");
    let before = client.clone();
    scene.join(&mut client).unwrap();
    assert_eq!((client.epoch, &client.owned), (before.epoch, &before.owned));
    assert_eq!(scene.describe().rebalances, 1);
}

#[test]
fn a_full_heartbeat_is_answered_in_full_and_another_only_with_news() {
    let scene = Scene::new();
    let client = scene.enter("a");
    let beat = ConsumerHeartbeat { owned: None, ..client.beating() };
    assert_eq!(scene.ask(beat).unwrap().assignment, None);
    assert_eq!(scene.ask(client.beating()).unwrap().assignment, None);
    let full = ConsumerHeartbeat {
        owned: Some(client.owned.clone()),
        member_epoch: 1,
        ..client.joining()
    };
    assert_eq!(scene.ask(full).unwrap().assignment, Some(client.owned));
}

#[test]
fn limits_hold() {
    let scene = Scene::with(|settings| {
        settings.max_members = 1;
        settings.max_groups = 1;
        settings.max_member_bytes = 100;
    });
    let one = scene.enter("a");
    let mut two = Client::new("b");
    assert_eq!(scene.join(&mut two), Err(GroupError::GroupMaxSizeReached { limit: 1 }));
    scene.join(&mut one.clone()).unwrap();
    two.topics = vec!["t".repeat(100)];
    assert!(matches!(scene.join(&mut two), Err(GroupError::InvalidRequest(_))));
    let other = GroupName::new("other").unwrap();
    let join = || {
        let beat = Client::new("a").joining();
        scene.groups.consumer_heartbeat(scene.now, &other, beat, &scene.world)
    };
    assert_eq!(join(), Err(GroupError::TooManyGroups { limit: 1 }));
    scene.ask(one.leaving(-1)).unwrap();
    join().unwrap();
    assert!(scene.groups.kind(&scene.group).is_none(), "forgotten for another");
}

#[test]
fn a_group_has_a_limited_number_of_regular_expressions() {
    let scene = Scene::new();
    let join = |number: usize, pattern: String| {
        let topic_regex = Some(pattern);
        let client = Client::new(&format!("m{number}"));
        scene.ask(ConsumerHeartbeat { topic_regex, ..client.joining() })
    };
    for number in 0..100 {
        join(number, format!("p{number}")).unwrap();
    }
    assert!(matches!(join(100, "p100".to_owned()), Err(GroupError::InvalidRegularExpression(_))));
    join(100, "p7".to_owned()).unwrap();
}

#[test]
fn the_assignor_that_most_prefer_is_taken() {
    let scene = Scene::new();
    let join = |id: &str, assignor: Option<&str>| {
        let assignor = assignor.map(str::to_owned);
        scene.ask(ConsumerHeartbeat { assignor, ..Client::new(id).joining() }).unwrap();
    };
    join("a", None);
    assert_eq!(scene.describe().assignor, "uniform");
    join("b", Some("range"));
    assert_eq!(scene.describe().assignor, "range");
    join("c", Some("uniform"));
    assert_eq!(scene.describe().assignor, "uniform", "where votes are equal");
    join("d", Some("range"));
    assert_eq!(scene.describe().assignor, "range");
}
