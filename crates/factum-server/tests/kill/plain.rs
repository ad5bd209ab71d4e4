//! Plain Kafka producers, with one batch in flight: what was not acknowledged is sent again, so
//! it may be there more than once. Several write to the same partitions.

use std::io;

use bytes::Bytes;
use factum_event::batch::Codec;
use factum_event::{Record, Timestamp};
use factum_wire::ApiKey;

use super::ledger::Ledger;
use super::reading::value_of;
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::newest;
use crate::common::work::*;

/// A batch that was not acknowledged yet.
struct Sending {
    partition: i32,
    first: i64,
    count: i64,
    batch: Bytes,
}

/// A producer without an id.
pub struct PlainProducer {
    topic: &'static str,
    writer: u64,
    partitions: i32,
    next: i64,
    sending: Option<Sending>,
    ledger: Ledger,
    dice: Dice,
}

impl PlainProducer {
    pub fn new(topic: &'static str, partitions: i32, writer: u64, dice: Dice) -> Self {
        let ledger = Ledger::new(topic, writer, partitions);
        Self { topic, writer, partitions, next: 0, sending: None, ledger, dice }
    }

    fn next_batch(&mut self) -> Sending {
        let partition = self.dice.below(self.partitions as u64) as i32;
        let first = self.next;
        let count = 1 + self.dice.below(10) as i64;
        self.next += count;
        let records: Vec<_> = (first..self.next).map(|number| self.record(number)).collect();
        let codec = Codec::ALL[self.dice.below(5) as usize];
        Sending { partition, first, count, batch: batch_of(codec, None, &records) }
    }

    fn record(&mut self, number: i64) -> Record {
        let length = self.dice.below(2000) as usize;
        Record {
            key: Some(self.writer.to_string().into()),
            value: Some(value_of(self.writer, number, &self.dice.bytes(length)).into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH + number),
        }
    }
}

impl Actor for PlainProducer {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.ledger.verify(client)?;
        loop {
            if self.sending.is_none() && !world.is_draining() {
                self.sending = Some(self.next_batch());
            }
            let Some(Sending { partition, first, count, batch }) = &self.sending else {
                return Ok(());
            };
            let request = produce_request(self.topic, *partition, Some(batch.clone()));
            let answer = of_partition(client.try_call(&request, newest(ApiKey::Produce))?);
            ok(&format!("{}-{partition} number {first}", self.topic), answer.error_code);
            for index in 0..*count {
                self.ledger.note(*partition, answer.base_offset + index, first + index);
            }
            self.sending = None;
            world.tell();
        }
    }

    fn check(&mut self, life: &Life) -> Tally {
        self.ledger.check(&mut life.connect().unwrap())
    }
}
