//! How many transactions ended, and how.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use factum_event::batch::Outcome;

/// What has happened to transactions since the broker was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionMetrics {
    /// Those that were committed.
    pub committed: u64,
    /// Those that were aborted, for whatever reason.
    pub aborted: u64,
    /// Of these, those that took longer than their timeout.
    pub timed_out: u64,
    /// Those that are under way now.
    pub ongoing: u64,
    /// Transactional ids that are kept now.
    pub ids: u64,
}

#[derive(Debug, Default)]
pub(super) struct TransactionCounters {
    committed: AtomicU64,
    aborted: AtomicU64,
    timed_out: AtomicU64,
}

impl TransactionCounters {
    pub(super) fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Commit => &self.committed,
            Outcome::Abort => &self.aborted,
        }
        .fetch_add(1, Relaxed);
    }

    pub(super) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Relaxed);
    }

    /// What was counted; what there is now is for the caller to say.
    pub(super) fn read(&self) -> TransactionMetrics {
        TransactionMetrics {
            committed: self.committed.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            ..TransactionMetrics::default()
        }
    }
}
