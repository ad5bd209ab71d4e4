//! DeleteRecords (21): deletes the records of partitions before an offset (KIP-107); each
//! partition is answered with what it then begins with, once that is durable.
//!
//! * -1 is the high watermark. An offset below the start deletes nothing; one beyond the high
//!   watermark is out of range. Topics that are only compacted, and Factum's own, refuse.
//! * A deletion that takes longer than `timeout_ms` goes on, and is answered as timed out.

use factum_event::access::Operation;
use factum_event::{Offset, Partition, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteRecordsTopic, DeleteRecordsTopicResult,
};
use tokio::time::{Instant, timeout_at};

use super::{answer_within, text};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// Up to the high watermark.
const ALL: i64 = -1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let deadline = Instant::now() + answer_within(request.timeout_ms);
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        topics.push(delete_in(call, asked, deadline).await);
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

async fn delete_in(
    call: &Call,
    asked: &DeleteRecordsTopic,
    deadline: Instant,
) -> DeleteRecordsTopicResult {
    let before: Vec<_> = asked.partitions.iter().map(before).collect();
    let valid: Vec<_> = before.iter().flatten().copied().collect();
    let deleted = match TopicName::new(&asked.name) {
        Ok(name) => timeout_at(deadline, delete(call, &name, &valid))
            .await
            .unwrap_or(Err(ErrorCode::RequestTimedOut)),
        Err(_) => Err(ErrorCode::InvalidTopicException),
    };
    let mut deleted = deleted.map(Vec::into_iter);
    let mut next = || match &mut deleted {
        Ok(deleted) => deleted.next().unwrap_or(Err(ErrorCode::UnknownServerError)),
        Err(error) => Err(*error),
    };
    let result = |(asked, before): (&DeleteRecordsPartition, &Result<_, ErrorCode>)| {
        let start = before.and_then(|_| next());
        DeleteRecordsPartitionResult {
            partition_index: asked.partition_index,
            low_watermark: start.map_or(-1, Offset::get),
            error_code: start.err().unwrap_or(ErrorCode::None).code(),
        }
    };
    let partitions = asked.partitions.iter().zip(&before).map(result).collect();
    DeleteRecordsTopicResult { name: text(&*asked.name), partitions }
}

/// What is asked of a partition: up to which offset, or to its end.
fn before(asked: &DeleteRecordsPartition) -> Result<(Partition, Option<Offset>), ErrorCode> {
    let partition =
        Partition::new(asked.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match asked.offset {
        ALL => Ok((partition, None)),
        offset => {
            let offset = Offset::new(offset).ok_or(ErrorCode::OffsetOutOfRange)?;
            Ok((partition, Some(offset)))
        }
    }
}

async fn delete(
    call: &Call,
    name: &TopicName,
    before: &[(Partition, Option<Offset>)],
) -> Result<Vec<Result<Offset, ErrorCode>>, ErrorCode> {
    if name.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    call.may_with_topic(Operation::Delete, name.as_str())?;
    let broker = &call.door.broker;
    let deleted = broker.delete_records(&call.caller.author(), name, before).await;
    let deleted = deleted.map_err(|error| errors::admin(&error))?;
    let code = |deleted: Result<_, _>| deleted.map_err(|error| errors::admin(&error));
    Ok(deleted.into_iter().map(code).collect())
}
