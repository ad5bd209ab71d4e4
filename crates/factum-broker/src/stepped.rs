//! The broker without threads: a simulation decides who does something when.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_event::Clock;
use factum_log::{Log, Worker, Workers};

use crate::groups::Groups;
use crate::records::Cuts;
use crate::upkeep::Upkeep;

/// A part of the broker that works by itself.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokerWorker {
    /// A part of the log below.
    Log(Worker),
    /// Applies retention and compaction.
    Upkeep,
    /// Remembers the producers in a file.
    Checkpoint,
    /// Cuts off records that are to be deleted.
    Cutter,
    /// Applies the deadlines of consumer groups.
    Ticker,
}

/// The workers of one broker. To drop them is the end of the process: what waits is refused.
#[doc(hidden)]
pub struct BrokerWorkers {
    pub(crate) workers: Workers,
    pub(crate) upkeep: Upkeep,
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cuts: Arc<Cuts>,
    pub(crate) groups: Arc<Groups>,
}

/// What happens while the upkeep leaves the disk to others for some time.
#[doc(hidden)]
pub type Pause<'a> = dyn FnMut(&mut Workers, Duration) -> ControlFlow<()> + 'a;

impl BrokerWorkers {
    /// Lets a worker do what is due; false where that was nothing, as far as it is known.
    pub fn step(&mut self, worker: BrokerWorker, pause: &mut Pause<'_>) -> bool {
        match worker {
            BrokerWorker::Log(worker) => return self.workers.step(worker),
            BrokerWorker::Upkeep => {
                let workers = &mut self.workers;
                self.upkeep.step(&mut |time| pause(workers, time));
            }
            BrokerWorker::Checkpoint => self.upkeep.checkpoint_now(),
            BrokerWorker::Cutter => return self.cuts.make(&self.log),
            BrokerWorker::Ticker => drop(self.groups.expire(self.clock.monotonic())),
        }
        false
    }

    /// The workers of the log.
    pub fn log(&mut self) -> &mut Workers {
        &mut self.workers
    }

    /// Ends as the threads of a closed broker do.
    pub fn finish(self) {
        self.workers.finish();
    }
}

/// Lets the log work until `future` is complete. Where nothing can be done and it still waits,
/// what it waits for is refused, as at the end of a process.
pub(crate) fn drive<T>(workers: &mut Workers, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        let mut worked = false;
        for worker in Worker::ALL {
            worked |= workers.step(worker);
        }
        if !worked {
            workers.refuse();
        }
    }
}

#[cfg(test)]
mod tests;
