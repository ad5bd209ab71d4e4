//! Who joins, leads and syncs in which generation.

use super::*;

#[test]
fn the_only_member_leads_and_gets_what_it_assigned() {
    let scene = Scene::new();
    let member = scene.enter();
    assert!(member.is_leader());
    assert_eq!((member.generation, member.protocol.as_str()), (1, "range"));
    assert_eq!(member.members[0].metadata, "metadata of range");
    assert_eq!(scene.state(), "CompletingRebalance");
    let synced = scene.sync(&member).now().unwrap().unwrap();
    assert_eq!(synced.assignment, assignment(&member));
    assert_eq!((synced.protocol_type.as_str(), synced.protocol.as_str()), ("consumer", "range"));
    assert_eq!(scene.heartbeat(&member), Ok(()));
}

#[test]
fn a_second_member_rebalances_the_group_and_waits_for_the_leader() {
    let scene = Scene::new();
    let first = scene.stable(1).remove(0);
    let mut newcomer = scene.join(scene.request(""));
    assert!(newcomer.now().is_none());
    assert_eq!(scene.heartbeat(&first), Err(GroupError::RebalanceInProgress));
    assert_eq!(scene.commit(&first), Ok(()), "what it reads is still its own");
    let first = expect_joined(&mut scene.rejoin(&first));
    let second = expect_joined(&mut newcomer);
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    assert_eq!(second.leader, first.member_id);
    let mut waits = scene.sync(&second);
    assert!(waits.now().is_none(), "the leader has not assigned yet");
    assert_eq!(scene.commit(&second), Err(GroupError::RebalanceInProgress));
    scene.sync(&first).now().unwrap().unwrap();
    assert_eq!(waits.now().unwrap().unwrap().assignment, assignment(&second));
}

#[test]
fn a_third_member_joins_a_stable_group_and_all_move_to_the_next_generation() {
    let scene = Scene::new();
    let members = scene.stable(3);
    assert!(members.iter().all(|m| m.generation == 3));
    assert_eq!(members[0].members.len(), 3);
    let described = scene.describe();
    assert_eq!((described.generation, described.protocol.as_str()), (3, "range"));
    assert_eq!(described.rebalances, 3);
    for (member, shown) in members.iter().map(|m| (m, find(&described, &m.member_id))) {
        assert_eq!(shown.assignment, assignment(member));
        assert_eq!((shown.client_id.as_str(), shown.client_host.as_str()), ("c", "/127.0.0.1"));
    }
}

fn find<'a>(described: &'a Description, member_id: &str) -> &'a DescribedMember {
    described.members.iter().find(|m| m.member_id == member_id).unwrap()
}

#[test]
fn a_follower_that_joins_again_unchanged_is_told_the_current_generation() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let again = expect_joined(&mut scene.rejoin(&members[1]));
    assert_eq!((again.generation, again.members.len()), (2, 0));
    assert_eq!(scene.state(), "Stable");
    let synced = scene.sync(&again).now().unwrap().unwrap();
    assert_eq!(synced.assignment, assignment(&members[1]));
}

#[test]
fn a_leader_that_joins_again_unchanged_always_rebalances() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let mut leader = scene.rejoin(&members[0]);
    assert!(leader.now().is_none());
    assert_eq!((scene.state(), scene.cause()), ("PreparingRebalance", Cause::LeaderRejoined));
    let follower = expect_joined(&mut scene.rejoin(&members[1]));
    assert_eq!((expect_joined(&mut leader).generation, follower.generation), (3, 3));
}

#[test]
fn a_cooperative_assignor_joins_twice_in_a_row() {
    let scene = Scene::new();
    let owning = |member: &Joined, owned: &str| {
        let metadata = Bytes::from(owned.to_owned());
        let protocols = vec![Protocol { name: "cooperative-sticky".to_owned(), metadata }];
        scene.join(JoinRequest { protocols, ..scene.request(&member.member_id) })
    };
    let nobody = Joined { member_id: String::new(), ..scene_joined() };
    let first = expect_joined(&mut owning(&nobody, ""));
    scene.sync_all(std::slice::from_ref(&first));
    let mut newcomer = owning(&nobody, "");
    let first = expect_joined(&mut owning(&first, "0 1"));
    let second = expect_joined(&mut newcomer);
    scene.sync_all(&[first.clone(), second.clone()]);
    // The first gave partition 1 up and joins again; the second hears of it by its heartbeat.
    let mut again = owning(&first, "0");
    assert!(again.now().is_none());
    assert_eq!(scene.heartbeat(&second), Err(GroupError::RebalanceInProgress));
    let second = expect_joined(&mut owning(&second, ""));
    let first = expect_joined(&mut again);
    assert_eq!((first.generation, second.generation), (3, 3));
    assert_eq!(first.members.iter().filter(|m| m.metadata == "0").count(), 1);
    scene.sync_all(&[first, second]);
}

fn scene_joined() -> Joined {
    Joined {
        generation: 0,
        protocol_type: String::new(),
        protocol: String::new(),
        leader: String::new(),
        member_id: String::new(),
        skip_assignment: false,
        members: Vec::new(),
        rebalances: 0,
    }
}

#[test]
fn a_join_while_the_assignment_is_awaited_sends_all_back() {
    let scene = Scene::new();
    let leader = scene.stable(1).remove(0);
    let mut newcomer = scene.join(scene.request(""));
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let second = expect_joined(&mut newcomer);
    let mut waits = scene.sync(&second);
    let mut third = scene.join(scene.request(""));
    assert_eq!(expect_error(&mut waits), GroupError::RebalanceInProgress);
    assert_eq!(expect_error(&mut scene.sync(&leader)), GroupError::RebalanceInProgress);
    let mut second = scene.rejoin(&second);
    assert!(third.now().is_none() && second.now().is_none());
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let members = [leader, expect_joined(&mut second), expect_joined(&mut third)];
    assert!(members.iter().all(|m| m.generation == 3));
    scene.sync_all(&members);
}

#[test]
fn a_join_that_is_repeated_because_its_answer_was_lost_gets_the_same_answer() {
    let scene = Scene::new();
    let leader = scene.enter();
    assert_eq!(expect_joined(&mut scene.rejoin(&leader)), leader, "the leader, before it synced");
    scene.sync_all(std::slice::from_ref(&leader));
    let mut newcomer = scene.join(scene.request(""));
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let second = expect_joined(&mut newcomer);
    assert_eq!(expect_joined(&mut scene.rejoin(&second)), second);
    scene.sync_all(&[leader, second]);
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_that_waits() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let mut lost = scene.rejoin(&members[0]);
    let mut repeated = scene.rejoin(&members[0]);
    assert_eq!(expect_error(&mut lost), GroupError::CoordinatorNotAvailable);
    assert!(repeated.now().is_none());
    expect_joined(&mut scene.rejoin(&members[1]));
    assert_eq!(expect_joined(&mut repeated).generation, 3);
}

#[test]
fn a_repeated_sync_takes_the_place_of_the_one_that_waits_and_is_answered_when_stable() {
    let scene = Scene::new();
    let leader = scene.stable(1).remove(0);
    let mut newcomer = scene.join(scene.request(""));
    let leader = expect_joined(&mut scene.rejoin(&leader));
    let second = expect_joined(&mut newcomer);
    let mut lost = scene.sync(&second);
    let mut repeated = scene.sync(&second);
    assert_eq!(expect_error(&mut lost), GroupError::CoordinatorNotAvailable);
    scene.sync(&leader).now().unwrap().unwrap();
    assert_eq!(repeated.now().unwrap().unwrap().assignment, assignment(&second));
    let again = scene.sync(&second).now().unwrap().unwrap();
    assert_eq!(again.assignment, assignment(&second));
}

#[test]
fn other_metadata_of_a_follower_rebalances() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let mut changed = scene.request(&members[1].member_id);
    changed.protocols[0].metadata = Bytes::from_static(b"another topic");
    changed.reason = Some("subscription changed".to_owned());
    let mut answer = scene.join(changed);
    assert!(answer.now().is_none());
    let rebalance = scene.describe().last_rebalance.unwrap();
    assert_eq!((rebalance.cause, rebalance.generation), (Cause::MetadataChanged, 2));
    let expected = format!(
        "{} joined again with other metadata (client: subscription changed)",
        members[1].member_id
    );
    assert_eq!(rebalance.to_string(), expected);
    let leader = expect_joined(&mut scene.rejoin(&members[0]));
    let seen = leader.members.iter().map(|m| &m.metadata[..]);
    assert!(seen.into_iter().any(|metadata| metadata == b"another topic"));
}

#[test]
fn a_member_that_leaves_rebalances_the_others() {
    let scene = Scene::new();
    let members = scene.stable(2);
    assert_eq!(scene.leave(&members[0]), Ok(()));
    assert_eq!(scene.cause(), Cause::MemberLeft);
    assert_eq!(scene.heartbeat(&members[0]), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.heartbeat(&members[1]), Err(GroupError::RebalanceInProgress));
    let alone = expect_joined(&mut scene.rejoin(&members[1]));
    assert!(alone.is_leader());
    assert_eq!((alone.generation, alone.members.len()), (3, 1));
}

#[test]
fn a_group_whose_last_member_left_is_empty_in_a_new_generation() {
    let scene = Scene::new();
    let member = scene.stable(1).remove(0);
    assert_eq!(scene.leave(&member), Ok(()));
    let described = scene.describe();
    assert_eq!((scene.state(), described.generation, described.leader), ("Empty", 2, None));
    assert_eq!(scene.enter().generation, 3);
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let mut waits = scene.rejoin(&members[0]);
    assert_eq!(scene.leave(&members[0]), Ok(()));
    assert_eq!(expect_error(&mut waits), GroupError::UnknownMemberId);
    assert_eq!(expect_joined(&mut scene.rejoin(&members[1])).members.len(), 1);
}

#[test]
fn leaving_answers_for_each_member() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let leaving = |member_id: &str| Leaving {
        member_id: member_id.to_owned(),
        reason: Some("closing".to_owned()),
        ..Leaving::default()
    };
    let batch = [leaving("nobody"), leaving(&members[1].member_id), leaving("")];
    let unknown = Err(GroupError::UnknownMemberId);
    let answers = scene.groups.leave(scene.now, &scene.group, &batch);
    assert_eq!(answers, [unknown.clone(), Ok(()), unknown.clone()]);
    let rebalance = scene.describe().last_rebalance.unwrap();
    assert_eq!(rebalance.members, [members[1].member_id.clone()]);
    assert_eq!(rebalance.client_reason.as_deref(), Some("closing"));
    let elsewhere = GroupName::new("elsewhere").unwrap();
    assert_eq!(scene.groups.leave(scene.now, &elsewhere, &batch[..1]), [unknown]);
}

#[test]
fn the_protocol_with_most_votes_of_those_that_all_speak_is_chosen() {
    let scene = Scene::new();
    let offers = [&["sticky", "range"][..], &["range", "sticky"], &["own", "range", "sticky"]];
    let ask = |member_id: &str, offer: &[&str]| {
        scene.join(JoinRequest { protocols: protocols(offer), ..scene.request(member_id) })
    };
    let first = expect_joined(&mut ask("", offers[0]));
    assert_eq!(first.protocol, "sticky");
    let mut second = ask("", offers[1]);
    let first = expect_joined(&mut ask(&first.member_id, offers[0]));
    assert_eq!(first.protocol, "sticky", "equal votes: the leader's preference counts");
    let second = expect_joined(&mut second);
    let mut third = ask("", offers[2]);
    let mut first = ask(&first.member_id, offers[0]);
    let mut second = ask(&second.member_id, offers[1]);
    for member in [&mut first, &mut second, &mut third] {
        assert_eq!(expect_joined(member).protocol, "range");
    }
}

#[test]
fn a_member_without_a_common_protocol_is_refused() {
    let scene = Scene::new();
    let first = scene.stable(1).remove(0);
    let tries: [fn(&mut JoinRequest); 4] = [
        |request| request.protocols = protocols(&["sticky"]),
        |request| request.protocol_type = "connect".to_owned(),
        |request| request.protocols.clear(),
        |request| request.protocol_type.clear(),
    ];
    for member_id in ["", &first.member_id] {
        for change in tries {
            let mut request = scene.request(member_id);
            change(&mut request);
            assert_eq!(expect_error(&mut scene.join(request)).code(), 23);
        }
    }
    assert_eq!(scene.heartbeat(&first), Ok(()), "nobody noticed");
}

#[test]
fn an_empty_group_takes_members_of_another_kind() {
    let scene = Scene::new();
    let member = scene.stable(1).remove(0);
    scene.leave(&member).unwrap();
    let request = JoinRequest {
        protocol_type: "connect".to_owned(),
        protocols: protocols(&["default"]),
        ..scene.request("")
    };
    let joined = expect_joined(&mut scene.join(request));
    assert_eq!((joined.protocol_type.as_str(), joined.protocol.as_str()), ("connect", "default"));
}

#[test]
fn a_sync_that_names_another_generation_or_protocol_is_refused() {
    let scene = Scene::new();
    let member = scene.enter();
    let refused = |tune: fn(&mut SyncRequest)| expect_error(&mut scene.sync_with(&member, tune));
    assert_eq!(
        refused(|request| request.generation = 7),
        GroupError::IllegalGeneration { came: 7, current: 1 }
    );
    assert_eq!(refused(|request| request.protocol = Some("sticky".to_owned())).code(), 23);
    assert_eq!(refused(|request| request.protocol_type = Some("connect".to_owned())).code(), 23);
    assert_eq!(refused(|r| r.member_id = "nobody".to_owned()), GroupError::UnknownMemberId);
    let elsewhere = |r: &mut SyncRequest| r.group = GroupName::new("elsewhere").unwrap();
    assert_eq!(refused(elsewhere), GroupError::UnknownMemberId);
    let older = scene.sync_with(&member, |r| (r.protocol, r.protocol_type) = (None, None)).now();
    assert!(older.unwrap().is_ok(), "before version 5 they are not named");
}

#[test]
fn a_member_that_the_leader_forgot_gets_an_empty_assignment() {
    let scene = Scene::new();
    let member = scene.enter();
    let synced = scene.sync_with(&member, |request| request.assignments.clear()).now();
    assert!(synced.unwrap().unwrap().assignment.is_empty());
}

#[test]
fn heartbeats_and_commits_of_strangers_and_of_the_past_are_refused() {
    let scene = Scene::new();
    let member = scene.stable(1).remove(0);
    let past = Joined { generation: 0, ..member.clone() };
    let stranger = Joined { member_id: "nobody".to_owned(), ..member.clone() };
    let illegal = Err(GroupError::IllegalGeneration { came: 0, current: 1 });
    assert_eq!((scene.heartbeat(&past), scene.commit(&past)), (illegal.clone(), illegal));
    let unknown = Err(GroupError::UnknownMemberId);
    assert_eq!(scene.heartbeat(&stranger), unknown);
    assert_eq!(scene.commit(&stranger), unknown);
    let elsewhere = GroupName::new("elsewhere").unwrap();
    assert_eq!(scene.groups.heartbeat(scene.now, &elsewhere, &reference(&member)), unknown);
    let commit = scene.groups.validate_commit(scene.now, &elsewhere, &reference(&member));
    assert_eq!(commit, unknown);
}

#[test]
fn who_is_no_member_may_commit_only_while_there_are_no_members() {
    let scene = Scene::new();
    let nobody = Joined { generation: -1, member_id: String::new(), ..scene_joined() };
    assert_eq!(scene.commit(&nobody), Ok(()), "the group is not known");
    let member = scene.stable(1).remove(0);
    assert_eq!(scene.commit(&nobody), Err(GroupError::UnknownMemberId));
    scene.leave(&member).unwrap();
    assert_eq!(scene.commit(&nobody), Ok(()));
    assert_eq!(scene.commit(&member), Err(GroupError::UnknownMemberId));
}

#[test]
fn only_a_group_without_members_can_be_deleted() {
    let scene = Scene::new();
    assert_eq!(scene.groups.delete(&scene.group), Err(GroupError::GroupIdNotFound));
    let member = scene.stable(1).remove(0);
    assert_eq!(scene.groups.delete(&scene.group), Err(GroupError::GroupNotEmpty));
    scene.leave(&member).unwrap();
    assert_eq!(scene.groups.delete(&scene.group), Ok(()));
    assert_eq!((scene.state(), scene.groups.list().len()), ("Dead", 0));
    let known = scene.join(scene.request(&member.member_id)).now();
    assert_eq!(known, Some(Err(GroupError::UnknownMemberId)));
    assert_eq!(scene.enter().generation, 1, "its namesake begins anew");
}

#[test]
fn a_deadline_of_a_deleted_group_does_not_touch_its_namesake() {
    let mut scene = Scene::new();
    let member = scene.stable(1).remove(0);
    scene.leave(&member).unwrap();
    scene.pass(599);
    scene.groups.delete(&scene.group).unwrap();
    let member = scene.stable(1).remove(0);
    scene.pass(2);
    assert_eq!((scene.state(), scene.heartbeat(&member)), ("Stable", Ok(())));
}

#[test]
fn the_standing_names_the_topics_that_members_read() {
    let scene = Scene::new();
    assert_eq!(scene.groups.standing(&scene.group), None);
    let topics = ["orders".to_owned(), "items".to_owned()];
    let metadata = consumer_protocol::Subscription::of(topics).encode(3).unwrap();
    let protocols = vec![Protocol { name: "range".to_owned(), metadata }];
    let member = expect_joined(&mut scene.join(JoinRequest { protocols, ..scene.request("") }));
    let standing = scene.groups.standing(&scene.group).unwrap();
    assert!(standing.subscribes("orders") && standing.subscribes("items"));
    assert!(!standing.subscribes("other") && !standing.is_empty());
    assert_eq!((standing.members, standing.empty_since), (1, None));
    scene.leave(&member).unwrap();
    let standing = scene.groups.standing(&scene.group).unwrap();
    assert!(standing.is_empty() && !standing.subscribes("orders"));
    assert_eq!(standing.empty_since, Some(scene.now));
}

#[test]
fn members_whose_metadata_cannot_be_read_are_taken_to_read_everything() {
    let scene = Scene::new();
    scene.enter();
    let standing = scene.groups.standing(&scene.group).unwrap();
    assert_eq!(standing.topics, None);
    assert!(standing.subscribes("orders"));
}

#[test]
fn groups_are_listed_by_name_with_state_and_kind() {
    let scene = Scene::new();
    scene.stable(1);
    let other = GroupName::new("a").unwrap();
    let _joined = scene.join(JoinRequest { group: other, ..scene.request("") });
    let list = scene.groups.list();
    let shown =
        list.iter().map(|l| format!("{} {} {}", l.group, l.state.as_str(), l.protocol_type));
    let expected = ["a CompletingRebalance consumer", "g Stable consumer"];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn a_member_in_this_process_learns_of_a_rebalance_by_watching() {
    let scene = Scene::new();
    let request = JoinRequest { session_timeout: None, ..scene.request("") };
    let member = expect_joined(&mut scene.join(request));
    let mut watch = scene.groups.watch(&scene.group).unwrap();
    assert_eq!(*watch.borrow_and_update(), member.rebalances);
    scene.sync_all(std::slice::from_ref(&member));
    assert!(!watch.has_changed().unwrap());
    let _newcomer = scene.join(scene.request(""));
    let begun = pollster::block_on(watch.wait_for(|begun| *begun > member.rebalances));
    assert_eq!(*begun.unwrap(), member.rebalances + 1);
}

#[test]
fn an_answer_can_be_awaited() {
    let scene = Scene::new();
    let members = scene.stable(2);
    let leader = scene.rejoin(&members[0]);
    let follower = scene.rejoin(&members[1]);
    assert_eq!(pollster::block_on(leader).unwrap().generation, 3);
    assert_eq!(pollster::block_on(follower).unwrap().generation, 3);
}

#[test]
fn rebalances_and_members_are_counted() {
    let scene = Scene::new();
    scene.stable(2);
    let metrics = scene.groups.metrics();
    assert_eq!((metrics.groups, metrics.members), (1, 2));
    assert_eq!((metrics.rebalances_begun, metrics.rebalances_completed), (2, 1));
}
