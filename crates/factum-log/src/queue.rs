//! What waits to be written: bounded by bytes, in the order of offsets.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use factum_event::batch::Batch;
use factum_event::{Offset, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

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
    /// Something came, or the state changed.
    arrived: Condvar,
    /// A stall began: who waits for room is refused.
    stalls: Notify,
    room: Arc<Semaphore>,
    limit: usize,
}

struct Inner {
    items: VecDeque<Item>,
    state: State,
    /// Somebody wants the open journal to be sealed.
    seal_wanted: bool,
}

enum State {
    Open,
    /// Takes nothing for now; what is there is tried again.
    Stalled(String),
    /// Takes nothing more; what is there is still written.
    Closing,
    Failed(String),
}

impl Inner {
    fn check(&self) -> Result<(), AppendError> {
        match &self.state {
            State::Open => Ok(()),
            State::Stalled(reason) => Err(AppendError::Stalled(reason.clone())),
            State::Closing => Err(AppendError::Closed),
            State::Failed(reason) => Err(AppendError::Failed(reason.clone())),
        }
    }
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        let inner =
            Mutex::new(Inner { items: VecDeque::new(), state: State::Open, seal_wanted: false });
        let room = Arc::new(Semaphore::new(limit));
        Self { inner, arrived: Condvar::new(), stalls: Notify::new(), room, limit }
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, AppendError> {
        let bytes = u32::try_from(bytes.min(self.limit)).unwrap_or(u32::MAX);
        loop {
            let mut stall = pin!(self.stalls.notified());
            stall.as_mut().enable();
            self.inner.lock().check()?;
            let mut room = pin!(Arc::clone(&self.room).acquire_many_owned(bytes));
            let got = poll_fn(|context| match room.as_mut().poll(context) {
                Poll::Pending => stall.as_mut().poll(context).map(|()| None),
                ready => ready.map(Some),
            });
            match got.await {
                Some(Ok(permit)) => return Ok(Reservation { permit }),
                Some(Err(_)) => {
                    return Err(self.inner.lock().check().err().unwrap_or(AppendError::Closed));
                }
                // Where the stall is over already, it goes back into the line.
                None => {}
            }
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

    /// Takes as much as one group may have of what is there, and at most so many batches. False
    /// when the queue is empty and takes nothing more.
    pub(crate) fn take(&self, group: &mut Vec<Item>, most: usize) -> bool {
        let mut inner = self.inner.lock();
        let mut bytes = 0;
        while group.len() < most.min(MAX_GROUP_BATCHES)
            && let Some(item) = inner.items.front()
            && (group.is_empty() || bytes + item.batch.len() <= MAX_GROUP_BYTES)
        {
            bytes += item.batch.len();
            group.extend(inner.items.pop_front());
        }
        !group.is_empty() || matches!(inner.state, State::Open | State::Stalled(_))
    }

    /// Waits until something is there, or never will be.
    pub(crate) fn wait(&self) {
        let mut inner = self.inner.lock();
        while inner.items.is_empty() && !inner.seal_wanted && matches!(inner.state, State::Open) {
            self.arrived.wait(&mut inner);
        }
    }

    /// Wants the open journal to be sealed.
    pub(crate) fn want_seal(&self) {
        self.inner.lock().seal_wanted = true;
        self.arrived.notify_one();
    }

    /// Whether somebody wants that; once.
    pub(crate) fn take_seal_wanted(&self) -> bool {
        std::mem::take(&mut self.inner.lock().seal_wanted)
    }

    /// How many batches wait.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().items.len()
    }

    /// Takes nothing for this reason until [`resume`](Self::resume), and refuses who waits for
    /// room; what is there stays. False where the queue was closed or has failed.
    pub(crate) fn stall(&self, reason: &str) -> bool {
        let mut inner = self.inner.lock();
        if !matches!(inner.state, State::Open | State::Stalled(_)) {
            return false;
        }
        inner.state = State::Stalled(reason.to_owned());
        drop(inner);
        self.stalls.notify_waiters();
        true
    }

    /// Ends a stall.
    pub(crate) fn resume(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Stalled(_)) {
            inner.state = State::Open;
        }
    }

    /// Waits while the queue is stalled, but no longer than `time`.
    pub(crate) fn wait_stalled(&self, time: Duration) {
        let mut inner = self.inner.lock();
        let stalled = |inner: &mut Inner| matches!(inner.state, State::Stalled(_));
        self.arrived.wait_while_for(&mut inner, stalled, time);
    }

    /// Why nothing is taken for now.
    pub(crate) fn stalled(&self) -> Option<String> {
        match &self.inner.lock().state {
            State::Stalled(reason) => Some(reason.clone()),
            State::Open | State::Closing | State::Failed(_) => None,
        }
    }

    /// Takes nothing more; what is there is still written.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Open | State::Stalled(_)) {
            inner.state = State::Closing;
        }
        drop(inner);
        self.room.close();
        self.arrived.notify_all();
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
            State::Open | State::Stalled(_) | State::Closing => None,
        }
    }
}
