//! The journal: files that take the batches of all partitions, group by group.
//!
//! `docs/formats/journal.md` has every byte and the argument why a crash loses nothing that was
//! acknowledged.

pub(crate) mod batches;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod index;
pub(crate) mod marker;
pub(crate) mod scan;
pub(crate) mod seal;

/// The directory of the journal files.
pub(crate) const DIRECTORY: &str = "journal";

const JOURNAL_SUFFIX: &str = ".journal";
const INDEX_SUFFIX: &str = ".index";
const SEAL_SUFFIX: &str = ".seal";
const REMOVED_SUFFIX: &str = ".removed";

/// The path of a journal file.
pub(crate) fn journal_path(number: u64) -> String {
    format!("{DIRECTORY}/{number:020}{JOURNAL_SUFFIX}")
}

/// The path of the index of a sealed journal.
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
        let number = |suffix| name.strip_suffix(suffix).filter(|n| n.len() == 20)?.parse().ok();
        if name.ends_with(crate::disk::NEW_SUFFIX) {
            Self::Unfinished
        } else if let Some(number) = number(JOURNAL_SUFFIX) {
            Self::Journal(number)
        } else if let Some(number) = number(INDEX_SUFFIX) {
            Self::Index(number)
        } else if let Some(number) = number(SEAL_SUFFIX) {
            Self::Seal(number)
        } else if let Some(number) = number(REMOVED_SUFFIX) {
            Self::Marker(number)
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
        assert_eq!(name(index_path(u64::MAX)), Name::Index(u64::MAX));
        assert_eq!(name(seal_path(3)), Name::Seal(3));
        assert_eq!(name(marker_path(1)), Name::Marker(1));
        assert_eq!(name(journal_path(1) + ".new"), Name::Unfinished);
        assert_eq!(Name::parse("7.journal"), Name::Foreign);
        assert_eq!(Name::parse("readme"), Name::Foreign);
    }
}
