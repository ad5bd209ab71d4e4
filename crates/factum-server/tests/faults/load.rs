//! A producer that meets a fault and does not give up, and a reader beside it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use factum_event::batch::{Codec, ProducerState};
use factum_event::{Record, Timestamp};
use factum_wire::{ApiKey, ErrorCode};

use crate::common::client::{Client, newest};
use crate::common::server::{Server, until};
use crate::common::work::*;
use crate::common::{DEADLINE, Dice};

pub const TOPIC: &str = "orders";
/// Large, so that journals fill soon.
const RECORD_BYTES: usize = 100_000;
/// How long a producer waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Batches that are sent at most until a fault shows.
const UNTIL_REFUSED: u64 = 300;

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused(ErrorCode),
    /// There is no answer yet.
    Silence,
}

/// An idempotent producer of one partition, with connections made before anything goes wrong.
pub struct Load {
    producer: i64,
    next: i64,
    /// The batch that is not acknowledged yet.
    sending: Option<Bytes>,
    connections: VecDeque<Client>,
    /// Connections on which no answer has come, with the request's number and the sequence.
    waiting: Vec<(Client, i32, i64)>,
    reader: Client,
    dice: Dice,
}

impl Load {
    pub fn new(server: &Server, dice: Dice) -> Self {
        let mut reader = Client::connect(server.kafka);
        create(&mut reader, TOPIC, 1);
        Self {
            producer: new_producer(&mut reader),
            next: 0,
            sending: None,
            connections: (0..8).map(|_| Client::connect(server.kafka)).collect(),
            waiting: Vec::new(),
            reader,
            dice,
        }
    }

    /// Sends the next batch, or the last one again.
    fn attempt(&mut self) -> Outcome {
        let batch = self.sending.take().unwrap_or_else(|| self.batch());
        self.sending = Some(batch.clone());
        let version = newest(ApiKey::Produce);
        let mut client = self.connections.pop_front().expect("a connection that is answered");
        client.patience(PATIENCE);
        let number = client.send(&produce_request(TOPIC, 0, Some(batch)), version).unwrap();
        let answer = match client.receive(number, version) {
            Ok(answer) => of_partition(answer),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                self.waiting.push((client, number, self.next));
                return Outcome::Silence;
            }
        };
        self.connections.push_back(client);
        if answer.error_code != 0 {
            return Outcome::Refused(ErrorCode::try_from(answer.error_code).unwrap());
        }
        assert_eq!(answer.base_offset, self.next, "acknowledged at another offset");
        self.sending = None;
        self.next += 1;
        Outcome::Acknowledged
    }

    fn batch(&mut self) -> Bytes {
        let base_sequence = self.next as i32;
        let producer = ProducerState { id: self.producer, epoch: 0, base_sequence };
        let record = Record {
            key: Some(self.next.to_string().into()),
            value: Some(self.dice.bytes(RECORD_BYTES).into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH),
        };
        batch_of(Codec::None, Some(producer), &[record])
    }

    /// Sends batches that must be taken.
    pub fn produce(&mut self, count: u64) {
        for _ in 0..count {
            assert_eq!(self.attempt(), Outcome::Acknowledged);
        }
    }

    /// Sends until a batch is refused, which must be with an error that clients retry.
    pub fn produce_until_refused(&mut self) {
        for _ in 0..UNTIL_REFUSED {
            if let Outcome::Refused(error) = self.attempt() {
                assert_eq!(error, ErrorCode::KafkaStorageError);
                return;
            }
        }
        panic!("{UNTIL_REFUSED} batches were taken, although the fault is there");
    }

    /// Sends the last batch again, as clients do, until it is taken.
    pub fn produce_until_taken(&mut self) {
        until("the log takes batches again", || {
            let outcome = self.attempt();
            if let Outcome::Refused(error) = &outcome {
                assert_eq!(*error, ErrorCode::KafkaStorageError);
                self.pause();
            }
            outcome == Outcome::Acknowledged
        });
        self.hear_late_answers();
    }

    /// Waits a moment at the end of the partition: nothing new comes there now.
    fn pause(&mut self) {
        let mut request = fetch_request(TOPIC, 0, self.next);
        (request.max_wait_ms, request.min_bytes) = (100, 1);
        ok("fetch", fetched(self.reader.ask(&request)).error_code);
    }

    /// Who has waited all the time gets an answer too, and no other than the one that came later.
    fn hear_late_answers(&mut self) {
        for (mut client, number, sequence) in self.waiting.drain(..) {
            client.patience(DEADLINE);
            let answer = client.receive(number, newest(ApiKey::Produce));
            let answer = of_partition(answer.expect("an answer in the end"));
            if answer.error_code == 0 {
                assert_eq!(answer.base_offset, sequence);
            } else {
                assert_eq!(error(answer.error_code), error(ErrorCode::KafkaStorageError.code()));
            }
            self.connections.push_back(client);
        }
    }

    /// Reads everything on a connection that was there before.
    pub fn read(&mut self) {
        assert_all(&mut self.reader, self.next);
    }

    /// Reads the newest record, which is in memory.
    pub fn read_newest(&mut self) {
        let newest = self.next - 1;
        let records = read_from(&mut self.reader, TOPIC, 0, newest);
        assert_eq!(records.len(), 1, "the end is where the last acknowledged record is");
    }

    /// As [`Self::check`]; the batch that was under way may be there too.
    pub fn check_after_kill(&self, server: &Server) {
        let client = &mut Client::connect(server.kafka);
        let end = end_of(client, TOPIC, 0);
        assert!((self.next..=self.next + 1).contains(&end), "{end}, acknowledged: {}", self.next);
        assert_all(client, end);
    }

    /// Everything acknowledged is there, once and in order, on another server's disk too.
    pub fn check(&self, server: &Server) {
        assert_all(&mut Client::connect(server.kafka), self.next);
    }
}

/// The records must be 0, 1, 2, … up to `count`; nothing else was acknowledged.
fn assert_all(client: &mut Client, count: i64) {
    let keys = |record: &factum_event::batch::BatchRecord| {
        let key = record.record.key.clone().unwrap();
        (record.offset.get(), String::from_utf8(key.to_vec()).unwrap())
    };
    let found: Vec<_> = read_all(client, TOPIC, 0).iter().map(keys).collect();
    let expected: Vec<_> = (0..count).map(|number| (number, number.to_string())).collect();
    assert_eq!(found, expected, "(offset, number)");
}
