//! One file of groups: its structure, its batches, and its seal.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use factum_event::Offset;
use factum_event::batch::Batch;

use super::Verifier;
use super::coverage::widen;
use super::finding::{Fault, Finding};
use super::index::indexed;
use super::sealed::SealedChains;
use crate::chain::{ChainHash, Link};
use crate::disk::DiskFile;
use crate::entry::{BatchEntry, PartitionId};
use crate::journal::batches::BatchReader;
use crate::journal::scan::{After, Found, Group, Scan};
use crate::journal::{file, is_segment, journal_path};

/// What a compressed batch may unpack to where it is looked into.
const MAX_UNPACKED_BYTES: usize = 128 << 20;

/// A journal as a place among others.
pub(super) struct Place {
    pub(super) number: u64,
    /// The last one, which takes groups.
    pub(super) active: bool,
    /// The sequence with which the next journal begins, where that is known.
    pub(super) next_sequence: Option<u64>,
}

/// The batches of a file by partition, as an index has them.
pub(super) type Entries = BTreeMap<PartitionId, Vec<BatchEntry>>;

/// What reading a file to its end has shown.
pub(super) struct End {
    pub(super) entries: Entries,
    pub(super) position: u64,
    pub(super) sequence: u64,
    /// Whether every group was found: then the index follows from it.
    pub(super) complete: bool,
}

impl Verifier<'_> {
    pub(super) fn journal(&mut self, place: &Place) {
        let number = place.number;
        let opened = self.disk.open(&journal_path(number)).and_then(|file| {
            let header = file::read_header(file.as_ref(), number)?;
            Ok((file, header))
        });
        let (file, header) = match opened {
            Ok((file, Ok(header))) => (file, header),
            Ok((_, Err(reason))) => return self.unreadable(place, &reason),
            Err(error) => return self.unreadable(place, &format!("it cannot be read: {error}")),
        };
        let seal = self.seal(place, Some(&header));
        let is_lost = seal.is_none() && self.has_seal_from(number);
        let mut chains = SealedChains::new(number, seal).seal_is_lost(is_lost);
        let read = Scan::new(file.as_ref(), header, false)
            .and_then(|scan| self.groups(place, file.as_ref(), scan, &mut chains));
        match read {
            Ok(end) => self.index(place, &header, end, None),
            Err(error) => {
                let reason = format!("it cannot be read: {error}");
                self.found(Finding::new(Fault::Structure, journal_path(number), 0, reason));
                chains.lost_some();
            }
        }
        self.close(place.number, chains);
    }

    fn unreadable(&mut self, place: &Place, reason: &str) {
        let seal = self.seal(place, None);
        let mut chains = SealedChains::new(place.number, seal);
        self.lost(place.number, 0..u64::MAX, Fault::Structure, reason, &mut chains);
        self.close(place.number, chains);
    }

    /// Reads a file to its end; where a group is damaged, on from the next sound one.
    pub(super) fn groups(
        &mut self,
        place: &Place,
        file: &dyn DiskFile,
        mut scan: Scan<'_>,
        chains: &mut SealedChains,
    ) -> io::Result<End> {
        let mut reader = BatchReader::new(file)?;
        let mut entries = Entries::new();
        let mut complete = true;
        loop {
            let reason = match scan.next() {
                Ok(Found::Group(group))
                    if place.active && is_torn(&mut scan, &group, &mut reader)? =>
                {
                    "a batch in the last group is not whole".to_owned()
                }
                Ok(Found::Group(group)) => {
                    self.group(place.number, &group, &mut reader, chains);
                    self.observer.read(group.header.length);
                    for (id, entry) in group.entries {
                        entries.entry(id).or_default().push(entry);
                    }
                    continue;
                }
                Ok(Found::End) => "a group was expected here".to_owned(),
                Ok(Found::Invalid(reason)) => reason,
                Err(error) => format!("it cannot be read: {error}"),
            };
            let position = scan.position();
            match scan.after()? {
                After::Group { sequence, position: next } => {
                    complete = false;
                    self.lost(place.number, position..next, Fault::Structure, &reason, chains);
                    scan.skip_to(next, sequence);
                }
                After::Nothing { written_until } => {
                    let sequence = scan.sequence();
                    // Room that was reserved, and nothing stands in.
                    self.observer.read(file.len()?.saturating_sub(position));
                    let whole =
                        self.end(place, &reason, (position, written_until), sequence, chains);
                    let complete = complete && whole;
                    return Ok(End { entries, position, sequence, complete });
                }
            }
        }
    }

    /// Judges what stands behind the last sound group; true where nothing is missing.
    fn end(
        &mut self,
        place: &Place,
        reason: &str,
        (position, written_until): (u64, u64),
        sequence: u64,
        chains: &mut SealedChains,
    ) -> bool {
        let path = journal_path(place.number);
        let rest = written_until.saturating_sub(position);
        if place.active {
            if rest > 0 {
                self.note(format!(
                    "{path}: {rest} bytes from byte {position} on are no whole group ({reason}): \
                     an append that a crash interrupted, which opening the log cuts off, or damage \
                     of the very last group; the two cannot be told apart"
                ));
            }
            return true;
        }
        match place.next_sequence {
            Some(next) if next > sequence => {
                let reason = format!("groups {sequence} to {} are not there: {reason}", next - 1);
                self.lost(place.number, position..u64::MAX, Fault::Structure, &reason, chains);
                false
            }
            Some(next) if next < sequence => {
                let reason = format!(
                    "it has groups up to {}, what follows begins with {next}",
                    sequence - 1
                );
                self.found(Finding::new(Fault::Structure, path, position, reason));
                false
            }
            _ => {
                if rest > 0 {
                    let reason = format!("{rest} bytes behind the last group are not zero");
                    self.found(Finding::new(Fault::Padding, path, position, reason));
                }
                true
            }
        }
    }

    fn group(
        &mut self,
        number: u64,
        group: &Group,
        reader: &mut BatchReader<'_>,
        chains: &mut SealedChains,
    ) {
        self.report.groups += 1;
        for (id, entry) in &group.entries {
            self.batch(number, *id, entry, reader, chains);
        }
        let end = group.entries.last().map_or(group.end(), |(_, entry)| entry.end_position());
        if let Ok(Some(position)) = reader.first_not_zero(end, group.end()) {
            let reason = "the zeros that fill a group up are not zeros";
            self.found(Finding::new(Fault::Padding, journal_path(number), position, reason));
        }
    }

    fn batch(
        &mut self,
        number: u64,
        id: PartitionId,
        entry: &BatchEntry,
        reader: &mut BatchReader<'_>,
        chains: &mut SealedChains,
    ) {
        let before = self.before(number, id, entry, chains);
        let mut link = before.map(|before| Link::new(&before, entry));
        let hash = match reader.check(entry, link.as_mut()) {
            Ok(()) => {
                self.report.batches += 1;
                self.report.batch_bytes += u64::from(entry.length);
                self.look_into(number, id, entry, reader);
                link.map(|link| link.finish())
            }
            Err(reason) => {
                let reason = format!("the batch is not what was written: {reason}");
                self.found_in(Fault::Batch, number, id, entry, reason);
                None
            }
        };
        widen(&mut self.pieces, id, entry.base_offset, entry.last_offset);
        if is_segment(number) {
            return;
        }
        let next =
            self.heads.get(id).map_or(entry.next_offset(), |h| h.next.max(entry.next_offset()));
        self.heads.set(id, next, hash);
        if let Some(finding) = chains.after(id, entry, hash) {
            self.found(finding);
        }
    }

    /// Checks that a batch follows the one before in its journal, and answers the chain up to
    /// there; no chain goes through segments.
    fn before(
        &mut self,
        number: u64,
        id: PartitionId,
        entry: &BatchEntry,
        chains: &mut SealedChains,
    ) -> Option<ChainHash> {
        if is_segment(number) {
            return None;
        }
        let base = entry.base_offset;
        let expected = self.pieces.get(&id).map(|(_, last)| last.next());
        if let Some(next) = expected.filter(|next| *next != base) {
            let missing = next < base;
            let (first, last) = if missing { (next, base) } else { (base, next) };
            let last = Offset::new(last.get() - 1).unwrap_or(first);
            let what = if missing { "missing" } else { "there twice" };
            let reason = format!("offset {next} was expected, {base} came: offsets are {what}");
            let finding =
                Finding::new(Fault::Offsets, journal_path(number), entry.position, reason);
            self.found(finding.of(id, first, last));
        }
        let (before, finding) = chains.before(id, entry, self.heads.get(id));
        if let Some(finding) = finding {
            self.found(finding);
        }
        if let Some(before) = before {
            self.heads.passes(id, base, before);
        }
        before
    }

    /// Decodes the records of a sound batch, where that is wanted.
    fn look_into(
        &mut self,
        number: u64,
        id: PartitionId,
        entry: &BatchEntry,
        reader: &mut BatchReader<'_>,
    ) {
        let wanted = self.observer.wants(id);
        if !wanted && !self.options.deep {
            return;
        }
        let batch = match reader.whole(entry).map_err(|error| error.to_string()) {
            Ok(bytes) => Batch::parse(bytes).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        let decoded = batch.and_then(|batch| {
            if wanted {
                self.observer.batch(id, &batch);
            }
            let records = batch.decode(MAX_UNPACKED_BYTES).map_err(|error| error.to_string())?;
            records.enumerate().try_fold(0, |_, (at, record)| {
                record.map(|_| at as u64 + 1).map_err(|error| error.to_string())
            })
        });
        match decoded {
            Ok(records) => self.report.records += records,
            Err(reason) if self.options.deep => {
                self.found_in(Fault::Records, number, id, entry, reason);
            }
            Err(_) => {}
        }
    }

    fn found_in(
        &mut self,
        fault: Fault,
        number: u64,
        id: PartitionId,
        entry: &BatchEntry,
        reason: String,
    ) {
        let finding = Finding::new(fault, journal_path(number), entry.position, reason);
        self.found(finding.of(id, entry.base_offset, entry.last_offset));
    }

    /// Says that a range of a file cannot be read: of which offsets, where the index knows it.
    pub(super) fn lost(
        &mut self,
        number: u64,
        range: Range<u64>,
        fault: Fault,
        reason: &str,
        chains: &mut SealedChains,
    ) {
        let path = journal_path(number);
        let indexed = indexed(self.disk, number, &range).unwrap_or_default();
        if indexed.is_empty() {
            chains.lost_some();
            self.found(Finding::new(fault, path, range.start, reason));
            return;
        }
        for (id, first, last) in indexed {
            widen(&mut self.pieces, id, first, last);
            if !is_segment(number) {
                let next = last.next();
                let behind = self.heads.get(id).map_or(next, |head| head.next.max(next));
                self.heads.set(id, behind, None);
                chains.lost(id);
            }
            self.found(Finding::new(fault, path.clone(), range.start, reason).of(id, first, last));
        }
    }
}

/// Whether a group with a batch that is not whole is the last one: then it was never durable, and
/// the file ends before it. Otherwise the scan goes on behind it.
fn is_torn(scan: &mut Scan<'_>, group: &Group, reader: &mut BatchReader<'_>) -> io::Result<bool> {
    if group.entries.iter().all(|(_, entry)| reader.check(entry, None).is_ok()) {
        return Ok(false);
    }
    let sequence = group.header.sequence;
    scan.skip_to(group.position, sequence);
    let last = matches!(scan.after()?, After::Nothing { .. });
    if !last {
        scan.skip_to(group.end(), sequence + 1);
    }
    Ok(last)
}
