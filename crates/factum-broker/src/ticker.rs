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
            loop {
                let next = ticking.expire(clock.monotonic());
                // Only here: expiring takes the alarm of whoever has stopped it before.
                if stopped.load(Ordering::Acquire) {
                    return;
                }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use factum_event::Timestamp;
    use parking_lot::Mutex;

    use super::*;
    use crate::groups::GroupSettings;

    /// Says when it is first asked, and answers when it is told to.
    struct Slow(Mutex<Option<(SyncSender<()>, Receiver<()>)>>);

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            Timestamp::UNKNOWN
        }

        fn monotonic(&self) -> Duration {
            if let Some((asked, answer)) = self.0.lock().take() {
                asked.send(()).unwrap();
                answer.recv().unwrap();
            }
            Duration::ZERO
        }
    }

    #[test]
    fn it_ends_when_it_is_stopped_just_before_it_looks_at_deadlines() {
        let ((asked, was_asked), (answer, answered)) = (sync_channel(1), sync_channel(1));
        let clock = Arc::new(Slow(Mutex::new(Some((asked, answered)))));
        let groups = Arc::new(Groups::new(GroupSettings::default()));
        let mut ticker = Ticker::start(Arc::clone(&groups), clock).unwrap();
        was_asked.recv().unwrap();
        ticker.stop.store(true, Ordering::Release);
        groups.wake();
        answer.send(()).unwrap();
        let thread = ticker.thread.take().unwrap();
        let (ended, has_ended) = sync_channel(1);
        thread::spawn(move || ended.send(thread.join().is_ok()));
        assert_eq!(has_ended.recv_timeout(Duration::from_secs(30)), Ok(true));
    }
}
