//! Access control at both doors: what no rule allows is denied, in every API with its own code; what
//! a rule allows is not; rules and users are changed by Kafka's APIs, by HTTP and by the command
//! line, and are there after `kill -9`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::collections::HashSet;
use std::process::Output;

use common::client::Client;
use common::server::{Home, Server, nobody};
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};

const PASSWORD: &str = "top secret";

/// A server on which only the admin may do something at first.
fn guarded(home: &Home) -> Server {
    home.configure(&format!("access_control = true\nadmin_password = \"{PASSWORD}\"\n"));
    home.serve()
}

/// Runs the command line as the admin.
fn factum(server: &Server, line: &str) -> Output {
    run(server, ("admin", PASSWORD), line)
}

fn run(server: &Server, (user, password): (&str, &str), line: &str) -> Output {
    let mut command = nobody(server, line);
    command.env("FACTUM_USER", user).env("FACTUM_PASSWORD", password);
    command.output().expect("the binary starts")
}

/// Runs a command that must work, and answers what it says.
fn done(server: &Server, line: &str) -> serde_json::Value {
    let output = factum(server, line);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_default()
}

fn refused(server: &Server, who: (&str, &str), line: &str) -> String {
    let output = run(server, who, line);
    assert!(!output.status.success(), "{line} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_error(what: &str, came: i16, expected: ErrorCode) {
    assert_eq!(error(came), error(expected.code()), "{what}");
}

/// What somebody without a rule is told, by every API that asks for one.
#[test]
fn what_no_rule_allows_is_denied_in_every_api() {
    use ErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, IllegalSaslState,
        TopicAuthorizationFailed, TransactionalIdAuthorizationFailed,
    };
    let home = Home::new();
    let server = guarded(&home);
    done(&server, "topic create orders --partitions 2");
    let mut client = Client::connect(server.kafka);
    let topic = || name("orders");
    let group = || name("billing");
    let txn = || name("shop-1");
    macro_rules! denied {
        ($request:expr, |$answer:ident| $code:expr, $expected:ident) => {{
            let request = $request;
            let $answer = client.ask(&request);
            let what = format!("{request:?}");
            assert_error(&what[..what.len().min(60)], $code, $expected);
        }};
    }
    let produced = produce_request("orders", 0, Some(batch(&records(0..1))));
    denied!(produced, |it| of_partition(it).error_code, TopicAuthorizationFailed);
    denied!(fetch_request("orders", 0, 0), |it| fetched(it).error_code, TopicAuthorizationFailed);
    let offsets = ListOffsetsTopic {
        name: topic(),
        partitions: vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }],
    };
    denied!(
        ListOffsetsRequest { topics: vec![offsets], ..Default::default() },
        |it| it.topics[0].partitions[0].error_code,
        TopicAuthorizationFailed
    );
    let asked = |of: &str| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some(name(of)), ..Default::default() }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    denied!(asked("orders"), |it| it.topics[0].error_code, TopicAuthorizationFailed);
    denied!(asked("nothing"), |it| it.topics[0].error_code, TopicAuthorizationFailed);
    let all = client.ask(&MetadataRequest { topics: None, ..Default::default() });
    assert_eq!(all.topics, [], "who may know of nothing sees nothing");
    denied!(
        commit_request("billing", "orders", (0, 1), ""),
        |it| it.topics[0].partitions[0].error_code,
        GroupAuthorizationFailed
    );
    denied!(
        committed_request("billing", "orders", 0),
        |it| it.groups[0].error_code,
        GroupAuthorizationFailed
    );
    for (key_type, expected) in
        [(0, GroupAuthorizationFailed), (1, TransactionalIdAuthorizationFailed)]
    {
        let coordinator_keys = vec![group()];
        let answer = client.ask(&FindCoordinatorRequest {
            key_type,
            coordinator_keys,
            ..Default::default()
        });
        assert_error("coordinator", answer.coordinators[0].error_code, expected);
    }
    denied!(
        JoinGroupRequest { group_id: group(), session_timeout_ms: 6000, ..Default::default() },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        SyncGroupRequest {
            group_id: group(),
            protocol_type: Some(name("consumer")),
            protocol_name: Some(name("range")),
            ..Default::default()
        },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        HeartbeatRequest { group_id: group(), ..Default::default() },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        LeaveGroupRequest { group_id: group(), ..Default::default() },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        ConsumerGroupHeartbeatRequest { group_id: group(), ..Default::default() },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        DescribeGroupsRequest { groups: vec![group()], ..Default::default() },
        |it| it.groups[0].error_code,
        GroupAuthorizationFailed
    );
    denied!(
        ConsumerGroupDescribeRequest { group_ids: vec![group()], ..Default::default() },
        |it| it.groups[0].error_code,
        GroupAuthorizationFailed
    );
    denied!(
        DeleteGroupsRequest { groups_names: vec![group()] },
        |it| it.results[0].error_code,
        GroupAuthorizationFailed
    );
    denied!(
        OffsetDeleteRequest { group_id: group(), ..Default::default() },
        |it| it.error_code,
        GroupAuthorizationFailed
    );
    denied!(
        CreateTopicsRequest { topics: vec![new_topic("mine", 1)], ..Default::default() },
        |it| it.topics[0].error_code,
        TopicAuthorizationFailed
    );
    let named = DeleteTopicState { name: Some(topic()), ..Default::default() };
    denied!(
        DeleteTopicsRequest { topics: vec![named], ..Default::default() },
        |it| it.responses[0].error_code,
        TopicAuthorizationFailed
    );
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: -1 }];
    let records_of = DeleteRecordsTopic { name: topic(), partitions };
    denied!(
        DeleteRecordsRequest { topics: vec![records_of], timeout_ms: 1000 },
        |it| it.topics[0].partitions[0].error_code,
        TopicAuthorizationFailed
    );
    let grown = CreatePartitionsTopic { name: topic(), count: 5, ..Default::default() };
    denied!(
        CreatePartitionsRequest { topics: vec![grown], ..Default::default() },
        |it| it.results[0].error_code,
        TopicAuthorizationFailed
    );
    let resource = |resource_type, of: &str| DescribeConfigsResource {
        resource_type,
        resource_name: name(of),
        ..Default::default()
    };
    let of_topic = vec![resource(2, "orders")];
    denied!(
        DescribeConfigsRequest { resources: of_topic, ..Default::default() },
        |it| it.results[0].error_code,
        TopicAuthorizationFailed
    );
    let of_broker = vec![resource(4, "1")];
    denied!(
        DescribeConfigsRequest { resources: of_broker, ..Default::default() },
        |it| it.results[0].error_code,
        ClusterAuthorizationFailed
    );
    let altered = IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: topic(),
        ..Default::default()
    };
    denied!(
        IncrementalAlterConfigsRequest { resources: vec![altered], ..Default::default() },
        |it| it.responses[0].error_code,
        TopicAuthorizationFailed
    );
    let of_group = vec![resource(32, "billing")];
    denied!(
        DescribeConfigsRequest { resources: of_group, ..Default::default() },
        |it| it.results[0].error_code,
        GroupAuthorizationFailed
    );
    let of_group = IncrementalAlterConfigsResource {
        resource_type: 32,
        resource_name: group(),
        ..Default::default()
    };
    denied!(
        IncrementalAlterConfigsRequest { resources: vec![of_group], ..Default::default() },
        |it| it.responses[0].error_code,
        GroupAuthorizationFailed
    );
    let of_broker = IncrementalAlterConfigsResource {
        resource_type: 4,
        resource_name: name("1"),
        ..Default::default()
    };
    denied!(
        IncrementalAlterConfigsRequest { resources: vec![of_broker], ..Default::default() },
        |it| it.responses[0].error_code,
        ClusterAuthorizationFailed
    );
    let replaced =
        AlterConfigsResource { resource_type: 2, resource_name: topic(), ..Default::default() };
    denied!(
        AlterConfigsRequest { resources: vec![replaced], ..Default::default() },
        |it| it.responses[0].error_code,
        TopicAuthorizationFailed
    );
    denied!(
        InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..Default::default() },
        |it| it.error_code,
        ClusterAuthorizationFailed
    );
    let transactional = InitProducerIdRequest {
        transactional_id: Some(txn()),
        transaction_timeout_ms: 1000,
        producer_id: -1,
        producer_epoch: -1,
    };
    denied!(transactional, |it| it.error_code, TransactionalIdAuthorizationFailed);
    let partitions = vec![AddPartitionsToTxnTopic { name: topic(), partitions: vec![0] }];
    let add = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: txn(),
        v3_and_below_topics: partitions,
        ..Default::default()
    };
    let added = client.call(&add, 3);
    let code = added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
    assert_error("add partitions", code, TransactionalIdAuthorizationFailed);
    denied!(AddPartitionsToTxnRequest::default(), |it| it.error_code, ClusterAuthorizationFailed);
    denied!(
        AddOffsetsToTxnRequest { transactional_id: txn(), group_id: group(), ..Default::default() },
        |it| it.error_code,
        TransactionalIdAuthorizationFailed
    );
    denied!(
        EndTxnRequest { transactional_id: txn(), ..Default::default() },
        |it| it.error_code,
        TransactionalIdAuthorizationFailed
    );
    let offsets = TxnOffsetCommitRequestTopic {
        name: topic(),
        partitions: vec![TxnOffsetCommitRequestPartition::default()],
    };
    let commit = TxnOffsetCommitRequest {
        transactional_id: txn(),
        group_id: group(),
        topics: vec![offsets],
        ..Default::default()
    };
    denied!(commit, |it| it.topics[0].partitions[0].error_code, TransactionalIdAuthorizationFailed);
    let described = DescribeProducersRequestTopic { name: topic(), partition_indexes: vec![0] };
    denied!(
        DescribeProducersRequest { topics: vec![described] },
        |it| it.topics[0].partitions[0].error_code,
        TopicAuthorizationFailed
    );
    denied!(
        DescribeTransactionsRequest { transactional_ids: vec![txn()] },
        |it| it.transaction_states[0].error_code,
        TransactionalIdAuthorizationFailed
    );
    let epochs = OffsetForLeaderTopic {
        topic: topic(),
        partitions: vec![OffsetForLeaderPartition::default()],
    };
    denied!(
        OffsetForLeaderEpochRequest { topics: vec![epochs], ..Default::default() },
        |it| it.topics[0].partitions[0].error_code,
        TopicAuthorizationFailed
    );
    let marked = WritableTxnMarkerTopic { name: topic(), partition_indexes: vec![0] };
    let marker = WritableTxnMarker { topics: vec![marked], ..Default::default() };
    denied!(
        WriteTxnMarkersRequest { markers: vec![marker] },
        |it| it.markers[0].topics[0].partitions[0].error_code,
        ClusterAuthorizationFailed
    );
    let paged = DescribeTopicPartitionsRequest {
        topics: vec![DescribeTopicPartitionsRequestTopic { name: topic() }],
        response_partition_limit: 10,
        ..Default::default()
    };
    denied!(paged, |it| it.topics[0].error_code, TopicAuthorizationFailed);
    for code in [
        client.ask(&DescribeAclsRequest::default()).error_code,
        client.ask(&DescribeLogDirsRequest::default()).error_code,
        client.ask(&ElectLeadersRequest::default()).error_code,
        client.ask(&AlterPartitionReassignmentsRequest::default()).error_code,
        client.ask(&ListPartitionReassignmentsRequest::default()).error_code,
        client.ask(&DescribeQuorumRequest::default()).error_code,
        client.ask(&UpdateFeaturesRequest::default()).error_code,
        client.ask(&ListConfigResourcesRequest::default()).error_code,
        client.ask(&DescribeUserScramCredentialsRequest::default()).error_code,
        client.ask(&CreateAclsRequest { creations: vec![AclCreation::default()] }).results[0]
            .error_code,
        client
            .ask(&DeleteAclsRequest { filters: vec![DeleteAclsFilter::default()] })
            .filter_results[0]
            .error_code,
    ] {
        assert_error("of the cluster", code, ClusterAuthorizationFailed);
    }
    let gone = ScramCredentialDeletion { name: name("alice"), mechanism: 1 };
    denied!(
        AlterUserScramCredentialsRequest { deletions: vec![gone], upsertions: vec![] },
        |it| it.results[0].error_code,
        ClusterAuthorizationFailed
    );
    denied!(DescribeClientQuotasRequest::default(), |it| it.error_code, ClusterAuthorizationFailed);
    let quota = AlterClientQuotasRequest {
        entries: vec![QuotaAlteration::default()],
        ..Default::default()
    };
    denied!(quota, |it| it.entries[0].error_code, ClusterAuthorizationFailed);
    assert_eq!(client.ask(&ListGroupsRequest::default()).groups, []);
    assert_eq!(client.ask(&ListTransactionsRequest::default()).transaction_states, []);
    let cluster = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        ..Default::default()
    };
    assert_eq!(client.ask(&cluster).cluster_authorized_operations, 0, "may do nothing with it");
    // A client must be able to find out all of this, and how to log in.
    ok("versions", client.call(&ApiVersionsRequest::default(), 0).error_code);
    assert_error(
        "handshake",
        client.ask(&SaslHandshakeRequest { mechanism: name("PLAIN") }).error_code,
        IllegalSaslState,
    );
}

#[test]
fn no_api_is_forgotten() {
    // Each request is a word of the test above that is in no comment, or asks for nothing.
    let source = include_str!("kafka_access.rs");
    let from = source.find("fn what_no_rule_allows_is_denied_in_every_api").unwrap();
    let to = source.find("fn no_api_is_forgotten").unwrap();
    let code = source[from..to].lines().map(|line| line.split("//").next().unwrap_or_default());
    let words: HashSet<_> =
        code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric())).collect();
    let helped = [ApiKey::Produce, ApiKey::Fetch, ApiKey::OffsetCommit, ApiKey::OffsetFetch];
    let open = [ApiKey::SaslAuthenticate];
    for api in ApiKey::ALL.iter().filter(|api| !helped.contains(api) && !open.contains(api)) {
        assert!(words.contains(&*format!("{api}Request")), "{api} is not tested");
    }
}

#[test]
fn a_rule_allows_what_it_says_and_a_denying_one_takes_it_back() {
    let home = Home::new();
    let server = guarded(&home);
    done(&server, "acl allow ANONYMOUS --produce orders --consume orders --group billing");
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    append(&mut client, "orders", 0, batch(&records(0..3)));
    assert_eq!(read_all(&mut client, "orders", 0).len(), 3);
    // Who may write somewhere may have a producer id (KIP-679).
    let id = new_producer(&mut client);
    append(&mut client, "orders", 0, sequenced(id, 0, 0, 2));
    ok("commit", committed_code(&mut client));
    let topics = client.ask(&MetadataRequest { topics: None, ..Default::default() }).topics;
    assert_eq!(topics.len(), 1);
    let delete = |client: &mut Client| {
        let named = DeleteTopicState { name: Some(name("orders")), ..Default::default() };
        let request = DeleteTopicsRequest { topics: vec![named], ..Default::default() };
        client.ask(&request).responses[0].error_code
    };
    assert_error("delete", delete(&mut client), ErrorCode::TopicAuthorizationFailed);
    done(&server, "acl deny ANONYMOUS --operation write --topic orders");
    let request = produce_request("orders", 0, Some(batch(&records(0..1))));
    let answer = of_partition(client.ask(&request));
    assert_error("produce", answer.error_code, ErrorCode::TopicAuthorizationFailed);
    assert_eq!(read_all(&mut client, "orders", 0).len(), 5, "reading is still allowed");
    let explained = done(&server, "acl explain ANONYMOUS write --topic orders");
    assert_eq!(explained["allowed"], false);
    assert_eq!(explained["rule"]["permission"], "DENY", "{explained}");
    let allowed = done(&server, "acl explain ANONYMOUS read --topic orders");
    assert_eq!((&allowed["allowed"], &allowed["because"]), (&true.into(), &"allowed".into()));
    let no_rule = done(&server, "acl explain bob read --topic orders");
    assert_eq!(no_rule["because"], "no_rule");
    assert_eq!(done(&server, "acl explain admin read --topic orders")["because"], "super_user");
    done(&server, "acl delete --principal ANONYMOUS --operation write --yes");
    assert_eq!(
        done(&server, "acl list --principal ANONYMOUS")["acls"].as_array().unwrap().len(),
        3
    );
}

fn committed_code(client: &mut Client) -> i16 {
    let committed = client.ask(&commit_request("billing", "orders", (0, 2), ""));
    committed.topics[0].partitions[0].error_code
}

/// Kafka's own numbers: literal 3, prefixed 4; read 3, allow 3; any 1, match 2.
#[test]
fn rules_are_made_found_and_deleted_by_kafkas_apis_and_outlive_a_crash() {
    let home = Home::new();
    let server = guarded(&home);
    done(&server, "acl allow ANONYMOUS --operation describe --operation alter --cluster");
    let mut client = Client::connect(server.kafka);
    let creation = |of: &str, resource_pattern_type| AclCreation {
        resource_type: 2,
        resource_name: name(of),
        resource_pattern_type,
        principal: name("User:alice"),
        host: name("*"),
        operation: 3,
        permission_type: 3,
    };
    let wrong = [
        AclCreation { resource_name: name(""), ..creation("", 3) },
        AclCreation { resource_type: 4, ..creation("orders", 3) },
        AclCreation { resource_type: 1, ..creation("orders", 3) },
        AclCreation { principal: name("alice"), ..creation("orders", 3) },
        AclCreation { host: name("somewhere"), ..creation("orders", 3) },
        AclCreation { operation: 1, ..creation("orders", 3) },
        AclCreation { permission_type: 1, ..creation("orders", 3) },
        creation("orders", 2),
    ];
    let mut creations = vec![creation("orders", 3), creation("ord", 4), creation("*", 3)];
    creations.extend(wrong);
    let created = client.ask(&CreateAclsRequest { creations });
    for (index, result) in created.results.iter().enumerate() {
        let expected = if index < 3 { ErrorCode::None } else { ErrorCode::InvalidRequest };
        assert_error(&format!("{index}: {:?}", result.error_message), result.error_code, expected);
        assert_eq!(result.error_message.is_some(), index >= 3);
    }
    server.kill();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let filter = |of: Option<&str>, pattern_type_filter| DescribeAclsRequest {
        resource_type_filter: 2,
        resource_name_filter: of.map(name),
        pattern_type_filter,
        principal_filter: Some(name("User:alice")),
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let mut count = |of, pattern| {
        let answer = client.ask(&filter(of, pattern));
        ok("describe", answer.error_code);
        answer.resources.iter().map(|resource| resource.acls.len()).sum::<usize>()
    };
    assert_eq!(count(Some("orders"), 3), 1);
    assert_eq!(count(Some("orders"), 2), 3);
    assert_eq!(count(Some("orders"), 1), 1);
    assert_eq!(count(None, 4), 1);
    assert_eq!(count(None, 1), 3);
    let gone = DeleteAclsFilter {
        resource_type_filter: 2,
        resource_name_filter: Some(name("orders")),
        pattern_type_filter: 2,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let deleted = client.ask(&DeleteAclsRequest { filters: vec![gone.clone(), gone] });
    let counts = deleted.filter_results.iter().map(|result| result.matching_acls.len());
    assert_eq!(counts.collect::<Vec<_>>(), [3, 0]);
}

/// Kafka's `allow.everyone.if.no.acl.found`.
#[test]
fn what_no_rule_is_about_is_open_to_everybody_if_the_server_says_so() {
    let home = Home::new();
    home.configure(&format!(
        "access_control = true\nallow_everyone_if_no_acl_found = true\n\
         admin_password = \"{PASSWORD}\"\n"
    ));
    let server = home.serve();
    assert!(nobody(&server, "topic create orders").output().unwrap().status.success());
    let mut client = Client::connect(server.kafka);
    let produce = |client: &mut Client, topic: &str| {
        let request = produce_request(topic, 0, Some(batch(&records(0..1))));
        of_partition(client.ask(&request)).error_code
    };
    assert_error("no rule", produce(&mut client, "orders"), ErrorCode::None);
    let open = done(&server, "acl explain ANONYMOUS write --topic orders");
    assert_eq!((&open["allowed"], &open["because"]), (&true.into(), &"everybody".into()));
    let own = fetched(client.ask(&fetch_request("__factum_control", 0, 0)));
    assert_error("own topic", own.error_code, ErrorCode::TopicAuthorizationFailed);
    done(&server, "acl allow bob --operation read --topic orders");
    let closed = produce(&mut client, "orders");
    assert_error("a rule for another", closed, ErrorCode::TopicAuthorizationFailed);
    let explained = done(&server, "acl explain ANONYMOUS write --topic orders");
    assert_eq!(explained["because"], "no_rule");
    done(&server, "acl delete --topic orders --yes");
    assert_error("no rule again", produce(&mut client, "orders"), ErrorCode::None);
    let warning = "no rule is about the cluster: whoever can connect may make users and rules";
    server.assert_log_says(warning);
    done(&server, "acl allow admin --operation all --cluster");
    server.kill();
    let server = home.serve();
    assert_eq!(server.log_lines().matches(warning).count(), 1, "a rule is about it now");
}

#[test]
fn without_access_control_rules_are_refused_rather_than_believed_in() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let answer = client.ask(&DescribeAclsRequest::default());
    assert_error("describe", answer.error_code, ErrorCode::SecurityDisabled);
    let output = run(&server, ("x", "y"), "acl allow alice --produce orders");
    assert!(!output.status.success(), "the user is unknown");
    let output = nobody(&server, "acl allow alice --produce orders").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("access-control-off"), "{said}");
}

#[test]
fn users_and_their_rules_hold_at_the_http_door() {
    let home = Home::new();
    let server = guarded(&home);
    let shop = done(&server, "user add shop --produce orders");
    let password = shop["password"].as_str().expect("one is made").to_owned();
    let shop = ("shop", password.as_str());
    done(&server, "user add reader --consume orders");
    assert!(run(&server, shop, "topic create orders").status.success());
    let publish = "publish orders --type t --source /s --data 1";
    assert!(run(&server, shop, publish).status.success());
    let said = refused(&server, shop, "read orders");
    assert!(said.contains("forbidden") && said.contains("READ TOPIC"), "{said}");
    let said = refused(&server, shop, "topic create others");
    assert!(said.contains("CREATE TOPIC"), "{said}");
    let said = refused(&server, shop, "user list");
    assert!(said.contains("DESCRIBE CLUSTER"), "{said}");
    let said = refused(&server, ("shop", "wrong"), "topic list");
    assert!(said.contains("unauthorized"), "{said}");
    let output = nobody(&server, "topic describe orders").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unauthorized") && said.contains("--as"), "{said}");
    let listed = run(&server, shop, "topic list");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("orders"));
    // Who may not know the settings of a topic is not told them, nor of offsets in others.
    done(&server, "topic configure orders --set retention.ms=1000000000");
    let configs = |output: Output| {
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["topics"][0]["configs"]
            .clone()
    };
    let seen = configs(run(&server, shop, "topic list --output json"));
    assert_eq!(seen, serde_json::json!({}));
    assert!(run(&server, shop, "topic describe orders").status.success());
    let seen = configs(factum(&server, "topic list --output json"));
    assert_eq!(seen, serde_json::json!({ "retention.ms": "1000000000" }));
    // Another password holds at once, and the old one no more.
    let new = done(&server, "user password shop")["password"].as_str().unwrap().to_owned();
    assert!(refused(&server, shop, "topic list").contains("unauthorized"));
    assert!(run(&server, ("shop", &new), publish).status.success());
    done(&server, "user delete shop --yes");
    assert!(refused(&server, ("shop", &new), "topic list").contains("unauthorized"));
    assert_eq!(done(&server, "acl list --principal shop")["acls"], serde_json::json!([]));
    assert_eq!(done(&server, "user list")["users"].as_array().unwrap().len(), 1);
}

#[test]
fn scram_credentials_are_altered_by_kafkas_apis() {
    use ErrorCode::{
        DuplicateResource, ResourceNotFound, UnacceptableCredential, UnsupportedSaslMechanism,
    };
    let home = Home::new();
    let server = guarded(&home);
    done(&server, "acl allow ANONYMOUS --operation describe --operation alter --cluster");
    let mut client = Client::connect(server.kafka);
    let upsertion = |of: &str, mechanism, iterations, bytes| ScramCredentialUpsertion {
        name: name(of),
        mechanism,
        iterations,
        salt: vec![1; 16].into(),
        salted_password: vec![2; bytes].into(),
    };
    let altered = |client: &mut Client, deletions: Vec<(&str, i8)>, upsertions| {
        let deletion = |(of, mechanism)| ScramCredentialDeletion { name: name(of), mechanism };
        let deletions = deletions.into_iter().map(deletion).collect();
        let answer = client.ask(&AlterUserScramCredentialsRequest { deletions, upsertions });
        let result = |result: AlterUserScramCredentialsResult| {
            (String::from(&*result.user), result.error_code)
        };
        answer.results.into_iter().map(result).collect::<Vec<_>>()
    };
    let one = |client: &mut Client, deletions, upsertions| {
        let results = altered(client, deletions, upsertions);
        assert_eq!(results.len(), 1);
        results[0].1
    };
    let sound = || upsertion("alice", 1, 4096, 32);
    ok("alter", one(&mut client, vec![], vec![sound(), upsertion("alice", 2, 8192, 64)]));
    let cases = [
        (vec![], vec![upsertion("", 1, 4096, 32)], UnacceptableCredential),
        (vec![], vec![upsertion("bob", 1, 4095, 32)], UnacceptableCredential),
        (vec![], vec![upsertion("bob", 1, 16385, 32)], UnacceptableCredential),
        (vec![], vec![upsertion("bob", 1, 4096, 31)], UnacceptableCredential),
        (vec![], vec![upsertion("bob", 3, 4096, 32)], UnsupportedSaslMechanism),
        (vec![("bob", 0)], vec![], UnsupportedSaslMechanism),
        (vec![("bob", 1)], vec![], ResourceNotFound),
        (vec![("alice", 1)], vec![sound()], DuplicateResource),
    ];
    for (deletions, upsertions, expected) in cases {
        let what = format!("{deletions:?} {upsertions:?}");
        assert_error(&what, one(&mut client, deletions, upsertions), expected);
    }
    let described = |client: &mut Client, users: Option<Vec<&str>>| {
        let named = |of: &str| UserName { name: name(of) };
        let users = users.map(|users| users.into_iter().map(named).collect());
        let answer = client.ask(&DescribeUserScramCredentialsRequest { users });
        ok("describe", answer.error_code);
        answer.results
    };
    let alice = described(&mut client, None).remove(0);
    let infos = alice.credential_infos.iter().map(|info| (info.mechanism, info.iterations));
    assert_eq!(infos.collect::<Vec<_>>(), [(1, 4096), (2, 8192)]);
    let asked = described(&mut client, Some(vec!["alice", "bob", "carol", "carol"]));
    let codes = asked.iter().map(|result| error(result.error_code));
    let expected = [0, ResourceNotFound.code(), DuplicateResource.code()].map(error);
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    let results = altered(&mut client, vec![("alice", 1), ("alice", 2)], vec![]);
    assert_eq!(results, [("alice".to_owned(), 0)]);
    assert_eq!(described(&mut client, None), []);
}

#[test]
fn what_a_record_of_a_credential_holds_is_read_by_nobody_without_a_rule_of_its_name() {
    let home = Home::new();
    let server = guarded(&home);
    done(&server, "acl allow ANONYMOUS --consume *");
    done(&server, "topic create orders");
    let mut client = Client::connect(server.kafka);
    assert_eq!(fetch(&mut client, "orders", 0, 0).error_code, 0);
    let answer = fetched(client.ask(&fetch_request("__factum_control", 0, 0)));
    assert_error("fetch", answer.error_code, ErrorCode::TopicAuthorizationFailed);
    done(&server, "acl allow ANONYMOUS --consume __factum_control");
    assert_eq!(fetch(&mut client, "__factum_control", 0, 0).error_code, 0);
}
