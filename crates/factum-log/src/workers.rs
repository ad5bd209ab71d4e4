//! What works behind a log: the parts that production gives a thread each, and a simulation drives
//! by hand.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::disk::DiskLock;
use crate::error::{OpenError, Trying};
use crate::housekeeper::{Housekeeper, MAX_TASKS, Task};
use crate::journal::journal_path;
use crate::reader::{Jobs, Readers};
use crate::sealer::{Sealer, Step as Sealing};
use crate::shared::Shared;
use crate::window::WINDOW_BYTES;
use crate::writer::{Active, Step, Writer};

/// A part of the log that works by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Makes groups durable.
    Writer,
    /// Reads what is not in memory.
    Reader,
    /// Gives sealed journals their indexes, and removes others.
    Housekeeper,
    /// Makes the next journal's file ready.
    Preparer,
    /// Checks sealed journals once more, and gives them their seals.
    Sealer,
}

impl Worker {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Writer, Self::Reader, Self::Housekeeper, Self::Preparer, Self::Sealer];
}

/// Which workers have something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pending {
    /// Batches that have their offset and are not durable, but for those of a stalled group.
    pub batches: usize,
    /// A group could not be written, and is tried again with every step.
    pub is_stalled: bool,
    /// Reads.
    pub reads: usize,
    /// Whether the housekeeper has a task.
    pub has_task: bool,
    /// Whether a step of making a spare is due.
    pub is_spare_due: bool,
}

/// The workers of one log, for a simulation that decides who does something when. Nothing here
/// blocks. To drop it is the end of the process: what waits is refused.
#[doc(hidden)]
pub struct Workers {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) housekeeper: Housekeeper,
    pub(crate) tasks: Receiver<Task>,
    /// Looked at, and not yet done.
    next_task: Option<Task>,
    pub(crate) sealer: Sealer,
    /// Where the housekeeper wakes the sealer.
    pub(crate) woken: Receiver<()>,
    pub(crate) jobs: Jobs,
    pub(crate) lock: Box<dyn DiskLock>,
    /// What reads go through.
    window: Vec<u8>,
}

/// The workers of a log, and the ways to housekeeper and readers.
pub(crate) fn assemble(
    shared: &Arc<Shared>,
    active: Active,
    lock: Box<dyn DiskLock>,
) -> Result<(Workers, Arc<SyncSender<Task>>, Readers), OpenError> {
    let (sender, tasks) = sync_channel(MAX_TASKS);
    let for_writer = sender.clone();
    let sender = Arc::new(sender);
    let (readers, jobs) = Readers::new();
    let number = active.header.number;
    let writer = Writer::new(Arc::clone(shared), active, for_writer);
    let writer = writer.trying(|| format!("open {} for writing", journal_path(number)))?;
    let (wake_sealer, woken) = sync_channel(1);
    let housekeeper = Housekeeper::new(Arc::clone(shared), wake_sealer);
    let sealer = Sealer::new(Arc::clone(shared), Arc::downgrade(&sender));
    let shared = Arc::clone(shared);
    let (next_task, window) = (None, vec![0; WINDOW_BYTES]);
    let workers = Workers {
        shared,
        writer,
        housekeeper,
        tasks,
        next_task,
        sealer,
        woken,
        jobs,
        lock,
        window,
    };
    Ok((workers, sender, readers))
}

impl Workers {
    /// Lets a worker do one thing: a group, a read, a task, a piece of the spare. False where it
    /// had nothing to do, or could not do it.
    pub fn step(&mut self, worker: Worker) -> bool {
        match worker {
            Worker::Writer => self.writer.step() == Step::Committed,
            Worker::Reader => {
                let job = self.jobs.lock().try_recv();
                job.map(|job| job(&mut self.window)).is_ok()
            }
            Worker::Housekeeper => {
                let task = self.next_task.take().or_else(|| self.tasks.try_recv().ok());
                task.map(|task| self.housekeeper.perform(task)).is_some()
            }
            Worker::Preparer => {
                let shared = &self.shared;
                shared.spare.step(shared.disk.as_ref(), &shared.settings)
            }
            Worker::Sealer => {
                // The housekeeper's word is not needed where somebody steps.
                let _ = self.woken.try_recv();
                matches!(self.sealer.step(), Ok(Sealing::Read(_)))
            }
        }
    }

    /// The writer takes at most so many batches, at least one, into a group from now on: as it
    /// does where it comes while somebody is queueing more.
    pub fn take_at_most(&mut self, batches: usize) {
        self.writer.most_batches = batches.max(1);
    }

    /// What there is to do.
    pub fn pending(&mut self) -> Pending {
        if self.next_task.is_none() {
            self.next_task = self.tasks.try_recv().ok();
        }
        Pending {
            batches: self.shared.queue.len(),
            is_stalled: self.writer.is_stalled(),
            reads: self.jobs.lock().len(),
            has_task: self.next_task.is_some(),
            is_spare_due: self.shared.spare.is_due(),
        }
    }

    /// Refuses what waits, for good.
    pub fn refuse(&mut self) {
        self.writer.refuse();
        self.jobs.lock().close();
    }

    /// Ends as the threads of a closed log do: writes what is queued, or refuses it, and gives
    /// the directory free. To be called after [`Log::close`](crate::Log::close).
    pub fn finish(mut self) {
        loop {
            let step = self.writer.step();
            while self.step(Worker::Housekeeper) {}
            if !matches!(step, Step::Committed | Step::Blocked) {
                break;
            }
        }
        while self.step(Worker::Reader) {}
        self.shared.spare.discard(self.shared.disk.as_ref());
    }
}
