//! What tests do again and again: batches, topics, producing, fetching.

use bytes::Bytes;
use factum_event::batch::{Batch, BatchBuilder, BatchRecord, Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ErrorCode, Records, Str};
use uuid::Uuid;

use super::client::{Client, newest};
use factum_wire::ApiKey;

/// What a batch may unpack to.
pub const UNPACKED: usize = 64 << 20;

/// Milliseconds of the first record's time.
pub const EPOCH: i64 = 1_700_000_000_000;

pub fn name(text: impl AsRef<str>) -> Str {
    Str::from(text.as_ref())
}

/// A record with a key and a value, `number` seconds after [`EPOCH`].
pub fn record(number: i64) -> Record {
    Record {
        key: Some(format!("key {number}").into()),
        value: Some(format!("value {number}").into()),
        headers: vec![factum_event::Header::new("number", number.to_string())],
        timestamp: Timestamp::from_millis(EPOCH + number * 1000),
    }
}

pub fn records(numbers: std::ops::Range<i64>) -> Vec<Record> {
    numbers.map(record).collect()
}

pub fn batch(records: &[Record]) -> Bytes {
    batch_of(Codec::None, None, records)
}

pub fn batch_of(codec: Codec, producer: Option<ProducerState>, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(codec, producer);
    records.iter().for_each(|record| builder.push(record));
    builder.build().expect("a batch").bytes().clone()
}

/// The batch of a producer: `count` records from `sequence` on.
pub fn sequenced(id: i64, epoch: i16, sequence: i32, count: i64) -> Bytes {
    let producer = ProducerState { id, epoch, base_sequence: sequence };
    let first = i64::from(sequence);
    batch_of(Codec::None, Some(producer), &records(first..first + count))
}

/// Whole batches, one after the other.
pub fn batches(mut bytes: Bytes) -> Vec<Batch> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let batch = Batch::parse_first(&bytes).expect("whole batches");
        bytes = bytes.slice(batch.len()..);
        found.push(batch);
    }
    found
}

pub fn code(error: ErrorCode) -> i16 {
    error.code()
}

pub fn error(code: i16) -> String {
    ErrorCode::try_from(code).map_or_else(|_| code.to_string(), |error| error.to_string())
}

/// Fails unless there was no error.
pub fn ok(what: &str, code: i16) {
    assert_eq!(code, 0, "{what}: {}", error(code));
}

/// A topic that keeps records for ever: those of tests are old.
pub fn new_topic(topic: &str, partitions: i32) -> CreatableTopic {
    let for_ever = CreatableTopicConfig { name: name("retention.ms"), value: Some(name("-1")) };
    CreatableTopic {
        name: name(topic),
        num_partitions: partitions,
        replication_factor: -1,
        configs: vec![for_ever],
        ..Default::default()
    }
}

pub fn create(client: &mut Client, topic: &str, partitions: i32) -> Uuid {
    let topics = vec![new_topic(topic, partitions)];
    let answer = client.ask(&CreateTopicsRequest { topics, ..Default::default() });
    ok(&format!("create {topic}"), answer.topics[0].error_code);
    answer.topics[0].topic_id
}

pub fn produce_request(topic: &str, partition: i32, records: Option<Bytes>) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: name(topic),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: records.map(Records::from),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Produces one batch: the partition's answer.
pub fn produce(
    client: &mut Client,
    topic: &str,
    partition: i32,
    batch: Bytes,
) -> PartitionProduceResponse {
    of_partition(client.ask(&produce_request(topic, partition, Some(batch))))
}

/// Produces one batch that must be taken: its base offset.
pub fn append(client: &mut Client, topic: &str, partition: i32, batch: Bytes) -> i64 {
    let answer = produce(client, topic, partition, batch);
    let message = answer.error_message.as_deref().unwrap_or_default();
    ok(&format!("produce to {topic}-{partition} ({message})"), answer.error_code);
    answer.base_offset
}

pub fn of_partition(mut answer: ProduceResponse) -> PartitionProduceResponse {
    answer.responses.remove(0).partition_responses.remove(0)
}

/// A fetch of one partition that waits for nothing and takes up to 1 MiB.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: name(topic),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The answer for the only partition of a fetch.
pub fn fetched(mut answer: FetchResponse) -> PartitionData {
    ok("fetch", answer.error_code);
    answer.responses.remove(0).partitions.remove(0)
}

pub fn fetch(client: &mut Client, topic: &str, partition: i32, offset: i64) -> PartitionData {
    fetched(client.ask(&fetch_request(topic, partition, offset)))
}

pub fn bytes_of(data: PartitionData) -> Bytes {
    data.records.unwrap_or_default().into_bytes()
}

/// All records of a partition from `offset` on.
pub fn read_from(
    client: &mut Client,
    topic: &str,
    partition: i32,
    mut offset: i64,
) -> Vec<BatchRecord> {
    let mut all = Vec::new();
    loop {
        let data = fetch(client, topic, partition, offset);
        ok(&format!("fetch {topic}-{partition} from {offset}"), data.error_code);
        let end = data.high_watermark;
        for batch in batches(bytes_of(data)) {
            let records = batch.records(UNPACKED).expect("readable records");
            all.extend(records.into_iter().filter(|record| record.offset.get() >= offset));
        }
        let next = all.last().map_or(offset, |record: &BatchRecord| record.offset.get() + 1);
        if next >= end {
            return all;
        }
        assert!(next > offset, "{topic}-{partition}: nothing at {offset}, but the end is {end}");
        offset = next;
    }
}

pub fn read_all(client: &mut Client, topic: &str, partition: i32) -> Vec<BatchRecord> {
    read_from(client, topic, partition, 0)
}

/// The offset that ListOffsets finds for a time, or for one of its special numbers.
pub fn list_offset(client: &mut Client, topic: &str, partition: i32, timestamp: i64) -> (i64, i64) {
    let partitions =
        vec![ListOffsetsPartition { partition_index: partition, timestamp, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: name(topic), partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let answer = client.ask(&request).topics.remove(0).partitions.remove(0);
    ok(&format!("list offsets of {topic}-{partition}"), answer.error_code);
    (answer.offset, answer.timestamp)
}

pub fn end_of(client: &mut Client, topic: &str, partition: i32) -> i64 {
    list_offset(client, topic, partition, -1).0
}

pub fn new_producer(client: &mut Client) -> i64 {
    let answer = client.ask(&InitProducerIdRequest::default());
    ok("init producer id", answer.error_code);
    answer.producer_id
}

/// A commit of one partition by nobody in particular, as tools do it.
pub fn commit_request(
    group: &str,
    topic: &str,
    (partition, offset): (i32, i64),
    metadata: &str,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: name(group),
        topics: vec![OffsetCommitRequestTopic {
            name: name(topic),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_metadata: Some(name(metadata)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn committed_request(group: &str, topic: &str, partition: i32) -> OffsetFetchRequest {
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: name(group),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: name(topic),
                partition_indexes: vec![partition],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The committed offset and its metadata; -1 if there is none.
pub fn committed(client: &mut Client, group: &str, topic: &str, partition: i32) -> (i64, String) {
    let answer = client.ask(&committed_request(group, topic, partition));
    let of = &answer.groups[0].topics[0].partitions[0];
    ok("offset fetch", of.error_code);
    (of.committed_offset, of.metadata.as_deref().unwrap_or_default().to_owned())
}

/// Fails unless a new connection is served.
pub fn assert_alive(server: &super::server::Server, after: &str) {
    let mut client = Client::connect(server.kafka);
    let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let answer = client.try_call(&request, newest(ApiKey::Metadata));
    let answer = answer.unwrap_or_else(|error| {
        panic!("after {after}: no answer ({error}); stderr: {}", server.log_lines())
    });
    assert_eq!(answer.brokers.len(), 1, "after {after}");
}

/// A batch whose header was changed after it was built, with the checksum that fits.
pub fn tampered(batch: &Bytes, position: usize, new: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[position..position + new.len()].copy_from_slice(new);
    let sum = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    bytes.into()
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// What a reader is shown of a partition from `offset` on that reads only what was committed, and
/// up to where that is: it leaves out the aborted transactions that it is told of, as clients do.
pub fn committed_from(
    client: &mut Client,
    topic: &str,
    partition: i32,
    mut offset: i64,
) -> std::io::Result<(Vec<BatchRecord>, i64)> {
    let mut shown = Vec::new();
    loop {
        let request =
            FetchRequest { isolation_level: 1, ..fetch_request(topic, partition, offset) };
        let data = fetched(client.try_call(&request, newest(ApiKey::Fetch))?);
        ok(&format!("fetch {topic}-{partition} from {offset}"), data.error_code);
        let stable = data.last_stable_offset;
        let mut aborted = data.aborted_transactions.clone().expect("a list for who asks for it");
        for batch in batches(bytes_of(data)) {
            let header = *batch.header();
            let last = header.base_offset + i64::from(header.last_offset_delta);
            assert!(last < stable, "{topic}-{partition}: {last} is behind {stable}");
            let from = std::mem::replace(&mut offset, last + 1);
            let is_of = |known: &AbortedTransaction| known.producer_id == header.producer_id;
            if header.attributes.is_control() {
                aborted.retain(|known| !is_of(known) || known.first_offset > last);
                continue;
            }
            let is_aborted =
                |known: &AbortedTransaction| is_of(known) && known.first_offset <= last;
            if header.attributes.is_transactional() && aborted.iter().any(is_aborted) {
                continue;
            }
            let records = batch.records(UNPACKED).expect("readable records");
            shown.extend(records.into_iter().filter(|record| record.offset.get() >= from));
        }
        if offset >= stable {
            return Ok((shown, offset));
        }
    }
}
