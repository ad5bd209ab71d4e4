//! Somebody who writes to a topic and deletes its oldest records: what was deleted does not come
//! back, what was not stays.

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use factum_event::batch::{Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};

use super::reading::{read_ranges, value_of, writer_of};
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::{Client, newest};
use crate::common::work::*;

/// The special timestamps of ListOffsets.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// Records that are never deleted, so that there is something to compare.
const STAY: i64 = 50;

/// Writes to the only partition of a topic, and cuts it off.
pub struct Trimmer {
    topic: &'static str,
    producer: i64,
    /// The batch that is not acknowledged yet, and how many records it has.
    sending: Option<(Bytes, i64)>,
    end: i64,
    /// Where the partition may begin: where it was cut last, and where it would be by deletions
    /// that were not acknowledged.
    starts: BTreeSet<i64>,
    dice: Dice,
}

impl Trimmer {
    pub fn new(client: &mut Client, topic: &'static str, dice: Dice) -> Self {
        create(client, topic, 1);
        let producer = new_producer(client);
        Self { topic, producer, sending: None, end: 0, starts: BTreeSet::from([0]), dice }
    }

    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let start = self.list(client, EARLIEST)?;
        assert!(self.starts.contains(&start), "begins at {start}, not one of {:?}", self.starts);
        self.starts = self.starts.split_off(&start);
        if start > 0 {
            let request = fetch_request(self.topic, 0, start - 1);
            let answer = fetched(client.try_call(&request, newest(ApiKey::Fetch))?);
            assert_eq!(answer.error_code, code(ErrorCode::OffsetOutOfRange), "it was deleted");
        }
        let end = self.list(client, LATEST)?;
        let sending = self.sending.as_ref().map_or(0, |(_, count)| *count);
        assert!(end == self.end || end == self.end + sending, "ends at {end}, not {}", self.end);
        // A deletion that was under way may be made while this reads.
        let from = self.latest_start();
        read_ranges(client, self.topic, vec![(0, from..end)], |_, record| {
            let expected = (self.producer.unsigned_abs(), record.offset.get());
            assert_eq!(writer_of(&record.record), expected, "{}", self.topic);
        })
    }

    fn list(&self, client: &mut Client, timestamp: i64) -> io::Result<i64> {
        let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: name(self.topic), partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let answer = client.try_call(&request, newest(ApiKey::ListOffsets))?;
        let partition = &answer.topics[0].partitions[0];
        ok("list offsets", partition.error_code);
        Ok(partition.offset)
    }

    fn write(&mut self, client: &mut Client) -> io::Result<()> {
        let (batch, count) = match self.sending.take() {
            Some(sending) => sending,
            None => self.next_batch(),
        };
        self.sending = Some((batch.clone(), count));
        let request = produce_request(self.topic, 0, Some(batch));
        let answer = of_partition(client.try_call(&request, newest(ApiKey::Produce))?);
        ok(&format!("produce to {}", self.topic), answer.error_code);
        assert_eq!(answer.base_offset, self.end, "{}: acknowledged elsewhere", self.topic);
        self.end += count;
        self.sending = None;
        Ok(())
    }

    fn next_batch(&mut self) -> (Bytes, i64) {
        let count = 1 + self.dice.below(20) as i64;
        let base_sequence = i32::try_from(self.end).unwrap();
        let producer = ProducerState { id: self.producer, epoch: 0, base_sequence };
        let records: Vec<_> = (self.end..self.end + count).map(|n| self.record(n)).collect();
        (batch_of(Codec::None, Some(producer), &records), count)
    }

    fn record(&mut self, number: i64) -> Record {
        let length = self.dice.below(1000) as usize;
        let value = value_of(self.producer.unsigned_abs(), number, &self.dice.bytes(length));
        Record {
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH + number),
        }
    }

    /// Deletes some of what is there; a few records stay, to be compared.
    fn cut(&mut self, client: &mut Client) -> io::Result<()> {
        let least = self.latest_start();
        let most = (self.end - STAY).max(least);
        let to = least + self.dice.below((most - least).unsigned_abs() + 1) as i64;
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: to }];
        let topics = vec![DeleteRecordsTopic { name: name(self.topic), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
        self.starts.insert(to);
        let answer = client.try_call(&request, newest(ApiKey::DeleteRecords))?;
        let partition = &answer.topics[0].partitions[0];
        ok("delete records", partition.error_code);
        assert_eq!(partition.low_watermark, to);
        self.starts = BTreeSet::from([to]);
        Ok(())
    }

    fn latest_start(&self) -> i64 {
        self.starts.last().copied().unwrap_or(0)
    }
}

impl Actor for Trimmer {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.verify(client)?;
        while !world.is_draining() || self.sending.is_some() {
            if self.sending.is_none() && self.dice.below(10) == 0 {
                self.cut(client)?;
            } else {
                self.write(client)?;
            }
            world.tell();
        }
        Ok(())
    }

    fn check(&mut self, life: &Life) -> Tally {
        self.verify(&mut life.connect().unwrap()).expect("the server is not killed now");
        let what = format!("records, of which those before {} were deleted", self.latest_start());
        Tally { what, acknowledged: self.end.unsigned_abs(), found: self.end.unsigned_abs() }
    }
}
