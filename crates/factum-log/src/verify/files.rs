//! Which files a data directory has, and which it should have.
//!
//! Journals have numbers without gaps; a marker explains a number without a journal; what was
//! before the first journal is no longer kept. Numbers of segments have gaps: what they should
//! have shows where partitions are put together.

use std::collections::BTreeSet;
use std::io;

use crate::disk::Disk;
use crate::journal::format::FileHeader;
use crate::journal::marker::Marker;
use crate::journal::{DIRECTORY, Name, file, is_segment, journal_path};

/// What is in the directory.
#[derive(Default)]
pub(super) struct Files {
    pub(super) journals: BTreeSet<u64>,
    /// Of journals.
    pub(super) indexes: BTreeSet<u64>,
    pub(super) markers: BTreeSet<u64>,
    pub(super) seals: BTreeSet<u64>,
    pub(super) segments: BTreeSet<u64>,
    pub(super) segment_indexes: BTreeSet<u64>,
    /// Files that a crash left unfinished.
    pub(super) unfinished: usize,
}

/// What stands for a number of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Journal {
        active: bool,
    },
    /// A marker; a journal beside it is a removal that a crash interrupted.
    Removed,
    Missing,
}

impl Files {
    pub(super) fn list(disk: &dyn Disk) -> io::Result<Self> {
        let mut files = Self::default();
        for name in disk.list(DIRECTORY)? {
            match Name::parse(&name) {
                Name::Journal(number) => drop(files.journals.insert(number)),
                Name::Segment(number) => drop(files.segments.insert(number)),
                Name::Index(number) if is_segment(number) => {
                    files.segment_indexes.insert(number);
                }
                Name::Index(number) => drop(files.indexes.insert(number)),
                Name::Marker(number) => drop(files.markers.insert(number)),
                Name::Seal(number) => drop(files.seals.insert(number)),
                Name::Unfinished => files.unfinished += 1,
                Name::Foreign => {}
            }
        }
        Ok(files)
    }

    /// Every number that should be there, in order.
    pub(super) fn slots(&self) -> Vec<(u64, Slot)> {
        let (first, last) = self.range();
        let Some(first) = first else {
            return Vec::new();
        };
        let mut slots = Vec::new();
        let mut number = first;
        while number <= last {
            let slot = self.slot(number, last);
            slots.push((number, slot));
            // Of a hole its first number is enough: a strange name must not make a long list.
            let next = match slot {
                Slot::Missing => self.next_there(number),
                _ => number.checked_add(1),
            };
            let Some(next) = next else {
                break;
            };
            number = next;
        }
        slots
    }

    /// From the first journal (or the first thing that needs one) to the last thing there is.
    fn range(&self) -> (Option<u64>, u64) {
        let last_of = |set: &BTreeSet<u64>| set.last().copied().unwrap_or(0);
        let last = last_of(&self.journals)
            .max(last_of(&self.indexes))
            .max(last_of(&self.markers))
            // A seal is written once the next journal is there.
            .max(self.seals.last().map_or(0, |number| number.saturating_add(1)));
        let indexed = self.indexes.iter().find(|number| !self.markers.contains(number));
        let first = self.journals.first().into_iter().chain(indexed).min().copied();
        (first.or_else(|| (last > 0).then_some(last)), last)
    }

    fn slot(&self, number: u64, last: u64) -> Slot {
        if self.markers.contains(&number) {
            Slot::Removed
        } else if self.journals.contains(&number) {
            Slot::Journal { active: number == last }
        } else {
            Slot::Missing
        }
    }

    fn next_there(&self, after: u64) -> Option<u64> {
        let from = after.checked_add(1)?;
        let next = |set: &BTreeSet<u64>| set.range(from..).next().copied();
        next(&self.journals).into_iter().chain(next(&self.markers)).min()
    }

    /// Whether a journal or a segment has an index.
    pub(super) fn has_index(&self, number: u64) -> bool {
        self.indexes.contains(&number) || self.segment_indexes.contains(&number)
    }

    /// The bytes that will be read.
    pub(super) fn total_bytes(&self, disk: &dyn Disk) -> u64 {
        let length = |number: &u64| disk.open(&journal_path(*number)).and_then(|file| file.len());
        let numbers = self.journals.union(&self.segments);
        numbers.map(|number| length(number).unwrap_or(0)).sum()
    }

    /// The sequence with which a number begins, as its header or marker says.
    pub(super) fn first_sequence(&self, disk: &dyn Disk, number: u64) -> Option<u64> {
        if self.markers.contains(&number) {
            let marker = Marker::read(disk, number).ok()?.ok()?;
            return Some(marker.first_sequence);
        }
        header(disk, number).ok()?.ok().map(|header| header.first_sequence)
    }
}

fn header(disk: &dyn Disk, number: u64) -> io::Result<Result<FileHeader, String>> {
    file::read_header(disk.open(&journal_path(number))?.as_ref(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(journals: &[u64], markers: &[u64], seals: &[u64]) -> Files {
        let set = |numbers: &[u64]| numbers.iter().copied().collect();
        Files {
            journals: set(journals),
            markers: set(markers),
            seals: set(seals),
            ..Files::default()
        }
    }

    #[test]
    fn holes_are_missing_unless_a_marker_stands_in_them() {
        let slots = files(&[3, 5, 8], &[4], &[3]).slots();
        let expected = [
            (3, Slot::Journal { active: false }),
            (4, Slot::Removed),
            (5, Slot::Journal { active: false }),
            (6, Slot::Missing),
            (8, Slot::Journal { active: true }),
        ];
        assert_eq!(slots, expected);
    }

    #[test]
    fn a_seal_shows_that_the_journal_after_it_was_there() {
        let slots = files(&[1, 2], &[], &[1, 2]).slots();
        assert_eq!(slots.last(), Some(&(3, Slot::Missing)));
        let slots = files(&[1], &[], &[u64::MAX]).slots();
        assert_eq!(slots, [(1, Slot::Journal { active: false }), (2, Slot::Missing)]);
        assert!(files(&[], &[], &[]).slots().is_empty());
    }
}
