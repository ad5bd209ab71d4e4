//! WriteTxnMarkers (27): ends what a producer has open in partitions, whatever its transactional id
//! says. Between brokers it ends transactions; here it is for administrators, to abort one that
//! nobody ends any more (`kafka-transactions.sh abort`, KIP-664).

use factum_broker::Producer;
use factum_event::Partition;
use factum_event::access::Operation;
use factum_event::batch::Outcome;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        markers.push(write(call, marker).await);
    }
    WriteTxnMarkersResponse { markers }
}

async fn write(call: &Call, marker: WritableTxnMarker) -> WritableTxnMarkerResult {
    let producer = Producer { id: marker.producer_id, epoch: marker.producer_epoch };
    let outcome = if marker.transaction_result { Outcome::Commit } else { Outcome::Abort };
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in marker.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for partition_index in topic.partition_indexes {
            let place = (&*topic.name, partition_index);
            let written = write_one(call, place, (producer, outcome)).await;
            let error_code = written.err().unwrap_or(ErrorCode::None).code();
            partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code });
        }
        topics.push(WritableTxnMarkerTopicResult { name: text(&*topic.name), partitions });
    }
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics }
}

async fn write_one(
    call: &Call,
    (topic, index): (&str, i32),
    marker: (Producer, Outcome),
) -> Result<(), ErrorCode> {
    let broker = &call.door.broker;
    call.may_with_cluster(Operation::ClusterAction)
        .or_else(|_| call.may_with_cluster(Operation::Alter))?;
    let topic = broker.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = Partition::new(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if marker.0.id < 0 {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if marker.0.epoch < 0 {
        return Err(ErrorCode::InvalidProducerEpoch);
    }
    let marked = broker.mark_partition(&topic, partition, marker).await;
    marked.map_err(|error| errors::produce(&error))
}
