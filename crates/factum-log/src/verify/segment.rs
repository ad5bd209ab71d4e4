//! One segment: its structure, its end, its batches, and its index.

use std::collections::BTreeSet;

use factum_event::Offset;

use super::Verifier;
use super::finding::{Fault, Finding};
use super::journal::{Entries, Place};
use super::sealed::SealedChains;
use crate::disk::DiskFile;
use crate::entry::{BatchEntry, PartitionId};
use crate::journal::format::FileHeader;
use crate::journal::index::{Cleaned, Coverage, Index};
use crate::journal::scan::Scan;
use crate::journal::segment::{SegmentTail, read_tail};
use crate::journal::{file, journal_path};

impl Verifier<'_> {
    pub(super) fn segments(&mut self) {
        let files = &self.files;
        let numbers: BTreeSet<u64> =
            files.segments.union(&files.segment_indexes).copied().collect();
        for number in numbers {
            if self.files.segments.contains(&number) {
                self.report.segments += 1;
                self.segment(number);
            } else if let Some(index) = self.sound_index(number) {
                self.coverage.vanished(number, &lines(&index));
            }
            self.pieces.clear();
        }
    }

    fn sound_index(&self, number: u64) -> Option<Index> {
        Index::read(self.disk, number).ok()?.ok()
    }

    fn segment(&mut self, number: u64) {
        let opened = self.disk.open(&journal_path(number)).and_then(|file| {
            let header = file::read_header(file.as_ref(), number)?;
            Ok((file, header))
        });
        let reason = match opened {
            Ok((file, Ok(header))) => return self.readable_segment(number, file.as_ref(), &header),
            Ok((_, Err(reason))) => reason,
            Err(error) => format!("it cannot be read: {error}"),
        };
        let mut chains = SealedChains::new(number, None);
        self.lost(number, 0..u64::MAX, Fault::Structure, &reason, &mut chains);
        // It is reported; what it answered for is no second finding.
        if let Some(index) = self.sound_index(number) {
            self.coverage.segment(number, &lines(&index));
        }
    }

    fn readable_segment(&mut self, number: u64, file: &dyn DiskFile, header: &FileHeader) {
        let Some(tail) = self.tail(number, file, header) else {
            return;
        };
        self.coverage.segment(number, &tail.coverage);
        let next_sequence = Some(tail.sealed.next_sequence);
        let place = Place { number, active: false, next_sequence };
        let mut chains = SealedChains::new(number, None);
        let read = Scan::new(file, *header, false)
            .and_then(|scan| self.groups(&place, file, scan.until(tail.sealed.end), &mut chains));
        match read {
            Ok(end) => {
                // Where the index said what is lost, that is reported.
                if end.complete || !self.files.segment_indexes.contains(&number) {
                    self.covered(&tail, &end.entries);
                }
                self.index(&place, header, end, Some(&tail));
            }
            Err(error) => {
                let reason = format!("it cannot be read: {error}");
                self.found(Finding::new(Fault::Structure, journal_path(number), 0, reason));
            }
        }
    }

    /// The end of a segment; where that is damaged, the index says the same.
    fn tail(
        &mut self,
        number: u64,
        file: &dyn DiskFile,
        header: &FileHeader,
    ) -> Option<SegmentTail> {
        let reason = match read_tail(file, header) {
            Ok(Ok(tail)) => return Some(tail),
            Ok(Err(reason)) => reason,
            Err(error) => format!("it cannot be read: {error}"),
        };
        let index = self.sound_index(number).filter(|index| index.sealed.salt == header.salt);
        let tail = index.map(|index| SegmentTail { sealed: index.sealed, coverage: lines(&index) });
        let at = tail.as_ref().map_or(file.len().unwrap_or(0), |tail| tail.sealed.end);
        self.found(Finding::new(Fault::Structure, journal_path(number), at, reason));
        tail
    }

    /// Compares what a segment answers for with the batches that it has.
    fn covered(&mut self, tail: &SegmentTail, entries: &Entries) {
        let number = tail.sealed.number;
        for (id, covered) in &tail.coverage {
            let entries = entries.get(id).map_or(&[][..], Vec::as_slice);
            // Where starts are not known, what is missing at the front may have been cut off.
            let first = entries.first().map_or(covered.last.next(), |entry| entry.base_offset);
            // Nor does anybody know where the partition of a removed topic had begun.
            let known = self.coverage.start(*id);
            let known = known.filter(|_| !self.coverage.removed().contains(&id.topic));
            let start = known.unwrap_or(first);
            for (first, last, reason) in contradictions(covered, start, entries) {
                let finding = Finding::new(Fault::Offsets, journal_path(number), 0, reason);
                self.found(finding.of(*id, first, last));
            }
        }
        let strange = entries.iter().filter(|(id, _)| !tail.coverage.iter().any(|(c, _)| c == *id));
        let strange: Vec<PartitionId> = strange.map(|(id, _)| *id).collect();
        for id in strange {
            let reason = "the segment has batches of a partition that it does not answer for";
            let finding = Finding::new(Fault::Structure, journal_path(number), 0, reason);
            self.found(Finding { partition: Some(id), ..finding });
        }
    }
}

fn lines(index: &Index) -> Vec<(PartitionId, Coverage)> {
    let covered = |summary: &crate::journal::index::Summary| Coverage {
        base: summary.base,
        last: summary.last,
        cleaned: summary.cleaned,
    };
    index.directory.iter().map(|(id, summary)| (*id, covered(summary))).collect()
}

/// Offsets that a segment should have of a partition and has not, or should not have: what was
/// cut off may be missing, and everything may where compaction has been.
fn contradictions(
    covered: &Coverage,
    start: Offset,
    entries: &[BatchEntry],
) -> Vec<(Offset, Offset, String)> {
    let mut found = Vec::new();
    let mut reached = covered.base;
    for entry in entries {
        let (base, last) = (entry.base_offset, entry.last_offset);
        if base < reached || last > covered.last {
            let Coverage { base: from, last: to, .. } = covered;
            let reason = format!("a batch is not in its order, or not within {from} to {to}");
            found.push((base, last, reason));
        } else if base > reached.max(start) && covered.cleaned == Cleaned::No {
            found.push(missing(reached.max(start), base));
        }
        reached = reached.max(last.next());
    }
    if reached.max(start) <= covered.last && covered.cleaned == Cleaned::No {
        found.push(missing(reached.max(start), covered.last.next()));
    }
    found
}

fn missing(first: Offset, next: Offset) -> (Offset, Offset, String) {
    let last = Offset::new(next.get() - 1).unwrap_or(first);
    (first, last, "the segment answers for these offsets, and does not have them".into())
}
