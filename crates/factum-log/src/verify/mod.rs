//! Checks a data directory that no server has: everything that is on the disk, and nothing that
//! is not. It changes no byte, and goes on after what it finds.
//!
//! What is checked: `FORMAT`, the list of starts, the structure of every file, every checksum,
//! entries against their batches, the offsets of each partition, indexes and seals against their
//! journals, and the chains against seals and against what was attested. Memory is that of the
//! entries and the seal of one journal, and, as at opening, one line per file and partition.

mod coverage;
mod files;
mod finding;
mod heads;
mod index;
mod journal;
mod sealed;
mod segment;

use std::io;

use factum_event::batch::Batch;
use thiserror::Error;

use crate::chain::{ChainHash, ChainHead};
use crate::disk::Disk;
use crate::entry::PartitionId;
use crate::error::{OpenError, Trying};
use crate::journal::format::{FORMAT_VERSION, FileHeader};
use crate::journal::marker::Marker;
use crate::journal::seal::Seal;
use crate::journal::{DIRECTORY, journal_path, marker_path, seal_path};
use crate::log::LOCK_FILE;
use crate::recovery::{FORMAT_FILE, FORMAT_WORD};
use crate::starts::{STARTS_FILE, Starts};

use coverage::{Coverage, Pieces, widen};
use files::{Files, Slot};
pub use finding::{Fault, Finding};
use heads::Heads;
use journal::Place;
use sealed::SealedChains;

/// Findings and notes that are kept; more are counted.
pub const MAX_FINDINGS: usize = 1000;

/// The most that is read of the format file.
const MAX_FORMAT_BYTES: u64 = 256;

/// What is to be checked.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Unpacks and decodes every record as well.
    pub deep: bool,
    /// The heads that were attested earlier: the log must still have that past.
    pub against: Vec<ChainHead>,
}

/// Who watches, and wants to see batches that were found sound.
pub trait VerifyObserver {
    /// How many bytes there are to read.
    fn begin(&mut self, total_bytes: u64);

    /// So many more were read.
    fn read(&mut self, bytes: u64);

    /// Whether it wants the batches of a partition.
    fn wants(&self, partition: PartitionId) -> bool;

    /// A sound batch that it wants.
    fn batch(&mut self, partition: PartitionId, batch: &Batch);
}

/// Nobody watches.
impl VerifyObserver for () {
    fn begin(&mut self, _: u64) {}

    fn read(&mut self, _: u64) {}

    fn wants(&self, _: PartitionId) -> bool {
        false
    }

    fn batch(&mut self, _: PartitionId, _: &Batch) {}
}

/// What was checked and found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Journal files that were read.
    pub journals: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Seals that were read and are sound.
    pub seals: u64,
    /// Groups that are sound in themselves.
    pub groups: u64,
    /// Batches that are what was written.
    pub batches: u64,
    /// Their bytes.
    pub batch_bytes: u64,
    /// Records that were decoded.
    pub records: u64,
    /// Partitions of topics that are there.
    pub partitions: u64,
    /// How many of them have offsets that were moved or compacted: in segments, where no chain
    /// covers them any more.
    pub moved_partitions: u64,
    /// How many offsets that are.
    pub moved_offsets: u64,
    /// Attested partitions that cannot be compared, as what was attested was cut off, moved,
    /// compacted or removed since; the notes say which.
    pub unproven: u64,
    /// What is wrong, at most [`MAX_FINDINGS`] of it, in the order of the files.
    pub findings: Vec<Finding>,
    /// Findings that are not listed.
    pub more_findings: u64,
    /// What is not wrong and worth knowing.
    pub notes: Vec<String>,
    /// The ends of all chains; what was removed or damaged has none.
    pub heads: Vec<ChainHead>,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why nothing could be checked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// In use, of a newer format, or not accessible.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No data directory.
    #[error(
        "{directory} is no data directory of Factum: a file FORMAT and a directory journal were \
         expected; name the directory that `factum serve --data` was given"
    )]
    NoLog {
        /// The directory.
        directory: String,
    },
}

/// Checks everything on `disk`, which no log may have open.
///
/// # Errors
/// [`VerifyError`] where nothing can be checked; what is damaged is no error but a [`Finding`].
pub fn verify(
    disk: &dyn Disk,
    options: &VerifyOptions,
    observer: &mut dyn VerifyObserver,
) -> Result<Verification, VerifyError> {
    let directory = || disk.location();
    let _lock = disk.lock(LOCK_FILE).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { directory: directory() },
        _ => OpenError::Io { action: format!("lock {}", directory()), source },
    })?;
    let format = read_format(disk).trying(|| format!("read {FORMAT_FILE}"))?;
    let files = match Files::list(disk) {
        Ok(files) if format.is_some() || !files.slots().is_empty() => files,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::Io { action: format!("list {DIRECTORY}"), source: error }.into());
        }
        _ => return Err(VerifyError::NoLog { directory: directory() }),
    };
    let mut verifier = Verifier {
        disk,
        options,
        observer,
        files,
        heads: Heads::new(&options.against),
        coverage: Coverage::default(),
        pieces: Pieces::new(),
        newest_seal: None,
        after_unsealed: false,
        report: Verification::default(),
    };
    verifier.format(format)?;
    verifier.observer.begin(verifier.files.total_bytes(disk));
    verifier.all();
    Ok(verifier.finish())
}

/// The state of a check: files are taken in their order.
struct Verifier<'a> {
    disk: &'a dyn Disk,
    options: &'a VerifyOptions,
    observer: &'a mut dyn VerifyObserver,
    files: Files,
    heads: Heads,
    coverage: Coverage,
    /// What the present file has.
    pieces: Pieces,
    newest_seal: Option<(u64, ChainHash)>,
    /// Since the newest seal there were journals without one: the next seal may know more of them
    /// than was read, where they were removed, or less, where they were damaged.
    after_unsealed: bool,
    report: Verification,
}

impl Verifier<'_> {
    fn found(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += 1;
        }
    }

    fn note(&mut self, note: String) {
        if self.report.notes.len() < MAX_FINDINGS {
            self.report.notes.push(note);
        }
    }

    fn format(&mut self, text: Option<String>) -> Result<(), VerifyError> {
        let expected = format!("{FORMAT_WORD} {FORMAT_VERSION}\n");
        let text = text.unwrap_or_default();
        if text == expected {
            return Ok(());
        }
        let newer = text.strip_prefix(FORMAT_WORD).and_then(|rest| rest.trim().parse().ok());
        if let Some(found) = newer.filter(|&found| found > FORMAT_VERSION) {
            let (directory, supported) = (self.disk.location(), FORMAT_VERSION);
            return Err(OpenError::NewerFormat { directory, found, supported }.into());
        }
        let same = text.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
        let reason = format!("{expected:?} was expected, {text:?} came");
        self.found(Finding::new(Fault::Format, FORMAT_FILE, same as u64, reason));
        Ok(())
    }

    fn all(&mut self) {
        let slots = self.files.slots();
        let first = slots.first().map_or(0, |slot| slot.0);
        if !slots.is_empty() || !self.files.segments.is_empty() {
            self.starts();
        }
        for &number in self.files.markers.clone().range(first..) {
            self.marker(number);
        }
        if self.files.unfinished > 0 {
            let count = self.files.unfinished;
            self.note(format!("{count} unfinished files of a crash; opening the log removes them"));
        }
        for &number in self.files.seals.clone().range(..first) {
            self.read_seal(number);
        }
        // Of journals that are gone only the newest seal stays, unless it came before them.
        self.after_unsealed |= first > 1 && !self.files.seals.contains(&(first - 1));
        // As at opening: segments take the place of what sealed journals have.
        let Some((&(last, slot), sealed)) = slots.split_last() else {
            if !self.files.segments.is_empty() {
                let reason = "there are segments, and no journal";
                self.found(Finding::new(Fault::Missing, DIRECTORY, 0, reason));
            }
            return self.segments();
        };
        for &(number, slot) in sealed {
            self.slot(number, slot);
        }
        self.segments();
        self.slot(last, slot);
    }

    fn slot(&mut self, number: u64, slot: Slot) {
        match slot {
            Slot::Journal { active } => {
                self.report.journals += 1;
                let next_sequence = self.sequence_after(number);
                self.journal(&Place { number, active, next_sequence });
            }
            Slot::Removed => self.read_seal(number),
            Slot::Missing => self.missing(number),
        }
    }

    fn starts(&mut self) {
        let reason = match Starts::read(self.disk) {
            Ok(Ok(Some(starts))) => return self.coverage.begin(Some(starts)),
            Ok(Ok(None)) => "the file is missing".to_owned(),
            Ok(Err(reason)) => reason,
            Err(error) => format!("it cannot be read: {error}"),
        };
        self.coverage.begin(None);
        self.found(Finding::new(Fault::Starts, STARTS_FILE, 0, reason));
    }

    fn sequence_after(&self, number: u64) -> Option<u64> {
        self.files.first_sequence(self.disk, number.checked_add(1)?)
    }

    fn marker(&mut self, number: u64) {
        let read = Marker::read(self.disk, number);
        let reason = match read {
            Ok(Ok(marker)) => {
                self.coverage.note_removed(marker.topics);
                return;
            }
            Ok(Err(reason)) => reason,
            Err(error) => format!("it cannot be read: {error}"),
        };
        self.found(Finding::new(Fault::Marker, marker_path(number), 0, reason));
    }

    fn missing(&mut self, number: u64) {
        let seal = self.seal(&Place { number, active: false, next_sequence: None }, None);
        let mut chains = SealedChains::new(number, seal);
        let reason = "the file is missing, and no marker says why";
        self.lost(number, 0..u64::MAX, Fault::Missing, reason, &mut chains);
        self.close(number, chains);
    }

    /// Reads the seal of a journal that is gone: the chains go on with its values.
    fn read_seal(&mut self, number: u64) {
        if self.files.seals.contains(&number) {
            let place = Place { number, active: false, next_sequence: None };
            let seal = self.seal(&place, None);
            self.after_unsealed &= seal.is_none();
            SealedChains::new(number, seal).adopt(&mut self.heads);
        } else {
            self.after_unsealed = true;
        }
    }

    /// The seal of a journal, where there is a sound one of this file.
    fn seal(&mut self, place: &Place, header: Option<&FileHeader>) -> Option<Seal> {
        let number = place.number;
        if !self.files.seals.contains(&number) {
            if self.has_seal_from(number) {
                let reason = "the seal is missing, though later journals have theirs";
                self.found(Finding::new(Fault::Seal, seal_path(number), 0, reason));
            }
            return None;
        }
        let fault = match Seal::read(self.disk, number) {
            Ok(Ok((seal, hash))) => {
                self.link(&seal);
                self.coverage.sealed(&seal);
                self.newest_seal = Some((number, hash));
                match header {
                    Some(header) if seal.salt != header.salt => {
                        format!("it is of another file than {}", journal_path(number))
                    }
                    _ => {
                        self.report.seals += 1;
                        return Some(seal);
                    }
                }
            }
            Ok(Err(reason)) => reason,
            Err(error) => format!("it cannot be read: {error}"),
        };
        self.found(Finding::new(Fault::Seal, seal_path(number), 0, fault));
        None
    }

    /// Whether a journal or a later one was sealed.
    fn has_seal_from(&self, number: u64) -> bool {
        self.files.seals.last().is_some_and(|&newest| newest >= number)
    }

    /// Each seal covers the one before.
    fn link(&mut self, seal: &Seal) {
        let Some(newest) = self.newest_seal else {
            return;
        };
        // One that follows a later seal than the newest sound one: that one was reported.
        let reported = seal.previous.is_some_and(|(number, _)| number > newest.0);
        if seal.previous != Some(newest) && !reported {
            let path = seal_path(seal.number);
            let reason = format!("it does not follow {}", seal_path(newest.0));
            self.found(Finding::new(Fault::Chain, path, 0, reason));
        }
    }

    /// The end of a journal, for the chains that pass through it, and for what it answers for.
    fn close(&mut self, number: u64, chains: SealedChains) {
        let mut pieces = std::mem::take(&mut self.pieces);
        for (id, first, last) in chains.pieces() {
            // Where the journal does not have what was sealed, that is reported here.
            widen(&mut pieces, id, first, last);
        }
        self.coverage.journal(number, pieces);
        // A seal has the values of all partitions: what was before it matters no more.
        let after_unsealed = std::mem::replace(&mut self.after_unsealed, !chains.is_sealed());
        let chains = chains.after_unsealed(after_unsealed);
        for finding in chains.finish(&mut self.heads, self.coverage.removed()) {
            self.found(finding);
        }
    }

    fn finish(mut self) -> Verification {
        for finding in self.coverage.settle() {
            self.found(finding);
        }
        let why_gone = |id, next| self.coverage.why_gone(id, next);
        let (findings, notes) = self.heads.contradictions(why_gone);
        self.report.unproven = notes.len() as u64;
        notes.into_iter().for_each(|note| self.note(note));
        findings.into_iter().for_each(|finding| self.found(finding));
        (self.report.moved_partitions, self.report.moved_offsets) = self.coverage.moved();
        self.report.partitions = self.coverage.partitions();
        self.report.heads = self.heads.known(|id| self.coverage.has(id));
        self.report
    }
}

/// The text of the format file; none where there is no such file.
fn read_format(disk: &dyn Disk) -> io::Result<Option<String>> {
    let file = match disk.open(FORMAT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?.min(MAX_FORMAT_BYTES)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
