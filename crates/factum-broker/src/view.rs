//! What a reader sees that reads only what was committed: everything but Kafka's clients that ask
//! for more.

use factum_event::Offset;
use factum_log::{BatchEntry, PartitionId};

use crate::Broker;
use crate::transactions::AbortedTransaction;

/// What was committed of a partition, from an offset on.
pub(crate) struct CommittedView {
    /// Up to where all transactions have ended.
    pub(crate) end: Offset,
    aborted: Vec<AbortedTransaction>,
}

impl CommittedView {
    /// Whether all of a batch is before the end. Where a partition begins in the middle of a batch
    /// that is still open, so does its end.
    pub(crate) fn reaches(&self, batch: &BatchEntry) -> bool {
        batch.last_offset < self.end
    }

    /// Whether the records of a batch count.
    pub(crate) fn shows(&self, batch: &BatchEntry) -> bool {
        let attributes = batch.attributes();
        if !self.reaches(batch) || attributes.is_control() {
            return false;
        }
        let has = |known: &AbortedTransaction| known.has(batch.producer_id, batch.base_offset);
        !attributes.is_transactional() || !self.aborted.iter().any(has)
    }
}

impl Broker {
    /// What is committed of a partition now, from `from` on.
    pub(crate) fn committed_view(&self, id: PartitionId, from: Offset) -> CommittedView {
        let end = self.last_stable_offset(id);
        CommittedView { end, aborted: self.aborted_transactions(id, from, end) }
    }
}
