//! A partition comes to its new owner after the old one has given it up.

use super::*;

#[test]
fn a_partition_is_given_away_only_after_its_owner_says_that_it_has_given_it_up() {
    let scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    assert_eq!((two.epoch, two.owned.len()), (2, 0), "nothing is free yet");
    let told = scene.ask(one.beating()).unwrap();
    assert_eq!((told.member_epoch, told.assignment.as_ref().map(Assignment::len)), (1, Some(2)));
    scene.beat(&mut two).unwrap();
    assert_eq!(two.owned.len(), 0, "told to give up is not given up");
    // A heartbeat that does not speak of its partitions proves nothing, nor one that still has all.
    scene.ask(ConsumerHeartbeat { owned: None, ..one.beating() }).unwrap();
    scene.beat(&mut two).unwrap();
    assert_eq!((two.owned.len(), scene.state()), (0, "Reconciling"));
    one.follow(&told);
    scene.beat(&mut one).unwrap();
    assert_eq!(one.epoch, 2);
    scene.beat(&mut two).unwrap();
    assert_eq!((one.owned.len(), two.owned.len(), scene.state()), (2, 2, "Stable"));
    assert!(!one.owned.overlaps(&two.owned));
    let metrics = scene.groups.metrics();
    assert_eq!((metrics.rebalances_begun, metrics.rebalances_completed), (2, 2));
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let mut scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    scene.ask(one.beating()).unwrap();
    for _ in 0..6 {
        scene.pass(10);
        let stubborn = scene.ask(ConsumerHeartbeat { owned: None, ..one.beating() });
        if stubborn.is_err() {
            break;
        }
        scene.beat(&mut two).unwrap();
    }
    assert_eq!(scene.cause(), (Cause::RevocationOverdue, vec!["a".to_owned()]));
    assert_eq!(scene.beat(&mut one), Err(GroupError::UnknownMemberId));
    scene.beat(&mut two).unwrap();
    assert_eq!(two.owned.len(), 4);
    scene.join(&mut one).unwrap();
    scene.settle(&mut [&mut one, &mut two]);
    assert_eq!((one.owned.len(), two.owned.len()), (2, 2));
}

#[test]
fn who_gives_up_in_time_is_not_removed_later() {
    let mut scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    scene.settle(&mut [&mut one, &mut two]);
    for _ in 0..10 {
        scene.pass(30);
        scene.settle(&mut [&mut one, &mut two]);
    }
    assert_eq!(scene.describe().members.len(), 2);
}

#[test]
fn a_partition_that_comes_back_before_it_was_given_up_stays() {
    let scene = Scene::new();
    let mut one = scene.enter("a");
    let two = scene.enter("b");
    let told = scene.ask(one.beating()).unwrap();
    scene.ask(two.leaving(-1)).unwrap();
    one.follow(&told);
    scene.beat(&mut one).unwrap();
    assert_eq!((one.owned.len(), scene.state()), (4, "Stable"));
}

#[test]
fn offsets_are_committed_and_fetched_in_the_members_own_epoch_only() {
    let scene = Scene::new();
    let mut one = scene.enter("a");
    let two = scene.enter("b");
    let commit = |member_id: &str, generation: i32| {
        let member = MemberRef { generation, member_id, instance_id: None };
        scene.groups.validate_commit(scene.now, &scene.group, &member)
    };
    let fetch =
        |member_id: &str, epoch| scene.groups.validate_fetch(&scene.group, member_id, epoch);
    // While it gives up partitions, it commits in its former epoch.
    scene.beat(&mut one).unwrap();
    assert_eq!((commit("a", 1), fetch("a", 1)), (Ok(()), Ok(())));
    let stale = GroupError::StaleMemberEpoch { came: 2, current: 1 };
    assert_eq!((commit("a", 2), fetch("a", 2)), (Err(stale.clone()), Err(stale)));
    assert_eq!(commit("b", two.epoch), Ok(()));
    assert_eq!(commit("c", 2), Err(GroupError::UnknownMemberId));
    assert_eq!(commit("", -1), Err(GroupError::UnknownMemberId), "there are members");
    let other = GroupName::new("other").unwrap();
    let outside = MemberRef { generation: -1, member_id: "a", instance_id: None };
    let valid = scene.groups.validate_commit(scene.now, &other, &outside);
    assert_eq!(valid, Ok(()), "a group that nobody has joined");
    scene.settle(&mut [&mut one, &mut two.clone()]);
    let stale = GroupError::StaleMemberEpoch { came: 1, current: 2 };
    assert_eq!((commit("a", 1), commit("a", 2)), (Err(stale), Ok(())));
    scene.ask(one.leaving(-1)).unwrap();
    scene.ask(two.leaving(-1)).unwrap();
    assert_eq!(commit("", -1), Ok(()), "there are no members");
    assert_eq!(commit("a", 2), Err(GroupError::UnknownMemberId));
}
