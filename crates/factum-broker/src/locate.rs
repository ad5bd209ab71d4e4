//! Looking up places in a partition: its ends, a time, the latest time.

use factum_event::batch::BatchError;
use factum_event::log::Located;
use factum_event::{Offset, Place, Timestamp};
use factum_log::{PartitionId, ReadError, StoredBatch};
use thiserror::Error;

use crate::Broker;

/// The most that one batch may unpack to when its records are looked at, in bytes.
pub const UNPACKED_LIMIT: usize = 64 << 20;

/// Why a place was not found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The batch there cannot be looked into.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl Broker {
    /// Looks up a place in a partition. A time that no record has reached is at the end, without
    /// a timestamp.
    ///
    /// # Errors
    /// [`LocateError`].
    pub async fn locate(
        &self,
        partition: PartitionId,
        place: Place,
    ) -> Result<Located, LocateError> {
        let extent = self.log().extent(partition);
        let at = |offset| Located { offset, timestamp: None };
        let found = match place {
            Place::Start => return Ok(at(extent.start)),
            Place::End => return Ok(at(extent.end)),
            Place::At(offset) => return Ok(at(offset)),
            Place::Time(time) => {
                let batch = self.log().find_time(partition, time).await?;
                first_from(batch.as_ref(), time, extent.start)?
            }
            Place::MaxTimestamp => {
                let batch = self.log().find_max_timestamp(partition).await?;
                let latest = batch.as_ref().map(|batch| batch.entry.max_timestamp);
                let first = |latest| first_from(batch.as_ref(), latest, extent.start);
                latest.map_or(Ok(None), first)?
            }
        };
        Ok(found.unwrap_or_else(|| at(extent.end)))
    }
}

/// The first record of a batch whose timestamp is `time` or later, and that was not deleted.
fn first_from(
    batch: Option<&StoredBatch>,
    time: Timestamp,
    start: Offset,
) -> Result<Option<Located>, BatchError> {
    let Some(batch) = batch else { return Ok(None) };
    for found in batch.to_batch()?.decode(UNPACKED_LIMIT)? {
        let found = found?;
        let timestamp = found.record.timestamp;
        if timestamp >= time && found.offset >= start {
            return Ok(Some(Located { offset: found.offset, timestamp: Some(timestamp) }));
        }
    }
    Ok(None)
}
