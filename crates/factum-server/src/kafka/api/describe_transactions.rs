//! DescribeTransactions (65): there are no transactions yet, so every id is refused.

use factum_wire::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction,
};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let refused = |asked: &Str| DescribedTransaction {
        error_code: ErrorCode::InvalidRequest.code(),
        transactional_id: text(&**asked),
        ..Default::default()
    };
    let transaction_states = request.transactional_ids.iter().map(refused).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}
