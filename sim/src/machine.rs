//! The machine on which a simulation runs: a disk, a clock, chance, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use factum_event::{Clock, Timestamp};
use factum_log::disk::sim::{Faults, Random, Refusal, SimDisk};
use factum_log::{Disk, Fault, LogSettings, VerifyError, VerifyOptions, verify};

use crate::Violation;
use crate::clock::VirtualClock;
use crate::history::History;
use crate::totals::Totals;

const JOURNALS: &str = "journal";

/// The longest time for which a machine idles, often and at times: then everything is old.
const MAX_IDLE: Duration = Duration::from_secs(600);
const MAX_LONG_IDLE: Duration = Duration::from_secs(10 * 86_400);

/// The most that one operation takes, in microseconds.
const MAX_STEP_MICROS: u64 = 20_000;

pub(crate) struct Machine {
    pub(crate) random: Random,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) disk: SimDisk,
    pub(crate) history: History,
    pub(crate) totals: Totals,
    /// Bits of sealed journals or segments were flipped, and are not mended.
    pub(crate) is_damaged: bool,
    /// Journals may have got no seal, because they were damaged then.
    lacks_seals: bool,
    /// Somebody has removed seals, and with them what chains follow.
    lacks_chains: bool,
    /// The log checks what it may be asked for next.
    reads_ahead: bool,
    /// Something has gone wrong with the disk since this life began.
    pub(crate) was_troubled: bool,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.next());
        Self {
            random,
            clock: Arc::default(),
            disk,
            history: History::default(),
            totals: Totals { seeds: 1, ..Totals::default() },
            is_damaged: false,
            reads_ahead: false,
            lacks_seals: false,
            lacks_chains: false,
            was_troubled: false,
        }
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).unwrap_or(0)
    }

    /// One of these, which are some.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    pub(crate) fn log_settings(&mut self) -> LogSettings {
        self.reads_ahead = self.random.one_in(2);
        LogSettings {
            journal_bytes: self.one_of(&[8 << 10, 16 << 10, 64 << 10]),
            queue_bytes: self.one_of(&[8 << 10, 64 << 10]),
            tail_bytes: self.one_of(&[0, 8 << 10, 1 << 20]),
            read_ahead_from: if self.reads_ahead { 1 } else { usize::MAX },
            seal_bytes_per_second: 1 << 40,
        }
    }

    /// One operation begins: time passes.
    pub(crate) fn tick(&mut self) {
        self.totals.operations += 1;
        let took = Duration::from_micros(self.random.below(MAX_STEP_MICROS));
        self.clock.advance(took);
        self.totals.busy += took;
    }

    /// Nothing is done for some time.
    pub(crate) fn idle(&mut self) {
        let longest = if self.random.one_in(20) { MAX_LONG_IDLE } else { MAX_IDLE };
        let most = u64::try_from(longest.as_millis()).unwrap_or(0);
        let time = Duration::from_millis(self.random.below(most));
        self.clock.advance(time);
        self.totals.idle += time;
        self.history.note(format!("nothing happens for {time:?}"));
    }

    /// Something will go wrong soon, or goes wrong from now on.
    pub(crate) fn trouble(&mut self) {
        let at = Some(self.random.below(12) + 1);
        let calm = Faults::default();
        let faults = match self.random.below(14) {
            0..=2 => Faults { crash_at_write: at, ..calm },
            3..=5 => Faults { crash_at_sync: at, ..calm },
            6 => Faults { kill_at_sync: at, ..calm },
            7 => Faults { fail_write: at, ..calm },
            8 => Faults { fail_sync: at, ..calm },
            9 => Faults { full_at_write: at, ..calm },
            10 | 11 => Faults { capacity: Some(self.random.below(128 << 10)), ..calm },
            12 => Faults { refusal: Some(Refusal::ReadOnly), ..calm },
            _ => Faults { refusal: Some(Refusal::TooManyFiles), ..calm },
        };
        self.was_troubled = true;
        let words = format!("{faults:?}");
        let words: Vec<_> = words.split(", ").filter(|word| !word.ends_with(": None")).collect();
        self.history.note(format!("trouble: {}", words.join(", ")));
        self.disk.set_faults(faults);
    }

    /// Whatever was wrong is put right.
    pub(crate) fn calm(&mut self) {
        self.history.note("the disk is calm".into());
        self.disk.set_faults(Faults::default());
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.disk.is_dead()
    }

    /// The machine or the process ends, unless it has ended already.
    pub(crate) fn end(&mut self) {
        if !self.is_dead() {
            if self.random.one_in(3) {
                self.history.note("the process is killed".into());
                self.disk.kill();
            } else {
                self.history.note("the machine crashes".into());
                self.disk.crash();
            }
        }
        self.disk = self.disk.restarted();
    }

    /// The names of the journals' directory that end so, but for the journal that is written to.
    fn sealed(&self, ends: &[&str]) -> Vec<String> {
        let names = self.disk.list(JOURNALS).unwrap_or_default();
        let active = names.iter().filter(|name| name.ends_with(".journal")).max().cloned();
        let wanted = |name: &String| ends.iter().any(|end| name.ends_with(end));
        names.into_iter().filter(|name| wanted(name) && Some(name) != active.as_ref()).collect()
    }

    /// Flips a bit of a file that nothing is written to any more.
    pub(crate) fn flip(&mut self) {
        // The simulated disk has no page cache, in which what was checked would stay as it was.
        if self.reads_ahead {
            return;
        }
        let mut names = self.sealed(&[".journal", ".segment", ".index"]);
        // The newest may have failed to begin: then damage in the one before is a torn end.
        let last = names.iter().filter(|name| name.ends_with(".journal")).max().cloned();
        names.retain(|name| Some(name) != last.as_ref());
        if names.is_empty() {
            return;
        }
        let name = &names[self.below(names.len())];
        let path = format!("{JOURNALS}/{name}");
        let length = self.disk.open(&path).and_then(|file| file.len()).unwrap_or(0);
        if length == 0 {
            return;
        }
        let (at, bit) = (self.random.below(length), self.below(8));
        if self.disk.flip_bit(&path, at, u8::try_from(bit).unwrap_or(0)).is_ok() {
            self.is_damaged |= !name.ends_with(".index");
            // A damaged journal rightly gets no seal.
            self.lacks_seals |= name.ends_with(".journal");
            self.history.note(format!("bit {bit} of byte {at} of {path} flips"));
        }
    }

    /// Puts back every bit that was flipped.
    pub(crate) fn mend(&mut self) {
        self.disk.mend();
        self.is_damaged = false;
    }

    /// Somebody removes files that can be computed again.
    pub(crate) fn delete_folds(&mut self) {
        let mut paths: Vec<String> = self
            .sealed(&[".index", ".seal"])
            .into_iter()
            .map(|name| format!("{JOURNALS}/{name}"))
            .collect();
        paths.push("checkpoints/producers".into());
        for path in paths {
            if self.random.one_in(2) && self.disk.remove(&path).is_ok() {
                self.history.note(format!("somebody removes {path}"));
                self.totals.deleted_folds += 1;
                // Opening never needs them, but they are evidence: they are missed.
                self.lacks_chains |= path.ends_with(".seal");
            }
        }
    }

    /// A crash damages nothing but indexes, which are not flushed. What was damaged and is mended
    /// leaves nothing but seals that were never written; only without a seal that there was may
    /// chains seem to be broken.
    pub(crate) fn verify_files(&mut self) -> Result<(), Violation> {
        if self.is_damaged {
            return Ok(());
        }
        let names = self.disk.list(JOURNALS).unwrap_or_default();
        self.history.note(format!("there are {}", names.join(" ")));
        match verify(&self.disk, &VerifyOptions::default(), &mut ()) {
            Ok(found) => {
                let may_be = |fault| {
                    fault == Fault::Index
                        || fault == Fault::Seal && (self.lacks_seals || self.lacks_chains)
                        || fault == Fault::Chain && self.lacks_chains
                };
                match found.findings.iter().find(|one| !may_be(one.fault)) {
                    Some(finding) => Err(format!("verification has found {finding:?}")),
                    None => Ok(()),
                }
            }
            // Nothing was written yet.
            Err(VerifyError::NoLog { .. }) => Ok(()),
            Err(error) => Err(format!("verification: {error}")),
        }
    }

    /// The end of the simulation.
    pub(crate) fn finish(&mut self) {
        self.totals.disk = self.disk.stats();
        self.history.mix(self.disk.digest());
        self.history.note(format!("{:?}", self.totals));
    }
}
