//! TxnOffsetCommit (28): there are no transactions yet, so every offset is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let partition = |asked: &TxnOffsetCommitRequestPartition| TxnOffsetCommitResponsePartition {
        partition_index: asked.partition_index,
        error_code: ErrorCode::InvalidRequest.code(),
    };
    let topic = |asked: &TxnOffsetCommitRequestTopic| TxnOffsetCommitResponseTopic {
        name: text(&*asked.name),
        partitions: asked.partitions.iter().map(partition).collect(),
    };
    let topics = request.topics.iter().map(topic).collect();
    TxnOffsetCommitResponse { topics, ..Default::default() }
}
