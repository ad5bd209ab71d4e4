//! Copies of another cluster's records, which keep the offsets that they have there.
//!
//! A topic whose setting `factum.mirror.source` is set takes copies and nothing else. A copy is
//! appended where its base offset is the partition's end, and refused elsewhere: whoever sends one
//! twice, or after another who copies too, appends nothing twice. So the end of a partition is all
//! that is to be known of how far it was copied.
//!
//! The settings of the topic say nothing to copies: not how large they may be, how they are
//! packed, whether they have keys, or which times. The source has decided that.

use factum_event::Partition;
use factum_event::batch::Batch;

use crate::Broker;
use crate::produce::{Passing, Pending, ProduceError, pass_gate};
use crate::topic::Topic;

impl Broker {
    /// Checks a copy and queues it at its own offset.
    pub(crate) async fn enqueue_copy(
        &self,
        topic: &Topic,
        partition: Partition,
        batch: Batch,
    ) -> Result<Pending, ProduceError> {
        // Factum's own topics cannot be configured, so they are no copies either.
        if topic.settings.mirror_source.is_none() {
            return Err(ProduceError::NotMirrored(topic.name.clone()));
        }
        batch.check_copy()?;
        let target = self.target(topic, partition)?;
        let room = self.log().reserve(batch.len()).await?;
        let now = self.clock().now();
        let passed = pass_gate(self.log(), target, batch, room, now, Passing::Copy)?;
        passed
            .ok_or_else(|| ProduceError::UnknownPartition { topic: topic.name.clone(), partition })
    }
}
