//! DescribeTransactions (65): where transactional ids stand (KIP-664).

use std::collections::BTreeMap;

use factum_broker::TransactionState;
use factum_event::access::Operation;
use factum_wire::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction,
    DescribedTransactionTopic,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let transaction_states =
        request.transactional_ids.iter().map(|id| describe(call, id)).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn describe(call: &Call, id: &Str) -> DescribedTransaction {
    let failed = |error: ErrorCode| DescribedTransaction {
        transactional_id: text(&**id),
        error_code: error.code(),
        ..Default::default()
    };
    let known = match call.transactional_id(Operation::Describe, id) {
        Ok(known) => known,
        Err(error) => return failed(error),
    };
    let Some(state) = call.door.broker.transaction(&known) else {
        return failed(ErrorCode::TransactionalIdNotFound);
    };
    DescribedTransaction {
        transactional_id: text(&**id),
        transaction_state: text(state.status.name()),
        transaction_timeout_ms: i32::try_from(state.timeout_ms).unwrap_or(i32::MAX),
        transaction_start_time_ms: state.started_at.map_or(-1, |at| at.as_millis()),
        producer_id: state.producer.id,
        producer_epoch: state.producer.epoch,
        topics: topics(call, &state),
        ..Default::default()
    }
}

/// What it writes to, by topic; topics that are gone have no name, and those that
/// the caller may not know of are left out.
fn topics(call: &Call, state: &TransactionState) -> Vec<DescribedTransactionTopic> {
    let mut topics = BTreeMap::<String, Vec<i32>>::new();
    for place in &state.partitions {
        let topic = call.door.broker.topic_by_id(place.topic);
        let may = |name: &str| call.may_with_topic(Operation::Describe, name).is_ok();
        if let Some(topic) = topic.filter(|topic| may(topic.name.as_str())) {
            topics.entry(topic.name.to_string()).or_default().push(place.partition.get());
        }
    }
    let topic = |(name, partitions)| DescribedTransactionTopic { topic: text(name), partitions };
    topics.into_iter().map(topic).collect()
}
