//! WriteTxnMarkers (27): there are no transactions yet, so every marker is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopic, WritableTxnMarkerTopicResult, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let partition = |partition_index: &i32| WritableTxnMarkerPartitionResult {
        partition_index: *partition_index,
        error_code: ErrorCode::InvalidRequest.code(),
    };
    let topic = |asked: &WritableTxnMarkerTopic| WritableTxnMarkerTopicResult {
        name: text(&*asked.name),
        partitions: asked.partition_indexes.iter().map(partition).collect(),
    };
    let marker = |asked: &WritableTxnMarker| WritableTxnMarkerResult {
        producer_id: asked.producer_id,
        topics: asked.topics.iter().map(topic).collect(),
    };
    WriteTxnMarkersResponse { markers: request.markers.iter().map(marker).collect() }
}
