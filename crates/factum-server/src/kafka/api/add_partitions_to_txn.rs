//! AddPartitionsToTxn (24): there are no transactions yet, so every partition is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let transactions = request.transactions.iter().map(|asked| AddPartitionsToTxnResult {
        transactional_id: text(&*asked.transactional_id),
        topic_results: refused(&asked.topics),
    });
    AddPartitionsToTxnResponse {
        results_by_transaction: transactions.collect(),
        results_by_topic_v3_and_below: refused(&request.v3_and_below_topics),
        ..Default::default()
    }
}

fn refused(topics: &[AddPartitionsToTxnTopic]) -> Vec<AddPartitionsToTxnTopicResult> {
    let partition = |partition_index: &i32| AddPartitionsToTxnPartitionResult {
        partition_index: *partition_index,
        partition_error_code: ErrorCode::InvalidRequest.code(),
    };
    let topic = |asked: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: text(&*asked.name),
        results_by_partition: asked.partitions.iter().map(partition).collect(),
    };
    topics.iter().map(topic).collect()
}
