//! ListTransactions (66): there are no transactions yet, so it is refused.

use factum_wire::ErrorCode;
use factum_wire::messages::{ListTransactionsRequest, ListTransactionsResponse};

use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    _request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    ListTransactionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() }
}
