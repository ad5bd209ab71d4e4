//! Idempotent producers: each has partitions of its own, so the record at offset `n` must be the
//! one with number `n`, once. Batches are in flight as real clients have them; what was not
//! acknowledged is sent again in the next life, with the same sequences.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use factum_event::batch::{Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::ApiKey;

use super::reading::{read_ranges, read_whole, value_of, writer_of};
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::{Client, newest};
use crate::common::work::*;

/// What librdkafka and the Java client allow an idempotent producer.
const IN_FLIGHT: usize = 5;

/// A batch that was sent and not acknowledged yet.
struct Sent {
    partition: i32,
    first: i64,
    count: i64,
    batch: Bytes,
}

/// How far a partition is.
#[derive(Clone, Default)]
struct Progress {
    /// The number of the next record.
    next: i64,
    /// Up to here everything is acknowledged.
    acknowledged: i64,
    /// Up to here it was read back in a life after the one that acknowledged it.
    verified: i64,
}

/// An idempotent producer.
pub struct IdempotentProducer {
    topic: &'static str,
    id: i64,
    first_partition: i32,
    partitions: Vec<Progress>,
    unacknowledged: VecDeque<Sent>,
    dice: Dice,
}

impl IdempotentProducer {
    /// The only one who writes to these partitions.
    pub fn new(client: &mut Client, topic: &'static str, own: Range<i32>, dice: Dice) -> Self {
        Self {
            topic,
            id: new_producer(client),
            first_partition: own.start,
            partitions: vec![Progress::default(); own.len()],
            unacknowledged: VecDeque::new(),
            dice,
        }
    }

    fn writer(&self) -> u64 {
        self.id.unsigned_abs()
    }

    fn next_batch(&mut self) -> Sent {
        let chosen = self.dice.below(self.partitions.len() as u64) as usize;
        let first = self.partitions[chosen].next;
        let count = 1 + self.dice.below(20) as i64;
        self.partitions[chosen].next += count;
        let codec = Codec::ALL[self.dice.below(5) as usize];
        let base_sequence = i32::try_from(first).unwrap();
        let producer = ProducerState { id: self.id, epoch: 0, base_sequence };
        let records: Vec<_> = (first..first + count).map(|number| self.record(number)).collect();
        let partition = self.first_partition + chosen as i32;
        Sent { partition, first, count, batch: batch_of(codec, Some(producer), &records) }
    }

    fn record(&mut self, number: i64) -> Record {
        let length = self.dice.below(300) as usize;
        Record {
            key: None,
            value: Some(value_of(self.writer(), number, &self.dice.bytes(length)).into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH + number),
        }
    }

    /// Reads back what lives before this one have acknowledged.
    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let numbered = (self.first_partition..).zip(&self.partitions);
        let ranges = numbered.map(|(number, of)| (number, of.verified..of.acknowledged)).collect();
        let writer = self.writer();
        read_ranges(client, self.topic, ranges, |partition, record| {
            let expected = (writer, record.offset.get());
            assert_eq!(writer_of(&record.record), expected, "{}-{partition}", self.topic);
        })?;
        self.partitions.iter_mut().for_each(|of| of.verified = of.acknowledged);
        Ok(())
    }

    fn send(&self, client: &mut Client, sent: &Sent) -> io::Result<i32> {
        let request = produce_request(self.topic, sent.partition, Some(sent.batch.clone()));
        client.send(&request, newest(ApiKey::Produce))
    }
}

impl Actor for IdempotentProducer {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.verify(client)?;
        let mut numbers = VecDeque::new();
        for sent in &self.unacknowledged {
            numbers.push_back(self.send(client, sent)?);
        }
        loop {
            while self.unacknowledged.len() < IN_FLIGHT && !world.is_draining() {
                let sent = self.next_batch();
                let number = self.send(client, &sent);
                self.unacknowledged.push_back(sent);
                numbers.push_back(number?);
            }
            let Some(number) = numbers.pop_front() else { return Ok(()) };
            let answer = of_partition(client.receive(number, newest(ApiKey::Produce))?);
            let sent = self.unacknowledged.pop_front().unwrap();
            let place = format!("{}-{} number {}", self.topic, sent.partition, sent.first);
            ok(&place, answer.error_code);
            assert_eq!(answer.base_offset, sent.first, "{place}: acknowledged at another offset");
            let of = &mut self.partitions[(sent.partition - self.first_partition) as usize];
            of.acknowledged = sent.first + sent.count;
            world.tell();
        }
    }

    fn check(&mut self, life: &Life) -> Tally {
        let client = &mut life.connect().unwrap();
        let own = self.first_partition..self.first_partition + self.partitions.len() as i32;
        let mut found = 0;
        let writer = self.writer();
        read_whole(client, self.topic, own, |partition, record| {
            let expected = (writer, record.offset.get());
            assert_eq!(writer_of(&record.record), expected, "{}-{partition}", self.topic);
            found += 1;
        });
        let acknowledged = self.partitions.iter().map(|of| of.acknowledged.unsigned_abs()).sum();
        assert_eq!(found, acknowledged, "of an idempotent producer: found, acknowledged");
        let what = format!("records of idempotent producer {}, once and in order", self.id);
        Tally { what, acknowledged, found }
    }
}
