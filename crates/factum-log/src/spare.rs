//! The spare: the file that is to be the next journal, made ready while the present one fills.
//!
//! Writes into room that was written before need no change of the file system's own records,
//! which makes the flushes of small groups several times faster. So the spare is filled with
//! zeros, one piece for some bytes that the writer has written in small groups: an idle log is not
//! disturbed, and one that writes large groups has the whole disk for them. A spare is of use at
//! any moment of its making: room that no zeros were written to reads as zeros too.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::disk::{AlignedBuffer, Disk, DiskFile};
use crate::journal::SPARE_PATH;
use crate::settings::LogSettings;

/// What is written in one step; what the writer may have to wait for when it takes the spare.
const STEP_BYTES: u64 = 1 << 20;

/// The largest group whose flush gains more by zeros than their writing costs: what a disk writes
/// in about the time that is gained.
const SMALL_GROUP_BYTES: u64 = 64 << 10;

/// The spare of one log.
#[derive(Default)]
pub(crate) struct Spare {
    /// Locked as long as a step takes.
    file: Mutex<Option<SpareFile>>,
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// A spare in the making.
struct SpareFile {
    file: Arc<dyn DiskFile>,
    zeros: AlignedBuffer,
}

/// How far the spare is to be made, and how far it is.
#[derive(Default)]
struct Plan {
    /// Its room should be reserved by now.
    wanted: bool,
    /// Its room is reserved.
    begun: bool,
    /// Bytes that should have zeros by now.
    due: u64,
    /// Bytes that have.
    done: u64,
    /// Bytes that will have after the next step.
    next: u64,
    /// Nothing more is done for this spare.
    finished: bool,
    closed: bool,
}

impl Plan {
    fn is_due(&self) -> bool {
        let lacks = if self.begun { self.due >= self.next } else { self.wanted };
        lacks && !self.finished && !self.closed
    }
}

impl Spare {
    /// Tells that the present journal is full up to `position` after a group of so many bytes:
    /// after the first quarter, two bytes are due for one of a small group.
    pub(crate) fn advance(&self, position: u64, group_bytes: u64, settings: &LogSettings) {
        let capacity = settings.journal_bytes;
        if position <= capacity / 4 {
            return;
        }
        let mut plan = self.plan.lock();
        plan.wanted = true;
        if group_bytes <= SMALL_GROUP_BYTES {
            plan.due = plan.due.saturating_add(group_bytes * 2);
        }
        let is_due = plan.is_due();
        drop(plan);
        if is_due {
            self.changed.notify_one();
        }
    }

    /// The path of the spare, if there is one: it belongs to the caller, and the next is made from
    /// the next [`advance`](Self::advance) on.
    pub(crate) fn take(&self) -> Option<String> {
        let mut file = self.file.lock();
        let taken = file.take();
        let mut plan = self.plan.lock();
        *plan = Plan { closed: plan.closed, ..Plan::default() };
        // Only now: a step in between would begin the next spare in the place of this one.
        drop((plan, file));
        taken.map(|_| SPARE_PATH.to_owned())
    }

    /// Whether a step is due.
    pub(crate) fn is_due(&self) -> bool {
        self.plan.lock().is_due()
    }

    /// Does one step, if one is due. A spare that cannot be made is not tried again before the
    /// next journal: the writer makes its file itself.
    pub(crate) fn step(&self, disk: &dyn Disk, settings: &LogSettings) -> bool {
        let mut file = self.file.lock();
        // Under the lock of the file: it may have been taken, and nothing be due any more.
        let zeros = {
            let plan = self.plan.lock();
            if !plan.is_due() {
                return false;
            }
            plan.begun.then_some(plan.done..plan.next)
        };
        let capacity = settings.journal_bytes;
        match extend(&mut file, disk, zeros, capacity) {
            Ok(done) => {
                let mut plan = self.plan.lock();
                (plan.begun, plan.done, plan.finished) = (true, done, done == capacity);
                plan.next = capacity.min(done + STEP_BYTES);
            }
            Err(error) => {
                tracing::debug!("no journal was made ready: {error}; the writer makes its own");
                if file.take().is_some() {
                    let _ = disk.remove(SPARE_PATH);
                }
                self.plan.lock().finished = true;
            }
        }
        true
    }

    /// The loop of the thread that makes spares, until [`close`](Self::close).
    pub(crate) fn run(&self, disk: &dyn Disk, settings: &LogSettings) {
        loop {
            let mut plan = self.plan.lock();
            while !plan.is_due() {
                if plan.closed {
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
        self.plan.lock().closed = true;
        self.changed.notify_all();
    }

    /// Removes the spare that nobody took.
    pub(crate) fn discard(&self, disk: &dyn Disk) {
        if self.file.lock().take().is_some()
            && let Err(error) = disk.remove(SPARE_PATH)
        {
            tracing::debug!("cannot remove {SPARE_PATH}: {error}; it is removed at opening");
        }
    }
}

/// Reserves the room first, then writes zeros step by step, then flushes; answers how far it is.
fn extend(
    file: &mut Option<SpareFile>,
    disk: &dyn Disk,
    zeros: Option<Range<u64>>,
    capacity: u64,
) -> io::Result<u64> {
    let (Some(spare), Some(zeros)) = (file.as_mut(), zeros) else {
        *file = Some(create(disk, capacity)?);
        return Ok(0);
    };
    let count = usize::try_from(zeros.end - zeros.start).unwrap_or(0);
    crate::disk::write_at(spare.file.as_ref(), &spare.zeros[..count], zeros.start)?;
    if zeros.end == capacity {
        spare.file.sync_data()?;
    }
    Ok(zeros.end)
}

fn create(disk: &dyn Disk, capacity: u64) -> io::Result<SpareFile> {
    let created = disk.create(SPARE_PATH)?;
    let opened = created.allocate(capacity).and_then(|()| disk.open_direct(SPARE_PATH));
    if opened.is_err() {
        let _ = disk.remove(SPARE_PATH);
    }
    let step = usize::try_from(STEP_BYTES.min(capacity)).unwrap_or(0);
    Ok(SpareFile { file: opened?, zeros: AlignedBuffer::new(step) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::{Faults, SimDisk};

    const SETTINGS: LogSettings = LogSettings {
        journal_bytes: 4 * STEP_BYTES,
        queue_bytes: 1,
        tail_bytes: 0,
        seal_bytes_per_second: 1,
    };

    fn steps(spare: &Spare, disk: &SimDisk) -> usize {
        (0..100).take_while(|_| spare.step(disk, &SETTINGS)).count()
    }

    /// The journal fills with groups of so many bytes, from `from` on, up to `to`.
    fn fill(spare: &Spare, from: u64, to: u64, group_bytes: u64) {
        for position in (from + group_bytes..=to).step_by(usize::try_from(group_bytes).unwrap()) {
            spare.advance(position, group_bytes, &SETTINGS);
        }
    }

    #[test]
    fn a_spare_is_made_as_the_journal_fills_and_taken_once() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        fill(&spare, 0, STEP_BYTES, SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 0, "a journal that is nearly empty needs no other");
        fill(&spare, STEP_BYTES, 2 * STEP_BYTES, SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 3, "room, and zeros twice");
        fill(&spare, 2 * STEP_BYTES, 4 * STEP_BYTES, SMALL_GROUP_BYTES);
        assert_eq!((steps(&spare, &disk), spare.is_due()), (2, false));
        assert_eq!(spare.take().as_deref(), Some(SPARE_PATH));
        assert_eq!((spare.take(), steps(&spare, &disk)), (None, 0));
        assert_eq!(disk.open(SPARE_PATH).unwrap().len().unwrap(), SETTINGS.journal_bytes);
        fill(&spare, STEP_BYTES, 2 * STEP_BYTES, SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 3, "and then the next");
    }

    #[test]
    fn large_groups_have_the_disk_for_themselves() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        fill(&spare, 0, SETTINGS.journal_bytes, 2 * SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 1, "room is reserved, and no zeros are written");
        assert_eq!(disk.open(SPARE_PATH).unwrap().len().unwrap(), SETTINGS.journal_bytes);
        assert_eq!(spare.take().as_deref(), Some(SPARE_PATH));
    }

    #[test]
    fn a_spare_that_was_taken_is_not_begun_anew_while_it_is_being_renamed() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        let rounds = std::thread::scope(|scope| {
            scope.spawn(|| spare.run(&disk, &SETTINGS));
            for round in 0..300 {
                fill(&spare, 0, SETTINGS.journal_bytes, SMALL_GROUP_BYTES);
                while !disk.list("journal").unwrap().iter().any(|name| name == "spare.new") {
                    std::thread::yield_now();
                }
                let path = spare.take();
                // Room that was there when it was taken must still be there.
                if let Some(path) = path {
                    std::thread::yield_now();
                    assert_eq!(disk.open(&path).unwrap().len().unwrap(), SETTINGS.journal_bytes);
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
        fill(&spare, 0, SETTINGS.journal_bytes, SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 1, "it is tried once");
        assert!(spare.take().is_none() && disk.open(SPARE_PATH).is_err());
        disk.set_faults(Faults { full_at_write: Some(2), ..Faults::default() });
        fill(&spare, 0, SETTINGS.journal_bytes, SMALL_GROUP_BYTES);
        assert_eq!(steps(&spare, &disk), 3, "room, a MiB, and no more");
        assert!(spare.take().is_none() && disk.open(SPARE_PATH).is_err());
    }

    #[test]
    fn a_spare_that_nobody_took_is_removed() {
        let (spare, disk) = (Spare::default(), SimDisk::new(1));
        fill(&spare, STEP_BYTES, 2 * STEP_BYTES, SMALL_GROUP_BYTES);
        assert!(spare.step(&disk, &SETTINGS));
        spare.close();
        spare.run(&disk, &SETTINGS);
        spare.discard(&disk);
        assert!(disk.open(SPARE_PATH).is_err());
    }
}
