//! A lane: one broker of the source, with the partitions that it leads, copied by two threads.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::MirrorError;
use super::fetching::{Fetching, Start};
use super::slot::Shared;
use super::writing::Writing;

/// Answers that may wait to be written.
const ROUNDS_WAITING: usize = 1;
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(10);

/// The two threads of a lane. They end when one of them fails, and when they are to stop.
pub struct Lane {
    threads: Vec<JoinHandle<Result<(), MirrorError>>>,
    life: Life,
}

/// Until when a lane lives: it may be told to end, and so may all.
#[derive(Debug, Clone)]
pub struct Life {
    /// What all threads share.
    pub shared: Arc<Shared>,
    over: Arc<AtomicBool>,
}

impl Life {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), over: Arc::default() }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed) || self.shared.stops()
    }
}

impl Lane {
    /// Starts copying.
    pub fn start(
        leader: &str,
        target: &str,
        shared: &Arc<Shared>,
        partitions: Vec<Start>,
        max_bytes: i32,
    ) -> Result<Self, MirrorError> {
        let slots = partitions.iter().map(|start| Arc::clone(&start.slot)).collect();
        let life = Life::new(shared);
        let fetching = Fetching::new(leader.to_owned(), life.clone(), partitions, max_bytes);
        let writing = Writing::new(target.to_owned(), life.clone(), slots);
        let (sender, receiver) = sync_channel(ROUNDS_WAITING);
        let fetch = move || fetching.run(&sender).map_err(MirrorError::Source);
        let write = move || writing.run(&receiver).map_err(MirrorError::Target);
        let threads = vec![
            spawn("factum-mirror-fetch", &life, fetch)?,
            spawn("factum-mirror-write", &life, write)?,
        ];
        Ok(Self { threads, life })
    }

    /// Tells it to end.
    pub fn stop(&self) {
        self.life.over.store(true, Relaxed);
    }

    /// Whether one of its threads has ended.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits until a deadline for its threads, which were told to stop: why they have ended before
    /// that. One that still waits then ends by itself, and appends nothing that does not fit.
    pub fn end(self, deadline: Instant) -> Vec<MirrorError> {
        let mut failures = Vec::new();
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(PAUSE);
            }
            if thread.is_finished() {
                let ended = thread.join();
                let ended = ended.unwrap_or_else(|panic| Err(MirrorError::Panic(words(&*panic))));
                failures.extend(ended.err());
            }
        }
        failures
    }
}

/// Starts a thread. What goes wrong once its life is over is of no interest: a connection was cut.
fn spawn(
    name: &str,
    life: &Life,
    work: impl FnOnce() -> Result<(), MirrorError> + Send + 'static,
) -> Result<JoinHandle<Result<(), MirrorError>>, MirrorError> {
    let life = life.clone();
    let work = move || match work() {
        Err(_) if life.is_over() => Ok(()),
        ended => ended,
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(MirrorError::Thread)
}

/// What a thread said as it panicked.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(work: impl FnOnce() -> Result<(), MirrorError> + Send + 'static) -> Lane {
        let life = Life::new(&Arc::default());
        Lane { threads: vec![spawn("a test", &life, work).unwrap()], life }
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_panic_and_a_failure_of_a_thread_are_told() {
        let failures = lane(|| panic!("at offset {}", 7)).end(far());
        assert!(matches!(&failures[..], [MirrorError::Panic(said)] if said == "at offset 7"));
        assert!(failures[0].is_mistake(), "it ends the run");
        assert!(matches!(
            lane(|| Err(MirrorError::Nameless)).end(far())[..],
            [MirrorError::Nameless]
        ));
        assert!(lane(|| Ok(())).end(far()).is_empty());
    }

    #[test]
    fn nobody_waits_beyond_the_deadline() {
        let (sender, receiver) = sync_channel::<()>(0);
        let waiting = lane(move || {
            let _ = receiver.recv();
            Ok(())
        });
        waiting.stop();
        assert!(waiting.end(Instant::now()).is_empty());
        drop(sender);
    }

    #[test]
    fn a_failure_after_the_end_is_of_no_interest() {
        let (sender, receiver) = sync_channel::<()>(0);
        let waiting = lane(move || {
            let _ = receiver.recv();
            Err(MirrorError::Nameless)
        });
        waiting.stop();
        drop(sender);
        assert!(waiting.end(far()).is_empty());
    }
}
