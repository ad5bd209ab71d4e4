//! The journal: files that take the batches of all partitions, group by group.
//!
//! `docs/formats/journal.md` has every byte and the argument why a crash loses nothing that was
//! acknowledged.

pub(crate) mod batches;
pub(crate) mod blocks;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod index;
pub(crate) mod marker;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod segment;
mod window;

/// The directory of the journal files.
pub(crate) const DIRECTORY: &str = "journal";

/// The number of the first segment: below are journals, so that one number names a file.
pub(crate) const FIRST_SEGMENT: u64 = 1 << 62;

/// Whether a number is that of a segment.
pub(crate) const fn is_segment(number: u64) -> bool {
    number >= FIRST_SEGMENT
}

const JOURNAL_SUFFIX: &str = ".journal";
const SEGMENT_SUFFIX: &str = ".segment";
const INDEX_SUFFIX: &str = ".index";
const SEAL_SUFFIX: &str = ".seal";
const REMOVED_SUFFIX: &str = ".removed";

/// The path of the file that is to be the next journal; a name that opening removes.
pub(crate) const SPARE_PATH: &str = "journal/spare.new";

/// Numbers of files and groups are below it, so that counting on never overflows.
pub(crate) const MAX_NUMBER: u64 = i64::MAX as u64;

/// The path of a journal file, or of a segment.
pub(crate) fn journal_path(number: u64) -> String {
    let suffix = if is_segment(number) { SEGMENT_SUFFIX } else { JOURNAL_SUFFIX };
    format!("{DIRECTORY}/{number:020}{suffix}")
}

/// The path of the index of a sealed journal or a segment.
pub(crate) fn index_path(number: u64) -> String {
    format!("{DIRECTORY}/{number:020}{INDEX_SUFFIX}")
}

/// The path of the seal of a sealed journal.
pub(crate) fn seal_path(number: u64) -> String {
    format!("{DIRECTORY}/{number:020}{SEAL_SUFFIX}")
}

/// The path of the marker that stands for a journal that was removed.
pub(crate) fn marker_path(number: u64) -> String {
    format!("{DIRECTORY}/{number:020}{REMOVED_SUFFIX}")
}

/// What a name in the directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Journal(u64),
    Segment(u64),
    Index(u64),
    Seal(u64),
    Marker(u64),
    /// Left by a crash while it was being written.
    Unfinished,
    /// Not ours.
    Foreign,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Self {
        let number = |suffix| {
            let digits = name.strip_suffix(suffix).filter(|n| n.len() == 20)?;
            digits.parse().ok().filter(|&number| number < MAX_NUMBER)
        };
        if name.ends_with(crate::disk::NEW_SUFFIX) {
            Self::Unfinished
        } else if let Some(number) = number(JOURNAL_SUFFIX) {
            if is_segment(number) { Self::Foreign } else { Self::Journal(number) }
        } else if let Some(number) = number(SEGMENT_SUFFIX) {
            let known = is_segment(number) && number < u64::MAX;
            if known { Self::Segment(number) } else { Self::Foreign }
        } else if let Some(number) = number(INDEX_SUFFIX) {
            Self::Index(number)
        } else if let Some(number) = number(SEAL_SUFFIX) {
            if is_segment(number) { Self::Foreign } else { Self::Seal(number) }
        } else if let Some(number) = number(REMOVED_SUFFIX) {
            if is_segment(number) { Self::Foreign } else { Self::Marker(number) }
        } else {
            Self::Foreign
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let name = |path: String| Name::parse(path.rsplit('/').next().unwrap());
        assert_eq!(name(journal_path(7)), Name::Journal(7));
        assert_eq!(name(index_path(MAX_NUMBER - 1)), Name::Index(MAX_NUMBER - 1));
        assert_eq!(name(journal_path(MAX_NUMBER)), Name::Foreign);
        assert_eq!(name(seal_path(3)), Name::Seal(3));
        assert_eq!(name(marker_path(1)), Name::Marker(1));
        assert_eq!(name(journal_path(FIRST_SEGMENT + 2)), Name::Segment(FIRST_SEGMENT + 2));
        assert_eq!(name(journal_path(1) + ".new"), Name::Unfinished);
        assert_eq!(name(SPARE_PATH.into()), Name::Unfinished);
        assert_eq!(Name::parse("7.journal"), Name::Foreign);
        for name in ["18446744073709551615.removed", "18446744073709551615.segment"] {
            assert_eq!(Name::parse(name), Name::Foreign, "no number follows");
        }
        assert_eq!(Name::parse("readme"), Name::Foreign);
    }
}
