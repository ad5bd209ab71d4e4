//! The thread of the upkeep.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Upkeep;

/// Does the upkeep until it is stopped or dropped.
pub(crate) struct UpkeepThread {
    signal: Arc<Signal>,
    ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
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
        let (ours, ending) = (Arc::clone(&signal), Arc::clone(&upkeep.ending));
        let work = move || {
            while ours.wait_for_work(every) {
                upkeep.step(&mut |time| ours.wait(time));
            }
            upkeep.last_checkpoint();
        };
        let thread = thread::Builder::new().name("factum-upkeep".to_owned()).spawn(work)?;
        Ok(Self { signal, ending, thread: Mutex::new(Some(thread)) })
    }

    /// Has it look now.
    pub(crate) fn wake(&self) {
        self.signal.state.lock().wanted = true;
        self.signal.changed.notify_one();
    }

    /// Ends it, with a last checkpoint.
    pub(crate) fn stop(&self) {
        self.ending.store(true, Relaxed);
        self.signal.state.lock().stopped = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there was reported by its own hook; closing goes on.
            let _ = thread.join();
        }
    }
}

impl Signal {
    /// Waits for the next step; false at the end.
    fn wait_for_work(&self, every: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stopped && !state.wanted {
            self.changed.wait_for(&mut state, every);
        }
        state.wanted = false;
        !state.stopped
    }

    fn wait(&self, time: Duration) -> ControlFlow<()> {
        let mut state = self.state.lock();
        if !state.stopped {
            self.changed.wait_for(&mut state, time);
        }
        if state.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for UpkeepThread {
    fn drop(&mut self) {
        self.stop();
    }
}
