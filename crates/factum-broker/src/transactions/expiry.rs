//! What time does to transactional ids: transactions that take too long are aborted, and ids that
//! nobody uses are forgotten.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_event::Timestamp;
use factum_event::batch::Outcome;

use super::coordinator::{Coordinator, Ending, Turn};
use super::state::{TransactionState, TransactionStatus, TransactionalId};
use crate::produce::ProduceError;

impl Coordinator {
    /// Aborts what has taken too long, and forgets ids that were not used for `idle`. Never
    /// waits: where there is no room in the queue, or somebody has the turn, it is for next time.
    pub(crate) fn expire(&self, now: Timestamp, idle: Duration) {
        let idle_ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        let is_idle = |state: &TransactionState| {
            !state.is_ongoing()
                && now.as_millis().saturating_sub(state.changed_at.as_millis()) > idle_ms
        };
        let is_late = |state: &TransactionState| state.expires_at().is_some_and(|at| at <= now);
        for (id, state) in self.all() {
            if !is_idle(&state) && !is_late(&state) {
                continue;
            }
            let Some(turn) = self.try_turn(&id) else { continue };
            // It may have ended while the others were looked at.
            let Some(state) = turn.state() else { continue };
            let done = if is_late(&state) {
                self.abort_late(&turn, &state, now)
            } else if is_idle(&state) {
                at_once(self.forget(&turn)).map(drop)
            } else {
                continue;
            };
            self.report(&id, done);
        }
    }

    /// Aborts a transaction, and fences its producer off.
    fn abort_late(
        &self,
        turn: &Turn,
        state: &TransactionState,
        now: Timestamp,
    ) -> Result<(), Option<ProduceError>> {
        let fenced = state.producer.fenced();
        let ending = Ending { outcome: Outcome::Abort, marked_by: fenced };
        let next = TransactionState {
            producer: fenced,
            previous: None,
            ..state.ended(TransactionStatus::CompleteAbort, now)
        };
        let pending = at_once(self.end(turn, state, ending, next))?;
        self.unstable.aborted_at(state.producer.id, &state.offsets, pending.base_offset());
        self.counters.timed_out();
        Ok(())
    }

    fn report(&self, id: &TransactionalId, done: Result<(), Option<ProduceError>>) {
        match done {
            Ok(()) => tracing::info!(%id, "the transaction took too long, or the id was not used"),
            Err(None) => tracing::debug!(%id, "no room to end a transaction; tried again later"),
            Err(Some(error)) => tracing::warn!(%id, %error, "a late transaction was not ended"),
        }
    }
}

/// What a future comes to at once; dropped if it would have to wait.
fn at_once<T>(
    future: impl Future<Output = Result<T, ProduceError>>,
) -> Result<T, Option<ProduceError>> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done.map_err(Some),
        Poll::Pending => Err(None),
    }
}
