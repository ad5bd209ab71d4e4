//! Who reads only what was committed: as Kafka's clients do it, and through the broker.

use std::collections::BTreeSet;

use factum_broker::{AbortedTransaction, Broker, UNPACKED_LIMIT};
use factum_event::batch::{BatchRecord, Outcome};
use factum_event::log::{LogError, ReadLimit};
use factum_event::{EventLog, Offset, TopicName};
use factum_log::{Extent, PartitionId, ReadError, StoredBatch};

use crate::Violation;

/// What one read has shown.
pub(crate) struct Shown {
    pub(crate) from: Offset,
    /// Where to read on.
    pub(crate) next: Offset,
    pub(crate) records: Vec<BatchRecord>,
}

/// What a client gets in one answer.
pub(crate) struct Fetched {
    from: Offset,
    stable: Offset,
    batches: Vec<StoredBatch>,
    aborted: Vec<AbortedTransaction>,
}

/// Asks as the Kafka door does for a client.
pub(crate) async fn fetch(
    broker: &Broker,
    id: PartitionId,
    from: Offset,
    max_bytes: usize,
) -> Result<Fetched, ReadError> {
    let stable = broker.last_stable_offset(id);
    let mut batches = Vec::new();
    if from < stable {
        batches = broker.log().read(id, from, max_bytes).await?;
    }
    batches.retain(|batch| batch.entry.base_offset < stable);
    let until = batches.last().map_or(from, |last| last.entry.next_offset());
    let aborted = broker.aborted_transactions(id, from, until);
    // What was cut off meanwhile may be forgotten.
    let Extent { start, end } = broker.log().extent(id);
    if from < start {
        return Err(ReadError::OutOfRange { from, start, end });
    }
    Ok(Fetched { from, stable, batches, aborted })
}

impl Fetched {
    /// What a client shows of it.
    pub(crate) fn show(mut self) -> Result<Shown, Violation> {
        self.aborted.sort_by_key(|known| known.first);
        let mut coming = self.aborted.iter().peekable();
        let mut aborting = BTreeSet::new();
        let mut records = Vec::new();
        for stored in &self.batches {
            while let Some(known) = coming.next_if(|known| known.first <= stored.entry.last_offset)
            {
                aborting.insert(known.producer_id);
            }
            let (producer, attributes) = (stored.entry.producer_id, stored.entry.attributes());
            let batch = stored.to_batch().map_err(|error| error.to_string())?;
            if attributes.is_control() {
                if batch.outcome().map_err(|error| error.to_string())? == Some(Outcome::Abort) {
                    aborting.remove(&producer);
                }
            } else if !attributes.is_transactional() || !aborting.contains(&producer) {
                let found = batch.records(UNPACKED_LIMIT).map_err(|error| error.to_string())?;
                records.extend(found.into_iter().filter(|found| found.offset >= self.from));
            }
        }
        let last = self.batches.last().map(|last| last.entry.next_offset());
        Ok(Shown { from: self.from, next: last.unwrap_or(self.stable), records })
    }
}

/// Asks as an application does that has the log in its process.
pub(crate) async fn read(
    broker: &Broker,
    topic: &TopicName,
    id: PartitionId,
    from: Offset,
    limit: ReadLimit,
) -> Result<Shown, LogError> {
    let chunk = EventLog::read(broker, topic, id.partition, from, limit).await?;
    let found = chunk.records.into_iter();
    let records =
        found.map(|found| BatchRecord { offset: found.position.offset, record: found.record });
    Ok(Shown { from, next: chunk.next, records: records.collect() })
}
