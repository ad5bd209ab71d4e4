//! Waiting for something to read.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;

use crate::entry::PartitionId;
use crate::partitions::PartitionState;
use crate::shared::Shared;

/// Waits until something became readable in some partitions. Dropping it stops waiting.
pub struct Waiter {
    shared: Arc<Shared>,
    signal: Arc<Notify>,
    partitions: Vec<Arc<PartitionState>>,
}

impl Waiter {
    pub(crate) fn new(shared: &Arc<Shared>, partitions: &[PartitionId]) -> Self {
        let signal = Arc::new(Notify::new());
        let mut states = Vec::with_capacity(partitions.len());
        for &id in partitions {
            match shared.partitions.get_or_create(id) {
                Some(state) => {
                    let mut inner = state.lock();
                    if inner.removed {
                        signal.notify_one();
                    }
                    inner.add_waiter(&signal);
                    drop(inner);
                    states.push(state);
                }
                None => signal.notify_one(),
            }
        }
        Self { shared: Arc::clone(shared), signal, partitions: states }
    }

    /// Completes when something became readable in one of the partitions, one was removed, or the
    /// log has failed or was closed, since the waiter was made or this completed last. Dropping the future
    /// loses nothing.
    pub async fn changed(&mut self) {
        let mut changed = pin!(self.signal.notified());
        let mut closed = pin!(self.shared.closed());
        poll_fn(|context| {
            let done = changed.as_mut().poll(context).is_ready()
                || closed.as_mut().poll(context).is_ready();
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for state in &self.partitions {
            state.lock().remove_waiter(&self.signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_event::{Partition, SystemClock, TopicId};
    use uuid::Uuid;

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::settings::LogSettings;

    #[test]
    fn a_waiter_that_is_dropped_is_forgotten() {
        let clock = Arc::new(SystemClock::new());
        let shared = Shared::new(Arc::new(SimDisk::new(1)), clock, LogSettings::default());
        let shared = Arc::new(shared);
        let topic = TopicId(Uuid::nil());
        let id = PartitionId { topic, partition: Partition::ZERO };
        let waiters = || shared.partitions.get(id).map_or(0, |state| state.lock().waiters());
        let first = Waiter::new(&shared, &[id]);
        let second = Waiter::new(&shared, &[id, id]);
        assert_eq!(waiters(), 3);
        drop(first);
        assert_eq!(waiters(), 2);
        drop(second);
        assert_eq!(waiters(), 0);
    }
}
