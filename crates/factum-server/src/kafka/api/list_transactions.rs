//! ListTransactions (66): the transactional ids, filtered (KIP-664).
//!
//! * Filters that are empty let everything pass. States that do not exist are named in the answer.
//! * 1: those that have been under way for so long (KIP-994). 2: a pattern of the whole id
//!   (KIP-1152).

use std::collections::BTreeSet;

use factum_broker::{TransactionState, TransactionStatus, TransactionalId};
use factum_event::access::{Operation, Resource};
use factum_wire::ErrorCode;
use factum_wire::messages::{ListTransactionsRequest, ListTransactionsResponse, ListedTransaction};
use regex::{Regex, RegexBuilder};

use super::text;
use crate::kafka::dispatch::Call;

/// The most that a pattern may take in memory, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Every state that an id can have.
const STATES: [TransactionStatus; 6] = [
    TransactionStatus::Empty,
    TransactionStatus::Ongoing,
    TransactionStatus::PrepareCommit,
    TransactionStatus::PrepareAbort,
    TransactionStatus::CompleteCommit,
    TransactionStatus::CompleteAbort,
];

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let pattern = request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty());
    let Ok(pattern) = pattern.map(whole).transpose() else {
        let error_code = ErrorCode::InvalidRegularExpression.code();
        return ListTransactionsResponse { error_code, ..Default::default() };
    };
    let is_state = |name: &str| STATES.iter().any(|state| state.name() == name);
    let unknown: BTreeSet<&str> =
        request.state_filters.iter().map(|name| &**name).filter(|name| !is_state(name)).collect();
    let unknown_state_filters = unknown.into_iter().map(text).collect();
    let now = call.door.broker.clock().now().as_millis();
    let passes = |(id, state): &(TransactionalId, TransactionState)| {
        let started = state.started_at.map_or(now, |at| at.as_millis());
        let names = &request.state_filters;
        let ids = &request.producer_id_filters;
        (names.is_empty() || names.iter().any(|name| **name == *state.status.name()))
            && (ids.is_empty() || ids.contains(&state.producer.id))
            && (request.duration_filter < 0
                || now.saturating_sub(started) > request.duration_filter)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id.as_ref()))
    };
    let listed = |(id, state): (TransactionalId, TransactionState)| ListedTransaction {
        transactional_id: text(id),
        producer_id: state.producer.id,
        transaction_state: text(state.status.name()),
    };
    let may = |(id, _): &(TransactionalId, _)| {
        call.may(Operation::Describe, Resource::transactional_id(id.as_ref()))
    };
    let all = call.door.broker.transactions().into_iter();
    ListTransactionsResponse {
        unknown_state_filters,
        transaction_states: all.filter(passes).filter(may).map(listed).collect(),
        ..Default::default()
    }
}

/// A pattern that must match all of an id.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES).build()
}
