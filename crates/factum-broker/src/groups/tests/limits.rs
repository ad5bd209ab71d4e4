//! What clients ask for beyond what is allowed.

use super::*;

#[test]
fn a_session_timeout_out_of_range_is_refused() {
    let scene = Scene::new();
    for seconds in [0, 5, 1801] {
        let session_timeout = Some(Duration::from_secs(seconds));
        let refused = scene.join(JoinRequest { session_timeout, ..scene.request("") }).now();
        assert_eq!(refused.unwrap().unwrap_err().code(), 26);
    }
    assert_eq!(scene.groups.list(), [], "a refused join leaves no group behind");
    for seconds in [6, 1800] {
        let session_timeout = Some(Duration::from_secs(seconds));
        let scene = Scene::new();
        expect_joined(&mut scene.join(JoinRequest { session_timeout, ..scene.request("") }));
    }
}

#[test]
fn a_full_group_takes_no_new_member_but_keeps_its_own() {
    let scene = Scene::with(|settings| settings.max_members = 2);
    let members = scene.stable(2);
    let full = GroupError::GroupMaxSizeReached { limit: 2 };
    assert_eq!(expect_error(&mut scene.join(scene.request(""))), full);
    assert_eq!(scene.heartbeat(&members[0]), Ok(()));
    let mut leader = scene.rejoin(&members[0]);
    let mut follower = scene.rejoin(&members[1]);
    assert_eq!(expect_joined(&mut leader).generation, 3);
    assert_eq!(expect_joined(&mut follower).generation, 3);
}

#[test]
fn in_a_rebalance_the_last_to_come_is_turned_away_and_not_waited_for() {
    let scene = Scene::with(|settings| settings.max_members = 2);
    let members = scene.stable(2);
    let mut leader = scene.rejoin(&members[0]);
    let mut newcomer = scene.join(scene.request(""));
    assert!(newcomer.now().is_none(), "there is room, as the second has not come yet");
    let full = GroupError::GroupMaxSizeReached { limit: 2 };
    assert_eq!(expect_error(&mut scene.rejoin(&members[1])), full);
    let members = [expect_joined(&mut leader), expect_joined(&mut newcomer)];
    scene.sync_all(&members);
}

#[test]
fn a_static_member_can_restart_in_a_full_group() {
    let scene = Scene::with(|settings| settings.max_members = 1);
    let instance_id = Some("i1".to_owned());
    let request = JoinRequest { instance_id, ..scene.request("") };
    let member = expect_joined(&mut scene.join(request.clone()));
    scene.sync_all(&[member]);
    assert_eq!(expect_joined(&mut scene.join(request)).generation, 1);
}

#[test]
fn ids_that_are_given_out_are_limited() {
    let scene = Scene::with(|settings| settings.max_members = 2);
    let request = JoinRequest { require_member_id: true, ..scene.request("") };
    id_given(&mut scene.join(request.clone()));
    id_given(&mut scene.join(request.clone()));
    assert_eq!(expect_error(&mut scene.join(request)).code(), 81);
}

#[test]
fn groups_are_limited_and_empty_ones_make_room() {
    let mut scene = Scene::with(|settings| settings.max_groups = 2);
    let enter = |scene: &Scene, group: &str| {
        let group = GroupName::new(group).unwrap();
        scene.join(JoinRequest { group, ..scene.request("") }).now().unwrap()
    };
    let first = enter(&scene, "g").unwrap();
    scene.pass(1);
    enter(&scene, "h").unwrap();
    let refused = enter(&scene, "i").unwrap_err();
    assert_eq!(refused, GroupError::TooManyGroups { limit: 2 });
    scene.leave(&first).unwrap();
    enter(&scene, "i").unwrap();
    let names: Vec<_> = scene.groups.list().into_iter().map(|l| l.group).collect();
    assert_eq!(names, ["h", "i"].map(|name| GroupName::new(name).unwrap()));
}

#[test]
fn what_a_member_may_say_is_limited() {
    let scene = Scene::with(|settings| {
        settings.max_member_bytes = 30;
        settings.max_protocols = 2;
    });
    let refused = |tune: fn(&mut JoinRequest)| {
        let mut request = scene.request("");
        tune(&mut request);
        expect_error(&mut scene.join(request)).code()
    };
    assert_eq!(refused(|r| r.protocols[0].metadata = Bytes::from(vec![0; 26])), 42);
    assert_eq!(refused(|r| r.protocols = protocols(&["a", "b", "c"])), 42);
    assert_eq!(refused(|r| r.instance_id = Some(String::new())), 42);
    assert_eq!(refused(|r| r.instance_id = Some("x".repeat(250))), 42);
    let member = scene.enter();
    let oversized = |r: &mut SyncRequest| r.assignments[0].1 = Bytes::from(vec![0; 31]);
    assert_eq!(expect_error(&mut scene.sync_with(&member, oversized)).code(), 42);
    let too_much = |r: &mut SyncRequest| {
        r.assignments = vec![(String::new(), Bytes::new()); 10];
    };
    assert!(scene.sync_with(&member, too_much).now().unwrap().is_ok());
}

#[test]
fn a_long_client_id_is_cut_in_the_member_id_and_a_long_reason_in_the_description() {
    let scene = Scene::new();
    let long = "ä".repeat(10_000);
    let request = JoinRequest { client_id: long.clone(), reason: Some(long), ..scene.request("") };
    let member = expect_joined(&mut scene.join(request));
    assert_eq!(member.member_id.len(), 254 + 1 + 36);
    let reason = scene.describe().last_rebalance.unwrap().client_reason.unwrap();
    assert_eq!(reason.len(), 254);
}

#[test]
fn an_id_that_was_given_to_a_dynamic_member_is_not_for_a_static_one() {
    let scene = Scene::new();
    let request = JoinRequest { require_member_id: true, ..scene.request("") };
    let member_id = id_given(&mut scene.join(request));
    let instance_id = Some("i1".to_owned());
    let request = JoinRequest { instance_id, ..scene.request(&member_id) };
    assert_eq!(expect_error(&mut scene.join(request)).code(), 42);
}
