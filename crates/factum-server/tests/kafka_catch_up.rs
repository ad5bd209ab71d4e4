//! Old data through the Kafka door: from the files to the socket, checked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use common::Dice;
use common::client::{Client, newest};
use common::server::{Home, until};
use common::work::*;
use factum_event::batch::Codec;
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};

/// What is in no answer from memory once some MiB more were written.
const SMALL_TAIL: [&str; 2] = ["--tail-bytes", "1MiB"];

/// Journals that have so much of several partitions that sockets do not hold an answer.
const LARGE_JOURNALS: [&str; 3] = ["--tail-bytes=1MiB", "--journal-bytes", "16MiB"];

const TOPIC: &str = "old";

/// A batch of one record with random bytes.
fn noise(dice: &mut Dice, length: usize) -> Bytes {
    let value = Some(dice.bytes(length).into());
    let timestamp = Timestamp::from_millis(EPOCH);
    batch_of(Codec::None, None, &[Record { key: None, value, headers: Vec::new(), timestamp }])
}

/// Produces batches of these sizes in turn to the partitions: what each partition has now.
fn produce_old(
    client: &mut Client,
    partitions: usize,
    sizes: &[usize],
    count: usize,
) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(7);
    let mut stored = vec![Vec::new(); partitions];
    for number in 0..count {
        let partition = number % partitions;
        let bytes = noise(&mut dice, sizes[number / partitions % sizes.len()]);
        let index = i32::try_from(partition).unwrap();
        let offset = append(client, TOPIC, index, bytes.clone());
        stored[partition].extend(offset.to_be_bytes());
        stored[partition].extend(&bytes[8..12]);
        stored[partition].extend([0; 4]);
        stored[partition].extend(&bytes[16..]);
    }
    stored
}

/// Writes enough to another topic that nothing of before is in memory.
fn push_out(client: &mut Client) {
    create(client, "later", 1);
    let mut dice = Dice::new(8);
    for _ in 0..3 {
        append(client, "later", 0, noise(&mut dice, 600_000));
    }
}

/// A fetch of several partitions of the topic from their offsets.
fn fetch_all(offsets: &[i64], max_bytes: i32, partition_max_bytes: i32) -> FetchRequest {
    let partition = |(partition, offset): (usize, &i64)| FetchPartition {
        partition: i32::try_from(partition).unwrap(),
        fetch_offset: *offset,
        partition_max_bytes,
        ..Default::default()
    };
    let partitions = offsets.iter().enumerate().map(partition).collect();
    let topics = vec![FetchTopic { topic: name(TOPIC), partitions, ..Default::default() }];
    FetchRequest { max_bytes, topics, ..Default::default() }
}

#[test]
fn old_data_comes_back_byte_for_byte() {
    let home = Home::new();
    let server = home.serve_with(&SMALL_TAIL);
    let mut client = Client::connect(server.kafka);
    create(&mut client, TOPIC, 3);
    let sizes = [50, 90_000, 2000, 300_000, 40_000];
    let stored = produce_old(&mut client, 3, &sizes, 120);
    push_out(&mut client);
    for (max_bytes, of_partition) in
        [(1, 1), (5000, 50_000), (400_000, 150_000), (50 << 20, 1 << 20)]
    {
        let mut came = vec![Vec::new(); 3];
        let mut offsets = vec![0; 3];
        while offsets.iter().any(|offset| *offset < 40) {
            let answer = client.ask(&fetch_all(&offsets, max_bytes, of_partition));
            let mut any = false;
            for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                ok("fetch", data.error_code);
                let index = usize::try_from(data.partition_index).unwrap();
                let bytes = bytes_of(data);
                any |= !bytes.is_empty();
                offsets[index] += i64::try_from(batches(bytes.clone()).len()).unwrap();
                came[index].extend_from_slice(&bytes);
            }
            assert!(any, "nothing at {offsets:?} of {max_bytes}");
        }
        assert!(came == stored, "with max_bytes {max_bytes}");
    }
    server.stop();
}

#[test]
fn a_flipped_bit_in_old_data_is_never_served_and_the_rest_is() {
    let home = Home::new();
    let server = home.serve_with(&SMALL_TAIL);
    let mut client = Client::connect(server.kafka);
    create(&mut client, TOPIC, 1);
    let stored = produce_old(&mut client, 1, &[100_000, 400_000], 20);
    push_out(&mut client);
    let all = batches(stored[0].clone().into());
    for damaged in [6_usize, 7] {
        let (file, position) = find(&home, &all[damaged].bytes()[..]);
        let file = OpenOptions::new().write(true).open(file).unwrap();
        let at = 50_000;
        file.write_all_at(&[all[damaged].bytes()[at] ^ 1], position + at as u64).unwrap();
        let from = |offset: usize| fetch_all(&[i64::try_from(offset).unwrap()], 50 << 20, 50 << 20);
        let before = fetched(client.ask(&from(0)));
        ok("what is before it", before.error_code);
        let before = batches(bytes_of(before));
        assert!(before == all[..damaged], "{} batches before", before.len());
        let refused = fetched(client.ask(&from(damaged)));
        assert_eq!(refused.error_code, code(ErrorCode::CorruptMessage));
        assert!(bytes_of(refused).is_empty());
        let after = fetched(client.ask(&from(damaged + 1)));
        ok("what is after it", after.error_code);
        assert!(batches(bytes_of(after))[0] == all[damaged + 1]);
        file.write_all_at(&all[damaged].bytes()[at..=at], position + at as u64).unwrap();
    }
    server.stop();
}

/// The files that have what was written.
fn journals(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.data().join("journal")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "journal")).collect()
}

/// The journal that has these bytes, and where.
fn find(home: &Home, bytes: &[u8]) -> (PathBuf, u64) {
    for path in journals(home) {
        let content = fs::read(&path).unwrap();
        // Batches stand at any byte, but those of a group alone at multiples of 64.
        let places = (0..content.len().saturating_sub(bytes.len())).step_by(64);
        if let Some(at) = places.into_iter().find(|at| content[*at..].starts_with(bytes)) {
            return (path, at as u64);
        }
    }
    panic!("the batch is in no journal");
}

#[test]
fn a_topic_that_is_deleted_while_it_is_read_arrives_whole() {
    let home = Home::new();
    let server = home.serve_with(&LARGE_JOURNALS);
    let mut client = Client::connect(server.kafka);
    create(&mut client, TOPIC, 3);
    let stored = produce_old(&mut client, 3, &[700_000], 60);
    push_out(&mut client);
    let mut slow: Vec<(Client, i32)> = (0..4)
        .map(|_| {
            let mut client = Client::connect(server.kafka);
            let request = fetch_all(&[1, 1, 1], 50 << 20, 50 << 20);
            let number = client.send(&request, newest(ApiKey::Fetch)).unwrap();
            (client, number)
        })
        .collect();
    slow.iter().for_each(|(client, _)| client.wait_for_answer());
    let journals = journals(&home);
    let topics = vec![name(TOPIC)];
    let request =
        DeleteTopicsRequest { topic_names: topics, timeout_ms: 1000, ..Default::default() };
    let version = 5;
    ok("delete", client.call(&request, version).responses[0].error_code);
    until("a journal is gone", || journals.iter().any(|path| !path.exists()));
    let all: Vec<_> = stored.into_iter().map(|bytes| batches(bytes.into())).collect();
    for (client, number) in &mut slow {
        let answer: FetchResponse = client.receive(*number, newest(ApiKey::Fetch)).unwrap();
        for (all, data) in all.iter().zip(answer.responses.into_iter().flat_map(|t| t.partitions)) {
            ok("fetch", data.error_code);
            let came = batches(bytes_of(data));
            // How many one turn reads depends on how they stand between those of others.
            assert!(came.len() > 1 && came == all[1..=came.len()], "{} batches", came.len());
        }
    }
    server.stop();
}

#[test]
fn readers_that_take_nothing_cost_no_memory() {
    let home = Home::new();
    let server = home.serve_with(&LARGE_JOURNALS);
    let mut client = Client::connect(server.kafka);
    create(&mut client, TOPIC, 3);
    let stored = produce_old(&mut client, 3, &[900_000], 18);
    push_out(&mut client);
    // Whoever reads to the end has made the server use what memory it needs for one reader.
    let mut read_one = || {
        let answer = client.ask(&fetch_all(&[0, 0, 0], 50 << 20, 50 << 20));
        let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
        for (stored, data) in stored.iter().zip(partitions) {
            let came = bytes_of(data);
            assert!(came.len() > 1 << 20 && stored.starts_with(&came));
        }
    };
    read_one();
    let before = server.memory();
    let read_before = server.metric("factum_log_read_disk_bytes_total");
    let _slow: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = Client::connect(server.kafka);
            client.send(&fetch_all(&[0, 0, 0], 50 << 20, 50 << 20), newest(ApiKey::Fetch)).unwrap();
            client
        })
        .collect();
    until("all were read", || {
        let read = server.metric("factum_log_read_disk_bytes_total") - read_before;
        read > 50.0 * 10e6
    });
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes for 50 readers who have 13 MB each on their way");
    // And nobody waits for them.
    read_one();
}
