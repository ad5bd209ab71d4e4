//! The committed records of a partition between two offsets, one after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use factum_event::batch::{Batch, BatchError, BatchRecord, Records as Decoded};
use factum_wire::messages::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use factum_wire::{ErrorCode, Records, Str};
use thiserror::Error;

use super::super::cluster::{CLIENT_ID, Place};
use super::super::committed::committed;
use super::super::copies::UNPACKED_LIMIT;
use crate::kafka_client::{ClientError, Connection, check};

const MAX_WAIT_MS: i32 = 500;
/// Bytes of an answer, but for one larger batch.
const ANSWER_BYTES: i32 = 8 << 20;
const READ_COMMITTED: i8 = 1;
/// How long nothing may come, although there must be something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why records cannot be read.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The broker.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What came.
    #[error("{place}: {error}")]
    Batch {
        /// The partition.
        place: Place,
        /// What is wrong.
        error: BatchError,
    },
    /// Nothing came.
    #[error(
        "{place}: nothing came from offset {from} on for {} s, although records end at {to}",
        PATIENCE.as_secs()
    )]
    Stalled {
        /// The partition.
        place: Place,
        /// What was asked for.
        from: i64,
        /// Where records end.
        to: i64,
    },
}

impl StreamError {
    /// Whether records were deleted while they were to be read.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Client(error) if error.is(ErrorCode::OffsetOutOfRange))
    }
}

/// Reads the records of a partition.
pub struct Stream<'a> {
    connection: &'a mut Connection,
    place: Place,
    from: i64,
    next: i64,
    to: i64,
    batches: VecDeque<Batch>,
    records: Option<Decoded>,
}

/// A connection for streams, to the broker at this address.
pub fn connect(address: &str) -> Result<Connection, ClientError> {
    Connection::open(address, CLIENT_ID)
}

impl<'a> Stream<'a> {
    /// Those from one offset on, and before another.
    pub fn new(connection: &'a mut Connection, place: Place, from: i64, to: i64) -> Self {
        let (batches, records) = (VecDeque::new(), None);
        Self { connection, place, from, next: from, to, batches, records }
    }

    fn find(&mut self) -> Result<Option<BatchRecord>, StreamError> {
        loop {
            if let Some(found) = self.records.as_mut().and_then(Iterator::next) {
                let found = found.map_err(|error| self.batch_error(error))?;
                let offset = found.offset.get();
                if (self.from..self.to).contains(&offset) {
                    return Ok(Some(found));
                }
                continue;
            }
            self.records = None;
            if let Some(batch) = self.batches.pop_front() {
                let records = batch.decode(UNPACKED_LIMIT);
                self.records = Some(records.map_err(|error| self.batch_error(error))?);
            } else if self.next >= self.to {
                return Ok(None);
            } else {
                self.fetch()?;
            }
        }
    }

    fn fetch(&mut self) -> Result<(), StreamError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(data) = self.ask()? else { return Err(self.stalled()) };
            check(&format!("to fetch {}", self.place), data.error_code, None)?;
            let aborted = data.aborted_transactions.unwrap_or_default();
            let bytes = data.records.map(Records::into_bytes).unwrap_or_default();
            let found = committed(self.next, bytes, &aborted);
            let found = found.map_err(|error| self.batch_error(error))?;
            self.batches.extend(found.batches);
            if found.next > self.next {
                self.next = found.next;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.stalled());
            }
        }
    }

    fn ask(&mut self) -> Result<Option<PartitionData>, ClientError> {
        let request = FetchRequest {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: ANSWER_BYTES,
            isolation_level: READ_COMMITTED,
            topics: vec![FetchTopic {
                topic: Str::from(self.place.topic.as_str()),
                partitions: vec![FetchPartition {
                    partition: self.place.partition,
                    fetch_offset: self.next,
                    partition_max_bytes: ANSWER_BYTES,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = self.connection.call(&request)?;
        check("to fetch", answer.error_code, None)?;
        Ok(answer.responses.into_iter().flat_map(|topic| topic.partitions).next())
    }

    fn batch_error(&self, error: BatchError) -> StreamError {
        StreamError::Batch { place: self.place.clone(), error }
    }

    fn stalled(&self) -> StreamError {
        StreamError::Stalled { place: self.place.clone(), from: self.next, to: self.to }
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<BatchRecord, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}
