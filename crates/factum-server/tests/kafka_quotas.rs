//! Quotas at the Kafka door: who has had too much is answered at once, told so, and then not
//! listened to; quotas are kept by the log, and changed by Kafka's APIs, HTTP and the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use common::client::{Client, newest};
use common::server::{Home, Server, nobody, until};
use common::work::*;
use factum_event::batch::Codec;
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode, Str, frame};

/// What the clients of these tests call themselves.
const CLIENT: (&str, Option<&str>) = ("client-id", Some("test"));

/// A quota in bytes in a second; ten seconds of it are a megabyte.
const RATE: f64 = 100_000.0;

type Part<'a> = (&'a str, Option<&'a str>);

fn entity(parts: &[Part<'_>]) -> Vec<QuotaEntityPart> {
    let part = |(entity_type, entity_name): &Part<'_>| QuotaEntityPart {
        entity_type: name(entity_type),
        entity_name: entity_name.map(name),
    };
    parts.iter().map(part).collect()
}

fn set(key: &str, value: f64) -> QuotaOperation {
    QuotaOperation { key: name(key), value, remove: false }
}

fn alteration(parts: &[Part<'_>], ops: Vec<QuotaOperation>) -> AlterClientQuotasRequest {
    let entries = vec![QuotaAlteration { entity: entity(parts), ops }];
    AlterClientQuotasRequest { entries, validate_only: false }
}

fn alter(client: &mut Client, parts: &[Part<'_>], ops: Vec<QuotaOperation>) {
    let answer = client.ask(&alteration(parts, ops));
    ok("alter a quota", answer.entries[0].error_code);
}

fn describe(
    client: &mut Client,
    components: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> Vec<(String, Vec<(String, f64)>)> {
    let component = |(entity_type, match_type, of): &(&str, i8, Option<&str>)| {
        let (entity_type, match_type) = (name(entity_type), *match_type);
        QuotaFilterComponent { entity_type, match_type, name: of.map(name) }
    };
    let components = components.iter().map(component).collect();
    let answer = client.ask(&DescribeClientQuotasRequest { components, strict });
    ok("describe quotas", answer.error_code);
    let text = |part: QuotaEntityPart| {
        let of = part.entity_name.map_or("<default>".to_owned(), |of| of.to_string());
        format!("{}={of}", &*part.entity_type)
    };
    let told = |it: DescribedQuota| {
        let entity: Vec<_> = it.entity.into_iter().map(text).collect();
        let values = it.values.into_iter().map(|value| (value.key.to_string(), value.value));
        (entity.join(","), values.collect())
    };
    answer.entries.unwrap().into_iter().map(told).collect()
}

/// A batch of so many bytes, which no codec makes smaller.
fn batch_of_bytes(length: usize) -> Bytes {
    let timestamp = Timestamp::from_millis(EPOCH);
    let value = Some(vec![7; length].into());
    batch_of(Codec::None, None, &[Record { key: None, value, headers: Vec::new(), timestamp }])
}

fn produce_bytes(client: &mut Client, length: usize) -> i32 {
    let answer = client.ask(&produce_request("orders", 0, Some(batch_of_bytes(length))));
    let held = answer.throttle_time_ms;
    ok("produce", of_partition(answer).error_code);
    held
}

/// Fails if what the client asks is answered, though it is held back for seconds.
fn assert_not_read_from(mut client: Client) {
    client.patience(Duration::from_millis(200));
    let early = client.try_call(&ListGroupsRequest::default(), newest(ApiKey::ListGroups));
    assert_eq!(early.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

fn held_back(server: &Server, key: &str) -> f64 {
    server.metric(&format!("factum_kafka_held_back_total{{quota=\"{key}\"}}"))
}

#[test]
fn a_producer_above_its_quota_is_answered_and_then_not_listened_to() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    alter(&mut client, &[CLIENT], vec![set("producer_byte_rate", RATE)]);
    assert_eq!(produce_bytes(&mut client, 500_000), 0, "half of what is saved up");
    let held = produce_bytes(&mut client, 900_000);
    assert!((1..=4001).contains(&held), "{held} ms for 0.4 MB at 0.1 MB/s");
    assert_not_read_from(client);
    // Without an answer there is nothing to say it in; it holds all the same.
    let mut client = Client::connect(server.kafka);
    let mut request = produce_request("orders", 0, Some(batch_of_bytes(300_000)));
    request.acks = 0;
    let held_for = || server.metric("factum_kafka_held_back_seconds_total");
    let before = held_for();
    assert!(before > 0.0);
    client.send(&request, newest(ApiKey::Produce)).unwrap();
    until("it is held back", || held_for() > before);
    assert_not_read_from(client);
    assert_eq!(held_back(&server, "producer_byte_rate"), 2.0);
    let mut client = Client::connect(server.kafka);
    let gone = QuotaOperation { remove: true, ..set("producer_byte_rate", 0.0) };
    alter(&mut client, &[CLIENT], vec![gone]);
    assert_eq!(produce_bytes(&mut client, 900_000), 0, "it has none any more");
    assert_eq!(produce_bytes(&mut client, 900_000), 0);
    server.stop();
}

#[test]
fn who_goes_while_held_back_leaves_its_place_and_its_memory() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    create(&mut client, "orders", 1);
    alter(&mut client, &[CLIENT], vec![set("producer_byte_rate", 1.0)]);
    assert!(produce_bytes(&mut client, 900_000) > 10_000);
    let connections = || server.metric("factum_kafka_connections");
    assert_eq!(connections(), 1.0);
    // Some of the next request is there already.
    client.send_bytes(&1_000_000_i32.to_be_bytes()).unwrap();
    client.send_bytes(&[0; 1000]).unwrap();
    drop(client);
    until("the connection is closed", || connections() == 0.0);
    // The second of these has begun when the first is answered: it is read to its end.
    let mut client = Client::connect(server.kafka);
    let version = newest(ApiKey::Produce);
    let request = |bytes, number| {
        let request = produce_request("orders", 0, Some(batch_of_bytes(bytes)));
        frame::write_request(&request, version, number, Some(&name("test"))).unwrap().concat()
    };
    let (first, second) = (request(10, 6), request(300_000, 7));
    let (begin, end) = second.split_at(200_000);
    client.send_bytes(&[&first[..], begin].concat()).unwrap();
    let answer: ProduceResponse = client.receive(6, version).unwrap();
    assert!(answer.throttle_time_ms > 10_000);
    client.send_bytes(end).unwrap();
    let answer = client.frame().unwrap();
    assert!(answer.len() > 4, "the answer to the second");
    server.stop();
}

#[test]
fn a_reader_above_its_quota_gets_nothing_until_it_has_some_again() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let id = create(&mut client, "orders", 1);
    for _ in 0..6 {
        assert_eq!(produce_bytes(&mut client, 300_000), 0);
    }
    alter(&mut client, &[CLIENT], vec![set("consumer_byte_rate", RATE)]);
    let fetch_of = |offset: i64, session_epoch: i32| FetchRequest {
        max_bytes: 50 << 20,
        session_epoch,
        topics: vec![FetchTopic {
            topic: name("orders"),
            topic_id: id,
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 50 << 20,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let version = newest(ApiKey::Fetch);
    let first = client.call(&fetch_of(0, -1), version);
    assert_eq!(first.throttle_time_ms, 0);
    assert_eq!(batches(bytes_of(fetched(first))).len(), 3, "no more than ten seconds save up");
    let second = client.call(&fetch_of(3, -1), version);
    let time = second.throttle_time_ms;
    assert!((1..=8100).contains(&time), "{time} ms for 0.8 MB at 0.1 MB/s");
    assert_eq!(batches(bytes_of(fetched(second))).len(), 3);
    // Over another connection it would get around that: it gets an empty answer, at once.
    let mut other = Client::connect(server.kafka);
    let answer = other.call(&fetch_of(0, 0), version);
    ok("fetch", answer.error_code);
    assert!(answer.responses.is_empty() && answer.throttle_time_ms > 0);
    assert_eq!(answer.session_id, 0, "a session that has told nothing has not begun");
    assert_not_read_from(other);
    assert_not_read_from(client);
    assert_eq!(held_back(&server, "consumer_byte_rate"), 2.0);
    server.stop();
}

#[test]
fn work_is_limited_for_every_request_but_for_those_that_log_in() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    // Ten seconds of that are ten nanoseconds.
    alter(&mut client, &[("user", None)], vec![set("request_percentage", 1e-7)]);
    let held = client.ask(&MetadataRequest::default()).throttle_time_ms;
    assert!((1..=1000).contains(&held), "{held}");
    assert_eq!(held_back(&server, "request_percentage"), 1.0);
    let mechanism = name("PLAIN");
    let answer = client.ask(&SaslHandshakeRequest { mechanism });
    assert_ne!(answer.error_code, 0, "nobody logs in here");
    assert_eq!(held_back(&server, "request_percentage"), 1.0, "it is not held back for that");
    server.stop();
}

#[test]
fn quotas_are_described_as_they_were_altered_and_survive() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let (alice, any_user) = (("user", Some("alice")), ("user", None));
    let (app, any_client) = (("client-id", Some("app")), ("client-id", None));
    alter(
        &mut client,
        &[alice],
        vec![set("producer_byte_rate", 5.0), set("consumer_byte_rate", 6.0)],
    );
    alter(&mut client, &[app, alice], vec![set("request_percentage", 12.5)]);
    alter(&mut client, &[any_user], vec![set("producer_byte_rate", 7.0)]);
    alter(&mut client, &[any_client], vec![set("producer_byte_rate", 8.0)]);
    let mut check = alteration(&[app], vec![set("producer_byte_rate", 9.0)]);
    check.validate_only = true;
    ok("check", client.ask(&check).entries[0].error_code);
    let of = |client: &mut Client, components: &[(&str, i8, Option<&str>)], strict| {
        let told = describe(client, components, strict);
        told.into_iter().map(|(entity, _)| entity).collect::<Vec<_>>()
    };
    let check = |client: &mut Client| {
        assert_eq!(
            describe(client, &[("user", 0, Some("alice"))], true),
            [(
                "user=alice".to_owned(),
                vec![
                    ("producer_byte_rate".to_owned(), 5.0),
                    ("consumer_byte_rate".to_owned(), 6.0)
                ]
            )]
        );
        let all =
            ["client-id=<default>", "user=<default>", "user=alice", "user=alice,client-id=app"];
        let mut told = of(client, &[], false);
        told.sort_unstable();
        assert_eq!(told, all);
        assert_eq!(of(client, &[], true), [""; 0], "nothing is of nobody");
        let theirs = ["user=alice", "user=alice,client-id=app"];
        assert_eq!(of(client, &[("user", 0, Some("alice"))], false), theirs);
        assert_eq!(of(client, &[("user", 1, None)], false), ["user=<default>"]);
        assert_eq!(of(client, &[("client-id", 2, None)], true), ["client-id=<default>"]);
        let both = [("user", 2, None), ("client-id", 2, None)];
        assert_eq!(of(client, &both, true), ["user=alice,client-id=app"]);
        assert_eq!(of(client, &[("ip", 2, None)], false), [""; 0]);
    };
    check(&mut client);
    server.kill();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    check(&mut client);
    alter(
        &mut client,
        &[app, alice],
        vec![QuotaOperation { remove: true, ..set("request_percentage", 0.0) }],
    );
    server.stop();
    // From the checkpoint this time.
    let server = home.serve();
    assert_eq!(of(&mut Client::connect(server.kafka), &[], false).len(), 3);
    server.stop();
}

#[test]
fn what_cannot_be_a_quota_is_refused_and_the_rest_is_not() {
    let home = Home::new();
    let server = home.serve();
    let mut client = Client::connect(server.kafka);
    let rate = |value| vec![set("producer_byte_rate", value)];
    let alice = ("user", Some("alice"));
    let wrong: Vec<(Vec<Part<'_>>, Vec<QuotaOperation>)> = vec![
        (vec![], rate(5.0)),
        (vec![alice, alice], rate(5.0)),
        (vec![("user", Some(""))], rate(5.0)),
        (vec![("group", Some("a"))], rate(5.0)),
        (vec![("ip", Some("127.0.0.1"))], vec![set("connection_creation_rate", 5.0)]),
        (vec![alice], rate(0.0)),
        (vec![alice], rate(-5.0)),
        (vec![alice], rate(f64::NAN)),
        (vec![alice], rate(f64::INFINITY)),
        (vec![alice], rate(1.5)),
        (vec![alice], vec![set("controller_mutation_rate", 5.0)]),
        (vec![alice], rate(1e300)),
        (vec![alice], vec![set("producer_byte_rate", 5.0), set("producer_byte_rate", 6.0)]),
    ];
    let entry = |(parts, ops): &(Vec<Part<'_>>, Vec<QuotaOperation>)| QuotaAlteration {
        entity: entity(parts),
        ops: ops.clone(),
    };
    let mut entries: Vec<_> = wrong.iter().map(entry).collect();
    let bob = |ops| QuotaAlteration { entity: entity(&[("user", Some("bob"))]), ops };
    let unknown = QuotaOperation { remove: true, ..set("controller_mutation_rate", 0.0) };
    let mut both = rate(5.0);
    both.push(unknown);
    entries.insert(0, bob(both));
    entries.push(bob(rate(6.0)));
    let answer = client.ask(&AlterClientQuotasRequest { entries, validate_only: false });
    let (first, refused) = answer.entries.split_first().unwrap();
    ok("bob", first.error_code);
    let twice = error(refused.last().unwrap().error_code);
    assert_eq!(twice, error(ErrorCode::InvalidRequest.code()), "bob is changed twice");
    for (refused, wrong) in refused.iter().zip(&wrong) {
        let expected = error(ErrorCode::InvalidRequest.code());
        assert_eq!(error(refused.error_code), expected, "{wrong:?}");
        assert!(refused.error_message.as_ref().is_some_and(|message| !message.is_empty()));
    }
    let bobs = ("user=bob".to_owned(), vec![("producer_byte_rate".to_owned(), 5.0)]);
    assert_eq!(describe(&mut client, &[], false), [bobs]);
    let component = |entity_type: &str, match_type, of: Option<&str>| QuotaFilterComponent {
        entity_type: name(entity_type),
        match_type,
        name: of.map(Str::from),
    };
    let unknown = vec![component("group", 2, None)];
    let request = DescribeClientQuotasRequest { components: unknown, strict: false };
    let code = client.ask(&request).error_code;
    assert_eq!(error(code), error(ErrorCode::UnsupportedVersion.code()), "as in Kafka");
    for components in [
        vec![component("user", 0, None)],
        vec![component("user", 1, Some("alice"))],
        vec![component("user", 3, None)],
        vec![component("user", 2, None), component("user", 1, None)],
        vec![component("user", 2, None), component("ip", 2, None)],
    ] {
        let request = DescribeClientQuotasRequest { components, strict: false };
        let answer = client.ask(&request);
        let expected = error(ErrorCode::InvalidRequest.code());
        assert_eq!(error(answer.error_code), expected, "{request:?}");
    }
    server.stop();
}

fn factum(server: &Server, line: &str) -> (bool, String) {
    let mut command = nobody(server, line);
    let output = command.output().expect("the binary starts");
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_command_line_sets_lists_and_takes_away() {
    let home = Home::new();
    let server = home.serve();
    let done = |line: &str| {
        let (succeeded, said) = factum(&server, line);
        assert!(succeeded, "{line}: {said}");
        said
    };
    let refused = |line: &str, why: &str| {
        let (succeeded, said) = factum(&server, line);
        assert!(!succeeded && said.contains(why), "{line}: {said}");
    };
    assert!(done("--output text quota list").contains("Nobody has a quota"));
    let said =
        done("--output text quota set --user shop --client app --produce 10MiB --requests 12.5");
    assert!(said.contains("user shop, client app: produce 10 MiB/s, requests 12.5 %"), "{said}");
    done("quota set --each-user --fetch 1000");
    let table = done("--output text quota list");
    assert!(table.contains("any user") && table.contains("fetch 1000 B/s"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&done("quota list")).unwrap();
    assert_eq!(json["quotas"][0]["entity"], serde_json::json!({ "user": "default" }));
    done("quota unset --user shop --client app --requests");
    refused("quota unset --user shop --client app --requests", "has no such quota");
    refused("quota unset --user nobody", "has no quota");
    refused("quota set --user shop --produce 0", "above 0");
    refused("quota set --user shop", "--produce");
    refused("quota set --produce 5", "--user");
    done("quota unset --each-user");
    let mut client = Client::connect(server.kafka);
    let left = [(
        "user=shop,client-id=app".to_owned(),
        vec![("producer_byte_rate".to_owned(), f64::from(10 << 20))],
    )];
    assert_eq!(describe(&mut client, &[], false), left);
    server.stop();
}
