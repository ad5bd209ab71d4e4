//! OffsetForLeaderEpoch (23): where a leader's epoch ends, by which consumers find out that what
//! they have read was cut off (KIP-320).
//!
//! * There is one epoch, and nothing is cut off: it ends where the partition does. A later one,
//!   and -1, have no end; one before it ends where the partition begins.
//! * 2: an epoch that the client believes current, if it names one, must be that one.

use factum_event::access::Operation;
use factum_event::batch::LEADER_EPOCH;
use factum_event::{Offset, Partition};
use factum_log::Extent;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderPartitionResult, OffsetForLeaderTopicResult,
};

use super::{check_leader_epoch, text};
use crate::kafka::dispatch::Call;

/// No epoch, and no offset.
const NONE: i32 = -1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let result = |asked: &OffsetForLeaderPartition| {
            let end = find(call, &topic.topic, asked).map(|extent| end(asked.leader_epoch, extent));
            response(asked, end)
        };
        let partitions = topic.partitions.iter().map(result).collect();
        topics.push(OffsetForLeaderTopicResult { topic: text(&*topic.topic), partitions });
    }
    OffsetForLeaderEpochResponse { topics, ..Default::default() }
}

fn find(call: &Call, topic: &str, asked: &OffsetForLeaderPartition) -> Result<Extent, ErrorCode> {
    let broker = &call.door.broker;
    let topic = call.topic_named(Operation::Describe, topic)?;
    let partition = Partition::new(asked.partition);
    let id = partition.and_then(|partition| topic.partition_id(partition));
    let id = id.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok(broker.log().extent(id))
}

/// An epoch and its end, if there is one.
fn end(epoch: i32, Extent { start, end }: Extent) -> Option<(i32, Offset)> {
    match epoch {
        LEADER_EPOCH => Some((LEADER_EPOCH, end)),
        epoch if epoch == NONE || epoch > LEADER_EPOCH => None,
        before => Some((before, start)),
    }
}

fn response(
    asked: &OffsetForLeaderPartition,
    end: Result<Option<(i32, Offset)>, ErrorCode>,
) -> OffsetForLeaderPartitionResult {
    let found = end.unwrap_or_default();
    OffsetForLeaderPartitionResult {
        error_code: end.err().unwrap_or(ErrorCode::None).code(),
        partition: asked.partition,
        leader_epoch: found.map_or(NONE, |(epoch, _)| epoch),
        end_offset: found.map_or(NONE.into(), |(_, offset)| offset.get()),
    }
}
