//! Reading many partitions at once over a connection that may break.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;

use factum_event::Record;
use factum_event::batch::BatchRecord;
use factum_wire::ApiKey;
use factum_wire::messages::*;

use crate::common::client::{Client, newest};
use crate::common::work::*;

/// Most partitions of one fetch.
const PARTITIONS_AT_ONCE: usize = 50;

/// What a fetch found in one partition.
pub struct Found {
    pub partition: i32,
    /// The end of the partition.
    pub end: i64,
    pub records: Vec<BatchRecord>,
}

/// One fetch of some partitions, each from an offset, that waits up to `max_wait_ms` for records.
pub fn fetch_many(
    client: &mut Client,
    topic: &str,
    asked: &[(i32, i64)],
    max_wait_ms: i32,
) -> io::Result<Vec<Found>> {
    let mut request = fetch_request(topic, 0, 0);
    (request.max_wait_ms, request.min_bytes, request.max_bytes) = (max_wait_ms, 1, 4 << 20);
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    request.topics[0].partitions = asked.iter().map(partition).collect();
    let answer = client.try_call(&request, newest(ApiKey::Fetch))?;
    ok("fetch", answer.error_code);
    let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
    Ok(partitions.map(|data| found(topic, asked, data)).collect())
}

fn found(topic: &str, asked: &[(i32, i64)], data: PartitionData) -> Found {
    let (partition, end) = (data.partition_index, data.high_watermark);
    let from = asked.iter().find(|asked| asked.0 == partition).expect("it was asked for").1;
    let place = format!("{topic}-{partition} from {from}");
    ok(&place, data.error_code);
    assert!(end >= from, "{place}: what was there is gone, the end is {end}");
    let mut records = Vec::new();
    for batch in batches(bytes_of(data)) {
        records.extend(batch.records(UNPACKED).unwrap());
    }
    // A batch may begin before the offset that was asked for.
    records.retain(|record| record.offset.get() >= from);
    Found { partition, end, records }
}

/// Reads ranges of offsets, which must be there without gaps, each record once and in order.
pub fn read_ranges(
    client: &mut Client,
    topic: &str,
    mut ranges: Vec<(i32, Range<i64>)>,
    mut take: impl FnMut(i32, &BatchRecord),
) -> io::Result<()> {
    loop {
        ranges.retain(|(_, range)| !range.is_empty());
        if ranges.is_empty() {
            return Ok(());
        }
        let some = ranges.iter().take(PARTITIONS_AT_ONCE);
        let asked: Vec<_> = some.map(|(partition, range)| (*partition, range.start)).collect();
        let mut progress = false;
        for found in fetch_many(client, topic, &asked, 0)? {
            let range = ranges.iter_mut().find(|(partition, _)| *partition == found.partition);
            let range = &mut range.expect("it was asked for").1;
            let place = format!("{topic}-{}", found.partition);
            assert!(found.end >= range.end, "{place} ends at {}, not at {range:?}", found.end);
            for record in found.records.iter().take_while(|record| record.offset.get() < range.end)
            {
                assert_eq!(record.offset.get(), range.start, "{place}: the next offset");
                take(found.partition, record);
                range.start += 1;
                progress = true;
            }
        }
        assert!(progress, "{topic}: nothing comes of {ranges:?}");
    }
}

/// Reads whole partitions.
pub fn read_whole(
    client: &mut Client,
    topic: &str,
    partitions: Range<i32>,
    take: impl FnMut(i32, &BatchRecord),
) {
    let ranges = partitions.map(|partition| (partition, 0..end_of(client, topic, partition)));
    let ranges = ranges.collect();
    read_ranges(client, topic, ranges, take).expect("the server is not killed now");
}

/// The value of a record: who wrote it, which number of theirs it is, and what just fills it.
pub fn value_of(writer: u64, number: i64, filling: &[u8]) -> Vec<u8> {
    [format!("{writer} {number} ").as_bytes(), filling].concat()
}

/// Who wrote a record, and which number of theirs it is.
pub fn writer_of(record: &Record) -> (u64, i64) {
    let value = record.value.as_ref().unwrap();
    let mut words = value.split(|byte| *byte == b' ').map(|word| std::str::from_utf8(word).ok());
    let mut word = || words.next().flatten().expect("a word");
    (word().parse().unwrap(), word().parse().unwrap())
}

/// Tells records of different contents apart.
pub fn fingerprint(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.key, &record.value, record.timestamp.as_millis()).hash(&mut hasher);
    hasher.finish()
}
