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
            Place::Time(time) => self.first_from(partition, extent.start, time).await?,
            Place::MaxTimestamp => {
                let batch = self.log().find_max_timestamp(partition).await?;
                batch.map_or(Ok(None), |batch| latest_of(&batch, extent.start))?
            }
        };
        Ok(found.unwrap_or_else(|| at(extent.end)))
    }

    /// The first record from `start` on whose timestamp is `time` or later. What a batch says of
    /// its largest timestamp may be of a record that is gone, or none: then it is a later batch's.
    async fn first_from(
        &self,
        partition: PartitionId,
        start: Offset,
        time: Timestamp,
    ) -> Result<Option<Located>, LocateError> {
        let mut next = start;
        while let Some(batch) = self.log().find_time(partition, next, time).await? {
            if let Some(found) = records_of(&batch, start, |at| at >= time)?.next().transpose()? {
                return Ok(Some(found));
            }
            next = batch.entry.next_offset();
        }
        Ok(None)
    }
}

/// The record of a batch with the largest timestamp, of those from `start` on; of several, the
/// first.
fn latest_of(batch: &StoredBatch, start: Offset) -> Result<Option<Located>, BatchError> {
    let mut latest: Option<Located> = None;
    for found in records_of(batch, start, |_| true)? {
        let found = found?;
        if latest.is_none_or(|known| known.timestamp < found.timestamp) {
            latest = Some(found);
        }
    }
    Ok(latest)
}

/// Where the records of a batch are, from `start` on, whose timestamp is wanted.
fn records_of(
    batch: &StoredBatch,
    start: Offset,
    wanted: impl Fn(Timestamp) -> bool,
) -> Result<impl Iterator<Item = Result<Located, BatchError>>, BatchError> {
    let records = batch.to_batch()?.decode(UNPACKED_LIMIT)?;
    Ok(records.filter_map(move |found| match found {
        Ok(found) => {
            let timestamp = found.record.timestamp;
            let located = Located { offset: found.offset, timestamp: Some(timestamp) };
            (found.offset >= start && wanted(timestamp)).then_some(Ok(located))
        }
        Err(error) => Some(Err(error)),
    }))
}
