//! Reads partitions from one leader, batch by batch, without looking into the records.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_event::batch::{Batch, BatchError};
use factum_wire::messages::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use factum_wire::{Records, Str};

use super::error::BenchError;
use crate::kafka_client::{Connection, check};

/// The most that one answer brings.
const MAX_BYTES: i32 = 50 << 20;

/// Where a reader stands, by partition.
pub struct Fetcher {
    connection: Connection,
    topic: Str,
    /// The next offset of each partition.
    pub next: BTreeMap<i32, i64>,
    partition_bytes: i32,
    max_wait_ms: i32,
}

/// A batch that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// The partition.
    pub partition: i32,
    /// The first offset that was not there before.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// Bytes of the batch.
    pub bytes: usize,
}

impl Came {
    /// How many records.
    pub const fn records(&self) -> u64 {
        (self.last - self.first + 1).unsigned_abs()
    }
}

impl Fetcher {
    /// A reader of these partitions from these offsets on.
    pub const fn new(
        connection: Connection,
        topic: Str,
        next: BTreeMap<i32, i64>,
        partition_bytes: i32,
        max_wait_ms: i32,
    ) -> Self {
        Self { connection, topic, next, partition_bytes, max_wait_ms }
    }

    /// Asks once, and shows each batch that came; none may have come.
    pub fn fetch(&mut self, mut show: impl FnMut(Came)) -> Result<(), BenchError> {
        let answer: FetchResponse = self.connection.call(&self.request())?;
        check("to fetch", answer.error_code, None)?;
        for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            check("to fetch", partition.error_code, None)?;
            let index = partition.partition_index;
            let bytes = partition.records.map(Records::into_bytes).unwrap_or_default();
            if let Some(next) = self.next.get_mut(&index) {
                batches(index, bytes, next, &mut show)?;
            }
        }
        Ok(())
    }

    fn request(&self) -> FetchRequest {
        let partitions = self.next.iter().map(|(partition, offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *offset,
            partition_max_bytes: self.partition_bytes,
            ..FetchPartition::default()
        });
        FetchRequest {
            max_wait_ms: self.max_wait_ms,
            min_bytes: 1,
            max_bytes: MAX_BYTES,
            topics: vec![FetchTopic {
                topic: self.topic.clone(),
                partitions: partitions.collect(),
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }
}

/// Checks batch by batch; the last one may be cut off, as brokers do at the limit of bytes.
fn batches(
    partition: i32,
    mut bytes: Bytes,
    next: &mut i64,
    show: &mut impl FnMut(Came),
) -> Result<(), BenchError> {
    while !bytes.is_empty() {
        let batch = match Batch::parse_first(&bytes) {
            Ok(batch) => batch,
            Err(BatchError::Truncated { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let header = batch.header();
        let last = header.base_offset + i64::from(header.last_offset_delta);
        if last >= *next {
            let first = header.base_offset.max(*next);
            if !header.attributes.is_control() {
                show(Came { partition, first, last, bytes: batch.len() });
            }
            *next = last + 1;
        }
        bytes = bytes.slice(batch.len()..);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use factum_event::batch::Codec;
    use factum_event::{Offset, Timestamp};

    use super::*;
    use crate::bench::payload::Payload;

    #[test]
    fn batches_are_counted_from_the_next_offset_and_half_a_batch_is_left() {
        let bytes = Payload::new(Codec::None, 10, 1).batch(5, Timestamp::from_millis(1)).unwrap();
        let at = |offset| Batch::parse(bytes.clone()).unwrap().at(Offset::new(offset).unwrap());
        let mut answer =
            [at(0).bytes().clone(), at(5).bytes().clone(), at(10).bytes().clone()].concat();
        answer.truncate(answer.len() - 3);
        let (mut next, mut came) = (2, Vec::new());
        batches(7, answer.into(), &mut next, &mut |one| came.push((one.first, one.last))).unwrap();
        assert_eq!((came, next), (vec![(2, 4), (5, 9)], 10));
    }

    #[test]
    fn a_damaged_batch_is_an_error() {
        let bytes = Payload::new(Codec::None, 10, 1).batch(5, Timestamp::from_millis(1)).unwrap();
        let mut damaged = bytes.to_vec();
        damaged[80] ^= 1;
        assert!(batches(0, damaged.into(), &mut 0, &mut |_| {}).is_err());
    }
}
