//! The other half of a lane: appends copies in the target, in their order, several requests at once.
//!
//! A copy that does not fit the partition's end is refused by the target, and so is everything
//! that follows it. So whatever goes wrong, nothing is there twice or in another order; the
//! partition is looked at anew, and copying goes on at the end that it then has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use factum_event::batch::Batch;
use factum_wire::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use factum_wire::{ErrorCode, Records, Str};

use super::cluster::CLIENT_ID;
use super::fetching::Round;
use super::lane::Life;
use super::slot::{Again, Slot};
use crate::kafka_client::{ClientError, Connection, code_name};

/// Bytes of a request, but for one larger batch.
const REQUEST_BYTES: usize = 4 << 20;
/// Requests that wait for their answers.
const WINDOW: usize = 32;
/// How long the target may take for a request.
const TIMEOUT_MS: i32 = 30_000;
/// How long it waits for something to write, before it looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// A batch on its way to the target.
struct Flight {
    index: usize,
    /// The offset behind it.
    next: i64,
    records: u64,
    bytes: u64,
}

/// Writes to the target.
pub struct Writing {
    target: String,
    life: Life,
    slots: Vec<Arc<Slot>>,
    /// The places of the slots by topic and partition in the target.
    places: BTreeMap<(Str, i32), usize>,
}

impl Writing {
    /// Nothing is written yet.
    pub fn new(target: String, life: Life, slots: Vec<Arc<Slot>>) -> Self {
        let place = |(index, slot): (usize, &Arc<Slot>)| {
            ((slot.target_topic.clone(), slot.source.partition), index)
        };
        let places = slots.iter().enumerate().map(place).collect();
        Self { target, life, slots, places }
    }

    /// Writes until it is to stop, or nothing more comes.
    pub fn run(self, rounds: &Receiver<Round>) -> Result<(), ClientError> {
        let mut connection = Connection::open(&self.target, CLIENT_ID)?;
        while !self.life.is_over() {
            match rounds.recv_timeout(PAUSE) {
                Ok(round) => self.write(&mut connection, round)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn write(&self, connection: &mut Connection, round: Round) -> Result<(), ClientError> {
        let mut queues: VecDeque<(usize, VecDeque<Batch>)> =
            round.into_iter().map(|(index, batches)| (index, batches.into())).collect();
        let mut flying = VecDeque::new();
        while !queues.is_empty() && !self.life.is_over() {
            let (request, flights) = self.request(&mut queues);
            if flights.is_empty() {
                break;
            }
            connection.sender.send(&request)?;
            flying.push_back(flights);
            if flying.len() == WINDOW {
                self.settle(connection, &mut flying)?;
            }
        }
        while !flying.is_empty() {
            self.settle(connection, &mut flying)?;
        }
        Ok(())
    }

    /// The next batch of each partition, as far as the limit allows; the partitions that got a
    /// place stand last the next time.
    fn request(
        &self,
        queues: &mut VecDeque<(usize, VecDeque<Batch>)>,
    ) -> (ProduceRequest, Vec<Flight>) {
        let mut topics: BTreeMap<Str, Vec<PartitionProduceData>> = BTreeMap::new();
        let (mut flights, mut bytes) = (Vec::new(), 0);
        for _ in 0..queues.len() {
            let Some((index, mut batches)) = queues.pop_front() else { break };
            let slot = &self.slots[index];
            if slot.is_suspended() {
                continue;
            }
            let Some(batch) = batches.pop_front() else { continue };
            if bytes > 0 && bytes + batch.len() > REQUEST_BYTES {
                batches.push_front(batch);
                queues.push_front((index, batches));
                break;
            }
            bytes += batch.len();
            flights.push(flight(index, &batch));
            let records = Some(Records::from(batch.bytes().clone()));
            let data = PartitionProduceData { index: slot.source.partition, records };
            topics.entry(slot.target_topic.clone()).or_default().push(data);
            if !batches.is_empty() {
                queues.push_back((index, batches));
            }
        }
        let topic_data = topics.into_iter().map(|(name, partition_data)| TopicProduceData {
            name,
            partition_data,
            ..TopicProduceData::default()
        });
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: TIMEOUT_MS,
            topic_data: topic_data.collect(),
            ..ProduceRequest::default()
        };
        (request, flights)
    }

    /// Takes the answer to the first request that waits for one.
    fn settle(
        &self,
        connection: &mut Connection,
        flying: &mut VecDeque<Vec<Flight>>,
    ) -> Result<(), ClientError> {
        let Some(flights) = flying.pop_front() else { return Ok(()) };
        let answer: ProduceResponse = connection.receiver.receive()?;
        let mut answers: BTreeMap<usize, PartitionProduceResponse> = BTreeMap::new();
        for topic in answer.responses {
            for partition in topic.partition_responses {
                let place = (topic.name.clone(), partition.index);
                if let Some(index) = self.places.get(&place) {
                    answers.insert(*index, partition);
                }
            }
        }
        for flight in flights {
            let slot = &self.slots[flight.index];
            match answers.get(&flight.index) {
                Some(answer) if answer.error_code == 0 => {
                    slot.has_copied(flight.next);
                    self.life.shared.records.fetch_add(flight.records, Relaxed);
                    self.life.shared.bytes.fetch_add(flight.bytes, Relaxed);
                }
                Some(answer) => {
                    let (again, why) = refusal(answer);
                    self.life.shared.suspend(slot, again, why);
                }
                None => self.life.shared.suspend(slot, Again::Soon, None),
            }
        }
        Ok(())
    }
}

fn flight(index: usize, batch: &Batch) -> Flight {
    let header = batch.header();
    let is_gap = header.attributes.is_control();
    Flight {
        index,
        next: header.base_offset + i64::from(header.offsets()),
        records: if is_gap { 0 } else { header.record_count.unsigned_abs().into() },
        bytes: batch.len() as u64,
    }
}

/// What follows from the target's refusal: not worth telling is that another mirror was faster, or
/// that a batch that was thought lost is there.
fn refusal(answer: &PartitionProduceResponse) -> (Again, Option<String>) {
    let passing = [
        ErrorCode::OffsetOutOfRange,
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::KafkaStorageError,
    ];
    if passing.iter().any(|known| known.code() == answer.error_code) {
        return (Again::Soon, None);
    }
    let words = answer.error_message.as_deref().unwrap_or_default();
    (Again::Later, Some(format!("is not taken: {} {words}", code_name(answer.error_code))))
}
