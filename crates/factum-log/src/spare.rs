//! The spare: the file that is to be the next journal, with its room reserved while the present
//! one fills, so that the writer need not wait for it.

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;
use crate::journal::{SPARE_PATH, file};
use crate::settings::LogSettings;

/// The spare of one log.
#[derive(Default)]
pub(crate) struct Spare {
    /// Whether there is one; locked while it is made.
    is_made: Mutex<bool>,
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// What is to be done.
#[derive(Default)]
struct Plan {
    /// The journal is so full that the next should be ready.
    is_wanted: bool,
    /// It is, or it could not be made.
    is_done: bool,
    is_closed: bool,
}

impl Plan {
    fn is_due(&self) -> bool {
        self.is_wanted && !self.is_done && !self.is_closed
    }
}

impl Spare {
    /// Tells that the present journal is full up to `position`: after the first quarter a spare is
    /// made.
    pub(crate) fn advance(&self, position: u64, settings: &LogSettings) {
        if position <= settings.journal_bytes / 4 {
            return;
        }
        let mut plan = self.plan.lock();
        plan.is_wanted = true;
        let is_due = plan.is_due();
        drop(plan);
        if is_due {
            self.changed.notify_one();
        }
    }

    /// The path of the spare, if there is one: it belongs to the caller, and the next is made from
    /// the next [`advance`](Self::advance) on.
    pub(crate) fn take(&self) -> Option<String> {
        let mut is_made = self.is_made.lock();
        let taken = std::mem::take(&mut *is_made);
        let mut plan = self.plan.lock();
        *plan = Plan { is_closed: plan.is_closed, ..Plan::default() };
        // Only now: a step in between would begin the next spare in the place of this one.
        drop((plan, is_made));
        taken.then(|| SPARE_PATH.to_owned())
    }

    /// Whether a spare is to be made.
    pub(crate) fn is_due(&self) -> bool {
        self.plan.lock().is_due()
    }

    /// Makes the spare, if it is due. One that cannot be made is not tried again before the next
    /// journal: the writer makes its file itself.
    pub(crate) fn step(&self, disk: &dyn Disk, settings: &LogSettings) -> bool {
        let mut is_made = self.is_made.lock();
        // Under the lock: it may have been taken, and nothing be due any more.
        if !self.is_due() {
            return false;
        }
        match file::reserve(disk, SPARE_PATH, settings.journal_bytes) {
            Ok(()) => *is_made = true,
            Err(error) => {
                tracing::debug!("no journal was made ready: {error}; the writer makes its own");
            }
        }
        self.plan.lock().is_done = true;
        true
    }

    /// The loop of the thread that makes spares, until [`close`](Self::close).
    pub(crate) fn run(&self, disk: &dyn Disk, settings: &LogSettings) {
        loop {
            let mut plan = self.plan.lock();
            while !plan.is_due() {
                if plan.is_closed {
                    return;
                }
                self.changed.wait(&mut plan);
            }
            drop(plan);
            self.step(disk, settings);
        }
    }

    /// Makes no spare any more.
    pub(crate) fn close(&self) {
        self.plan.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Removes the spare that nobody took.
    pub(crate) fn discard(&self, disk: &dyn Disk) {
        if std::mem::take(&mut *self.is_made.lock())
            && let Err(error) = disk.remove(SPARE_PATH)
        {
            tracing::debug!("cannot remove {SPARE_PATH}: {error}; it is removed at opening");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::{Faults, SimDisk};

    const SETTINGS: LogSettings = LogSettings {
        journal_bytes: 1 << 20,
        queue_bytes: 1,
        tail_bytes: 0,
        read_ahead_from: usize::MAX,
        seal_bytes_per_second: 1,
    };

    fn is_there(disk: &SimDisk) -> bool {
        disk.open(SPARE_PATH).is_ok_and(|file| file.len().unwrap() == SETTINGS.journal_bytes)
    }

    #[test]
    fn a_spare_is_made_as_the_journal_fills_and_taken_once() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        spare.advance(SETTINGS.journal_bytes / 4, &SETTINGS);
        assert!(!spare.step(&disk, &SETTINGS), "a journal that is nearly empty needs no other");
        for _ in 0..2 {
            spare.advance(SETTINGS.journal_bytes / 4 + 1, &SETTINGS);
            assert!(spare.step(&disk, &SETTINGS) && is_there(&disk));
            assert!(!spare.step(&disk, &SETTINGS), "one is enough");
            assert_eq!(spare.take().as_deref(), Some(SPARE_PATH));
            assert_eq!((spare.take(), spare.step(&disk, &SETTINGS)), (None, false));
        }
    }

    #[test]
    fn a_spare_that_was_taken_is_not_begun_anew_while_it_is_being_renamed() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        let rounds = std::thread::scope(|scope| {
            scope.spawn(|| spare.run(&disk, &SETTINGS));
            for round in 0..300 {
                spare.advance(SETTINGS.journal_bytes, &SETTINGS);
                while !disk.list("journal").unwrap().iter().any(|name| name == "spare.new") {
                    std::thread::yield_now();
                }
                // Room that was there when it was taken must still be there.
                if let Some(path) = spare.take() {
                    std::thread::yield_now();
                    assert!(is_there(&disk));
                    disk.rename(&path, &format!("journal/{round}")).unwrap();
                }
            }
            spare.close();
            300
        });
        assert_eq!(rounds, 300);
    }

    #[test]
    fn without_room_there_is_no_spare_and_nothing_is_left_of_it() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        let full = SETTINGS.journal_bytes - 1;
        disk.set_faults(Faults { capacity: Some(full), ..Faults::default() });
        spare.advance(SETTINGS.journal_bytes, &SETTINGS);
        assert!(spare.step(&disk, &SETTINGS) && !spare.step(&disk, &SETTINGS), "it is tried once");
        assert!(spare.take().is_none() && disk.open(SPARE_PATH).is_err());
    }

    #[test]
    fn a_spare_that_nobody_took_is_removed() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        spare.advance(SETTINGS.journal_bytes, &SETTINGS);
        assert!(spare.step(&disk, &SETTINGS));
        spare.close();
        spare.run(&disk, &SETTINGS);
        spare.discard(&disk);
        assert!(disk.open(SPARE_PATH).is_err());
    }
}
