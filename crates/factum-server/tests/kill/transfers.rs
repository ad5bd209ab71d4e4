//! A transactional producer. Each of its transactions writes its number to some partitions and
//! commits it as the offset of a group; some are aborted, some left open. What was committed is in
//! all partitions and in the group, once and in order, and nothing else is.

use std::io;

use factum_event::batch::{BatchBuilder, Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::messages::*;
use factum_wire::{ApiKey, Records};

use super::reading::{value_of, writer_of};
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::{Client, newest};
use crate::common::work::*;

pub const PARTITIONS: i32 = 2;

/// Which client's protocol it speaks: that of before KIP-890, or that.
#[derive(Clone, Copy)]
struct Versions {
    produce: i16,
    add_partitions: Option<i16>,
    commit: i16,
    end: i16,
}

const V1: Versions = Versions { produce: 11, add_partitions: Some(3), commit: 3, end: 3 };
const V2: Versions = Versions { produce: 12, add_partitions: None, commit: 5, end: 5 };

/// A transactional producer.
pub struct Transfers {
    topic: &'static str,
    versions: Versions,
    producer: (i64, i16),
    sequences: [i32; PARTITIONS as usize],
    /// The number of the last transaction.
    last: i64,
    /// Those of which the commit was acknowledged.
    committed: Vec<i64>,
    /// One whose commit was asked for and not answered.
    unknown: Option<i64>,
    /// Of each partition: how many transactions were found in it, and up to where it was read.
    verified: [(usize, i64); PARTITIONS as usize],
    dice: Dice,
}

impl Transfers {
    pub fn new(topic: &'static str, is_v2: bool, dice: Dice) -> Self {
        Self {
            topic,
            versions: if is_v2 { V2 } else { V1 },
            producer: (-1, -1),
            sequences: [0; PARTITIONS as usize],
            last: 0,
            committed: Vec::new(),
            unknown: None,
            verified: [(0, 0); PARTITIONS as usize],
            dice,
        }
    }

    fn init(&mut self, client: &mut Client) -> io::Result<()> {
        let request = InitProducerIdRequest {
            transactional_id: Some(name(self.topic)),
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let answer = client.try_call(&request, newest(ApiKey::InitProducerId))?;
        ok("init", answer.error_code);
        self.producer = (answer.producer_id, answer.producer_epoch);
        self.sequences = [0; PARTITIONS as usize];
        Ok(())
    }

    /// Compares what is new in each partition, and the offset of the group. Nothing is open.
    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let request = committed_request(self.topic, self.topic, 0);
        let answer = client.try_call(&request, newest(ApiKey::OffsetFetch))?;
        let offset = answer.groups[0].topics[0].partitions[0].committed_offset;
        // What was on its way at the kill has come through, or has not; in all places alike.
        if let Some(number) = self.unknown.take()
            && offset == number
        {
            self.committed.push(number);
        }
        assert_eq!(offset, self.committed.last().copied().unwrap_or(-1), "{}: offset", self.topic);
        for partition in 0..PARTITIONS {
            let (count, from) = self.verified[partition as usize];
            let (records, end) = committed_from(client, self.topic, partition, from)?;
            let found: Vec<_> = records.iter().map(|record| writer_of(&record.record).1).collect();
            assert_eq!(found, self.committed[count..], "{}-{partition}", self.topic);
            self.verified[partition as usize] = (self.committed.len(), end);
        }
        Ok(())
    }

    /// One transaction up to its end, which is for the caller.
    fn transfer(&mut self, client: &mut Client) -> io::Result<()> {
        self.last += 1;
        if let Some(version) = self.versions.add_partitions {
            let answer = client.try_call(&self.add_request(), version)?;
            for added in &answer.results_by_topic_v3_and_below[0].results_by_partition {
                ok("add a partition", added.partition_error_code);
            }
        }
        // All are on their way before the first is answered.
        let mut sent = Vec::new();
        for partition in 0..PARTITIONS {
            let request = self.write_request(partition);
            sent.push(client.send(&request, self.versions.produce)?);
            self.sequences[partition as usize] += 1;
        }
        for number in sent {
            let answer = of_partition(client.receive(number, self.versions.produce)?);
            ok(&format!("write to {}", self.topic), answer.error_code);
        }
        if self.versions.add_partitions.is_some() {
            let request = AddOffsetsToTxnRequest {
                transactional_id: name(self.topic),
                producer_id: self.producer.0,
                producer_epoch: self.producer.1,
                group_id: name(self.topic),
            };
            ok("add a group", client.try_call(&request, 3)?.error_code);
        }
        let answer = client.try_call(&self.commit_request(), self.versions.commit)?;
        ok("commit an offset", answer.topics[0].partitions[0].error_code);
        Ok(())
    }

    fn add_request(&self) -> AddPartitionsToTxnRequest {
        let partitions = (0..PARTITIONS).collect();
        let topic = AddPartitionsToTxnTopic { name: name(self.topic), partitions };
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: name(self.topic),
            v3_and_below_producer_id: self.producer.0,
            v3_and_below_producer_epoch: self.producer.1,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        }
    }

    fn write_request(&mut self, partition: i32) -> ProduceRequest {
        let (id, epoch) = self.producer;
        let base_sequence = self.sequences[partition as usize];
        let producer = ProducerState { id, epoch, base_sequence };
        let mut builder = BatchBuilder::new(Codec::None, Some(producer)).transactional();
        let length = self.dice.below(300) as usize;
        builder.push(&Record {
            key: None,
            value: Some(value_of(0, self.last, &self.dice.bytes(length)).into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH + self.last),
        });
        let mut request = produce_request(self.topic, partition, None);
        let records = Records::from(builder.build().unwrap().bytes().clone());
        request.topic_data[0].partition_data[0].records = Some(records);
        ProduceRequest { transactional_id: Some(name(self.topic)), ..request }
    }

    fn commit_request(&self) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: self.last,
            ..Default::default()
        };
        TxnOffsetCommitRequest {
            transactional_id: name(self.topic),
            group_id: name(self.topic),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: name(self.topic),
                partitions: vec![partition],
            }],
            ..Default::default()
        }
    }

    fn end(&mut self, client: &mut Client, committed: bool) -> io::Result<()> {
        let request = EndTxnRequest {
            transactional_id: name(self.topic),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed,
        };
        if committed {
            self.unknown = Some(self.last);
        }
        let answer = client.try_call(&request, self.versions.end)?;
        ok("end", answer.error_code);
        if let Some(number) = self.unknown.take() {
            self.committed.push(number);
        }
        if self.versions.add_partitions.is_none() {
            self.producer = (answer.producer_id, answer.producer_epoch);
            self.sequences = [0; PARTITIONS as usize];
        }
        Ok(())
    }
}

impl Actor for Transfers {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.init(client)?;
        self.verify(client)?;
        while !world.is_draining() {
            self.transfer(client)?;
            match self.dice.below(12) {
                0 => self.end(client, false)?,
                // A new instance aborts what the old one has left open.
                1 => self.init(client)?,
                _ => {
                    self.end(client, true)?;
                    world.tell();
                }
            }
        }
        Ok(())
    }

    fn check(&mut self, life: &Life) -> Tally {
        let client = &mut life.connect().unwrap();
        self.init(client).unwrap();
        self.verify(client).unwrap();
        let mut found = u64::MAX;
        for partition in 0..PARTITIONS {
            let (records, _) = committed_from(client, self.topic, partition, 0).unwrap();
            let numbers: Vec<_> =
                records.iter().map(|record| writer_of(&record.record).1).collect();
            assert_eq!(numbers, self.committed, "{}-{partition}", self.topic);
            found = found.min(numbers.len() as u64);
        }
        let what = format!("transactions of {}, whole, once and in order", self.topic);
        Tally { what, acknowledged: self.committed.len() as u64, found }
    }
}
