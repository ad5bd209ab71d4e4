//! Members that go: for good, for a while, or silently.

use super::*;
use crate::groups::Leaving;

#[test]
fn who_leaves_frees_all_it_has_and_the_last_one_leaves_an_empty_group() {
    let mut scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    scene.settle(&mut [&mut one, &mut two]);
    let left = scene.ask(one.leaving(-1)).unwrap();
    assert_eq!((left.member_epoch, left.assignment), (-1, None));
    assert_eq!(scene.state(), "Assigning");
    assert_eq!(scene.cause(), (Cause::MemberLeft, vec!["a".to_owned()]));
    scene.beat(&mut two).unwrap();
    assert_eq!((two.epoch, two.owned.len(), scene.state()), (3, 4, "Stable"));
    assert_eq!(scene.ask(one.leaving(-1)), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.groups.delete(&scene.group), Err(GroupError::GroupNotEmpty));
    scene.ask(two.leaving(-1)).unwrap();
    assert_eq!(scene.state(), "Empty");
    scene.pass(9 * 60);
    assert_eq!(scene.groups.list().len(), 1);
    scene.pass(2 * 60);
    assert!(scene.groups.list().is_empty(), "forgotten");
}

#[test]
fn who_is_silent_is_removed_after_its_session() {
    let mut scene = Scene::new();
    let mut one = scene.enter("a");
    let mut two = scene.enter("b");
    scene.settle(&mut [&mut one, &mut two]);
    scene.pass(44);
    scene.beat(&mut two).unwrap();
    assert_eq!(scene.describe().members.len(), 2);
    scene.pass(1);
    assert_eq!(scene.cause(), (Cause::SessionExpired, vec!["a".to_owned()]));
    scene.beat(&mut two).unwrap();
    assert_eq!((two.owned.len(), scene.groups.metrics().members_evicted), (4, 1));
    assert_eq!(scene.beat(&mut one), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_static_member_that_comes_back_gets_what_it_had_and_nobody_else_notices() {
    let mut scene = Scene::new();
    let mut one = Client::fixed("a", "i");
    scene.join(&mut one).unwrap();
    let mut two = scene.enter("b");
    scene.settle(&mut [&mut one, &mut two]);
    let mut again = Client::fixed("a2", "i");
    assert_eq!(scene.join(&mut again), Err(GroupError::UnreleasedInstanceId));
    assert_eq!(scene.ask(one.leaving(-2)).unwrap().member_epoch, -2);
    scene.pass(10);
    scene.beat(&mut two).unwrap();
    assert_eq!(two.owned.len(), 2);
    scene.join(&mut again).unwrap();
    assert_eq!((again.epoch, &again.owned), (2, &one.owned));
    assert_eq!((scene.state(), scene.describe().rebalances), ("Stable", 2));
    assert_eq!(scene.beat(&mut one), Err(GroupError::FencedInstanceId));
    assert_eq!(scene.ask(one.leaving(-1)), Err(GroupError::FencedInstanceId));
    scene.beat(&mut again).unwrap();
}

#[test]
fn a_static_member_that_does_not_come_back_expires() {
    let mut scene = Scene::new();
    let mut one = Client::fixed("a", "i");
    scene.join(&mut one).unwrap();
    let mut two = scene.enter("b");
    scene.settle(&mut [&mut one, &mut two]);
    scene.ask(one.leaving(-2)).unwrap();
    for _ in 0..3 {
        scene.pass(15);
        scene.beat(&mut two).unwrap();
    }
    assert_eq!(two.owned.len(), 4);
    let mut again = Client::fixed("a2", "i");
    scene.join(&mut again).unwrap();
    scene.settle(&mut [&mut again, &mut two]);
    assert_eq!(again.owned.len(), 2);
}

#[test]
fn what_a_static_member_was_to_give_up_is_free_once_it_is_away() {
    let scene = Scene::new();
    let mut one = Client::fixed("a", "i");
    scene.join(&mut one).unwrap();
    let mut two = scene.enter("b");
    scene.beat(&mut one.clone()).unwrap();
    scene.ask(one.leaving(-2)).unwrap();
    scene.beat(&mut two).unwrap();
    assert_eq!(two.owned.len(), 2);
    let mut again = Client::fixed("a2", "i");
    scene.join(&mut again).unwrap();
    assert_eq!((again.owned.len(), scene.state()), (2, "Stable"));
}

#[test]
fn an_instance_id_is_of_one_member() {
    let scene = Scene::new();
    let mut one = Client::fixed("a", "i");
    scene.join(&mut one).unwrap();
    scene.beat(&mut one).unwrap();
    let unknown = Client { epoch: 1, ..Client::fixed("a", "j") };
    assert_eq!(scene.ask(unknown.beating()), Err(GroupError::UnknownMemberId));
    let other = Client { epoch: 1, ..Client::fixed("b", "i") };
    assert_eq!(scene.ask(other.beating()), Err(GroupError::FencedInstanceId));
    // The answer to its join was lost, so it joins again by its id.
    scene.join(&mut one).unwrap();
    assert_eq!(one.owned.len(), 4);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id_and_no_other() {
    let scene = Scene::new();
    let mut one = Client::fixed("a", "i");
    scene.join(&mut one).unwrap();
    let mut two = scene.enter("b");
    let leaving = |member_id: &str, instance_id: Option<&str>| Leaving {
        member_id: member_id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
        reason: None,
    };
    let members = [leaving("b", None), leaving("", Some("i")), leaving("", Some("j"))];
    let unknown = Err(GroupError::UnknownMemberId);
    let answers = scene.groups.leave(scene.now, &scene.group, &members);
    assert_eq!(answers, [unknown.clone(), Ok(()), unknown]);
    scene.beat(&mut two).unwrap();
    assert_eq!(two.owned.len(), 4);
}
