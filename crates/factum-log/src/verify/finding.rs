//! What verification has found wrong, and what to do about it.

use factum_event::Offset;

use crate::entry::PartitionId;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file `FORMAT`.
    Format,
    /// A file that must be there and is not.
    Missing,
    /// The header of a file, of a group, or its entries: what a group holds is not known from it.
    Structure,
    /// A batch is not what was written.
    Batch,
    /// Bytes that hold nothing are not zero.
    Padding,
    /// Offsets of a partition are missing, or there twice.
    Offsets,
    /// The records in a batch cannot be decoded.
    Records,
    /// An index is not that of its journal.
    Index,
    /// The marker of a removed journal.
    Marker,
    /// The list of where partitions begin.
    Starts,
    /// A seal is damaged, or of another journal.
    Seal,
    /// The past is not the one that was sealed.
    Chain,
    /// The past is not the one that was attested.
    Attestation,
}

impl Fault {
    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Missing => "missing",
            Self::Structure => "structure",
            Self::Batch => "batch",
            Self::Padding => "padding",
            Self::Offsets => "offsets",
            Self::Records => "records",
            Self::Index => "index",
            Self::Marker => "marker",
            Self::Starts => "starts",
            Self::Seal => "seal",
            Self::Chain => "chain",
            Self::Attestation => "attestation",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Format => "restore the file from a copy; it is one line of text",
            Self::Missing | Self::Structure | Self::Batch => {
                "restore the file from a copy; until then these offsets cannot be read, the others can"
            }
            Self::Padding => {
                "nothing is lost; look after the disk, and restore the file from a copy"
            }
            Self::Offsets => "restore the journals that had these offsets from a copy",
            Self::Records => "the producer wrote it so: skip these offsets when reading",
            Self::Index => "delete the index: it is built again when the log is opened",
            Self::Marker => "restore the marker from a copy",
            Self::Starts => {
                "restore the file from a copy; without it the log opens with what is on the disk, and offsets that are missing at the front of a partition cannot be told from those that were cut off"
            }
            Self::Seal => "restore the seal from a copy; the events themselves are not touched",
            Self::Chain | Self::Attestation => {
                "somebody has changed what was written: compare with a copy that is out of their reach"
            }
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub fault: Fault,
    /// The file, below the data directory.
    pub file: String,
    /// The first byte that is known to be wrong, or where what is wrong begins.
    pub position: u64,
    /// The partition, where it is of one.
    pub partition: Option<PartitionId>,
    /// The first and the last offset that are affected, where they are known.
    pub offsets: Option<(Offset, Offset)>,
    /// What was expected, and what came.
    pub reason: String,
}

impl Finding {
    pub(super) fn new(
        fault: Fault,
        file: impl Into<String>,
        position: u64,
        reason: impl Into<String>,
    ) -> Self {
        let (file, reason) = (file.into(), reason.into());
        Self { fault, file, position, partition: None, offsets: None, reason }
    }

    pub(super) fn of(self, partition: PartitionId, first: Offset, last: Offset) -> Self {
        Self { partition: Some(partition), offsets: Some((first, last)), ..self }
    }
}
