//! What happens because time passes.

use super::*;

#[test]
fn a_silent_member_is_removed_and_the_others_rebalance() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    scene.pass(9);
    assert_eq!(scene.heartbeat(&members[0]), Ok(()));
    scene.pass(1);
    assert_eq!((scene.state(), scene.cause()), ("PreparingRebalance", Cause::SessionExpired));
    assert_eq!(scene.heartbeat(&members[1]), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.groups.metrics().members_evicted, 1);
    assert_eq!(expect_joined(&mut scene.rejoin(&members[0])).members.len(), 1);
}

#[test]
fn commits_and_syncs_are_signs_of_life() {
    let mut scene = Scene::new();
    let member = scene.stable(1).remove(0);
    for _ in 0..3 {
        scene.pass(8);
        assert_eq!(scene.commit(&member), Ok(()));
        scene.pass(8);
        assert!(scene.sync(&member).now().unwrap().is_ok());
    }
    assert_eq!(scene.state(), "Stable");
}

#[test]
fn the_last_member_that_falls_silent_leaves_an_empty_group_that_is_forgotten_later() {
    let mut scene = Scene::new();
    scene.stable(1);
    scene.pass(10);
    assert_eq!(scene.state(), "Empty");
    scene.pass(599);
    assert_eq!(scene.state(), "Empty");
    scene.pass(1);
    assert_eq!(scene.state(), "Dead");
    assert_eq!((scene.groups.next_deadline(), scene.groups.metrics().groups), (None, 0));
}

#[test]
fn a_member_that_waits_in_a_rebalance_is_not_silent() {
    let mut scene = Scene::new();
    let members = scene.stable(3);
    let mut waits = scene.rejoin(&members[0]);
    scene.pass(9);
    assert_eq!(scene.heartbeat(&members[1]), Err(GroupError::RebalanceInProgress));
    scene.pass(9);
    assert!(waits.now().is_none());
    let mut also_waits = scene.rejoin(&members[1]);
    let (first, second) = (expect_joined(&mut waits), expect_joined(&mut also_waits));
    assert_eq!(first.members.len(), 2, "the third was silent");
    scene.sync_all(&[first, second]);
}

#[test]
fn who_does_not_join_again_within_the_rebalance_timeout_is_removed() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let mut waits = scene.rejoin(&members[0]);
    for _ in 0..11 {
        scene.pass(5);
        assert_eq!(scene.heartbeat(&members[1]), Err(GroupError::RebalanceInProgress));
    }
    scene.pass(4);
    assert!(waits.now().is_none());
    scene.pass(1);
    let leader = expect_joined(&mut waits);
    assert_eq!((leader.generation, leader.members.len()), (3, 1));
    assert_eq!(scene.heartbeat(&members[1]), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_leader_that_does_not_join_again_is_replaced() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let mut newcomer = scene.join(scene.request(""));
    let mut follower = scene.rejoin(&members[1]);
    scene.pass(10);
    let answers = [expect_joined(&mut newcomer), expect_joined(&mut follower)];
    assert_eq!(answers.iter().filter(|m| m.is_leader()).count(), 1);
    assert!(answers.iter().all(|m| m.leader != members[0].member_id));
    scene.sync_all(&answers);
}

#[test]
fn the_group_waits_for_its_most_patient_member() {
    let mut scene = Scene::new();
    let member = scene.stable(1).remove(0);
    let patient = JoinRequest { rebalance_timeout: REBALANCE * 2, ..scene.request("") };
    let mut waits = scene.join(patient);
    for _ in 0..23 {
        scene.pass(5);
        assert_eq!(scene.heartbeat(&member), Err(GroupError::RebalanceInProgress));
    }
    scene.pass(5);
    assert_eq!(expect_joined(&mut waits).members.len(), 1);
}

#[test]
fn a_leader_that_fails_before_it_assigned_is_removed_and_the_others_join_again() {
    let mut scene = Scene::new();
    let leader = scene.stable(1).remove(0);
    let mut newcomer = scene.join(scene.request(""));
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let second = expect_joined(&mut newcomer);
    let mut waits = scene.sync(&second);
    scene.pass(10);
    assert_eq!(expect_error(&mut waits), GroupError::RebalanceInProgress);
    let second = expect_joined(&mut scene.rejoin(&second));
    assert!(second.is_leader());
    assert_eq!(expect_error(&mut scene.sync(&leader)), GroupError::UnknownMemberId);
    scene.sync_all(&[second]);
}

#[test]
fn who_heartbeats_but_does_not_sync_is_removed_after_the_rebalance_timeout() {
    let mut scene = Scene::new();
    let leader = scene.stable(1).remove(0);
    let mut newcomer = scene.join(scene.request(""));
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let second = expect_joined(&mut newcomer);
    scene.sync(&leader).now().unwrap().unwrap();
    for _ in 0..12 {
        assert_eq!((scene.heartbeat(&leader), scene.heartbeat(&second)), (Ok(()), Ok(())));
        scene.pass(5);
    }
    assert_eq!((scene.state(), scene.cause()), ("PreparingRebalance", Cause::SyncMissing));
    assert_eq!(scene.heartbeat(&second), Err(GroupError::UnknownMemberId));
    assert_eq!(expect_joined(&mut scene.rejoin(&leader)).members.len(), 1);
}

#[test]
fn the_first_rebalance_waits_for_more_members_while_they_come() {
    let delay = Duration::from_secs(3);
    let mut scene = Scene::with(|settings| settings.initial_rebalance_delay = delay);
    let mut answers = vec![scene.join(scene.request(""))];
    for _ in 0..3 {
        scene.pass(2);
        answers.push(scene.join(scene.request("")));
        assert!(answers.iter_mut().all(|answer| answer.now().is_none()));
    }
    // Joined at 0, 2, 4 and 6. Steps of 3 s end at 3, 6, 9 and 12, the last without newcomers.
    scene.pass(5);
    assert_eq!(scene.state(), "PreparingRebalance");
    scene.pass(1);
    assert!(answers.iter_mut().all(|answer| expect_joined(answer).generation == 1));
}

#[test]
fn the_first_rebalance_waits_no_longer_than_the_rebalance_timeout() {
    let delay = Duration::from_secs(3);
    let mut scene = Scene::with(|settings| settings.initial_rebalance_delay = delay);
    let hasty = JoinRequest { rebalance_timeout: Duration::from_secs(7), ..scene.request("") };
    let mut answers = vec![scene.join(hasty.clone())];
    for _ in 0..9 {
        scene.pass(1);
        answers.push(scene.join(hasty.clone()));
    }
    assert!(answers[0].now().is_some(), "9 s have passed");
}

#[test]
fn a_member_that_leaves_during_the_first_delay_leaves_an_empty_group() {
    let delay = Duration::from_secs(3);
    let mut scene = Scene::with(|settings| settings.initial_rebalance_delay = delay);
    let mut answer = scene.join(JoinRequest { require_member_id: true, ..scene.request("") });
    let member_id = id_given(&mut answer);
    let mut waits = scene.join(scene.request(&member_id));
    let leaving = Leaving { member_id, ..Leaving::default() };
    assert_eq!(scene.groups.leave(scene.now, &scene.group, &[leaving]), [Ok(())]);
    assert_eq!(expect_error(&mut waits), GroupError::UnknownMemberId);
    scene.pass(3);
    assert_eq!(scene.state(), "Empty");
}

#[test]
fn a_new_member_is_given_its_id_first() {
    let scene = Scene::new();
    let request = JoinRequest { require_member_id: true, ..scene.request("") };
    let member_id = id_given(&mut scene.join(request));
    assert_eq!(member_id, "c-00000000-0000-0000-0000-000000000001");
    assert_eq!(scene.state(), "Empty");
    let joined = expect_joined(&mut scene.join(scene.request(&member_id)));
    assert_eq!((joined.member_id, joined.generation), (member_id, 1));
}

#[test]
fn an_id_that_is_not_used_lapses_and_holds_a_rebalance_up_no_longer() {
    let mut scene = Scene::new();
    let member = scene.stable(1).remove(0);
    let request = JoinRequest { require_member_id: true, ..scene.request("") };
    let member_id = id_given(&mut scene.join(request));
    assert_eq!(scene.state(), "Stable", "an id that was given rebalances nobody");
    let mut waits = scene.rejoin(&member);
    assert!(waits.now().is_none(), "who was given an id is expected");
    scene.pass(10);
    assert_eq!(expect_joined(&mut waits).generation, 2);
    let late = scene.join(scene.request(&member_id)).now();
    assert_eq!(late, Some(Err(GroupError::UnknownMemberId)));
}

#[test]
fn a_new_member_that_nobody_asks_for_is_removed_after_its_own_timeout() {
    let mut scene = Scene::new();
    let member = scene.stable(1).remove(0);
    let request = JoinRequest { rebalance_timeout: Duration::from_secs(900), ..scene.request("") };
    let mut newcomer = scene.join(request);
    for _ in 0..59 {
        scene.pass(5);
        assert_eq!(scene.heartbeat(&member), Err(GroupError::RebalanceInProgress));
    }
    assert!(newcomer.now().is_none());
    scene.pass(5);
    assert_eq!(expect_error(&mut newcomer), GroupError::UnknownMemberId);
}

#[test]
fn a_member_that_went_away_before_it_was_told_its_id_is_not_part_of_the_generation() {
    let scene = Scene::new();
    let member = scene.stable(1).remove(0);
    drop(scene.join(JoinRequest { session_timeout: None, ..scene.request("") }));
    let alone = expect_joined(&mut scene.rejoin(&member));
    assert_eq!((alone.generation, alone.members.len()), (2, 1));
}

#[test]
fn a_member_in_this_process_does_not_expire_by_silence() {
    let mut scene = Scene::new();
    let request = JoinRequest { session_timeout: None, ..scene.request("") };
    let member = expect_joined(&mut scene.join(request));
    scene.sync_all(std::slice::from_ref(&member));
    assert_eq!(scene.groups.next_deadline(), None);
    scene.pass(1_000_000);
    assert_eq!(scene.heartbeat(&member), Ok(()));
    assert_eq!(scene.leave(&member), Ok(()));
    assert_eq!(scene.state(), "Empty");
}

#[test]
fn a_parked_timer_is_woken_by_an_earlier_deadline_and_by_request() {
    let scene = Scene::new();
    assert_eq!(scene.groups.expire(scene.now), None);
    // What happens before it parks counts.
    let _answer = scene.join(scene.request(""));
    scene.groups.park(None);
    scene.groups.wake();
    scene.groups.park(None);
    // And what happens while it may be parked.
    assert_eq!(scene.groups.expire(scene.now), Some(scene.now + SESSION));
    std::thread::scope(|threads| {
        let timer = threads.spawn(|| scene.groups.park(None));
        scene.groups.wake();
        timer.join().unwrap();
    });
    scene.groups.park(Some(Duration::ZERO));
}

#[test]
fn an_earlier_deadline_alarms_a_later_one_does_not() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let next = scene.groups.expire(scene.now);
    assert_eq!(next, Some(scene.now + SESSION));
    scene.now += Duration::from_secs(1);
    assert_eq!(scene.heartbeat(&members[0]), Ok(()));
    assert!(!scene.groups.state.lock().is_alarming());
    let hurried = JoinRequest { rebalance_timeout: Duration::from_secs(1), ..scene.request("") };
    let other = JoinRequest { group: GroupName::new("other").unwrap(), ..hurried };
    let _answer = scene.join(other);
    assert!(scene.groups.state.lock().is_alarming());
}
