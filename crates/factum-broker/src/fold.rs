//! State that is computed from one of Factum's own topics, and can be computed again.
//!
//! There is one way to change such state: append a record, then let the fold catch up with the
//! log. Recovery is the same, from the first offset on.

use factum_event::batch::BatchError;
use factum_event::{Offset, Record};
use factum_log::{Log, PartitionId, ReadError};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::control::UnknownChange;
use crate::offsets::UnknownCommit;
use crate::transactions::UnknownTransaction;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// The most that one batch of Factum's own may unpack to; Factum writes them uncompressed.
const UNPACKED_LIMIT: usize = 64 << 20;

/// How far a fold has read its topic.
#[derive(Debug)]
pub(crate) struct Fold {
    partition: PartitionId,
    next: Mutex<Offset>,
}

/// Why a fold cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A batch is not what it should be.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A control event of a newer version.
    #[error(transparent)]
    Change(#[from] UnknownChange),
    /// A committed offset of a newer version.
    #[error(transparent)]
    Commit(#[from] UnknownCommit),
    /// The state of a transaction of a newer version.
    #[error(transparent)]
    Transaction(#[from] UnknownTransaction),
}

impl Fold {
    pub(crate) fn new(partition: PartitionId) -> Self {
        Self { partition, next: Mutex::new(Offset::ZERO) }
    }

    /// Applies, in order, every record that is durable and was not applied yet.
    /// Goes on from `next`: what was before is known.
    pub(crate) async fn skip_to(&self, next: Offset) {
        *self.next.lock().await = next;
    }

    /// Looks at the state while nothing changes it, if that is so now; says up to where it is.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce(Offset) -> T) -> Option<T> {
        self.next.try_lock().ok().map(|next| look(*next))
    }

    pub(crate) async fn catch_up(
        &self,
        log: &Log,
        apply: impl Fn(Offset, &Record) -> Result<(), FoldError>,
    ) -> Result<(), FoldError> {
        let mut next = self.next.lock().await;
        let end = || log.extent(self.partition).end;
        while *next < end() {
            let durable = end();
            let batches = log.read(self.partition, *next, READ_BYTES).await?;
            if batches.is_empty() {
                // Compaction may have left nothing before the end.
                *next = durable;
            }
            for stored in batches {
                for found in stored.to_batch()?.records(UNPACKED_LIMIT)? {
                    apply(found.offset, &found.record)?;
                }
                *next = stored.entry.last_offset.next();
            }
        }
        Ok(())
    }
}
