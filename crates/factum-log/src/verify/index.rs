//! Indexes: what follows from a file of groups, compared with what is there.

use std::io;
use std::ops::Range;

use factum_event::Offset;

use super::Verifier;
use super::finding::{Fault, Finding};
use super::journal::{End, Place};
use crate::disk::Disk;
use crate::entry::PartitionId;
use crate::journal::batches::BatchReader;
use crate::journal::format::FileHeader;
use crate::journal::index::{Index, List, ListError, Sealed};
use crate::journal::segment::SegmentTail;
use crate::journal::{index_path, journal_path};
use crate::recovery::build_index;

impl Verifier<'_> {
    /// Compares the index of a sealed journal or a segment with what that has.
    pub(super) fn index(
        &mut self,
        place: &Place,
        header: &FileHeader,
        end: End,
        tail: Option<&SegmentTail>,
    ) {
        let number = place.number;
        if place.active || !self.files.has_index(number) {
            return;
        }
        let faulty = if end.complete {
            let batches = end.entries.values().map(|entries| entries.len() as u64).sum();
            let sealed = Sealed {
                number,
                salt: header.salt,
                end: end.position,
                first_sequence: header.first_sequence,
                next_sequence: end.sequence,
                batches,
            };
            let builder = match build_index(&sealed, &end.entries, tail) {
                Ok(builder) => builder,
                Err(reason) => {
                    let (file, at) = (journal_path(number), end.position);
                    return self.found(Finding::new(Fault::Structure, file, at, reason));
                }
            };
            drop(end.entries);
            compare(self.disk, number, &builder.encode(&sealed).0)
        } else {
            Ok(unsound(self.disk, number))
        };
        let faulty =
            faulty.unwrap_or_else(|error| Some((0, format!("it cannot be read: {error}"))));
        if let Some((position, reason)) = faulty {
            self.found(Finding::new(Fault::Index, index_path(number), position, reason));
        }
    }
}

/// What is wrong with an index in itself.
fn unsound(disk: &dyn Disk, number: u64) -> Option<(u64, String)> {
    let text = |error: io::Error| (0, format!("it cannot be read: {error}"));
    let index = match Index::read(disk, number) {
        Ok(Ok(index)) => index,
        Ok(Err(reason)) => return Some((0, reason)),
        Err(error) => return Some(text(error)),
    };
    let file = match disk.open(&index_path(number)) {
        Ok(file) => file,
        Err(error) => return Some(text(error)),
    };
    index.directory.into_iter().find_map(|(id, summary)| {
        let list = List { file: file.as_ref(), id, summary };
        (0..list.blocks()).find_map(|block| match list.block(block) {
            Ok(_) => None,
            Err(ListError::Damaged(reason)) => Some((0, reason)),
            Err(ListError::Io(error)) => Some(text(error)),
        })
    })
}

/// Which offsets a sound index has in a range of its journal, by partition.
pub(super) fn indexed(
    disk: &dyn Disk,
    number: u64,
    range: &Range<u64>,
) -> Option<Vec<(PartitionId, Offset, Offset)>> {
    let index = Index::read(disk, number).ok()?.ok()?;
    let file = disk.open(&index_path(number)).ok()?;
    let mut lost = Vec::new();
    for (id, summary) in index.directory {
        if range.start == 0 && range.end == u64::MAX {
            lost.push((id, summary.base, summary.last));
            continue;
        }
        let list = List { file: file.as_ref(), id, summary };
        let mut offsets: Option<(Offset, Offset)> = None;
        for block in 0..list.blocks() {
            let (entries, _) = list.block(block).ok()?;
            for entry in entries.iter().filter(|entry| range.contains(&entry.position)) {
                let first = offsets.map_or(entry.base_offset, |(first, _)| first);
                offsets = Some((first, entry.last_offset));
            }
        }
        lost.extend(offsets.map(|(first, last)| (id, first, last)));
    }
    Some(lost)
}

/// Where a file begins to differ from what it should be.
fn compare(disk: &dyn Disk, number: u64, expected: &[u8]) -> io::Result<Option<(u64, String)>> {
    let file = disk.open(&index_path(number))?;
    let length = file.len()?;
    let mut reader = BatchReader::new(file.as_ref())?;
    let mut at = 0;
    while at < length.min(expected.len() as u64) {
        let piece = reader.piece(at, length.min(expected.len() as u64))?;
        let rest = &expected[usize::try_from(at).unwrap_or(usize::MAX)..];
        if let Some(different) = piece.iter().zip(rest).position(|(a, b)| a != b) {
            let reason = "it is not what follows from its journal".to_owned();
            return Ok(Some((at + different as u64, reason)));
        }
        at += piece.len() as u64;
    }
    let reason = || format!("it has {length} bytes, not {}", expected.len());
    Ok((length != expected.len() as u64).then(|| (at, reason())))
}
