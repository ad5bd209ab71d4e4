//! What waits to be written: bounded by bytes, in the order of offsets.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use factum_event::batch::Batch;
use factum_event::{Offset, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::AppendError;
use crate::journal::format::{MAX_GROUP_BATCHES, MAX_GROUP_BYTES};
use crate::partitions::PartitionState;

/// Room in the queue, given back when the batch that takes it is durable, or when dropped.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl Reservation {
    /// Takes `bytes` of this room for a batch of its own; none if there are not as many.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        Some(Self { permit: self.permit.split(bytes)? })
    }
}

/// An append that was taken, on its way to the disk. Dropping it gives up waiting, no more.
#[derive(Debug)]
#[must_use = "an append is durable when this future says so"]
pub struct Appending {
    base_offset: Offset,
    done: oneshot::Receiver<Result<Appended, AppendError>>,
}

impl Appending {
    /// The offset that its first record got.
    #[must_use]
    pub const fn base_offset(&self) -> Offset {
        self.base_offset
    }
}

impl Future for Appending {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.done).poll(context));
        Poll::Ready(answer.unwrap_or(Err(AppendError::Closed)))
    }
}

/// An append that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// When the log took it.
    pub appended_at: Timestamp,
}

/// A batch that has its offset.
pub(crate) struct Item {
    pub(crate) partition: Arc<PartitionState>,
    pub(crate) base_offset: Offset,
    pub(crate) batch: Batch,
    pub(crate) done: oneshot::Sender<Result<Appended, AppendError>>,
    /// Given back with the item.
    _room: Reservation,
}

impl Item {
    pub(crate) fn new(
        room: Reservation,
        partition: Arc<PartitionState>,
        base_offset: Offset,
        batch: Batch,
    ) -> (Self, Appending) {
        let (sender, done) = oneshot::channel();
        let item = Self { partition, base_offset, batch, done: sender, _room: room };
        (item, Appending { base_offset, done })
    }
}

/// The queue between those who append and the writer.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    room: Arc<Semaphore>,
    limit: usize,
}

struct Inner {
    items: VecDeque<Item>,
    state: State,
}

enum State {
    Open,
    /// Takes nothing more; what is there is still written.
    Closing,
    Failed(String),
}

impl Inner {
    fn check(&self) -> Result<(), AppendError> {
        match &self.state {
            State::Open => Ok(()),
            State::Closing => Err(AppendError::Closed),
            State::Failed(reason) => Err(AppendError::Failed(reason.clone())),
        }
    }
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        let inner = Mutex::new(Inner { items: VecDeque::new(), state: State::Open });
        let room = Arc::new(Semaphore::new(limit));
        Self { inner, arrived: Condvar::new(), room, limit }
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, AppendError> {
        let bytes = u32::try_from(bytes.min(self.limit)).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).acquire_many_owned(bytes).await {
            Ok(permit) => Ok(Reservation { permit }),
            Err(_) => Err(self.inner.lock().check().err().unwrap_or(AppendError::Closed)),
        }
    }

    /// Bytes that were reserved and are not yet durable.
    pub(crate) fn bytes(&self) -> usize {
        self.limit.saturating_sub(self.room.available_permits())
    }

    pub(crate) fn push(&self, item: Item) -> Result<(), AppendError> {
        let mut inner = self.inner.lock();
        inner.check()?;
        inner.items.push_back(item);
        drop(inner);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits until something is there, and takes as much as one group may have. False when the
    /// queue is empty and closed.
    pub(crate) fn take(&self, group: &mut Vec<Item>) -> bool {
        let mut inner = self.inner.lock();
        while inner.items.is_empty() {
            if !matches!(inner.state, State::Open) {
                return false;
            }
            self.arrived.wait(&mut inner);
        }
        let mut bytes = 0;
        while group.len() < MAX_GROUP_BATCHES
            && let Some(item) = inner.items.front()
            && (group.is_empty() || bytes + item.batch.len() <= MAX_GROUP_BYTES)
        {
            bytes += item.batch.len();
            group.extend(inner.items.pop_front());
        }
        true
    }

    /// Takes nothing more; what is there is still written.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Open) {
            inner.state = State::Closing;
        }
        drop(inner);
        self.room.close();
        self.arrived.notify_one();
    }

    /// Takes nothing more for this reason, and refuses what is there. True the first time.
    pub(crate) fn fail(&self, reason: &str) -> bool {
        let mut inner = self.inner.lock();
        let first = !matches!(inner.state, State::Failed(_));
        if first {
            inner.state = State::Failed(reason.to_owned());
        }
        let refused = std::mem::take(&mut inner.items);
        drop(inner);
        self.room.close();
        for item in refused {
            let _ = item.done.send(Err(AppendError::Failed(reason.to_owned())));
        }
        first
    }

    pub(crate) fn failure(&self) -> Option<String> {
        match &self.inner.lock().state {
            State::Failed(reason) => Some(reason.clone()),
            State::Open | State::Closing => None,
        }
    }
}
