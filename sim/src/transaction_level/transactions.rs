//! What may and must become of each transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use factum_broker::{
    CommitKey, Producer, TransactionProtocol, TransactionState, TransactionStatus,
};
use factum_event::Timestamp;
use factum_event::batch::Outcome;

use crate::Violation;

/// A transaction, by its place in the order in which they were begun.
pub(crate) type Number = usize;

/// A transaction that a client has begun, or thinks so.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The number of its transactional id.
    pub(crate) id: usize,
    pub(crate) producer: Producer,
    protocol: TransactionProtocol,
    /// It has not begun before.
    began_at: Timestamp,
    timeout: Duration,
    /// How it has ended, once somebody knows.
    pub(crate) outcome: Option<Outcome>,
    /// Somebody has asked for that.
    pub(crate) may_commit: bool,
    /// Somebody has asked for that, or it has taken too long.
    pub(crate) may_abort: bool,
    /// Its end was answered, or found after a restart.
    pub(crate) is_over: bool,
    /// The offsets that it commits.
    pub(crate) offsets: BTreeMap<CommitKey, i64>,
}

impl Transaction {
    pub(crate) fn new(
        id: usize,
        (producer, protocol): (Producer, TransactionProtocol),
        (began_at, timeout): (Timestamp, Duration),
    ) -> Self {
        let (outcome, may_commit, may_abort, is_over) = (None, false, false, false);
        let offsets = BTreeMap::new();
        Self {
            id,
            producer,
            protocol,
            began_at,
            timeout,
            outcome,
            may_commit,
            may_abort,
            is_over,
            offsets,
        }
    }

    /// Somebody wants it to end so.
    pub(crate) fn ask(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Commit => self.may_commit = true,
            Outcome::Abort => self.may_abort = true,
        }
    }

    /// Time may end it.
    pub(crate) fn grows_old(&mut self, now: Timestamp) {
        let age_ms = now.as_millis().saturating_sub(self.began_at.as_millis());
        self.may_abort |= u128::from(age_ms.unsigned_abs()) >= self.timeout.as_millis();
    }

    /// It is seen to have ended so: everybody must see the same from now on.
    pub(crate) fn decide(&mut self, outcome: Outcome) -> Result<(), Violation> {
        let was_asked = match outcome {
            Outcome::Commit => self.may_commit,
            Outcome::Abort => self.may_abort,
        };
        if !was_asked || self.outcome.is_some_and(|known| known != outcome) {
            return Err(format!("it is seen as {outcome:?}, but is {self:?}"));
        }
        self.outcome = Some(outcome);
        Ok(())
    }

    /// Nobody has ended it.
    pub(crate) const fn must_be_open(&self) -> bool {
        self.outcome.is_none() && !self.may_commit && !self.may_abort
    }

    pub(crate) fn may_be_committed(&self) -> bool {
        self.outcome.map_or(self.may_commit, |outcome| outcome == Outcome::Commit)
    }

    /// After a restart: the coordinator says how it stands; whether it is still open.
    pub(crate) fn reopened(
        &mut self,
        state: Option<&TransactionState>,
        is_durable: bool,
    ) -> Result<bool, Violation> {
        let ours = state.filter(|state| self.is_of(state));
        let is_open = ours.is_some_and(|state| state.status == TransactionStatus::Ongoing);
        if is_durable && self.must_be_open() && !is_open {
            return Err(format!("it is not open any more, but {state:?}: {self:?}"));
        }
        let Some(state) = ours else {
            // Nothing of it was durable, or others have come after it.
            (self.is_over, self.may_abort) = (true, true);
            return Ok(false);
        };
        match state.status {
            TransactionStatus::Ongoing if self.outcome.is_some() => {
                return Err(format!("it is open again: {self:?}"));
            }
            TransactionStatus::Ongoing => {
                (self.may_commit, self.may_abort) = (false, false);
                return Ok(true);
            }
            TransactionStatus::CompleteCommit if self.may_commit => self.decide(Outcome::Commit)?,
            TransactionStatus::CompleteAbort if self.may_abort => self.decide(Outcome::Abort)?,
            _ => self.may_abort = true,
        }
        self.is_over = true;
        Ok(false)
    }

    /// Whether a state may be that of this transaction.
    fn is_of(&self, state: &TransactionState) -> bool {
        let has_ended = state.status != TransactionStatus::Ongoing;
        match self.protocol {
            TransactionProtocol::V2 if has_ended => state.previous == Some(self.producer),
            _ => state.producer == self.producer,
        }
    }
}
