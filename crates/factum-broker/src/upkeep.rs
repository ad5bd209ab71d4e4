//! What the broker does by itself, on a thread of its own: checkpoints of folds.
//!
//! [`Upkeep::step`] does what is due at a moment; the thread only calls it, and so does whoever
//! drives a broker by hand.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use factum_log::Log;
use factum_log::disk::Disk;
use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Checkpoint;
use crate::topic::Topics;

/// A checkpoint is taken when this much was appended since the last one.
const CHECKPOINT_BYTES: u64 = 256 << 20;

/// What is due, and what it works on.
pub(crate) struct Upkeep {
    disk: Arc<dyn Disk>,
    log: Log,
    topics: Arc<Topics>,
    /// Bytes that the log had appended when the last checkpoint was taken.
    checkpointed: u64,
}

impl Upkeep {
    pub(crate) fn new(disk: Arc<dyn Disk>, log: Log, topics: Arc<Topics>) -> Self {
        Self { disk, log, topics, checkpointed: 0 }
    }

    /// Does what is due now.
    pub(crate) fn step(&mut self) {
        if self.log.is_closed() {
            return;
        }
        self.checkpoint();
    }

    fn checkpoint(&mut self) {
        let appended = self.log.metrics().bytes_appended;
        if appended - self.checkpointed < CHECKPOINT_BYTES {
            return;
        }
        match Checkpoint::take(&self.log, &self.topics).write(self.disk.as_ref()) {
            Ok(()) => self.checkpointed = appended,
            Err(error) => {
                tracing::warn!("cannot write a checkpoint: {error}; opening will take longer");
            }
        }
    }
}

/// The thread that does the upkeep until it is dropped.
pub(crate) struct UpkeepThread {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    wanted: bool,
}

impl UpkeepThread {
    pub(crate) fn start(mut upkeep: Upkeep, every: Duration) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let ours = Arc::clone(&signal);
        let work = move || {
            while ours.wait(every) {
                upkeep.step();
            }
        };
        let thread = thread::Builder::new().name("factum-upkeep".to_owned()).spawn(work)?;
        Ok(Self { signal, thread: Some(thread) })
    }
}

impl Signal {
    /// Waits for the next step; false at the end.
    fn wait(&self, every: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stopped && !state.wanted {
            self.changed.wait_for(&mut state, every);
        }
        state.wanted = false;
        !state.stopped
    }
}

impl Drop for UpkeepThread {
    fn drop(&mut self) {
        self.signal.state.lock().stopped = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own hook; closing goes on.
            let _ = thread.join();
        }
    }
}
