//! Retention and compaction by a running server, as Kafka clients see them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use common::Dice;
use common::client::Client;
use common::server::{Home, Server, until};
use common::work::*;
use factum_event::batch::{BatchRecord, Codec, ProducerState};
use factum_event::{Clock, Record, SystemClock, Timestamp};
use factum_wire::ErrorCode;
use factum_wire::messages::*;

const TOPIC: i8 = 2;
const SET: i8 = 0;
const EARLIEST: i64 = -2;

/// It looks after things all the time.
const EAGER: [&str; 4] = ["--upkeep-interval-ms", "20", "--seal-interval-ms", "50"];

fn start(home: &Home) -> (Server, Client) {
    let server = home.serve_with(&EAGER);
    let client = Client::connect(server.kafka);
    (server, client)
}

fn create_with(client: &mut Client, topic: &str, configs: &[(&str, &str)]) {
    let config = |(key, value): &(&str, &str)| CreatableTopicConfig {
        name: name(key),
        value: Some(name(value)),
    };
    let configs = configs.iter().map(config).collect();
    let topics = vec![CreatableTopic { configs, ..new_topic(topic, 1) }];
    let answer = client.ask(&CreateTopicsRequest { topics, ..Default::default() });
    ok(&format!("create {topic}"), answer.topics[0].error_code);
}

fn set(client: &mut Client, topic: &str, key: &str, value: &str) {
    let config = IncrementalAlterableConfig {
        name: name(key),
        config_operation: SET,
        value: Some(name(value)),
    };
    let resources = vec![IncrementalAlterConfigsResource {
        resource_type: TOPIC,
        resource_name: name(topic),
        configs: vec![config],
    }];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    ok("alter configs", client.ask(&request).responses[0].error_code);
}

fn keyed(key: &str, value: Option<Bytes>, age_ms: i64) -> Record {
    let now = SystemClock::new().now().as_millis();
    let timestamp = Timestamp::from_millis(now - age_ms);
    Record { key: Some(key.to_owned().into()), value, headers: Vec::new(), timestamp }
}

/// Bytes of the files of a server.
fn size(home: &Home) -> u64 {
    let files = fs::read_dir(home.data().join("journal")).unwrap();
    // A file may go while they are counted.
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

#[test]
fn what_is_too_old_goes_until_it_may_stay_longer() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    let old = [("retention.ms", "1000"), ("segment.bytes", "100000")];
    create_with(&mut client, "orders", &[("retention.ms", "-1"), old[1]]);
    let mut dice = Dice::new(1);
    for _ in 0..24 {
        let value = Bytes::from(dice.bytes(1_000_000));
        append(&mut client, "orders", 0, batch(&[keyed("k", Some(value), 0)]));
    }
    let full = size(&home);
    assert!(full > 24_000_000);
    set(&mut client, "orders", "retention.ms", "1000");
    until("all is too old", || list_offset(&mut client, "orders", 0, EARLIEST).0 == 24);
    assert_eq!(end_of(&mut client, "orders", 0), 24);
    let gone = fetch(&mut client, "orders", 0, 0);
    assert_eq!(error(gone.error_code), error(ErrorCode::OffsetOutOfRange.code()));
    assert_eq!(gone.log_start_offset, 24);
    until("its room is given back", || {
        // Asked for anything, it has had time to do something.
        end_of(&mut client, "orders", 0) == 24 && size(&home) < full / 2
    });
    assert!(server.metric("factum_retention_removed_offsets_total") >= 24.0);
    assert!(server.metric("factum_retention_removed_bytes_total") >= 24e6);
    // Something of the same age elsewhere shows that it has looked.
    set(&mut client, "orders", "retention.ms", "3600000");
    create_with(&mut client, "other", &old);
    let minutes = batch(&[keyed("k", None, 600_000)]);
    assert_eq!(append(&mut client, "orders", 0, minutes.clone()), 24);
    append(&mut client, "other", 0, minutes);
    until("the other is too old", || list_offset(&mut client, "other", 0, EARLIEST).0 == 1);
    assert_eq!(list_offset(&mut client, "orders", 0, EARLIEST).0, 24);
    assert_eq!(read_from(&mut client, "orders", 0, 24).len(), 1);
    server.kill();
    let (server, mut client) = start(&home);
    assert_eq!(list_offset(&mut client, "orders", 0, EARLIEST).0, 24);
    assert_eq!(list_offset(&mut client, "other", 0, EARLIEST).0, 1);
    assert_eq!(append(&mut client, "other", 0, batch(&[keyed("k", None, 0)])), 1);
    server.stop();
}

const KEYS: usize = 40;
const ROUNDS: usize = 200;

/// Rounds of all keys, packed in every way, from a producer with sequences: the last value of
/// each key, by its offset.
fn rounds(client: &mut Client, producer: i64) -> BTreeMap<i64, (String, String)> {
    let codecs = [Codec::None, Codec::Lz4, Codec::Zstd, Codec::Gzip, Codec::Snappy];
    let mut last = BTreeMap::new();
    let mut dice = Dice::new(2);
    for round in 0..ROUNDS {
        let text = |key: usize| format!("{round} {key} {:?}", dice.bytes(40));
        let values: Vec<_> = (0..KEYS).map(text).collect();
        let record = |(key, value): (usize, &String)| {
            keyed(&format!("key {key}"), Some(value.clone().into()), 0)
        };
        let records: Vec<_> = values.iter().enumerate().map(record).collect();
        let base_sequence = i32::try_from(round * KEYS).unwrap();
        let sequence = ProducerState { id: producer, epoch: 0, base_sequence };
        let packed = batch_of(codecs[round % codecs.len()], Some(sequence), &records);
        let base = append(client, "orders", 0, packed);
        last = (base..).zip(values).collect();
    }
    let name =
        |(at, (offset, value)): (usize, (i64, String))| (offset, (format!("key {at}"), value));
    last.into_iter().enumerate().map(name).collect()
}

/// What records say, by their offsets.
fn texts(records: &[BatchRecord]) -> BTreeMap<i64, (String, String)> {
    let text = |bytes: &Option<Bytes>| {
        String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
    };
    let found = records.iter();
    found.map(|at| (at.offset.get(), (text(&at.record.key), text(&at.record.value)))).collect()
}

#[test]
fn a_compacted_topic_comes_down_to_the_last_value_of_each_key() {
    let home = Home::new();
    let (server, mut client) = start(&home);
    // Segments do not end but by bytes, and not within what is written at first.
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "0"),
    ];
    create_with(&mut client, "orders", &configs);
    let producer = new_producer(&mut client);
    let expected = rounds(&mut client, producer);
    let end = end_of(&mut client, "orders", 0);
    assert_eq!(read_all(&mut client, "orders", 0).len(), KEYS * ROUNDS);
    set(&mut client, "orders", "segment.ms", "100");
    until("each key is there once", || read_all(&mut client, "orders", 0).len() == KEYS);
    let check = |client: &mut Client| {
        let records = read_all(client, "orders", 0);
        assert_eq!(texts(&records), expected);
        assert_eq!(list_offset(client, "orders", 0, EARLIEST).0, 0);
        assert_eq!(end_of(client, "orders", 0), end);
        // From the middle of what is gone, the next that is there.
        let found = read_from(client, "orders", 0, end / 2);
        assert_eq!(texts(&found), expected);
        let time = records[0].record.timestamp.as_millis();
        assert_eq!(list_offset(client, "orders", 0, time), (records[0].offset.get(), time));
    };
    check(&mut client);
    let removed = server.metric("factum_compaction_removed_records_total");
    assert!(removed >= f64::from(u32::try_from(KEYS * (ROUNDS - 1)).unwrap()), "{removed}");
    assert!(server.metric("factum_compactions_total") >= 1.0);
    assert!(server.metric("factum_upkeep_errors_total") == 0.0);
    until("a segment has what is left", || server.metric("factum_log_segments") >= 1.0);
    server.kill();
    let (server, mut client) = start(&home);
    check(&mut client);
    // The producer does not know that its last batch was taken.
    let sequence = i32::try_from((ROUNDS - 1) * KEYS).unwrap();
    let state = ProducerState { id: producer, epoch: 0, base_sequence: sequence };
    let record = |number| keyed(&format!("key {number}"), None, 0);
    let repeated = batch_of(Codec::None, Some(state), &(0..KEYS).map(record).collect::<Vec<_>>());
    let answer = produce(&mut client, "orders", 0, repeated);
    assert_eq!(error(answer.error_code), error(0));
    assert_eq!(answer.base_offset, end - i64::try_from(KEYS).unwrap());
    check(&mut client);
    // Deletions: first of the values, then of themselves, when something comes after them.
    append(&mut client, "orders", 0, batch(&[record(0), record(1)]));
    let kept = |client: &mut Client| texts(&read_all(client, "orders", 0));
    until("the values of deleted keys are gone", || {
        append(&mut client, "orders", 0, batch(&[keyed("other", Some("x".into()), 0)]));
        let kept = kept(&mut client);
        !kept.values().any(|(key, _)| key == "key 0" || key == "key 1")
    });
    let rest: Vec<_> = expected.values().skip(2).cloned().collect();
    let left: Vec<_> = kept(&mut client).into_values().filter(|(key, _)| key != "other").collect();
    assert_eq!(left, rest);
    server.stop();
}
