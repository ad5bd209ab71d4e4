//! Both protocols under one name.

use bytes::Bytes;

use super::*;
use crate::groups::{Answer, GroupKind, JoinRequest, Joined, Protocol};

fn classic_join(scene: &Scene, member_id: &str) -> Answer<Joined> {
    let protocol = Protocol { name: "range".to_owned(), metadata: Bytes::new() };
    scene.groups.join(
        scene.now,
        JoinRequest {
            group: scene.group.clone(),
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: Some(Duration::from_secs(10)),
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            require_member_id: false,
            skip_assignment: false,
            reason: None,
        },
        &scene.world,
    )
}

#[test]
fn an_empty_group_takes_the_protocol_of_its_next_member_and_counts_on() {
    let scene = Scene::with(|settings| settings.initial_rebalance_delay = Duration::ZERO);
    let joined = classic_join(&scene, "").now().unwrap().unwrap();
    assert_eq!(scene.groups.kind(&scene.group), Some(GroupKind::Classic));
    let mut client = Client::new("a");
    assert_eq!(scene.join(&mut client), Err(GroupError::NotConsumerGroup));
    client.epoch = 1;
    assert_eq!(scene.beat(&mut client), Err(GroupError::UnknownMemberId));
    let leaving = [crate::groups::Leaving { member_id: joined.member_id, ..Default::default() }];
    scene.groups.leave(scene.now, &scene.group, &leaving);
    scene.join(&mut client).unwrap();
    assert_eq!(scene.groups.kind(&scene.group), Some(GroupKind::Consumer));
    assert!(client.epoch > joined.generation, "epochs go on from generations");
    assert_eq!(scene.groups.describe(&scene.group), None);

    let refused = classic_join(&scene, "").now().unwrap();
    assert!(matches!(refused, Err(GroupError::InconsistentGroupProtocol(_))));
    let member = MemberRef { generation: 1, member_id: "a", instance_id: None };
    let beaten = scene.groups.heartbeat(scene.now, &scene.group, &member);
    assert_eq!(beaten, Err(GroupError::UnknownMemberId));
    scene.ask(client.leaving(-1)).unwrap();
    let again = classic_join(&scene, "").now().unwrap().unwrap();
    assert!(again.generation > client.epoch);
    assert_eq!(scene.groups.describe_consumer(&scene.group), None);
    assert_eq!(scene.groups.list()[0].kind, GroupKind::Classic);
}
