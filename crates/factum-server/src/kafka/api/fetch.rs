//! Fetch (1): reads record batches, and waits for them.
//!
//! * Whole batches from the one that holds the offset; the first is sent even above the limits.
//! * Waits until `min_bytes` have come, at most `max_wait_ms`, and wakes on every append; a
//!   partition with an error is answered at once, and so is one that has more than was read.
//! * Old batches stay in the page cache: the answer says how long they are, and they go from their
//!   files to the socket. Only what nobody has read so far comes in memory.
//! * Who has a quota gets no more at once than that saves up, and nothing while it is held back for
//!   what it has had (KIP-219).
//! * 7: fetch sessions (KIP-227): a request has only what changes of what is fetched, an answer
//!   only what is news.
//! * 12: the epoch of what was fetched last: a later one than the log's only one is of another log.
//! * 13: topics by id.
//! * 4: who reads only what was committed gets nothing behind the last stable offset, and a list of
//!   the aborted transactions in what it gets: it leaves their records out itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use factum_broker::Broker;
use factum_event::access::{Operation, QuotaKey};
use factum_event::batch::LEADER_EPOCH;
use factum_event::{Offset, Partition};
use factum_log::{Chunk, Extent, FileRegion, Log, PartitionId, PartitionSlice};
use factum_wire::messages::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, PartitionData,
};
use factum_wire::{ErrorCode, Part, Records};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::{check_leader_epoch, text};
use crate::kafka::dispatch::Call;
use crate::kafka::fetch_sessions::Using;
use crate::kafka::{KafkaDoor, errors, quotas};

/// The first version that names topics by id.
const IDS_SINCE: i16 = 13;

/// What this broker waits at most, whatever a client asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The isolation level in which aborted transactions are listed.
const READ_COMMITTED: i8 = 1;

/// What an answer is cut to while all memory for answers is in use.
const CRAMPED_BYTES: usize = 64 << 10;

/// A fetch whose topics were looked up.
struct Fetch {
    door: Arc<KafkaDoor>,
    topics: Vec<Topic>,
    min_bytes: usize,
    max_bytes: usize,
    deadline: Instant,
    isolation_level: i8,
}

struct Topic {
    asked: FetchTopic,
    found: Vec<Result<PartitionId, ErrorCode>>,
}

/// What was read so far.
#[derive(Default)]
struct Filled {
    responses: Vec<FetchableTopicResponse>,
    regions: Vec<FileRegion>,
    bytes: usize,
    /// Waiting brings nothing: a partition has an error, or more than was read.
    done: bool,
    /// For what of it is in memory.
    room: Option<OwnedSemaphorePermit>,
    /// All memory for answers was in use.
    cramped: bool,
}

/// An answer whose records are partly in files.
#[derive(Default)]
pub(in crate::kafka) struct Fetched {
    pub(in crate::kafka) response: FetchResponse,
    /// What belongs into the response's external parts, in their order.
    pub(in crate::kafka) regions: Vec<FileRegion>,
    /// For the answer's memory, to be kept until the answer is sent.
    pub(in crate::kafka) room: Option<OwnedSemaphorePermit>,
    /// How many bytes of records there are.
    pub(in crate::kafka) bytes: usize,
    /// Until when its client is held back for what it has had before.
    pub(in crate::kafka) owed: Option<Instant>,
}

/// Looks up the topics; what it returns reads and waits.
pub(in crate::kafka) fn start(
    call: &Call,
    mut request: FetchRequest,
) -> impl Future<Output = Fetched> + Send + use<> {
    let door = Arc::clone(&call.door);
    let by_id = call.version() >= IDS_SINCE;
    let begun = door.fetch_sessions.begin(&mut request, by_id, Instant::now());
    let share = call.caller.share(&door.broker, QuotaKey::ConsumerByteRate);
    let mut fetch = Fetch::new(call, request);
    let mut owed = None;
    if let Some(share) = share {
        fetch.max_bytes = fetch.max_bytes.min(quotas::most_at_once(&share));
        fetch.min_bytes = fetch.min_bytes.min(fetch.max_bytes);
        owed = call.owed(QuotaKey::ConsumerByteRate, share);
    }
    async move {
        let using = match begun {
            Ok(using) => using,
            Err(error) => {
                let error_code = error.code();
                let response = FetchResponse { error_code, ..Default::default() };
                return Fetched { response, ..Default::default() };
            }
        };
        if owed.is_some() {
            let mut response = FetchResponse::default();
            // A client that gets nothing has not begun a session (KIP-219).
            if !matches!(using, Using::New(_)) {
                door.fetch_sessions.end(using, &mut response, Instant::now());
            }
            return Fetched { response, owed, ..Default::default() };
        }
        let mut fetched = fetch.run().await;
        door.fetch_sessions.end(using, &mut fetched.response, Instant::now());
        fetched
    }
}

impl Fetch {
    fn new(call: &Call, request: FetchRequest) -> Self {
        let door = Arc::clone(&call.door);
        let by_id = call.version() >= IDS_SINCE;
        let look_up = |asked| Topic::look_up(call, asked, by_id);
        let topics = request.topics.into_iter().map(look_up).collect();
        let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
        let max_bytes = size(request.max_bytes).min(door.limits.fetch_bytes);
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        Self {
            topics,
            min_bytes: size(request.min_bytes).min(max_bytes),
            max_bytes,
            deadline: Instant::now() + wait.min(LONGEST_WAIT),
            isolation_level: request.isolation_level,
            door,
        }
    }

    async fn run(self) -> Fetched {
        let found = self.topics.iter().flat_map(|topic| &topic.found);
        let ids: Vec<PartitionId> = found.flatten().copied().collect();
        let mut waiter = self.door.broker.log().waiter(&ids);
        loop {
            let late = Instant::now() >= self.deadline;
            let filled = self.fill().await;
            if late || filled.done || filled.bytes >= self.min_bytes {
                let Filled { responses, regions, room, bytes, .. } = filled;
                let response = FetchResponse { responses, ..Default::default() };
                return Fetched { response, regions, room, bytes, owed: None };
            }
            drop(filled);
            // Whether records came or the time is up: what there is then decides.
            let _ = timeout_at(self.deadline, waiter.changed()).await;
        }
    }

    async fn fill(&self) -> Filled {
        let mut filled = Filled::default();
        for topic in &self.topics {
            let mut partitions = Vec::with_capacity(topic.found.len());
            for (asked, found) in topic.asked.partitions.iter().zip(&topic.found) {
                partitions.push(self.partition(asked, *found, &mut filled).await);
            }
            filled.responses.push(FetchableTopicResponse {
                topic: text(&*topic.asked.topic),
                topic_id: topic.asked.topic_id,
                partitions,
            });
        }
        filled
    }

    /// Reads, and takes room for what of it is in memory; where there is none, it reads less.
    async fn read(
        &self,
        (id, end): (PartitionId, Offset),
        asked: &FetchPartition,
        filled: &mut Filled,
    ) -> Result<PartitionSlice, ErrorCode> {
        let log = self.door.broker.log();
        if !filled.cramped {
            let slice = read(log, id, (asked, end), self.max_bytes, filled.bytes).await?;
            if filled.take_room(&self.door.fetches_in_work, slice.bytes_in_memory()) {
                return Ok(slice);
            }
            filled.cramped = true;
        }
        read(log, id, (asked, end), CRAMPED_BYTES.min(self.max_bytes), filled.bytes).await
    }

    async fn partition(
        &self,
        asked: &FetchPartition,
        found: Result<PartitionId, ErrorCode>,
        filled: &mut Filled,
    ) -> PartitionData {
        let ends = found.map(|id| Ends::of(&self.door.broker, id));
        let committed_only = self.isolation_level == READ_COMMITTED;
        let end = |ends: &Ends| if committed_only { ends.stable } else { ends.extent.end };
        let slice = match (found, &ends) {
            (Ok(id), Ok(ends)) => self.read((id, end(ends)), asked, filled).await,
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(*error),
        };
        let (error, slice) = match slice {
            Ok(slice) => (ErrorCode::None, slice),
            Err(error) => (error, PartitionSlice::empty(Offset::ZERO)),
        };
        filled.bytes += slice.len();
        let more = |ends: &Ends| filled.bytes > 0 && slice.next < end(ends);
        filled.done |= error != ErrorCode::None || ends.as_ref().is_ok_and(more);
        let aborted_transactions = match found {
            Ok(id) if committed_only => Some(self.aborted(id, asked, &slice)),
            _ => committed_only.then(Vec::new),
        };
        let parts = slice.chunks.into_iter().map(|chunk| match chunk {
            Chunk::Memory(bytes) => Part::Bytes(bytes),
            Chunk::File(region) => {
                let length = region.len();
                filled.regions.push(region);
                Part::External(length)
            }
        });
        let records = Records::from(parts.collect::<Vec<_>>());
        let offset = |of: fn(&Ends) -> Offset| ends.as_ref().map_or(-1, |ends| of(ends).get());
        PartitionData {
            partition_index: asked.partition,
            error_code: error.code(),
            high_watermark: offset(|ends| ends.extent.end),
            last_stable_offset: offset(|ends| ends.stable),
            log_start_offset: offset(|ends| ends.extent.start),
            aborted_transactions,
            records: Some(records),
            ..Default::default()
        }
    }
}

impl Fetch {
    /// The aborted transactions that have something in a slice.
    fn aborted(
        &self,
        id: PartitionId,
        asked: &FetchPartition,
        slice: &PartitionSlice,
    ) -> Vec<AbortedTransaction> {
        let from = Offset::new(asked.fetch_offset).unwrap_or(Offset::ZERO);
        if slice.is_empty() {
            return Vec::new();
        }
        let mut aborted = self.door.broker.aborted_transactions(id, from, slice.next);
        // Kafka has them in the order of their markers; kafkajs takes them for sorted like this.
        aborted.sort_unstable_by_key(|known| known.first);
        let wire = |known: factum_broker::AbortedTransaction| AbortedTransaction {
            producer_id: known.producer_id,
            first_offset: known.first.get(),
        };
        aborted.into_iter().map(wire).collect()
    }
}

/// Where a partition ends, for which reader.
struct Ends {
    extent: Extent,
    /// For who reads only what was committed.
    stable: Offset,
}

impl Ends {
    fn of(broker: &Broker, id: PartitionId) -> Self {
        let stable = broker.last_stable_offset(id);
        // Read last, it is not before the other.
        Self { extent: broker.log().extent(id), stable }
    }
}

impl Filled {
    /// Takes permits for so many bytes more; false where that is too much now.
    fn take_room(&mut self, in_work: &Arc<Semaphore>, bytes: usize) -> bool {
        let permits = KafkaDoor::permits(bytes);
        let Ok(more) = Arc::clone(in_work).try_acquire_many_owned(permits) else {
            return false;
        };
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        true
    }
}

impl Topic {
    fn look_up(call: &Call, asked: FetchTopic, by_id: bool) -> Self {
        let named = (&*asked.topic, asked.topic_id);
        let topic = call.find_topic(Operation::Read, named, by_id);
        let find = |of: &FetchPartition| {
            let id = Partition::new(of.partition).and_then(|partition| {
                topic.as_ref().ok().and_then(|topic| topic.partition_id(partition))
            });
            match &topic {
                Err(error) => Err(*error),
                Ok(_) => id.ok_or(ErrorCode::UnknownTopicOrPartition),
            }
        };
        let found = asked.partitions.iter().map(find).collect();
        Self { asked, found }
    }
}

/// Batches for what is left of the limits once `filled` bytes of the answer are taken.
async fn read(
    log: &Log,
    id: PartitionId,
    (asked, end): (&FetchPartition, Offset),
    limit: usize,
    filled: usize,
) -> Result<PartitionSlice, ErrorCode> {
    // Here anything below 0 is none, as in Kafka.
    check_leader_epoch(asked.current_leader_epoch.max(-1))?;
    let from = Offset::new(asked.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    // Nothing was ever written in a later epoch: who says to have read it has read another log.
    if asked.last_fetched_epoch > LEADER_EPOCH {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let extent = log.extent(id);
    if extent == Extent::EMPTY && log.is_removed(id.topic) {
        // Deleted after it was looked up: not a reason to start anew somewhere else in it.
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if from < extent.start || from > extent.end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let of_partition = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
    let left = limit.saturating_sub(filled);
    if from >= end || (filled > 0 && left == 0) {
        return Ok(PartitionSlice::empty(from));
    }
    let most = left.min(of_partition);
    let slice = log.read_regions(id, from, most).await.map_err(|error| errors::read(&error))?;
    let slice = if slice.next > end { before(log, id, (from, end), most).await? } else { slice };
    // Only the first batch of the whole answer may be above the limits; alone it is in its slice.
    Ok(if filled > 0 && slice.len() > left { PartitionSlice::empty(from) } else { slice })
}

/// Whole batches before `end`, which may be within one that is open, where the partition begins
/// there: these are the latest, which are mostly in memory.
async fn before(
    log: &Log,
    id: PartitionId,
    (from, end): (Offset, Offset),
    most: usize,
) -> Result<PartitionSlice, ErrorCode> {
    let batches = log.read(id, from, most).await.map_err(|error| errors::read(&error))?;
    let stable = batches.into_iter().take_while(|batch| batch.entry.last_offset < end);
    Ok(PartitionSlice::of_batches(stable.collect(), from))
}
