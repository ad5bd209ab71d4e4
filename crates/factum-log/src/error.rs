//! Why the log refuses or fails: one enum per kind of operation.

use std::io;

use factum_event::{Offset, Partition, TopicId};
use thiserror::Error;

/// Why a log could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "the data directory {directory} is in use by another process; stop that one, \
         or choose another directory"
    )]
    Locked {
        /// The directory.
        directory: String,
    },
    /// Written by a newer Factum.
    #[error(
        "the data directory {directory} has format {found}; this version reads formats up to \
         {supported}: use the newer version that wrote it"
    )]
    NewerFormat {
        /// The directory.
        directory: String,
        /// The format that it has.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// Not what was written. Nothing was changed, so that nothing acknowledged is destroyed.
    #[error(
        "{file} is damaged at byte {position}: {reason}; nothing was changed: restore the file \
         from a copy, or move the data directory away"
    )]
    Damaged {
        /// The file, below the data directory.
        file: String,
        /// The first byte that is wrong.
        position: u64,
        /// What was expected, and what came.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Why an append was not taken, or not made durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A write or flush has failed: the journal takes nothing any more. What was appended and
    /// got this answer is not readable; it may be found, whole, when the log is opened again.
    #[error("{0}")]
    Failed(String),
    /// Nothing can be written for now: the disk is full, for example. Nothing was appended; the
    /// text says what is wrong, and the log goes on by itself when it is put right.
    #[error("{0}")]
    Stalled(String),
    /// The topic was removed.
    #[error("the topic was removed; nothing was appended")]
    Removed,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why partitions were not cut off.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrimError {
    /// Where partitions begin could not be written down.
    #[error("cannot write where partitions begin: {0}; nothing was cut off, try again")]
    Io(io::Error),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not in the partition.
    #[error("offset {from} is not in the partition, which has {start} to {end}; read from there")]
    OutOfRange {
        /// The offset asked for.
        from: Offset,
        /// The first offset that is kept.
        start: Offset,
        /// The end of the partition.
        end: Offset,
    },
    /// The topic was removed, perhaps while it was read.
    #[error("the topic was removed; there is nothing to read any more")]
    Removed,
    /// The bytes on the disk are not those that were written; they are not served.
    #[error(
        "{file} is damaged at byte {position} (topic {topic}, partition {partition}, offsets \
         {first} to {last}): {reason}; read on after these offsets, or restore the file"
    )]
    Damaged {
        /// The file, below the data directory.
        file: String,
        /// Where the batch begins.
        position: u64,
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: Partition,
        /// The first offset that cannot be read.
        first: Offset,
        /// The last such.
        last: Offset,
        /// What was expected, and what came.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action}: {reason}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system says.
        reason: String,
    },
    /// The file is not where it was: what it had was moved, or cut off, or somebody removed it.
    #[error("{file} is gone; read again, and if it stays gone restore the file")]
    Moved {
        /// The file, below the data directory.
        file: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl ReadError {
    pub(crate) fn io(action: impl Into<String>, error: &io::Error) -> Self {
        Self::Io { action: action.into(), reason: error.to_string() }
    }
}

/// Names what was tried, where the operating system refuses to open.
pub(crate) trait Trying<T> {
    fn trying(self, action: impl FnOnce() -> String) -> Result<T, OpenError>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, action: impl FnOnce() -> String) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { action: action(), source })
    }
}
