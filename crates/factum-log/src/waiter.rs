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
        Self {
            shared: Arc::clone(shared),
            signal,
            partitions: states,
        }
    }

    /// Completes when something became readable in one of the partitions, one was removed, or the
    /// log was closed, since the waiter was made or this completed last. Dropping the future
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
