//! A lane: one broker of the source, with the partitions that it leads, copied by two threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::MirrorError;
use super::fetching::{Fetching, Start};
use super::slot::{Shared, Trouble};
use super::writing::Writing;
use crate::kafka_client::ClientError;

/// Answers that may wait to be written.
const ROUNDS_WAITING: usize = 1;
/// How long threads have to end, which may be waiting for a cluster that says nothing.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(10);

/// The two threads of a lane. They end when one of them fails, and when they are to stop.
pub struct Lane {
    threads: Vec<JoinHandle<()>>,
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
        let (reading, taking) = (life.clone(), life.clone());
        let fetch = move || report(&reading, "the source", fetching.run(&sender));
        let write = move || report(&taking, "the target", writing.run(&receiver));
        let threads =
            vec![spawn("factum-mirror-fetch", fetch)?, spawn("factum-mirror-write", write)?];
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

    /// Waits for its threads, which were told to stop; false if one does not end.
    pub fn end(self) -> bool {
        let deadline = Instant::now() + END_PATIENCE;
        let mut all = true;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(PAUSE);
            }
            // One that still waits ends by itself, and appends nothing that does not fit.
            all &= thread.is_finished() && thread.join().is_ok();
        }
        all
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MirrorError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| MirrorError::Thread(error.to_string()))
}

fn report(life: &Life, whose: &str, ended: Result<(), ClientError>) {
    if let Err(error) = ended
        && !life.is_over()
    {
        life.shared.tell(Trouble { place: None, what: format!("{whose}: {error}") });
    }
}
