//! The thread that applies the deadlines of consumer groups.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use factum_event::Clock;

use crate::groups::Groups;

/// Runs until it is dropped.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    groups: Arc<Groups>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(groups: Arc<Groups>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, ticking) = (Arc::clone(&stop), Arc::clone(&groups));
        let work = move || {
            while !stopped.load(Ordering::Acquire) {
                let next = ticking.expire(clock.monotonic());
                ticking.park(next.map(|at| at.saturating_sub(clock.monotonic())));
            }
        };
        let thread = thread::Builder::new().name("factum-groups".to_owned()).spawn(work)?;
        Ok(Self { stop, groups, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.groups.wake();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic there was reported by its own hook; closing goes on.
            let _ = thread.join();
        }
    }
}
