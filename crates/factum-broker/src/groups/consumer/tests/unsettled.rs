//! Groups that change their protocol while they are not at rest: members come or go, partitions are
//! new, requests are on their way.

use super::classics::ClassicClient;
use super::migrating::{kind, scene, shares};
use super::*;
use crate::groups::{GroupKind, JoinRequest, Joined, Protocol, SyncRequest, Synced};

const SPOKEN: [&str; 2] = ["range", "cooperative-sticky"];

fn fixed() -> ClassicClient {
    ClassicClient { instance_id: Some("i".to_owned()), ..ClassicClient::eager() }
}

/// The static member "i" comes back, by the consumer protocol.
fn replace(scene: &Scene) -> Client {
    let mut new = Client::fixed("a", "i");
    scene.join(&mut new).unwrap();
    assert_eq!(kind(scene), GroupKind::Consumer);
    new
}

fn request(scene: &Scene, id: &str, protocols: &[&str]) -> JoinRequest {
    let id = id.to_owned();
    let client = ClassicClient { id, silent: true, ..ClassicClient::cooperative() };
    let mut request = client.request(scene);
    let metadata = request.protocols[0].metadata.clone();
    let protocol = |name: &&str| Protocol { name: (*name).to_owned(), metadata: metadata.clone() };
    request.protocols = protocols.iter().map(protocol).collect();
    request
}

fn join(scene: &Scene, id: &str, protocols: &[&str]) -> Joined {
    let request = request(scene, id, protocols);
    scene.groups.join(scene.now, request, &scene.world).now().unwrap().unwrap()
}

fn sync(scene: &Scene, joined: &Joined, protocol: &str) -> Result<Synced, GroupError> {
    let request = SyncRequest {
        group: scene.group.clone(),
        generation: joined.generation,
        member_id: joined.member_id.clone(),
        instance_id: None,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some(protocol.to_owned()),
        assignments: Vec::new(),
    };
    scene.groups.sync(scene.now, request).now().unwrap()
}

#[test]
fn a_static_member_that_changes_its_protocol_gets_what_another_has_left() {
    let scene = scene();
    let (mut old, mut other) = (fixed(), ClassicClient::eager());
    scene.calm(&mut [&mut old, &mut other], &mut []);
    other.leave(&scene).unwrap();
    let mut new = replace(&scene);
    scene.calm(&mut [], &mut [&mut new]);
    assert_eq!(new.owned.len(), 4);
    assert_eq!(scene.cause(), (Cause::StaticMemberReplaced, vec!["a".to_owned()]));
}

#[test]
fn who_waits_while_a_static_member_changes_its_protocol_gets_its_share() {
    let scene = scene();
    let mut old = fixed();
    scene.calm(&mut [&mut old], &mut []);
    let mut other = ClassicClient::eager();
    (0..4).for_each(|_| other.step(&scene));
    let mut new = replace(&scene);
    scene.calm(&mut [&mut other], &mut [&mut new]);
    assert_eq!(shares(&[&other.owned, &new.owned]), [2, 2]);
}

#[test]
fn partitions_that_nobody_has_noticed_are_assigned_when_a_static_member_changes_its_protocol() {
    let scene = scene();
    let mut old = fixed();
    scene.calm(&mut [&mut old], &mut []);
    scene.world.grow("orders", 6);
    let mut new = replace(&scene);
    scene.calm(&mut [], &mut [&mut new]);
    assert_eq!(new.owned.len(), 6);
}

#[test]
fn a_static_member_may_change_its_protocol_before_the_first_generation() {
    let scene = Scene::new();
    let mut old = fixed();
    (0..2).for_each(|_| old.step(&scene));
    assert_eq!(scene.groups.standing(&scene.group).unwrap().generation, 0);
    let new = replace(&scene);
    assert_eq!((new.epoch, new.owned.len()), (1, 4));
}

#[test]
fn a_sync_that_is_on_its_way_while_the_protocol_changes_is_told_to_join_again() {
    let scene = scene();
    let mut one = join(&scene, "", &SPOKEN);
    let mut waits = scene.groups.join(scene.now, request(&scene, "", &SPOKEN[1..]), &scene.world);
    one = join(&scene, &one.member_id, &SPOKEN);
    let mut two = waits.now().unwrap().unwrap();
    assert_eq!((one.protocol.as_str(), one.generation), (SPOKEN[1], two.generation));
    let new = scene.enter("a");
    assert_eq!(sync(&scene, &one, SPOKEN[1]), Err(GroupError::RebalanceInProgress));

    one = join(&scene, &one.member_id, &SPOKEN);
    two = join(&scene, &two.member_id, &SPOKEN[1..]);
    assert_eq!(one.protocol, SPOKEN[0]);
    for protocol in SPOKEN {
        assert_eq!(sync(&scene, &one, protocol).unwrap().protocol, protocol);
    }
    let other = sync(&scene, &one, "other");
    assert!(matches!(other, Err(GroupError::InconsistentGroupProtocol(_))), "{other:?}");
    sync(&scene, &two, SPOKEN[1]).unwrap();
    scene.ask(new.leaving(-1)).unwrap();
    assert_eq!(kind(&scene), GroupKind::Classic);
    assert_eq!(sync(&scene, &one, SPOKEN[0]), Err(GroupError::RebalanceInProgress));
}

#[test]
fn groups_of_kafka_streams_keep_their_protocol() {
    let scene = scene();
    let mut old = ClassicClient { protocol: "stream", ..ClassicClient::eager() };
    scene.calm(&mut [&mut old], &mut []);
    assert_eq!(scene.join(&mut Client::new("a")), Err(GroupError::NotConsumerGroup));
    assert_eq!((kind(&scene), old.commit(&scene)), (GroupKind::Classic, Ok(())));
    old.leave(&scene).unwrap();
    scene.enter("a");
    let request = request(&scene, "", &["stream"]);
    let refused = scene.groups.join(scene.now, request, &scene.world).now().unwrap();
    assert!(matches!(refused, Err(GroupError::InconsistentGroupProtocol(_))), "{refused:?}");
}

#[test]
fn who_syncs_instead_of_joining_again_has_no_more_time_for_that() {
    let mut scene = scene();
    let old = ClassicClient { id: join(&scene, "", &SPOKEN).member_id, ..ClassicClient::eager() };
    let mut new = scene.enter("a");
    let joined = join(&scene, &old.id, &SPOKEN);
    sync(&scene, &joined, SPOKEN[0]).unwrap();
    let mut another = scene.enter("b");
    for _ in 0..12 {
        assert_eq!(sync(&scene, &joined, SPOKEN[0]), Err(GroupError::RebalanceInProgress));
        scene.pass(5);
        scene.beat(&mut new).unwrap();
        scene.beat(&mut another).unwrap();
    }
    assert_eq!(sync(&scene, &joined, SPOKEN[0]), Err(GroupError::UnknownMemberId));
    assert_eq!(scene.cause(), (Cause::JoinMissing, vec![old.id]));
}

#[test]
fn what_nearly_made_a_group_classic_again_is_not_the_cause_when_it_becomes_so_later() {
    let mut scene = scene();
    let mut old = ClassicClient { silent: true, ..ClassicClient::eager() };
    scene.calm(&mut [&mut old], &mut []);
    // Both miss their deadlines at the same time, first the one of the consumer protocol.
    let mut new = scene.enter("a");
    scene.pass(15);
    scene.beat(&mut new).unwrap();
    scene.pass(45);
    assert_eq!(scene.cause(), (Cause::JoinMissing, vec![old.id]));
    let mut new = scene.enter("b");
    let mut back = ClassicClient::eager();
    scene.calm(&mut [&mut back], &mut [&mut new]);
    scene.ask(new.leaving(-1)).unwrap();
    let last = scene.groups.describe(&scene.group).unwrap().last_rebalance.unwrap();
    assert_eq!((last.cause, last.members), (Cause::MemberLeft, vec!["b".to_owned()]));
}
