//! Settings of topics and the deletion of records at the Kafka door, as Kafka does them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::slice::from_ref;

use bytes::Bytes;
use common::client::Client;
use common::server::{Home, Server};
use common::work::*;
use factum_event::batch::{Batch, Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::ErrorCode;
use factum_wire::messages::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const DYNAMIC: i8 = 1;
const DEFAULT: i8 = 5;

fn start(home: &Home) -> (Server, Client) {
    let server = home.serve();
    let client = Client::connect(server.kafka);
    (server, client)
}

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource(topic: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsResource {
    let change = |(key, config_operation, value): &Change<'_>| IncrementalAlterableConfig {
        name: name(key),
        config_operation: *config_operation,
        value: value.map(name),
    };
    IncrementalAlterConfigsResource {
        resource_type: TOPIC,
        resource_name: name(topic),
        configs: changes.iter().map(change).collect(),
    }
}

/// Changes settings of a topic: the error's name.
fn alter(client: &mut Client, topic: &str, changes: &[Change<'_>]) -> String {
    let resources = vec![resource(topic, changes)];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    error(client.ask(&request).responses[0].error_code)
}

fn alter_ok(client: &mut Client, topic: &str, changes: &[Change<'_>]) {
    assert_eq!(alter(client, topic, changes), error(0), "{changes:?}");
}

/// All settings of a topic.
fn describe(client: &mut Client, topic: &str) -> Vec<DescribeConfigsResourceResult> {
    let resources = vec![DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: name(topic),
        configuration_keys: None,
    }];
    let request =
        DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true };
    let mut answer = client.ask(&request);
    ok("describe configs", answer.results[0].error_code);
    answer.results.remove(0).configs
}

/// The value of a setting, and where it comes from.
fn value(client: &mut Client, topic: &str, key: &str) -> (String, i8) {
    let all = describe(client, topic);
    let found = all.iter().find(|config| &*config.name == key).unwrap();
    (found.value.as_deref().unwrap().to_owned(), found.config_source)
}

#[test]
fn settings_are_changed_one_by_one_or_all_together_and_survive() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let policy = |client: &mut Client| value(client, "orders", "cleanup.policy");
    assert_eq!(policy(&mut client), ("delete".into(), DEFAULT));
    alter_ok(&mut client, "orders", &[("cleanup.policy", APPEND, Some("compact"))]);
    assert_eq!(policy(&mut client), ("delete,compact".into(), DYNAMIC));
    alter_ok(
        &mut client,
        "orders",
        &[
            ("cleanup.policy", SUBTRACT, Some("delete")),
            ("retention.bytes", SET, Some("1000")),
            ("segment.ms", SET, Some("5")),
        ],
    );
    assert_eq!(policy(&mut client), ("compact".into(), DYNAMIC));
    alter_ok(&mut client, "orders", &[("segment.ms", DELETE, None)]);
    assert_eq!(value(&mut client, "orders", "segment.ms"), ("604800000".into(), DEFAULT));
    assert_eq!(value(&mut client, "orders", "retention.bytes"), ("1000".into(), DYNAMIC));
    server.kill();
    let (server, mut client) = start(&home);
    assert_eq!(policy(&mut client), ("compact".into(), DYNAMIC), "also after a crash");
    // The older request replaces what it does not name.
    let configs = vec![AlterableConfig { name: name("retention.ms"), value: Some(name("-1")) }];
    let (resource_type, resource_name) = (TOPIC, name("orders"));
    let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
    for validate_only in [true, false] {
        let resources = resources.clone();
        let answer = client.ask(&AlterConfigsRequest { resources, validate_only });
        ok("alter configs", answer.responses[0].error_code);
        let expected = if validate_only { "compact" } else { "delete" };
        assert_eq!(policy(&mut client).0, expected);
    }
    assert_eq!(value(&mut client, "orders", "retention.ms"), ("-1".into(), DYNAMIC));
    let kinds = describe(&mut client, "orders");
    assert!(kinds.iter().all(|config| config.documentation.is_some() && config.config_type > 0));
    assert!(kinds.iter().all(|config| config.synonyms.last().unwrap().source == DEFAULT));
    server.stop();
}

#[test]
fn what_cannot_be_configured_is_refused_and_changes_nothing() {
    use ErrorCode::*;
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let before = describe(&mut client, "orders");
    let refused: [(&str, &[Change<'_>], ErrorCode); 12] = [
        ("orders", &[("no.such", SET, Some("1"))], InvalidConfig),
        ("orders", &[("retention.ms", SET, Some("a week"))], InvalidConfig),
        (
            "orders",
            &[("retention.bytes", SET, Some("5")), ("segment.ms", SET, Some("0"))],
            InvalidConfig,
        ),
        ("orders", &[("min.insync.replicas", SET, Some("2"))], InvalidConfig),
        (
            "orders",
            &[("min.compaction.lag.ms", SET, Some("2")), ("max.compaction.lag.ms", SET, Some("1"))],
            InvalidConfig,
        ),
        ("orders", &[("retention.ms", APPEND, Some("1"))], InvalidConfig),
        ("orders", &[("retention.ms", SET, Option::None)], InvalidRequest),
        ("orders", &[("retention.ms", 9, Some("1"))], InvalidRequest),
        (
            "orders",
            &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))],
            InvalidRequest,
        ),
        ("nothing", &[("retention.ms", SET, Some("1"))], UnknownTopicOrPartition),
        ("a/b", &[("retention.ms", SET, Some("1"))], InvalidTopicException),
        ("__factum_control", &[("retention.ms", SET, Some("1"))], TopicAuthorizationFailed),
    ];
    for (topic, changes, expected) in refused {
        assert_eq!(alter(&mut client, topic, changes), error(expected.code()), "{changes:?}");
    }
    let one = resource("orders", &[("segment.ms", SET, Some("1"))]);
    let of_broker = IncrementalAlterConfigsResource {
        resource_type: BROKER,
        resource_name: name("1"),
        ..one.clone()
    };
    let other = IncrementalAlterConfigsResource { resource_type: 8, ..one.clone() };
    let resources = vec![one.clone(), one, of_broker, other];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    for response in client.ask(&request).responses {
        assert_eq!(error(response.error_code), error(InvalidRequest.code()), "{response:?}");
        assert!(response.error_message.is_some());
    }
    assert_eq!(describe(&mut client, "orders"), before);
    server.stop();
}

const OF_BROKER: i8 = 2;
const OF_CLUSTER: i8 = 3;

fn alter_broker(client: &mut Client, of: &str, changes: &[Change<'_>]) -> (String, String) {
    let (resource_type, resource_name) = (BROKER, name(of));
    let one =
        IncrementalAlterConfigsResource { resource_type, resource_name, ..resource(of, changes) };
    let request = IncrementalAlterConfigsRequest { resources: vec![one], validate_only: false };
    let answer = client.ask(&request).responses.remove(0);
    (error(answer.error_code), answer.error_message.as_deref().unwrap_or_default().to_owned())
}

fn alter_broker_ok(client: &mut Client, of: &str, changes: &[Change<'_>]) {
    let none = (error(0), String::new());
    assert_eq!(alter_broker(client, of, changes), none, "{changes:?}");
}

/// A setting as it is described, with its synonyms: (name, value, source) of each.
fn synonyms(
    client: &mut Client,
    (resource_type, of): (i8, &str),
    key: &str,
) -> Vec<(String, String, i8)> {
    let resources = vec![DescribeConfigsResource {
        resource_type,
        resource_name: name(of),
        configuration_keys: Some(vec![name(key)]),
    }];
    let (include_synonyms, include_documentation) = (true, true);
    let request = DescribeConfigsRequest { resources, include_synonyms, include_documentation };
    let mut answer = client.ask(&request);
    ok("describe configs", answer.results[0].error_code);
    let Some(config) = answer.results.remove(0).configs.pop() else { return Vec::new() };
    let all: Vec<_> = config
        .synonyms
        .iter()
        .map(|one| (one.name.to_string(), one.value.as_deref().unwrap().to_owned(), one.source))
        .collect();
    assert_eq!(config.value.as_deref(), Some(&*all[0].1), "the first one holds");
    assert_eq!(config.config_source, all[0].2, "the first one holds");
    all
}

#[test]
fn settings_of_the_broker_are_changed_while_it_runs_and_survive() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let relogin = "sasl.kerberos.min.time.before.relogin";
    let flush = "log.flush.interval.messages";
    alter_broker_ok(&mut client, "1", &[(relogin, SET, Some("58000")), (flush, SET, Some("1"))]);
    alter_broker_ok(&mut client, "", &[("log.roll.ms", SET, Some("7000000"))]);
    alter_broker_ok(&mut client, "1", &[("log.roll.ms", SET, Some("8000000"))]);
    server.kill();
    let (server, mut client) = start(&home);
    let given = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    assert_eq!(
        synonyms(&mut client, (BROKER, "1"), relogin),
        [given(relogin, "58000", OF_BROKER), given(relogin, "60000", DEFAULT)]
    );
    let longest = i64::MAX.to_string();
    assert_eq!(
        synonyms(&mut client, (BROKER, "1"), flush),
        [given(flush, "1", OF_BROKER), given(flush, &longest, DEFAULT)]
    );
    let roll = "log.roll.ms";
    let of_cluster = given(roll, "7000000", OF_CLUSTER);
    let all =
        [given(roll, "8000000", OF_BROKER), of_cluster.clone(), given(roll, "604800000", DEFAULT)];
    assert_eq!(synonyms(&mut client, (BROKER, "1"), roll), all);
    assert_eq!(synonyms(&mut client, (TOPIC, "orders"), "segment.ms"), all);
    assert_eq!(synonyms(&mut client, (BROKER, ""), roll), from_ref(&of_cluster));
    assert_eq!(synonyms(&mut client, (BROKER, ""), flush), [], "nothing was set for the cluster");
    alter_ok(&mut client, "orders", &[("segment.ms", SET, Some("9000000"))]);
    let own = synonyms(&mut client, (TOPIC, "orders"), "segment.ms");
    assert_eq!(own[0], given("segment.ms", "9000000", DYNAMIC));
    assert_eq!(own[1..], all);
    // The older request replaces what was set for this broker, and nothing of the cluster's.
    let configs = vec![AlterableConfig { name: name(flush), value: Some(name("2")) }];
    let (resource_type, resource_name) = (BROKER, name("1"));
    let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
    let answer = client.ask(&AlterConfigsRequest { resources, validate_only: false });
    ok("alter configs", answer.responses[0].error_code);
    assert_eq!(synonyms(&mut client, (BROKER, "1"), flush)[0], given(flush, "2", OF_BROKER));
    assert_eq!(synonyms(&mut client, (BROKER, "1"), roll)[0], of_cluster);
    assert_eq!(synonyms(&mut client, (BROKER, "1"), relogin).len(), 1);
    server.stop();
}

#[test]
fn settings_of_a_group_are_changed_described_and_listed_and_survive() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let session = "consumer.session.timeout.ms";
    let alter = |client: &mut Client, changes: &[Change<'_>]| {
        let one = resource("billing", changes);
        let one = IncrementalAlterConfigsResource { resource_type: GROUP, ..one };
        let request = IncrementalAlterConfigsRequest { resources: vec![one], validate_only: false };
        error(client.ask(&request).responses[0].error_code)
    };
    let given = |value: &str, source| (session.to_owned(), value.to_owned(), source);
    let default = given("45000", DEFAULT);
    assert_eq!(synonyms(&mut client, (GROUP, "billing"), session), from_ref(&default));
    assert_eq!(alter(&mut client, &[(session, SET, Some("50000"))]), error(0));
    let invalid = error(ErrorCode::InvalidConfig.code());
    assert_eq!(alter(&mut client, &[(session, SET, Some("1"))]), invalid);
    assert_eq!(alter(&mut client, &[("share.session.timeout.ms", SET, Some("50000"))]), invalid);
    server.kill();
    let (server, mut client) = start(&home);
    let all = [given("50000", 8), default.clone()];
    assert_eq!(synonyms(&mut client, (GROUP, "billing"), session), all);
    assert_eq!(synonyms(&mut client, (GROUP, "others"), session), from_ref(&default));
    let list = ListConfigResourcesRequest { resource_types: vec![GROUP] };
    let listed = client.ask(&list).config_resources;
    let listed: Vec<_> =
        listed.iter().map(|one| (one.resource_type, &*one.resource_name)).collect();
    assert_eq!(listed, [(GROUP, "billing")]);
    assert_eq!(alter(&mut client, &[(session, DELETE, None)]), error(0));
    assert_eq!(synonyms(&mut client, (GROUP, "billing"), session), [default]);
    server.stop();
}

#[test]
fn a_refusal_is_told_however_long_the_names_are_that_it_repeats() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let names: Vec<_> = (0..400).map(|number| format!("ä{number:099}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), SET, Some("1"))).collect();
    let long = "ä".repeat(16_000);
    let one = [(long.as_str(), SET, Some("1"))];
    for (resource_type, of) in [(BROKER, "1"), (BROKER, ""), (GROUP, "billing"), (TOPIC, "orders")]
    {
        for changes in [&many[..], &one] {
            let changes = resource(of, changes);
            let resources = vec![IncrementalAlterConfigsResource { resource_type, ..changes }];
            let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
            let answer = client.ask(&request).responses.remove(0);
            assert_ne!(answer.error_code, 0, "{of}");
            let told = answer.error_message.unwrap();
            assert!(told.len() < 5_000 && told.contains('ä'), "{of}: {} bytes", told.len());
        }
    }
    let mut topic = new_topic("others", 1);
    topic.configs[0].name = name("\u{1}".repeat(10_000));
    let answer = client.ask(&CreateTopicsRequest { topics: vec![topic], ..Default::default() });
    assert_eq!(error(answer.topics[0].error_code), error(ErrorCode::InvalidConfig.code()));
    server.stop();
}

#[test]
fn batches_are_held_to_the_brokers_settings_where_the_topic_has_none() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let produce = |client: &mut Client| {
        let request = produce_request("orders", 0, Some(batch(&records(0..1))));
        error(of_partition(client.ask(&request)).error_code)
    };
    alter_broker_ok(&mut client, "1", &[("message.max.bytes", SET, Some("10"))]);
    assert_eq!(produce(&mut client), error(ErrorCode::MessageTooLarge.code()));
    alter_ok(&mut client, "orders", &[("max.message.bytes", SET, Some("10000"))]);
    assert_eq!(produce(&mut client), error(0), "the topic's own value beats the broker's");
    alter_ok(&mut client, "orders", &[("max.message.bytes", DELETE, None)]);
    alter_broker_ok(&mut client, "1", &[("message.max.bytes", DELETE, None)]);
    assert_eq!(produce(&mut client), error(0));
    server.stop();
}

#[test]
fn what_the_broker_cannot_be_told_while_it_runs_is_refused_as_kafka_refuses_it() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let (request, config) = (ErrorCode::InvalidRequest, ErrorCode::InvalidConfig);
    let refused: [(&str, Change<'_>, ErrorCode, &str); 8] = [
        ("1", ("num.partitions", SET, Some("3")), request, "Cannot update these configs dyn"),
        ("1", ("listeners", SET, Some("PLAINTEXT://:1")), request, "dynamically: Set(listeners)"),
        (
            "",
            ("sasl.kerberos.min.time.before.relogin", SET, Some("3")),
            request,
            "Cannot update these configs at default cluster level, broker id must be specified",
        ),
        ("1", ("log.retention.ms", SET, Some("a week")), request, "Invalid value"),
        ("1", ("log.retention.ms", APPEND, Some("1")), config, "is no list"),
        ("1", ("log.retention.ms", SET, Option::None), request, "has no value"),
        (
            "2",
            ("log.retention.ms", SET, Some("1")),
            request,
            "Unexpected broker id, expected 1, but",
        ),
        ("one", ("log.retention.ms", SET, Some("1")), request, "Node id must be an integer"),
    ];
    for (of, change, expected, said) in refused {
        let (code, message) = alter_broker(&mut client, of, &[change]);
        assert_eq!(code, error(expected.code()), "{change:?}: {message}");
        assert!(message.contains(said), "{change:?}: {message}");
    }
    let all = synonyms(&mut client, (BROKER, "1"), "log.retention.ms");
    assert_eq!(all.len(), 1, "nothing was changed: {all:?}");
    server.stop();
}

fn at(times: &[i64]) -> Bytes {
    let record = |time: &i64| Record {
        key: Some("k".into()),
        value: Some("v".into()),
        headers: Vec::new(),
        timestamp: Timestamp::from_millis(*time),
    };
    batch(&times.iter().map(record).collect::<Vec<_>>())
}

#[test]
fn the_brokers_time_is_given_from_the_change_on_and_told_to_the_producer() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let first = produce(&mut client, "orders", 0, at(&[EPOCH, EPOCH + 1]));
    assert_eq!((first.error_code, first.log_append_time_ms), (0, -1));
    alter_ok(&mut client, "orders", &[("message.timestamp.type", SET, Some("LogAppendTime"))]);
    let second = produce(&mut client, "orders", 0, at(&[EPOCH, EPOCH + 1]));
    let time = second.log_append_time_ms;
    assert!(second.error_code == 0 && time > EPOCH, "{second:?}");
    let records = read_all(&mut client, "orders", 0);
    let times: Vec<_> = records.iter().map(|found| found.record.timestamp.as_millis()).collect();
    assert_eq!(times, [EPOCH, EPOCH + 1, time, time]);
    assert_eq!(list_offset(&mut client, "orders", 0, EPOCH + 2), (2, time), "it is found by time");
    server.stop();
}

#[test]
fn batches_are_held_to_the_settings_of_the_moment() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let mut check = |changes: &[Change<'_>], batch: &Bytes, expected: ErrorCode| {
        alter_ok(&mut client, "orders", changes);
        let answer = produce(&mut client, "orders", 0, batch.clone());
        assert_eq!(error(answer.error_code), error(expected.code()), "{changes:?}");
        answer
    };
    let old = at(&[EPOCH]);
    check(&[], &old, ErrorCode::None);
    let before = "message.timestamp.before.max.ms";
    let blamed = check(&[(before, SET, Some("1000"))], &old, ErrorCode::InvalidTimestamp);
    assert_eq!(blamed.record_errors[0].batch_index, 0);
    check(&[(before, DELETE, None)], &old, ErrorCode::None);
    // A year after everything that a clock may say.
    let future = at(&[99_999_999_999_999]);
    check(&[], &future, ErrorCode::InvalidTimestamp);
    check(&[("max.message.bytes", SET, Some("50"))], &old, ErrorCode::MessageTooLarge);
    check(&[("max.message.bytes", DELETE, None)], &old, ErrorCode::None);
    let keyless = batch(&[Record { key: None, ..record(0) }]);
    check(&[], &keyless, ErrorCode::None);
    let compact = ("cleanup.policy", SET, Some("compact"));
    let mut mixed = records(0..5);
    mixed[1].key = None;
    mixed[3].key = None;
    let blamed = check(&[compact], &batch(&mixed), ErrorCode::InvalidRecord);
    let indexes: Vec<_> = blamed.record_errors.iter().map(|blamed| blamed.batch_index).collect();
    assert_eq!(indexes, [1, 3], "KIP-467: each that is to blame");
    check(&[], &keyless, ErrorCode::InvalidRecord);
    check(&[], &old, ErrorCode::None);
    server.stop();
}

#[test]
fn batches_are_packed_as_their_topic_says() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    let (first, second) = (records(0..3), records(3..6));
    let producer = new_producer(&mut client);
    let state = ProducerState { id: producer, epoch: 0, base_sequence: 0 };
    let plain = batch_of(Codec::None, Some(state), &first);
    let write = |client: &mut Client, batch: &Bytes| produce(client, "orders", 0, batch.clone());
    let codecs = |client: &mut Client, from| {
        let bytes = bytes_of(fetch(client, "orders", 0, from));
        Batch::parse_first(&bytes).unwrap().codec().unwrap()
    };
    for (setting, codec) in [("zstd", Codec::Zstd), ("uncompressed", Codec::None)] {
        alter_ok(&mut client, "orders", &[("compression.type", SET, Some(setting))]);
        let base = list_offset(&mut client, "orders", 0, -1).0;
        for packed in [Codec::None, Codec::Snappy, Codec::Zstd] {
            let answer = write(&mut client, &batch_of(packed, None, &second));
            assert_eq!(error(answer.error_code), error(0));
            assert_eq!(codecs(&mut client, answer.base_offset), codec, "{packed} as {setting}");
        }
        let read = read_from(&mut client, "orders", 0, base);
        let values: Vec<_> = read.into_iter().map(|found| found.record).collect();
        assert_eq!(values, [&second[..], &second, &second].concat());
    }
    alter_ok(&mut client, "orders", &[("compression.type", SET, Some("gzip"))]);
    let answer = write(&mut client, &plain);
    assert_eq!(error(answer.error_code), error(0));
    assert_eq!(codecs(&mut client, answer.base_offset), Codec::Gzip);
    let again = write(&mut client, &plain);
    assert_eq!(again.base_offset, answer.base_offset, "a repeated batch is known as such");
    let large = Record { value: Some(vec![7; 10_000].into()), ..record(0) };
    let packed = batch_of(Codec::Zstd, None, &[large]);
    alter_ok(&mut client, "orders", &[("max.message.bytes", SET, Some("1000"))]);
    assert_eq!(error(write(&mut client, &packed).error_code), error(0));
    alter_ok(&mut client, "orders", &[("compression.type", SET, Some("uncompressed"))]);
    let too_large = error(ErrorCode::MessageTooLarge.code());
    assert_eq!(error(write(&mut client, &packed).error_code), too_large, "as it would be kept");
    server.stop();
}

/// Deletes records: error and low watermark of each partition.
fn delete(client: &mut Client, topic: &str, before: &[(i32, i64)]) -> Vec<(String, i64)> {
    let partition = |(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
    };
    let partitions = before.iter().map(partition).collect();
    let topics = vec![DeleteRecordsTopic { name: name(topic), partitions }];
    let mut answer = client.ask(&DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    let partitions = answer.topics.remove(0).partitions.into_iter();
    partitions.map(|result| (error(result.error_code), result.low_watermark)).collect()
}

#[test]
fn records_are_deleted_before_an_offset_and_stay_deleted() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 2);
    append(&mut client, "orders", 0, batch(&records(0..10)));
    append(&mut client, "orders", 1, batch(&records(0..5)));
    let out = error(ErrorCode::OffsetOutOfRange.code());
    let unknown = error(ErrorCode::UnknownTopicOrPartition.code());
    let fine = error(0);
    assert_eq!(
        delete(&mut client, "orders", &[(0, 11), (1, -1), (2, 0), (-1, 0), (0, -2)]),
        [(out.clone(), -1), (fine.clone(), 5), (unknown.clone(), -1), (unknown, -1), (out, -1)]
    );
    assert_eq!(delete(&mut client, "orders", &[(0, 4)]), [(fine.clone(), 4)]);
    assert_eq!(delete(&mut client, "orders", &[(0, 2)]), [(fine, 4)], "never back");
    let check = |client: &mut Client| {
        assert_eq!(list_offset(client, "orders", 0, -2).0, 4);
        assert_eq!(list_offset(client, "orders", 1, -2).0, 5);
        let below = fetch(client, "orders", 0, 3);
        assert_eq!(error(below.error_code), error(ErrorCode::OffsetOutOfRange.code()));
        assert_eq!(read_from(client, "orders", 0, 4).len(), 6);
        assert_eq!(list_offset(client, "orders", 0, 0).0, 4, "by time too");
    };
    check(&mut client);
    server.kill();
    let (server, mut client) = start(&home);
    check(&mut client);
    assert_eq!(append(&mut client, "orders", 1, batch(&records(0..1))), 5, "offsets go on");
    alter_ok(&mut client, "orders", &[("cleanup.policy", SET, Some("compact"))]);
    let policy = error(ErrorCode::PolicyViolation.code());
    assert_eq!(delete(&mut client, "orders", &[(0, 5)]), [(policy, -1)]);
    let own = error(ErrorCode::InvalidTopicException.code());
    assert_eq!(delete(&mut client, "__factum_control", &[(0, 1)]), [(own.clone(), -1)]);
    assert_eq!(delete(&mut client, "a/b", &[(0, 1)]), [(own, -1)]);
    // Who changed what is there to read.
    let control = read_all(&mut client, "__factum_control", 0);
    let types: Vec<_> = control
        .iter()
        .filter_map(|found| found.record.headers.iter().find(|h| h.key == "ce_type"))
        .filter_map(|header| header.value.clone())
        .collect();
    for expected in ["io.factum.topic.configured", "io.factum.records.deleted"] {
        assert!(types.iter().any(|found| found == expected), "{expected}: {types:?}");
    }
    server.stop();
}

#[test]
fn a_short_timeout_does_not_fail_what_is_written_in_time() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    create(&mut client, "orders", 1);
    for timeout_ms in [0, -1, i32::MIN, i32::MAX] {
        let request = produce_request("orders", 0, Some(at(&[EPOCH])));
        let answer = client.ask(&ProduceRequest { timeout_ms, ..request });
        ok("produce", of_partition(answer).error_code);
    }
    server.stop();
}
