//! The sealer: gives sealed journals their seal, from the bytes on the disk, at a bounded pace.
//!
//! It reads every sealed journal once more and checks everything in it, so damage is found before
//! somebody needs the data. It continues after the newest sound seal. A journal that is damaged
//! gets no seal: it is reported, and the chains that pass through it begin anew behind it.
//! The work is done in steps ([`Sealer::step`]); the thread around them only waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::Duration;

use factum_event::Offset;

use crate::chain::{ChainHash, Link};
use crate::disk::ForwardFile;
use crate::entry::{BatchEntry, PartitionId};
use crate::housekeeper::Task;
use crate::journal::batches::BatchReader;
use crate::journal::format::{FileHeader, UNIT_U64};
use crate::journal::index::Sealed;
use crate::journal::scan::{Found, Group, Scan};
use crate::journal::seal::{Line, Seal};
use crate::journal::{DIRECTORY, FIRST_SEGMENT, Name, file, journal_path, seal_path};
use crate::shared::{SEALER_ENDED, Shared};

/// What one step reads, but for a larger group.
const STEP_BYTES: u64 = 1 << 20;

/// Where the writer had the disk for more than half of the time, producers wait for it, and the
/// sealer goes on at a part of its pace: one in so many.
const BUSY_SHARE: u64 = 8;

/// How long it waits where the operating system refused.
const RETRY: Duration = Duration::from_secs(10);

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It read these bytes, and there may be more.
    Read(u64),
    /// Every sealed journal has its seal, or was found damaged.
    Idle,
}

pub(crate) struct Sealer {
    shared: Arc<Shared>,
    /// The chain at the end of each partition, in what was sealed.
    heads: BTreeMap<PartitionId, Head>,
    /// The newest seal; none before the first.
    newest: Option<(u64, ChainHash)>,
    /// The last journal that was sealed or given up; unknown before the first step.
    done: Option<u64>,
    work: Option<Work>,
    /// The way to the housekeeper, which lasts as long as the log is open.
    tasks: Weak<SyncSender<Task>>,
    /// When it paused last, and for how long the writer had written by then.
    paused: (Duration, Duration),
}

#[derive(Clone, Copy)]
struct Head {
    next: Offset,
    hash: ChainHash,
}

/// A journal that is being read.
struct Work {
    sealed: Sealed,
    file: Arc<ForwardFile>,
    header: FileHeader,
    position: u64,
    sequence: u64,
    lines: BTreeMap<PartitionId, Line>,
}

impl Sealer {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Weak<SyncSender<Task>>) -> Self {
        let (heads, paused) = (BTreeMap::new(), (shared.clock.monotonic(), Duration::ZERO));
        Self { shared, heads, newest: None, done: None, work: None, tasks, paused }
    }

    /// Runs until whoever wakes it is gone.
    pub(crate) fn run(mut self, woken: &Receiver<()>) {
        loop {
            let pause = match self.step() {
                Ok(Step::Read(bytes)) => self.pause(bytes),
                Ok(Step::Idle) => Duration::MAX,
                Err(error) => {
                    tracing::warn!("cannot seal a journal: {error}; tried again later");
                    // What was read so far belongs to a file that may have gone.
                    self.work = None;
                    RETRY
                }
            };
            if let Err(RecvTimeoutError::Disconnected) = woken.recv_timeout(pause) {
                self.shared.sealed_until.send_replace(SEALER_ENDED);
                return;
            }
        }
    }

    fn pause(&mut self, bytes: u64) -> Duration {
        let per_second = self.shared.settings.seal_bytes_per_second;
        let share = if self.is_writer_busy() { BUSY_SHARE } else { 1 };
        Duration::from_micros(bytes.saturating_mul(1_000_000 * share) / per_second)
    }

    /// Whether the writer had the disk for most of the time since this was asked last.
    fn is_writer_busy(&mut self) -> bool {
        let (before, written_before) = self.paused;
        let (now, written) = (self.shared.clock.monotonic(), self.shared.counters.flush_time());
        self.paused = (now, written);
        written.saturating_sub(written_before) > now.saturating_sub(before) / 2
    }

    /// Does a bounded piece of work.
    ///
    /// # Errors
    /// As the operating system says; the next step tries again.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let Some(done) = self.done else {
            self.load()?;
            return Ok(Step::Read(0));
        };
        let Some(mut work) = self.next_work(done)? else {
            self.note_lag(0);
            return Ok(Step::Idle);
        };
        let before = work.position;
        match self.advance(&mut work)? {
            Progress::More => {
                self.note_lag(work.position);
                let read = work.position - before;
                self.work = Some(work);
                Ok(Step::Read(read))
            }
            Progress::Complete => {
                let read = work.position - before;
                self.seal(&work)?;
                Ok(Step::Read(read))
            }
            Progress::Damaged(reason) => {
                self.give_up(&work, &reason);
                Ok(Step::Read(STEP_BYTES))
            }
        }
    }

    /// Continues where the newest sound seal ends.
    fn load(&mut self) -> io::Result<()> {
        let journals = self.shared.journals.lock().clone();
        let mut done = 0;
        for number in self.seals()?.into_iter().rev() {
            let fits = |seal: &Seal| match journals.get(&number) {
                Some(Some(sealed)) => sealed.salt == seal.salt,
                Some(None) => false,
                None => true,
            };
            match Seal::read(self.shared.disk.as_ref(), number)? {
                Ok((seal, hash)) if fits(&seal) => {
                    let head = |line: Line| (line.id, Head { next: line.next, hash: line.after });
                    self.heads = seal.lines.into_iter().map(head).collect();
                    self.newest = Some((number, hash));
                    done = number;
                    break;
                }
                Ok(_) => self.damage(&format!("{} is of another journal", seal_path(number))),
                Err(reason) => self.damage(&format!("{} is damaged: {reason}", seal_path(number))),
            }
        }
        self.set_done(done);
        Ok(())
    }

    fn seals(&self) -> io::Result<Vec<u64>> {
        let names = self.shared.disk.list(DIRECTORY)?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| match Name::parse(name) {
                Name::Seal(number) => Some(number),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The journal at work, or the first sealed one after `done`.
    fn next_work(&mut self, done: u64) -> io::Result<Option<Work>> {
        if let Some(work) = self.work.take() {
            return Ok(Some(work));
        }
        loop {
            let Some(sealed) = self.next_sealed(self.done.unwrap_or(done)) else {
                return Ok(None);
            };
            let path = journal_path(sealed.number);
            let file = match ForwardFile::open(self.shared.disk.as_ref(), &path, sealed.end) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_gone(&sealed) => {
                    continue;
                }
                opened => opened?,
            };
            let header = match file::read_header(&file, sealed.number)? {
                Ok(header) if header.salt == sealed.salt => header,
                other => {
                    let reason = other.err().unwrap_or_else(|| "it has another salt".into());
                    self.lost(&sealed, &format!("at byte 0: {reason}"));
                    continue;
                }
            };
            let (position, sequence) = (UNIT_U64, header.first_sequence);
            let (file, lines) = (Arc::new(file), BTreeMap::new());
            return Ok(Some(Work { sealed, file, header, position, sequence, lines }));
        }
    }

    /// The first sealed journal after `done`. Where there is none, those before the active one
    /// are done: what is not sealed was removed, and nobody is to wait for it.
    fn next_sealed(&mut self, done: u64) -> Option<Sealed> {
        let (next, active) = {
            let journals = self.shared.journals.lock();
            let mut later = journals.range(done + 1..FIRST_SEGMENT);
            let next = later.clone().find_map(|(_, sealed)| *sealed);
            (next, later.next().map(|(&number, _)| number))
        };
        if let (None, Some(active)) = (next, active)
            && active > done + 1
        {
            self.set_done(active - 1);
        }
        next
    }

    /// Whether a journal was removed meanwhile: no loss.
    fn is_gone(&self, sealed: &Sealed) -> bool {
        !self.shared.journals.lock().contains_key(&sealed.number)
    }

    /// Reads groups until there is enough for one step.
    fn advance(&self, work: &mut Work) -> io::Result<Progress> {
        let file = Arc::clone(&work.file);
        // The room behind its end is given back to the disk, perhaps just now.
        let end = work.sealed.end;
        let mut scan = Scan::new(file.as_ref(), work.header, false)?.until(end);
        scan.skip_to(work.position, work.sequence);
        let enough = work.position + STEP_BYTES;
        while scan.position() < work.sealed.end && scan.position() < enough {
            match scan.next()? {
                Found::Group(group) => {
                    // No further: what follows is the next group's, and is read with it.
                    let mut reader = BatchReader::new(file.as_ref())?.until(group.end());
                    if let Err(reason) = self.take(work, &group, &mut reader) {
                        return Ok(Progress::Damaged(reason));
                    }
                }
                Found::End => break,
                Found::Invalid(reason) => {
                    let at = scan.position();
                    return Ok(Progress::Damaged(format!("at byte {at}: {reason}")));
                }
            }
            (work.position, work.sequence) = (scan.position(), scan.sequence());
        }
        let Sealed { end, next_sequence, .. } = work.sealed;
        if scan.position() < end && scan.position() >= enough {
            return Ok(Progress::More);
        }
        if (scan.position(), scan.sequence()) == (end, next_sequence) {
            return Ok(Progress::Complete);
        }
        Ok(Progress::Damaged(format!("it ends at byte {}, not at {end}", scan.position())))
    }

    fn take(
        &self,
        work: &mut Work,
        group: &Group,
        reader: &mut BatchReader<'_>,
    ) -> Result<(), String> {
        for (id, entry) in &group.entries {
            let line = work.lines.entry(*id).or_insert_with(|| self.line(*id, entry));
            if line.next != entry.base_offset {
                // A journal in between went with its topic, or was damaged: a new chain.
                line.after = ChainHash::begin(*id);
            }
            let mut link = Link::new(&line.after, entry);
            reader.check(entry, Some(&mut link)).map_err(|reason| {
                let (first, last) = (entry.base_offset, entry.last_offset);
                let PartitionId { topic, partition } = id;
                format!(
                    "at byte {}: the batch of topic {topic}, partition {partition}, offsets \
                     {first} to {last} is not what was written: {reason}",
                    entry.position
                )
            })?;
            line.after = link.finish();
            line.next = entry.next_offset();
            line.tags.push(line.after.tag());
        }
        Ok(())
    }

    /// A partition before its first batch in a journal.
    fn line(&self, id: PartitionId, entry: &BatchEntry) -> Line {
        let first = entry.base_offset;
        let head = self.heads.get(&id).filter(|head| head.next == first);
        let before = head.map_or_else(|| ChainHash::begin(id), |head| head.hash);
        Line { id, first, next: first, before, after: before, tags: Vec::new() }
    }

    /// Writes the seal of a journal that was read to its end.
    fn seal(&mut self, work: &Work) -> io::Result<()> {
        let removed = self.shared.partitions.removed();
        let mut lines = work.lines.clone();
        for (&id, head) in self.heads.iter().filter(|(id, _)| !removed.contains(&id.topic)) {
            lines.entry(id).or_insert_with(|| {
                let Head { next, hash } = *head;
                Line { id, first: next, next, before: hash, after: hash, tags: Vec::new() }
            });
        }
        let seal = Seal::new(&work.sealed, self.newest, lines.into_values().collect());
        let hash = seal.write(self.shared.disk.as_ref())?;
        let head = |line: Line| (line.id, Head { next: line.next, hash: line.after });
        self.heads = seal.lines.into_iter().map(head).collect();
        self.newest = Some((seal.number, hash));
        self.shared.counters.seals.fetch_add(1, Relaxed);
        // First: a journal must not be sealed again because old seals cannot be removed.
        self.set_done(seal.number);
        self.note_lag(0);
        self.prune(seal.number)
    }

    /// Removes seals of journals that are gone: the newest seal has the values of all of them.
    fn prune(&self, newest: u64) -> io::Result<()> {
        let journals: BTreeSet<u64> = self.shared.journals.lock().keys().copied().collect();
        let older = self.seals()?.into_iter().filter(|&number| number < newest);
        for number in older.filter(|number| !journals.contains(number)) {
            self.shared.disk.remove(&seal_path(number))?;
        }
        Ok(())
    }

    fn give_up(&mut self, work: &Work, reason: &str) {
        if self.is_gone(&work.sealed) {
            self.set_done(work.sealed.number);
        } else {
            self.lost(&work.sealed, reason);
        }
    }

    fn lost(&mut self, sealed: &Sealed, reason: &str) {
        let number = sealed.number;
        self.damage(&format!("{} is damaged {reason}", journal_path(number)));
        // One whose flush has failed may be there: the next seal does not follow it.
        let _ = self.shared.disk.remove(&seal_path(number));
        for partition in self.shared.partitions.all() {
            let inner = partition.lock();
            if inner.summary_of(number).is_some() || !inner.dense_of(number).is_empty() {
                self.heads.remove(&partition.id);
            }
        }
        self.set_done(number);
        self.note_lag(0);
    }

    fn set_done(&mut self, number: u64) {
        self.done = Some(number);
        // What waited for this may be removed now, also if somebody only waits for it to close the
        // log. Where tasks wait already, each of them sweeps.
        let tasks = self.tasks.upgrade();
        self.shared.sealed_until.send_replace(number);
        if let Some(tasks) = tasks {
            let _ = tasks.try_send(Task::Sweep);
        }
    }

    fn damage(&self, what: &str) {
        self.shared.counters.scrub_damage.fetch_add(1, Relaxed);
        tracing::error!(
            "{what}; it is not sealed: stop the server, and run `factum verify {}`",
            self.shared.disk.location()
        );
    }

    /// How many bytes of sealed journals have no seal yet, `read` of the next one apart.
    fn note_lag(&self, read: u64) {
        let done = self.done.unwrap_or(0);
        let journals = self.shared.journals.lock();
        let bytes = unsealed_bytes(&journals, done);
        self.shared.counters.unsealed_bytes.store(bytes.saturating_sub(read), Relaxed);
    }
}

/// The bytes of sealed journals after `done`, which have no seal yet.
pub(crate) fn unsealed_bytes(journals: &BTreeMap<u64, Option<Sealed>>, done: u64) -> u64 {
    // At the end of the sealer no number is above what it says.
    let after = done.saturating_add(1).min(FIRST_SEGMENT);
    let waiting = journals.range(after..FIRST_SEGMENT).filter_map(|(_, sealed)| *sealed);
    waiting.map(|sealed| sealed.end).sum()
}

enum Progress {
    More,
    Complete,
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use factum_event::{Clock, Timestamp};

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::settings::LogSettings;

    /// Milliseconds that the test turns.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::UNKNOWN
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Relaxed))
        }
    }

    #[test]
    fn a_writer_that_has_the_disk_most_of_the_time_slows_sealing() {
        let clock = Arc::new(Hand::default());
        let settings = LogSettings { seal_bytes_per_second: 1 << 20, ..LogSettings::default() };
        let disk = Arc::new(SimDisk::new(1));
        let shared = Arc::new(Shared::new(disk, Arc::clone(&clock) as Arc<dyn Clock>, settings));
        let mut sealer = Sealer::new(Arc::clone(&shared), Weak::new());
        for (written_ms, seconds) in [(0, 1), (50, 1), (51, BUSY_SHARE), (100, BUSY_SHARE), (10, 1)]
        {
            clock.0.fetch_add(100, Relaxed);
            shared.counters.flushed(1, 1, Duration::from_millis(written_ms));
            let pause = sealer.pause(1 << 20);
            assert_eq!(pause, Duration::from_secs(seconds), "{written_ms} ms of 100");
        }
    }
}
