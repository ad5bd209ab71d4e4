//! Futures that are polled by hand, in an order from the seed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use factum_log::disk::sim::Random;

/// Somebody who waits for an answer.
type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// All who wait.
pub(crate) struct Tasks<T>(Vec<Task<T>>);

impl<T> Tasks<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn start(&mut self, task: impl Future<Output = T> + 'static) {
        self.0.push(Box::pin(task));
    }

    /// Starts one, and lets it look at once; its answer, if it has got one.
    pub(crate) fn start_now(&mut self, task: impl Future<Output = T> + 'static) -> Option<T> {
        self.start(task);
        self.poll(self.0.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets one of them look, whichever the seed says; its answer, if it has got one.
    pub(crate) fn poll_one(&mut self, random: &mut Random) -> Option<T> {
        let at = usize::try_from(random.below(self.0.len() as u64)).unwrap_or(0);
        self.poll(at)
    }

    /// Lets all of them look, once; the answers.
    pub(crate) fn poll_all(&mut self) -> Vec<T> {
        (0..self.0.len()).rev().filter_map(|at| self.poll(at)).collect()
    }

    fn poll(&mut self, at: usize) -> Option<T> {
        let task = self.0.get_mut(at)?;
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                drop(self.0.swap_remove(at));
                Some(answer)
            }
            Poll::Pending => None,
        }
    }
}
