//! Groups of the consumer protocol (KIP-848), asked of the binary by members that speak it by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::collections::BTreeSet;

use common::client::{Client, newest};
use common::server::{Home, Server};
use common::work::*;
use factum_broker::groups::consumer_protocol;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode, Str};
use uuid::Uuid;

const GROUP: &str = "billing";

type Partitions = BTreeSet<(Uuid, i32)>;

/// A member of the group, as a client's library keeps it.
struct Member {
    client: Client,
    version: i16,
    id: Str,
    instance_id: Option<Str>,
    epoch: i32,
    owned: Partitions,
}

impl Member {
    fn new(server: &Server, id: &str) -> Self {
        Self {
            client: Client::connect(server.kafka),
            version: newest(ApiKey::ConsumerGroupHeartbeat),
            id: name(id),
            instance_id: None,
            epoch: 0,
            owned: Partitions::new(),
        }
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let mut topics: Vec<ConsumerGroupHeartbeatRequestTopicPartitions> = Vec::new();
        for (topic_id, partition) in &self.owned {
            match topics.last_mut().filter(|topic| topic.topic_id == *topic_id) {
                Some(topic) => topic.partitions.push(*partition),
                None => topics.push(ConsumerGroupHeartbeatRequestTopicPartitions {
                    topic_id: *topic_id,
                    partitions: vec![*partition],
                }),
            }
        }
        ConsumerGroupHeartbeatRequest {
            group_id: name(GROUP),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            topic_partitions: Some(topics),
            ..Default::default()
        }
    }

    fn joining(&self, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            member_epoch: 0,
            rebalance_timeout_ms: 30_000,
            subscribed_topic_names: Some(topics.iter().map(name).collect()),
            topic_partitions: Some(Vec::new()),
            ..self.request()
        }
    }

    fn ask(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.client.call(request, self.version)
    }

    /// Does what an answer says.
    fn follow(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        ok("heartbeat", answer.error_code);
        assert_eq!(answer.heartbeat_interval_ms, 5_000);
        self.id = answer.member_id.expect("every answer has it");
        self.epoch = answer.member_epoch;
        let partitions = |topic: ConsumerGroupHeartbeatResponseTopicPartitions| {
            topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
        };
        if let Some(assignment) = answer.assignment {
            self.owned = assignment.topic_partitions.into_iter().flat_map(partitions).collect();
        }
    }

    fn join(&mut self, topics: &[&str]) {
        let answer = self.ask(&self.joining(topics));
        self.follow(answer);
    }

    fn beat(&mut self) {
        let answer = self.ask(&self.request());
        self.follow(answer);
    }

    fn refused(&mut self, request: &ConsumerGroupHeartbeatRequest, expected: ErrorCode) {
        let answer = self.ask(request);
        assert_eq!(error(answer.error_code), error(expected.code()));
        assert!(answer.error_message.is_some_and(|message| !message.is_empty()));
    }

    fn leave(&mut self, epoch: i32) {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.request() };
        let answer = self.ask(&request);
        ok("leave", answer.error_code);
        assert_eq!(answer.member_epoch, epoch);
    }

    fn commit(&mut self, epoch: i32, version: i16) -> i16 {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: epoch,
            member_id: self.id.clone(),
            ..commit_request(GROUP, "orders", (0, 3), "by a member")
        };
        self.client.call(&request, version).topics[0].partitions[0].error_code
    }

    fn fetch_offset(&mut self, epoch: i32) -> Result<i64, i16> {
        let mut request = committed_request(GROUP, "orders", 0);
        request.groups[0].member_id = Some(self.id.clone());
        request.groups[0].member_epoch = epoch;
        let group = self.client.ask(&request).groups.remove(0);
        match group.error_code {
            0 => Ok(group.topics[0].partitions[0].committed_offset),
            code => Err(code),
        }
    }
}

/// Two members that share the topic "orders" of four partitions.
fn two_members(server: &Server) -> (Member, Member) {
    let (mut one, mut two) = (Member::new(server, "one"), Member::new(server, "two"));
    create(&mut one.client, "orders", 4);
    one.join(&["orders"]);
    assert_eq!((one.epoch, one.owned.len()), (1, 4));
    two.join(&["orders"]);
    assert_eq!((two.epoch, two.owned.len()), (2, 0), "nothing is given up yet");
    one.beat();
    two.beat();
    assert_eq!((one.epoch, one.owned.len(), two.owned.len()), (1, 2, 0), "told, but not done");
    one.beat();
    two.beat();
    assert_eq!((one.epoch, one.owned.len(), two.owned.len()), (2, 2, 2));
    assert!(one.owned.is_disjoint(&two.owned));
    (one, two)
}

fn describe(client: &mut Client, version: i16) -> ConsumerGroupDescribeResponseGroup {
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![name(GROUP)], ..Default::default() };
    client.call(&request, version).groups.remove(0)
}

fn listed(client: &mut Client, states: &[&str], types: &[&str]) -> Vec<(String, String, String)> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(name).collect(),
        types_filter: types.iter().map(name).collect(),
    };
    let group = |group: ListedGroup| {
        let texts = [group.group_id, group.group_state, group.group_type];
        texts.map(|text| text.to_string()).into()
    };
    client.ask(&request).groups.into_iter().map(group).collect()
}

fn assert_error(came: i16, expected: ErrorCode) {
    assert_eq!(error(came), error(expected.code()));
}

#[test]
fn members_share_commit_in_their_epoch_and_leave() {
    let home = Home::new();
    let server = home.serve();
    let mut admin = Client::connect(server.kafka);
    let (mut one, mut two) = two_members(&server);

    ok("commit", one.commit(2, 9));
    assert_error(one.commit(1, 9), ErrorCode::StaleMemberEpoch);
    assert_error(one.commit(2, 8), ErrorCode::UnsupportedVersion);
    assert_eq!(one.fetch_offset(2), Ok(3));
    assert_eq!(one.fetch_offset(1), Err(ErrorCode::StaleMemberEpoch.code()));
    one.id = name("nobody");
    assert_error(one.commit(2, 9), ErrorCode::UnknownMemberId);
    assert_eq!(one.fetch_offset(2), Err(ErrorCode::UnknownMemberId.code()));
    one.id = name("one");
    assert_eq!(committed(&mut admin, GROUP, "orders", 0).0, 3, "who says no member is answered");
    let outside = admin.ask(&commit_request(GROUP, "orders", (0, 9), ""));
    assert_error(outside.topics[0].partitions[0].error_code, ErrorCode::UnknownMemberId);

    let request = DeleteGroupsRequest { groups_names: vec![name(GROUP)] };
    assert_error(admin.ask(&request).results[0].error_code, ErrorCode::NonEmptyGroup);
    one.leave(-1);
    two.beat();
    assert_eq!((two.epoch, two.owned.len()), (3, 4));
    let request = one.request();
    one.refused(&request, ErrorCode::UnknownMemberId);
    two.leave(-1);
    assert_eq!(&*describe(&mut admin, 1).group_state, "Empty");
    ok(
        "commit",
        admin.ask(&commit_request(GROUP, "orders", (0, 9), "")).topics[0].partitions[0].error_code,
    );
    let request = DeleteGroupsRequest { groups_names: vec![name(GROUP)] };
    ok("delete", admin.ask(&request).results[0].error_code);
    assert_error(describe(&mut admin, 1).error_code, ErrorCode::GroupIdNotFound);
}

#[test]
fn a_transaction_commits_offsets_in_the_members_epoch() {
    let home = Home::new();
    let server = home.serve();
    let (mut one, _two) = two_members(&server);
    let id = InitProducerIdRequest {
        transactional_id: Some(name("t")),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let producer = one.client.ask(&id);
    ok("init producer id", producer.error_code);
    let mut commit = |epoch: i32, member: &str| {
        let request = TxnOffsetCommitRequest {
            transactional_id: name("t"),
            group_id: name(GROUP),
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            generation_id: epoch,
            member_id: name(member),
            topics: vec![TxnOffsetCommitRequestTopic {
                name: name("orders"),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    committed_offset: 5,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        one.client.ask(&request).topics[0].partitions[0].error_code
    };
    assert_error(commit(1, "one"), ErrorCode::IllegalGeneration);
    assert_error(commit(2, "nobody"), ErrorCode::UnknownMemberId);
    ok("commit", commit(2, "one"));
    ok("commit by nobody in particular", commit(-1, ""));
}

#[test]
fn groups_are_listed_and_described_by_their_protocol() {
    let home = Home::new();
    let server = home.serve();
    let mut admin = Client::connect(server.kafka);
    let (mut one, _two) = two_members(&server);
    ok(
        "commit",
        admin.ask(&commit_request("tools", "orders", (0, 1), "")).topics[0].partitions[0]
            .error_code,
    );

    let entry = |group: &str, state: &str, kind: &str| {
        (group.to_owned(), state.to_owned(), kind.to_owned())
    };
    let billing = entry(GROUP, "Stable", "consumer");
    let tools = entry("tools", "Empty", "classic");
    assert_eq!(listed(&mut admin, &[], &[]), [billing.clone(), tools.clone()]);
    assert_eq!(listed(&mut admin, &[], &["Consumer"])[..], [entry(GROUP, "Stable", "consumer")]);
    assert_eq!(listed(&mut admin, &[], &["classic"]), [tools]);
    assert_eq!(listed(&mut admin, &["stable"], &[]), [billing]);
    assert!(listed(&mut admin, &["Reconciling"], &[]).is_empty());

    for version in ApiKey::ConsumerGroupDescribe.versions() {
        let group = describe(&mut admin, version);
        ok("describe", group.error_code);
        assert_eq!(
            (&*group.group_state, group.group_epoch, group.assignment_epoch),
            ("Stable", 2, 2)
        );
        assert_eq!(&*group.assignor_name, "uniform");
        let member = &group.members[0];
        assert_eq!(
            (&*member.member_id, member.member_epoch, &*member.client_id),
            ("one", 2, "test")
        );
        assert_eq!(member.member_type, if version == 0 { -1 } else { 1 });
        assert_eq!(member.subscribed_topic_names, [name("orders")]);
        assert_eq!(member.assignment, member.target_assignment);
        let topic = &member.assignment.topic_partitions[0];
        assert_eq!((&*topic.topic_name, topic.partitions.len()), ("orders", 2));
        assert!(member.client_host.starts_with('/'), "{}", member.client_host);
    }
    // As for Kafka, each of the two APIs knows the groups of its own protocol only.
    let groups = vec![name(GROUP), name("tools")];
    let classic = DescribeGroupsRequest { groups: groups.clone(), ..Default::default() };
    let answer = admin.ask(&classic).groups;
    assert_error(answer[0].error_code, ErrorCode::GroupIdNotFound);
    assert_eq!((&*answer[0].group_state, &*answer[1].group_state), ("Dead", "Empty"));
    ok("version 5", admin.call(&classic, 5).groups[0].error_code);
    let request = ConsumerGroupDescribeRequest { group_ids: groups, ..Default::default() };
    assert_error(admin.ask(&request).groups[1].error_code, ErrorCode::GroupIdNotFound);

    let new = Member::new(&server, "three").joining(&["orders"]);
    let answer = one.ask(&new);
    assert_eq!(answer.member_epoch, 3);
    assert_eq!(listed(&mut admin, &["Reconciling"], &["consumer"]).len(), 1);
}

#[test]
fn after_a_restart_members_are_told_to_join_again() {
    let home = Home::new();
    let server = home.serve();
    let (one, _two) = two_members(&server);
    server.kill();
    let server = home.serve();
    let mut again = Member { client: Client::connect(server.kafka), ..one };
    let request = again.request();
    again.refused(&request, ErrorCode::UnknownMemberId);
    assert_error(again.commit(2, 9), ErrorCode::UnknownMemberId);
    again.join(&["orders"]);
    assert_eq!(again.owned.len(), 4);
    // One that has not heard of it yet.
    let mut other = Member::new(&server, "two");
    other.epoch = 2;
    let request = other.request();
    other.refused(&request, ErrorCode::UnknownMemberId);
    let ahead = ConsumerGroupHeartbeatRequest { member_epoch: 7, ..again.request() };
    again.refused(&ahead, ErrorCode::FencedMemberEpoch);
}

#[test]
fn version_0_gives_out_ids_and_version_1_knows_regular_expressions() {
    let home = Home::new();
    let server = home.serve();
    let mut old = Member { version: 0, ..Member::new(&server, "") };
    create(&mut old.client, "orders", 2);
    create(&mut old.client, "payments", 1);
    old.join(&["orders"]);
    assert_eq!((old.owned.len(), old.id.len()), (2, 36), "an id of the server's");
    old.leave(-1);

    let mut new = Member::new(&server, "");
    let request = new.joining(&["orders"]);
    new.refused(&request, ErrorCode::InvalidRequest);
    new.id = name("new");
    let by_regex = |new: &Member, regex: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(name(regex)),
        ..new.joining(&[])
    };
    let request = by_regex(&new, "(");
    new.refused(&request, ErrorCode::InvalidRegularExpression);
    let answer = new.ask(&by_regex(&new, "pay.*"));
    new.follow(answer);
    assert_eq!(new.owned.len(), 1);
    create(&mut new.client, "payouts", 3);
    create(&mut new.client, "prepaid", 3);
    new.beat();
    assert_eq!(new.owned.len(), 4, "a topic that is new");
    let grown = CreatePartitionsTopic { name: name("payments"), count: 2, ..Default::default() };
    let request =
        CreatePartitionsRequest { topics: vec![grown], timeout_ms: 30_000, ..Default::default() };
    ok("grow", new.client.ask(&request).results[0].error_code);
    new.beat();
    assert_eq!(new.owned.len(), 5, "a partition that is new");
    let gone = DeleteTopicState { name: Some(name("payouts")), ..Default::default() };
    let request =
        DeleteTopicsRequest { topics: vec![gone], timeout_ms: 30_000, ..Default::default() };
    ok("delete", new.client.ask(&request).responses[0].error_code);
    new.beat();
    assert_eq!(new.owned.len(), 2);
    assert_eq!(
        describe(&mut new.client, 1).members[0].subscribed_topic_regex.as_deref(),
        Some("pay.*")
    );
}

#[test]
fn assignors_are_named_and_static_members_come_back() {
    let home = Home::new();
    let server = home.serve();
    let mut one = Member { instance_id: Some(name("i")), ..Member::new(&server, "one") };
    create(&mut one.client, "orders", 4);
    let assignor = |which: &str, request| ConsumerGroupHeartbeatRequest {
        server_assignor: Some(name(which)),
        ..request
    };
    let request = assignor("cooperative-sticky", one.joining(&["orders"]));
    one.refused(&request, ErrorCode::UnsupportedAssignor);
    let answer = one.ask(&assignor("range", one.joining(&["orders"])));
    one.follow(answer);
    assert_eq!(&*describe(&mut one.client, 1).assignor_name, "range");

    let mut again = Member { instance_id: Some(name("i")), ..Member::new(&server, "again") };
    let request = again.joining(&["orders"]);
    again.refused(&request, ErrorCode::UnreleasedInstanceId);
    one.leave(-2);
    again.join(&["orders"]);
    assert_eq!((again.epoch, &again.owned), (1, &one.owned), "nobody noticed");
    let request = one.request();
    one.refused(&request, ErrorCode::FencedInstanceId);
    // An administrator removes it.
    let member = MemberIdentity { group_instance_id: Some(name("i")), ..Default::default() };
    let request =
        LeaveGroupRequest { group_id: name(GROUP), members: vec![member], ..Default::default() };
    let answer = one.client.ask(&request);
    ok("leave group", answer.error_code);
    ok("leave group", answer.members[0].error_code);
    let request = again.request();
    again.refused(&request, ErrorCode::UnknownMemberId);
}

#[test]
fn members_whose_subscriptions_cannot_be_read_do_not_mix_with_others() {
    let home = Home::new();
    let server = home.serve_with(&["--group-initial-rebalance-delay-ms", "0"]);
    let (mut one, mut two) = two_members(&server);
    let classic = JoinGroupRequest {
        group_id: name(GROUP),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: name("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: name("range"), ..Default::default() }],
        ..Default::default()
    };
    let mut client = Client::connect(server.kafka);
    assert_error(client.ask(&classic).error_code, ErrorCode::InconsistentGroupProtocol);
    one.leave(-1);
    two.leave(-1);
    // Version 3 joins without being given an id first.
    let joined = client.call(&classic, 3);
    ok("join", joined.error_code);
    assert!(joined.generation_id > 4, "generations go on from epochs: {}", joined.generation_id);
    let request = one.joining(&["orders"]);
    one.refused(&request, ErrorCode::GroupIdNotFound);
    assert_error(describe(&mut client, 1).error_code, ErrorCode::GroupIdNotFound);
}

/// A member of the classic protocol, which gives up all that it has when it joins again.
struct Classic {
    client: Client,
    id: Str,
    generation: i32,
    owned: BTreeSet<i32>,
}

impl Classic {
    fn join(&mut self) -> JoinGroupResponse {
        self.owned.clear();
        let said = consumer_protocol::Subscription::of(["orders".to_owned()]);
        let metadata = said.encode(1).unwrap();
        let request = JoinGroupRequest {
            group_id: name(GROUP),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: self.id.clone(),
            protocol_type: name("consumer"),
            protocols: vec![JoinGroupRequestProtocol { name: name("range"), metadata }],
            ..Default::default()
        };
        let joined = self.client.ask(&request);
        self.id = joined.member_id.clone();
        if joined.error_code == ErrorCode::MemberIdRequired.code() {
            return self.join();
        }
        ok("join", joined.error_code);
        self.generation = joined.generation_id;
        joined
    }

    /// Joins, hands out all four partitions to itself if it leads, and takes what it is given.
    fn rejoin(&mut self) {
        let joined = self.join();
        let partitions = vec![consumer_protocol::TopicPartitions {
            topic: "orders".to_owned(),
            partitions: (0..4).collect(),
        }];
        let all = consumer_protocol::Assignment { partitions, user_data: None };
        let assignment = all.encode(1).unwrap();
        let of_it = SyncGroupRequestAssignment { member_id: self.id.clone(), assignment };
        let request = SyncGroupRequest {
            group_id: name(GROUP),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments: if joined.leader == self.id { vec![of_it] } else { Vec::new() },
            ..Default::default()
        };
        let synced = self.client.ask(&request);
        ok("sync", synced.error_code);
        let assigned = consumer_protocol::Assignment::decode(&synced.assignment).unwrap();
        self.owned = assigned.partitions.into_iter().flat_map(|of| of.partitions).collect();
    }

    fn beat(&mut self) -> i16 {
        let request = HeartbeatRequest {
            group_id: name(GROUP),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        self.client.ask(&request).error_code
    }

    fn commit(&mut self, generation: i32, version: i16) -> i16 {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: self.id.clone(),
            ..commit_request(GROUP, "orders", (0, 3), "by a classic member")
        };
        self.client.call(&request, version).topics[0].partitions[0].error_code
    }
}

#[test]
fn a_group_goes_from_the_classic_protocol_to_the_consumer_protocol_and_back_with_its_members() {
    let home = Home::new();
    let server = home.serve_with(&["--group-initial-rebalance-delay-ms", "0"]);
    let client = Client::connect(server.kafka);
    let mut old = Classic { client, id: name(""), generation: -1, owned: BTreeSet::new() };
    create(&mut old.client, "orders", 4);
    old.rejoin();
    assert_eq!((old.owned.len(), old.beat()), (4, 0));

    let mut new = Member::new(&server, "new");
    new.join(&["orders"]);
    assert_eq!(new.owned.len(), 0, "nothing is given up yet");
    assert_error(old.beat(), ErrorCode::RebalanceInProgress);
    new.beat();
    assert_eq!((new.owned.len(), old.commit(old.generation, 7)), (0, 0));
    old.rejoin();
    new.beat();
    assert_eq!((old.owned.len(), new.owned.len(), old.beat()), (2, 2, 0));
    assert!(new.owned.iter().all(|(_, partition)| !old.owned.contains(partition)));
    assert_error(old.commit(old.generation - 1, 7), ErrorCode::IllegalGeneration);
    let mut admin = Client::connect(server.kafka);
    let described = describe(&mut admin, 1);
    let mut types: Vec<_> = described.members.iter().map(|member| member.member_type).collect();
    types.sort_unstable();
    assert_eq!((&*described.group_state, types), ("Stable", vec![0, 1]));
    let groups = vec![name(GROUP)];
    let asked = DescribeGroupsRequest { groups, ..Default::default() };
    assert_error(admin.ask(&asked).groups[0].error_code, ErrorCode::GroupIdNotFound);

    new.leave(-1);
    let classic = admin.ask(&asked).groups.remove(0);
    assert_eq!((&*classic.group_state, classic.members.len()), ("PreparingRebalance", 1));
    assert_eq!(old.commit(old.generation, 7), 0, "what it has it may commit");
    assert_error(old.beat(), ErrorCode::RebalanceInProgress);
    old.rejoin();
    assert_eq!((old.owned.len(), old.beat()), (4, 0));
    assert_error(describe(&mut admin, 1).error_code, ErrorCode::GroupIdNotFound);
    server.stop();
}

#[test]
fn clients_are_told_of_the_protocol() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let request = ApiVersionsRequest {
        client_software_name: name("test"),
        client_software_version: name("1"),
        ..Default::default()
    };
    let answer = client.call(&request, 4);
    let features = answer.finalized_features.iter();
    let features: Vec<_> = features.map(|f| (&*f.name, f.max_version_level)).collect();
    assert!(features.contains(&("group.version", 1)), "{features:?}");
    for key in [68, 69] {
        let api = answer.api_keys.iter().find(|api| api.api_key == key).unwrap();
        assert_eq!((api.min_version, api.max_version), (0, 1));
    }
}

#[test]
fn a_member_finds_the_topics_that_it_is_given_by_their_ids() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 2);
    // Java's client sends an empty name where others send none.
    for empty in [None, Some(Str::default())] {
        let mut ask = |topic_id: Uuid| {
            let topic = MetadataRequestTopic { topic_id, name: empty.clone() };
            let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
            client.ask(&request).topics.remove(0)
        };
        let found = ask(id);
        ok("metadata", found.error_code);
        assert_eq!((found.name.as_deref(), found.partitions.len()), (Some("orders"), 2));
        let unknown = ask(Uuid::from_u128(7));
        assert_error(unknown.error_code, ErrorCode::UnknownTopicId);
        assert_eq!(unknown.name, None);
    }
}

#[test]
fn a_member_that_is_silent_expires_by_the_brokers_setting() {
    let home = Home::new();
    let flags = ["--group-consumer-session-timeout-ms", "300"];
    let server =
        home.serve_with(&[&flags[..], &["--group-consumer-heartbeat-interval-ms", "100"]].concat());
    let mut one = Member::new(&server, "one");
    create(&mut one.client, "orders", 1);
    let answer = one.ask(&one.joining(&["orders"]));
    assert_eq!(answer.heartbeat_interval_ms, 100);
    let mut admin = Client::connect(server.kafka);
    common::server::until("it expires", || &*describe(&mut admin, 1).group_state == "Empty");
    one.epoch = answer.member_epoch;
    let request = one.request();
    one.refused(&request, ErrorCode::UnknownMemberId);
}

/// Lets all members beat until nobody's partitions or epoch change any more.
fn settle(members: &mut [Member]) {
    for _ in 0..20 {
        let before: Vec<_> = members.iter().map(|one| (one.epoch, one.owned.clone())).collect();
        members.iter_mut().for_each(Member::beat);
        let after = members.iter().map(|one| (one.epoch, one.owned.clone()));
        if after.eq(before) {
            return;
        }
    }
    panic!("the members do not come to rest");
}

/// How many partitions each member has, the most first; nobody has what another has.
fn shares(members: &[Member]) -> Vec<usize> {
    let all: Partitions = members.iter().flat_map(|one| &one.owned).copied().collect();
    let mut shares: Vec<_> = members.iter().map(|one| one.owned.len()).collect();
    assert_eq!(shares.iter().sum::<usize>(), all.len(), "one partition, one member");
    shares.sort_by(|one, other| other.cmp(one));
    shares
}

#[test]
fn six_partitions_are_shared_by_three_members_by_eight_and_by_one() {
    let home = Home::new();
    let server = home.serve();
    let mut admin = Client::connect(server.kafka);
    create(&mut admin, "orders", 6);
    let mut members = Vec::new();
    let grow = |members: &mut Vec<Member>, count: usize| {
        while members.len() < count {
            let mut next = Member::new(&server, &format!("member {}", members.len()));
            next.join(&["orders"]);
            members.push(next);
        }
        settle(members);
    };
    grow(&mut members, 3);
    assert_eq!(shares(&members), [2, 2, 2]);
    grow(&mut members, 8);
    assert_eq!(shares(&members), [1, 1, 1, 1, 1, 1, 0, 0], "surplus members idle");
    for mut leaving in members.drain(1..) {
        leaving.leave(-1);
    }
    settle(&mut members);
    assert_eq!(shares(&members), [6]);
    server.stop();
}
