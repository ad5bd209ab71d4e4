//! The two ends of an answer that may come later: [`Answer`] for the caller, `Waiter` for the group.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::GroupError;

/// The answer to a join or a sync, now or later.
///
/// Dropping it gives up waiting; the member lives on. An answer always comes: when the member is
/// removed or the request replaced by a later one, it is an error.
#[derive(Debug)]
#[must_use = "the answer says whether the member is in"]
pub struct Answer<T>(oneshot::Receiver<Result<T, GroupError>>);

impl<T> Answer<T> {
    /// The answer if it is there, without waiting. It is handed out once.
    pub fn now(&mut self) -> Option<Result<T, GroupError>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(GroupError::CoordinatorNotAvailable)),
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, GroupError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = Pin::new(&mut self.0).poll(context);
        received.map(|answer| answer.unwrap_or(Err(GroupError::CoordinatorNotAvailable)))
    }
}

/// The group's end of an answer. Dropped without a word, the caller is told to try again.
#[derive(Debug)]
pub(super) struct Waiter<T>(oneshot::Sender<Result<T, GroupError>>);

impl<T> Waiter<T> {
    pub(super) fn pair() -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), Answer(receiver))
    }

    /// Answers; a caller that has gone away does not hear it, which is its choice.
    pub(super) fn answer(self, answer: Result<T, GroupError>) {
        let _ = self.0.send(answer);
    }

    pub(super) fn fail(self, error: GroupError) {
        self.answer(Err(error));
    }

    /// Whether the caller has stopped waiting.
    pub(super) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}
