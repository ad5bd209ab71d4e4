//! ListOffsets (2): the ends of a partition, and lookups by time.
//!
//! * Timestamp -1 is the end (for who reads only what was committed, the last stable offset: nothing
//!   behind that is found), -2 the start, -3 the record with the largest timestamp (7), -4 the
//!   local start (8), -5 and -6 what a tiered log has elsewhere (9, 11): nothing here, so offset
//!   -1. In versions before theirs they are not known.
//! * A partition that is asked for twice is refused.
//! * A time finds the first record whose timestamp is not before it, inside batches too.

use factum_event::access::Operation;
use factum_event::batch::LEADER_EPOCH;
use factum_event::log::Located;
use factum_event::{Partition, Place, Timestamp};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use super::{check_leader_epoch, text, times};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The isolation level of who reads only what was committed.
const READ_COMMITTED: i8 = 1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let committed_only = request.isolation_level == READ_COMMITTED;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        let times = times(topic.partitions.iter().map(|asked| asked.partition_index));
        for asked in &topic.partitions {
            let located = if times[&asked.partition_index] > 1 {
                Err(ErrorCode::InvalidRequest)
            } else {
                locate(call, &topic.name, asked, committed_only).await
            };
            partitions.push(response(asked, located));
        }
        topics.push(ListOffsetsTopicResponse { name: text(&*topic.name), partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

/// The place that is asked for, or none where there is no such record.
async fn locate(
    call: &Call,
    topic: &str,
    asked: &ListOffsetsPartition,
    committed_only: bool,
) -> Result<Option<Located>, ErrorCode> {
    let broker = &call.door.broker;
    let topic = call.topic_named(Operation::Describe, topic)?;
    let partition = Partition::new(asked.partition_index);
    let id = partition.and_then(|partition| topic.partition_id(partition));
    let id = id.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    let (place, needs_record) = match (asked.timestamp, call.version()) {
        (-1, _) => (Place::End, false),
        (-2, _) | (-4, 8..) => (Place::Start, false),
        (-3, 7..) => (Place::MaxTimestamp, true),
        (-5, 9..) | (-6, 11..) => return Ok(None),
        (time, _) if time >= 0 => (Place::Time(Timestamp::from_millis(time)), true),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    let mut located = broker.locate(id, place).await.map_err(|error| errors::locate(&error))?;
    let stable = broker.last_stable_offset(id);
    if committed_only && located.offset >= stable {
        located = Located { offset: stable, timestamp: None };
    }
    Ok(Some(located).filter(|located| !needs_record || located.timestamp.is_some()))
}

fn response(
    asked: &ListOffsetsPartition,
    located: Result<Option<Located>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let partition_index = asked.partition_index;
    match located {
        Ok(Some(located)) => ListOffsetsPartitionResponse {
            partition_index,
            timestamp: located.timestamp.unwrap_or(Timestamp::UNKNOWN).as_millis(),
            offset: located.offset.get(),
            leader_epoch: LEADER_EPOCH,
            ..Default::default()
        },
        Ok(None) => ListOffsetsPartitionResponse { partition_index, ..Default::default() },
        Err(error) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: error.code(),
            ..Default::default()
        },
    }
}
