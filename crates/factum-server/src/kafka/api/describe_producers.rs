//! DescribeProducers (61): not answered yet, so every partition is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{
    DescribeProducersRequest, DescribeProducersRequestTopic, DescribeProducersResponse,
    DescribeProducersResponsePartition, DescribeProducersResponseTopic,
};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let partition = |partition_index: &i32| DescribeProducersResponsePartition {
        partition_index: *partition_index,
        error_code: ErrorCode::InvalidRequest.code(),
        ..Default::default()
    };
    let topic = |asked: &DescribeProducersRequestTopic| DescribeProducersResponseTopic {
        name: text(&*asked.name),
        partitions: asked.partition_indexes.iter().map(partition).collect(),
    };
    let topics = request.topics.iter().map(topic).collect();
    DescribeProducersResponse { topics, ..Default::default() }
}
