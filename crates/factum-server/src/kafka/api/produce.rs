//! Produce (0): appends record batches.
//!
//! * Exactly one batch of format 2 per partition; its bytes go to the journal as they came.
//! * acks -1 and 1 are the same: an acknowledgement follows the flush. acks 0 has no answer; an
//!   error then closes the connection.
//! * An acknowledgement that does not come within `timeout_ms` is answered as timed out; the
//!   batch may still become durable, so a client without idempotence may write it twice.
//! * Who has a quota and exceeds it is answered as others are, and then held back (KIP-219).
//! * With a transactional id, what is part of a transaction goes into that of this id. 12: the
//!   partition need not be added to it before (KIP-890); 11: where it must be and was not, the
//!   transaction is to be aborted, which before ends the producer.
//! * 7: zstd. 8: error messages. 13: topics by id (KIP-516).
//! * Versions 0 to 2 are advertised, as librdkafka wants them to be (KAFKA-18659), and refused.

use std::future::Future;

use factum_broker::{Pending, ProduceError, Topic, TransactionProtocol, TransactionalId};
use factum_event::access::Operation;
use factum_event::batch::{Batch, Codec};
use factum_event::{Partition, Timestamp};
use factum_wire::messages::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use factum_wire::{ErrorCode, Records};
use tokio::time::{Instant, timeout_at};

use super::{MAX_WAIT, answer_within, text};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which clients may send zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// The first version that names topics by id.
const IDS_SINCE: i16 = 13;

/// The first version in which clients know that they are to abort a transaction, and can go on then.
const ABORTABLE_SINCE: i16 = 11;

/// The first version of KIP-890.
const V2_SINCE: i16 = 12;

/// A batch that was queued, or why not.
type Queued = Result<(Pending, i64), Refusal>;

struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    /// The records that are to blame, from 0.
    records: Vec<i32>,
}

impl Refusal {
    fn new(code: ErrorCode, message: Option<String>) -> Self {
        Self { code, message, records: Vec::new() }
    }

    /// The same, with a code that clients of this version know.
    fn known_to(self, version: i16) -> Self {
        Self { code: errors::unless_abortable(self.code, version >= ABORTABLE_SINCE), ..self }
    }

    fn record_errors(&self) -> Vec<BatchIndexAndErrorMessage> {
        // Why is said once, for all of them.
        let blamed = |index: &i32| BatchIndexAndErrorMessage {
            batch_index: *index,
            batch_index_error_message: None,
        };
        self.records.iter().map(blamed).collect()
    }

    fn timed_out() -> Self {
        let message = "not acknowledged in time; it may still become durable";
        Self::new(ErrorCode::RequestTimedOut, Some(message.to_owned()))
    }
}

/// Queues all batches in their order; what it returns waits until they are durable.
pub(in crate::kafka) async fn start(
    call: &Call,
    request: ProduceRequest,
) -> impl Future<Output = ProduceResponse> + Send + use<> {
    let transaction = transactional_id(call, &request);
    let deadline = deadline(&request);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        topics.push(queue_topic(call, topic, &transaction, deadline).await);
    }
    async move {
        let mut responses = Vec::with_capacity(topics.len());
        for (mut response, queued) in topics {
            for (index, queued) in queued {
                response.partition_responses.push(durable(index, queued, deadline).await);
            }
            responses.push(response);
        }
        ProduceResponse { responses, ..Default::default() }
    }
}

/// Until when an answer is due. Without one, nobody asked for a time.
fn deadline(request: &ProduceRequest) -> Instant {
    let wait = if request.acks == 0 { MAX_WAIT } else { answer_within(request.timeout_ms) };
    Instant::now() + wait
}

/// In whose name transactions are written; an error where the request as a whole is refused.
fn transactional_id(
    call: &Call,
    request: &ProduceRequest,
) -> Result<Option<TransactionalId>, ErrorCode> {
    if !(-1..=1).contains(&request.acks) {
        return Err(ErrorCode::InvalidRequiredAcks);
    }
    let id = request.transactional_id.as_ref();
    id.map(|id| call.transactional_id(Operation::Write, id)).transpose()
}

async fn queue_topic(
    call: &Call,
    data: TopicProduceData,
    transaction: &Result<Option<TransactionalId>, ErrorCode>,
    deadline: Instant,
) -> (TopicProduceResponse, Vec<(i32, Queued)>) {
    let by_id = call.version() >= IDS_SINCE;
    let topic = match transaction {
        Err(code) => Err(*code),
        Ok(id) => call
            .find_topic(Operation::Write, (&data.name, data.topic_id), by_id)
            .map(|topic| (topic, id.as_ref())),
    };
    let mut queued = Vec::with_capacity(data.partition_data.len());
    for partition in data.partition_data {
        let index = partition.index;
        let outcome = match &topic {
            // Given up before it has its offset, a batch is not appended.
            Ok((topic, id)) => timeout_at(deadline, queue(call, topic, *id, partition))
                .await
                .unwrap_or_else(|_| Err(Refusal::timed_out())),
            Err(code) => Err(Refusal::new(*code, None)),
        };
        queued.push((index, outcome));
    }
    let TopicProduceData { name, topic_id, .. } = data;
    // The name is shared with the request; the answer must not keep all of it alive.
    (TopicProduceResponse { name: text(&*name), topic_id, ..Default::default() }, queued)
}

async fn queue(
    call: &Call,
    topic: &Topic,
    id: Option<&TransactionalId>,
    data: PartitionProduceData,
) -> Queued {
    let partition = Partition::new(data.index);
    let partition = partition.filter(|partition| topic.partition_id(*partition).is_some());
    let unknown = Refusal::new(ErrorCode::UnknownTopicOrPartition, None);
    let partition = partition.ok_or(unknown)?;
    let batch = batch(call.version(), data.records)?;
    let broker = &call.door.broker;
    let start = topic.partition_id(partition).map(|id| broker.log().extent(id).start.get());
    let is_transactional = batch.header().attributes.is_transactional();
    let pending = match id.filter(|_| is_transactional) {
        Some(id) => {
            let is_v2 = call.version() >= V2_SINCE;
            let protocol = if is_v2 { TransactionProtocol::V2 } else { TransactionProtocol::V1 };
            let queued = broker.enqueue_in_transaction((id, protocol), topic, partition, batch);
            let refusal = |error| Refusal::from(error).known_to(call.version());
            queued.await.map_err(refusal)?
        }
        None => broker.enqueue(topic, partition, batch).await?,
    };
    Ok((pending, start.unwrap_or(0)))
}

fn batch(version: i16, records: Option<Records>) -> Result<Batch, Refusal> {
    let empty = || {
        let message = "no record batch; exactly one is expected".to_owned();
        Refusal::new(ErrorCode::InvalidRecord, Some(message))
    };
    let bytes = records.filter(|records| !records.is_empty()).ok_or_else(empty)?.into_bytes();
    let batch = Batch::parse(bytes).map_err(ProduceError::from)?;
    if batch.codec().map_err(ProduceError::from)? == Codec::Zstd && version < ZSTD_SINCE {
        let message = format!("zstd needs Produce version {ZSTD_SINCE}, not {version}");
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, Some(message)));
    }
    Ok(batch)
}

async fn durable(index: i32, queued: Queued, deadline: Instant) -> PartitionProduceResponse {
    let produced = match queued {
        Ok((pending, start)) => match timeout_at(deadline, pending.durable()).await {
            Ok(produced) => produced.map(|produced| (produced, start)).map_err(Refusal::from),
            Err(_) => Err(Refusal::timed_out()),
        },
        Err(refusal) => Err(refusal),
    };
    match produced {
        Ok((produced, log_start_offset)) => PartitionProduceResponse {
            index,
            base_offset: produced.base_offset.get(),
            log_append_time_ms: produced.append_time.map_or(-1, Timestamp::as_millis),
            log_start_offset,
            ..Default::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            record_errors: refusal.record_errors(),
            error_message: refusal.message.map(text),
            base_offset: -1,
            ..Default::default()
        },
    }
}

impl From<ProduceError> for Refusal {
    fn from(error: ProduceError) -> Self {
        let (code, records) = (errors::produce(&error), error.records().to_vec());
        Self { code, message: Some(error.to_string()), records }
    }
}
