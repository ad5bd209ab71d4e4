//! How long a request is worked at, without the time that it waits, also for other tasks that work
//! for it: quotas of work count it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that has gone into something. One thread at a time works at it.
#[derive(Debug)]
pub(super) struct Work {
    begun: Instant,
    /// Nanoseconds of turns that have ended.
    done: AtomicU64,
    /// When the turn that goes on has begun, in nanoseconds after the beginning.
    turn: AtomicU64,
}

impl Work {
    pub(super) fn new() -> Arc<Self> {
        let (done, turn) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { begun: Instant::now(), done, turn })
    }

    /// What has gone into it, as seen from within a turn.
    pub(super) fn so_far(&self) -> Duration {
        let turn = self.now().saturating_sub(self.turn.load(Ordering::Relaxed));
        Duration::from_nanos(self.done.load(Ordering::Relaxed) + turn)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Does `inner`, and counts its turns for `work`.
pub(super) async fn counted<F: Future>(inner: F, work: &Work) -> F::Output {
    let mut inner = pin!(inner);
    poll_fn(|context| {
        let began = work.now();
        work.turn.store(began, Ordering::Relaxed);
        let polled = inner.as_mut().poll(context);
        work.done.fetch_add(work.now() - began, Ordering::Relaxed);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_is_no_work() {
        let work = Work::new();
        let spin = |time: Duration| {
            let begun = Instant::now();
            while begun.elapsed() < time {}
        };
        let of = Arc::clone(&work);
        let within = counted(
            async move {
                spin(Duration::from_millis(3));
                tokio::task::spawn_blocking(move || spin(Duration::from_millis(50))).await.unwrap();
                spin(Duration::from_millis(2));
                of.so_far()
            },
            &work,
        )
        .await;
        assert!(within >= Duration::from_millis(5), "{within:?}");
        assert!(work.begun.elapsed() >= within + Duration::from_millis(20), "{within:?}");
    }
}
