//! Members with a `group.instance.id`.

use super::*;

impl Scene {
    fn join_static(
        &self,
        instance_id: &str,
        tune: impl FnOnce(&mut JoinRequest),
    ) -> Answer<Joined> {
        let mut request = self.request("");
        request.instance_id = Some(instance_id.to_owned());
        request.require_member_id = true;
        tune(&mut request);
        self.join(request)
    }

    /// A stable group of a leader "i1" and a follower "i2".
    fn stable_static(&self) -> (Joined, Joined) {
        let leader = expect_joined(&mut self.join_static("i1", |_| ()));
        let mut follower = self.join_static("i2", |_| ());
        let leader = expect_joined(&mut self.join_static("i1", |r| r.member_id = leader.member_id));
        let follower = expect_joined(&mut follower);
        self.sync_all(&[leader.clone(), follower.clone()]);
        (leader, follower)
    }

    fn heartbeat_as(&self, member: &Joined, instance_id: &str) -> Result<(), GroupError> {
        let member = MemberRef { instance_id: Some(instance_id), ..reference(member) };
        self.groups.heartbeat(self.now, &self.group, &member)
    }
}

#[test]
fn a_static_member_needs_no_second_join_for_its_id() {
    let scene = Scene::new();
    let member = expect_joined(&mut scene.join_static("i1", |_| ()));
    assert_eq!(member.member_id, "i1-00000000-0000-0000-0000-000000000001");
    assert_eq!(member.members[0].instance_id.as_deref(), Some("i1"));
}

#[test]
fn a_static_follower_that_restarts_keeps_its_assignment_and_nobody_notices() {
    let scene = Scene::new();
    let (leader, follower) = scene.stable_static();
    let again = expect_joined(&mut scene.join_static("i2", |_| ()));
    assert_ne!(again.member_id, follower.member_id);
    assert_eq!((again.generation, again.leader.as_str()), (2, leader.member_id.as_str()));
    assert_eq!((scene.state(), scene.describe().rebalances), ("Stable", 2));
    let synced = scene.sync_with(&again, |r| r.instance_id = Some("i2".to_owned())).now();
    assert_eq!(synced.unwrap().unwrap().assignment, assignment(&follower));
    assert_eq!(scene.heartbeat(&leader), Ok(()));
}

#[test]
fn the_former_self_of_a_static_member_is_fenced() {
    let scene = Scene::new();
    let (_, follower) = scene.stable_static();
    expect_joined(&mut scene.join_static("i2", |_| ()));
    let fenced = Err(GroupError::FencedInstanceId);
    assert_eq!(scene.heartbeat_as(&follower, "i2"), fenced);
    assert_eq!(scene.heartbeat(&follower), Err(GroupError::UnknownMemberId));
    let rejoin = scene.join_static("i2", |r| r.member_id.clone_from(&follower.member_id)).now();
    assert_eq!(rejoin, Some(Err(GroupError::FencedInstanceId)));
    let sync = scene.sync_with(&follower, |r| r.instance_id = Some("i2".to_owned())).now();
    assert_eq!(sync, Some(Err(GroupError::FencedInstanceId)));
    let instance_id = Some("i2".to_owned());
    let leaving = Leaving { member_id: follower.member_id, instance_id, reason: None };
    assert_eq!(scene.groups.leave(scene.now, &scene.group, &[leaving]), [fenced]);
}

#[test]
fn an_instance_id_that_nobody_has_is_unknown() {
    let scene = Scene::new();
    let (leader, _) = scene.stable_static();
    assert_eq!(scene.heartbeat_as(&leader, "i9"), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.heartbeat_as(&leader, "i2"), Err(GroupError::FencedInstanceId));
}

#[test]
fn a_static_leader_that_restarts_is_told_to_skip_the_assignment_if_it_understands() {
    let scene = Scene::new();
    let (leader, _) = scene.stable_static();
    let again = expect_joined(&mut scene.join_static("i1", |r| r.skip_assignment = true));
    assert!(again.is_leader() && again.skip_assignment);
    assert_eq!((again.generation, again.members.len()), (2, 2));
    let synced = scene.sync_with(&again, |r| r.assignments.clear()).now().unwrap().unwrap();
    assert_eq!(synced.assignment, assignment(&leader));
}

#[test]
fn a_static_leader_that_restarts_and_does_not_understand_is_told_of_its_former_self() {
    let scene = Scene::new();
    let (leader, _) = scene.stable_static();
    let again = expect_joined(&mut scene.join_static("i1", |_| ()));
    assert_eq!(again.leader, leader.member_id);
    assert!(!again.is_leader() && again.members.is_empty());
    let rejoined = scene.join_static("i1", |r| r.member_id = again.member_id).now();
    assert!(rejoined.is_none(), "but it leads: its rejoin rebalances");
}

#[test]
fn a_static_member_that_comes_back_with_another_choice_of_protocol_rebalances() {
    let scene = Scene::new();
    let both = |names: &'static [&'static str]| {
        move |request: &mut JoinRequest| request.protocols = protocols(names)
    };
    let only = expect_joined(&mut scene.join_static("i1", both(&["range", "sticky"])));
    scene.sync_all(&[only]);
    let again = expect_joined(&mut scene.join_static("i1", both(&["sticky", "range"])));
    assert_eq!((again.generation, again.protocol.as_str()), (2, "sticky"));
    assert_eq!(scene.cause(), Cause::StaticMemberReplaced);
}

#[test]
fn a_static_member_that_comes_back_while_the_assignment_is_awaited_rebalances() {
    let scene = Scene::new();
    let leader = expect_joined(&mut scene.join_static("i1", |_| ()));
    let mut waiting = scene.join_static("i2", |_| ());
    let leader = expect_joined(&mut scene.join_static("i1", |r| r.member_id = leader.member_id));
    let follower = expect_joined(&mut waiting);
    let mut sync = scene.sync(&follower);
    let mut again = scene.join_static("i2", |_| ());
    assert_eq!(expect_error(&mut sync), GroupError::FencedInstanceId);
    assert_eq!(expect_error(&mut scene.sync(&leader)), GroupError::RebalanceInProgress);
    let leader = expect_joined(&mut scene.join_static("i1", |r| r.member_id = leader.member_id));
    scene.sync_all(&[leader, expect_joined(&mut again)]);
}

#[test]
fn a_static_member_that_comes_back_takes_over_a_join_that_waits() {
    let scene = Scene::new();
    let (leader, follower) = scene.stable_static();
    let mut waits = scene.join_static("i1", |r| r.member_id.clone_from(&leader.member_id));
    let mut again = scene.join_static("i1", |_| ());
    assert_eq!(expect_error(&mut waits), GroupError::FencedInstanceId);
    expect_joined(&mut scene.join_static("i2", |r| r.member_id = follower.member_id));
    let again = expect_joined(&mut again);
    assert!(again.is_leader());
    assert_eq!(again.generation, 3);
}

#[test]
fn a_static_member_keeps_its_place_in_a_rebalance_until_its_session_ends() {
    let mut scene = Scene::new();
    let leader = expect_joined(&mut scene.join_static("i1", |_| ()));
    let patient = |r: &mut JoinRequest| r.session_timeout = Some(Duration::from_secs(300));
    let mut follower = scene.join_static("i2", patient);
    let rejoin = |leader: Joined| {
        move |r: &mut JoinRequest| {
            r.member_id = leader.member_id;
            r.session_timeout = Some(Duration::from_secs(300));
        }
    };
    let leader = expect_joined(&mut scene.join_static("i1", rejoin(leader)));
    let follower = expect_joined(&mut follower);
    scene.sync_all(&[leader.clone(), follower.clone()]);
    let mut waits = scene.join_static("i1", rejoin(leader));
    scene.pass(60);
    let leader = expect_joined(&mut waits);
    assert_eq!(leader.members.len(), 2, "the absent one still counts");
    scene.sync(&leader).now().unwrap().unwrap();
    let again = expect_joined(&mut scene.join_static("i2", |_| ()));
    let synced = scene.sync(&again).now().unwrap().unwrap();
    assert_eq!(synced.assignment, format!("{} of 3", follower.member_id));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let scene = Scene::new();
    let (leader, follower) = scene.stable_static();
    let by_instance = |id: &str| Leaving { instance_id: Some(id.to_owned()), ..Leaving::default() };
    let batch = [by_instance("i2"), by_instance("i9")];
    let answers = scene.groups.leave(scene.now, &scene.group, &batch);
    assert_eq!(answers, [Ok(()), Err(GroupError::UnknownMemberId)]);
    assert_eq!(scene.heartbeat(&leader), Err(GroupError::RebalanceInProgress));
    assert_eq!(scene.describe().last_rebalance.unwrap().members, [follower.member_id]);
}

#[test]
fn absent_static_members_alone_hold_their_group_until_their_sessions_end() {
    let mut scene = Scene::new();
    let (leader, _) = scene.stable_static();
    let mut third = scene.join(scene.request(""));
    assert!(third.now().is_none());
    let leaving = scene.join_static("i1", |r| r.member_id.clone_from(&leader.member_id));
    drop(leaving);
    scene.pass(3600);
    assert_eq!(scene.state(), "Dead");
    assert!(third.now().is_some());
}
