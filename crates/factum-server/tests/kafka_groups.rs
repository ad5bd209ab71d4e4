//! Consumer groups, asked of the binary by members that speak the protocol by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::client::{Client, newest};
use common::server::{Home, Server};
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode, Str};

/// Flags without the pause in which a new group waits for more members.
const NO_DELAY: &[&str] = &["--group-initial-rebalance-delay-ms", "0"];

fn topics_metadata(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// A member of the group "billing", as a client's library keeps it.
struct Member {
    client: Client,
    id: Str,
    generation: i32,
}

impl Member {
    /// Gets an id; it has not joined yet.
    fn new(server: &Server) -> Self {
        let client = Client::connect(server.kafka);
        let mut member = Self { client, id: Str::default(), generation: -1 };
        let answer = member.client.ask(&member.join_request());
        assert_eq!(error(answer.error_code), error(ErrorCode::MemberIdRequired.code()));
        member.id = name(&*answer.member_id);
        member
    }

    fn join_request(&self) -> JoinGroupRequest {
        JoinGroupRequest {
            group_id: name("billing"),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: self.id.clone(),
            protocol_type: name("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: name("range"),
                metadata: topics_metadata(&["orders"]),
            }],
            ..Default::default()
        }
    }

    fn start_join(&mut self) -> i32 {
        self.client.send(&self.join_request(), newest(ApiKey::JoinGroup)).unwrap()
    }

    fn joined(&mut self, number: i32) -> JoinGroupResponse {
        let answer = self.client.receive(number, newest(ApiKey::JoinGroup)).unwrap();
        let JoinGroupResponse { error_code, generation_id, .. } = answer;
        ok("join", error_code);
        self.generation = generation_id;
        answer
    }

    fn start_sync(&mut self, assignments: &[(&Str, &'static str)]) -> i32 {
        let assign = |(member, assignment): &(&Str, &'static str)| SyncGroupRequestAssignment {
            member_id: (*member).clone(),
            assignment: Bytes::from_static(assignment.as_bytes()),
        };
        let request = SyncGroupRequest {
            group_id: name("billing"),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some(name("consumer")),
            protocol_name: Some(name("range")),
            assignments: assignments.iter().map(assign).collect(),
            ..Default::default()
        };
        self.client.send(&request, newest(ApiKey::SyncGroup)).unwrap()
    }

    fn synced(&mut self, number: i32) -> Bytes {
        let version = newest(ApiKey::SyncGroup);
        let answer: SyncGroupResponse = self.client.receive(number, version).unwrap();
        ok("sync", answer.error_code);
        answer.assignment
    }

    fn beat(&mut self) -> i16 {
        let request = HeartbeatRequest {
            group_id: name("billing"),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        self.client.ask(&request).error_code
    }

    fn commit(&mut self, generation: i32, offset: i64) -> i16 {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: self.id.clone(),
            ..commit_request("billing", "orders", (0, offset), "by a member")
        };
        self.client.ask(&request).topics[0].partitions[0].error_code
    }

    fn leave(&mut self) {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let group_id = name("billing");
        let request = LeaveGroupRequest { group_id, members: vec![member], ..Default::default() };
        let answer = self.client.ask(&request);
        ok("leave", answer.error_code);
        ok("leave", answer.members[0].error_code);
    }
}

fn described(client: &mut Client) -> DescribedGroup {
    let request = DescribeGroupsRequest { groups: vec![name("billing")], ..Default::default() };
    client.ask(&request).groups.remove(0)
}

fn group_state(client: &mut Client) -> (String, usize) {
    let group = described(client);
    (group.group_state.to_string(), group.members.len())
}

fn delete_group(client: &mut Client) -> i16 {
    let request = DeleteGroupsRequest { groups_names: vec![name("billing")] };
    client.ask(&request).results[0].error_code
}

fn forget_offset(client: &mut Client) -> i16 {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: name("orders"), partitions }];
    let request = OffsetDeleteRequest { group_id: name("billing"), topics };
    let answer = client.ask(&request);
    ok("offset delete", answer.error_code);
    answer.topics[0].partitions[0].error_code
}

#[test]
fn two_members_share_a_group_rebalance_commit_and_leave() {
    let home = Home::new();
    let server = home.serve_with(NO_DELAY);
    let mut admin = Client::connect(server.kafka);
    create(&mut admin, "orders", 2);
    append(&mut admin, "orders", 0, batch(&records(0..10)));

    let mut one = Member::new(&server);
    let number = one.start_join();
    let joined = one.joined(number);
    assert_eq!((&joined.leader, joined.members.len()), (&one.id, 1));
    let number = one.start_sync(&[(&one.id.clone(), "all of it")]);
    assert_eq!(&one.synced(number)[..], b"all of it");
    ok("heartbeat", one.beat());

    let mut two = Member::new(&server);
    let of_two = two.start_join();
    // The join of the second is under way as soon as the first is told to join again.
    let rebalance = ErrorCode::RebalanceInProgress.code();
    common::server::until("the first member hears of the second", || one.beat() == rebalance);
    let assigned = described(&mut admin).members.remove(0).member_assignment;
    assert_eq!(assigned, "all of it", "what it has while others come");
    let of_one = one.start_join();
    let (joined, follower) = (one.joined(of_one), two.joined(of_two));
    assert_eq!((&joined.leader, joined.members.len(), follower.members.len()), (&one.id, 2, 0));
    assert_eq!((one.generation, two.generation), (2, 2));
    let of_two = two.start_sync(&[]);
    let of_one = one.start_sync(&[(&one.id.clone(), "first half"), (&two.id, "second half")]);
    assert_eq!(&one.synced(of_one)[..], b"first half");
    assert_eq!(&two.synced(of_two)[..], b"second half");
    assert_eq!(group_state(&mut admin), ("Stable".to_owned(), 2));

    ok("commit", one.commit(2, 4));
    assert_eq!(error(one.commit(1, 9)), error(ErrorCode::IllegalGeneration.code()));
    assert_eq!(committed(&mut admin, "billing", "orders", 0), (4, "by a member".to_owned()));
    assert_eq!(error(delete_group(&mut admin)), error(ErrorCode::NonEmptyGroup.code()));
    let subscribed = ErrorCode::GroupSubscribedToTopic.code();
    assert_eq!(error(forget_offset(&mut admin)), error(subscribed));

    two.leave();
    assert_eq!(error(one.beat()), error(rebalance), "the other has left");
    assert_eq!(error(two.beat()), error(ErrorCode::UnknownMemberId.code()));
    one.leave();
    assert_eq!(group_state(&mut admin), ("Empty".to_owned(), 0));
    assert_eq!(committed(&mut admin, "billing", "orders", 0).0, 4);
    let listed = admin.ask(&ListGroupsRequest::default()).groups;
    let listed: Vec<_> = listed.iter().map(|g| (&*g.group_id, &*g.group_state)).collect();
    assert_eq!(listed, [("billing", "Empty")]);
    ok("offset delete", forget_offset(&mut admin));
    assert_eq!(committed(&mut admin, "billing", "orders", 0).0, -1);
    ok("delete group", delete_group(&mut admin));
    assert_eq!(error(delete_group(&mut admin)), error(ErrorCode::GroupIdNotFound.code()));
    assert!(admin.ask(&ListGroupsRequest::default()).groups.is_empty());
}

#[test]
fn committed_offsets_and_their_metadata_survive_a_stop_and_a_kill() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 2);
    for (version, offset) in ApiKey::OffsetCommit.versions().zip(1..).filter(|(v, _)| *v < 10) {
        let request = commit_request("billing", "orders", (0, offset), "größe 1");
        let answer = client.call(&request, version);
        ok(&format!("commit version {version}"), answer.topics[0].partitions[0].error_code);
        assert_eq!(committed(&mut client, "billing", "orders", 0).0, offset);
    }
    let expected = (8, "größe 1".to_owned());
    server.stop();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    assert_eq!(committed(&mut client, "billing", "orders", 0), expected, "after a stop");
    server.kill();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    assert_eq!(committed(&mut client, "billing", "orders", 0), expected, "after a kill");
    assert_eq!(committed(&mut client, "billing", "orders", 1), (-1, String::new()));
    for version in 2..8 {
        let group_id = name("billing");
        let request = OffsetFetchRequest { group_id, topics: None, ..Default::default() };
        let answer = client.call(&request, version);
        let all = &answer.topics[0].partitions;
        assert_eq!((all.len(), all[0].committed_offset), (1, 8), "version {version}");
    }
    let listed = client.ask(&ListGroupsRequest::default()).groups;
    assert_eq!(&*listed[0].group_id, "billing", "a group of offsets alone is listed");
}

#[test]
fn a_group_outlives_its_last_offset_until_it_is_deleted() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 2);
    let not_found = error(ErrorCode::GroupIdNotFound.code());
    assert_eq!(error(described(&mut client).error_code), not_found);
    client.ask(&commit_request("billing", "orders", (0, 4), ""));
    for _ in 0..2 {
        ok("offset delete", forget_offset(&mut client));
        assert_eq!(committed(&mut client, "billing", "orders", 0).0, -1);
        ok("describe", described(&mut client).error_code);
        assert_eq!(group_state(&mut client), ("Empty".to_owned(), 0));
        assert_eq!(client.ask(&ListGroupsRequest::default()).groups.len(), 1);
    }
    ok("delete group", delete_group(&mut client));
    assert_eq!(error(delete_group(&mut client)), not_found);
    assert_eq!(error(described(&mut client).error_code), not_found);
    // Its offsets may also go with their topic.
    client.ask(&commit_request("billing", "orders", (0, 4), ""));
    let topics = vec![DeleteTopicState { name: Some(name("orders")), ..Default::default() }];
    client.ask(&DeleteTopicsRequest { topics, ..Default::default() });
    assert_eq!(group_state(&mut client), ("Empty".to_owned(), 0));
    ok("delete group", delete_group(&mut client));
}

#[test]
fn a_member_of_a_group_that_is_not_there_is_told_to_join_again() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 2);
    let mut commit = commit_request("billing", "orders", (0, 4), "");
    (commit.generation_id_or_member_epoch, commit.member_id) = (3, name("nobody"));
    let come = |client: &mut Client, version| {
        error(client.call(&commit, version).topics[0].partitions[0].error_code)
    };
    let unknown = error(ErrorCode::UnknownMemberId.code());
    for version in 2..=9 {
        let before = error(ErrorCode::IllegalGeneration.code());
        let expected = if version < 9 { &before } else { &unknown };
        assert_eq!(come(&mut client, version), *expected, "version {version}");
    }
    client.ask(&commit_request("billing", "orders", (1, 4), ""));
    assert_eq!(come(&mut client, 8), unknown, "a group of offsets is one");
}

#[test]
fn of_topics_that_cannot_be_nothing_was_committed_and_no_id_is_none() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    for topic in ["", "a b", ".."] {
        assert_eq!(committed(&mut client, "billing", topic, 0), (-1, String::new()), "{topic:?}");
    }
    let answer = client.call(&committed_request("billing", "", 0), 10);
    let came = answer.groups[0].topics[0].partitions[0].error_code;
    assert_eq!(error(came), error(ErrorCode::UnknownTopicId.code()));
}
