//! Why bytes are not a batch of records.

use thiserror::Error;

use super::{Codec, RecordFault};

/// Why bytes are not a record batch, or records cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A format older or newer than v2.
    #[error("record batch has magic {came}; only format 2 is accepted (any client since 2017)")]
    Magic {
        /// What came.
        came: i8,
    },
    /// A length that no batch can have.
    #[error("record batch states a length of {came}; a header alone is 49")]
    Length {
        /// What came.
        came: i32,
    },
    /// Fewer bytes than stated.
    #[error("record batch is cut off: {expected} bytes were expected, {came} came")]
    Truncated {
        /// What was stated.
        expected: usize,
        /// What came.
        came: usize,
    },
    /// Bytes after the batch.
    #[error("{bytes} bytes follow the record batch; exactly one batch is expected")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The bytes are not those that the producer wrote.
    #[error("record batch has CRC {computed:08x}, but states {stated:08x}: it was damaged")]
    Crc {
        /// What the batch states.
        stated: u32,
        /// What its bytes have.
        computed: u32,
    },
    /// Counts that contradict each other.
    #[error("record batch states {records} records and a last offset delta of {last_offset_delta}")]
    Counts {
        /// The stated number of records.
        records: i32,
        /// The stated last offset delta.
        last_offset_delta: i32,
    },
    /// A producer does not say at which offset its records are to be.
    #[error("record batch has base offset {came}; a producer's begins at 0")]
    BaseOffset {
        /// What came.
        came: i64,
    },
    /// A number of a codec that nobody has defined.
    #[error("record batch has compression {came}; expected 0 (none) to 4 (zstd)")]
    Codec {
        /// What came.
        came: u8,
    },
    /// Only a broker writes control batches.
    #[error("record batch is a control batch, which only a broker may write")]
    Control,
    /// Only compaction says when tombstones end.
    #[error("record batch has a delete horizon, which only a broker's compaction may write")]
    DeleteHorizon,
    /// A producer with an id, but without its epoch or sequence.
    #[error(
        "record batch of producer {id} has epoch {epoch} and base sequence {base_sequence}; \
         both must be 0 or more"
    )]
    Producer {
        /// The producer's id.
        id: i64,
        /// The stated epoch.
        epoch: i16,
        /// The stated sequence.
        base_sequence: i32,
    },
    /// A copy that still has what belongs to the cluster that it comes from.
    #[error(
        "the copy of a batch has producer {producer_id}, or is part of a transaction; a copy has \
         neither"
    )]
    Copy {
        /// The producer's id.
        producer_id: i64,
    },
    /// A control batch of a copy is the gap that [`Batch::gap`](super::Batch::gap) makes, to the byte:
    /// others would be read as ends of transactions.
    #[error("the control batch of a copy is not a gap as a mirror makes it")]
    Gap,
    /// Packed bytes that are not what their codec says.
    #[error("records cannot be unpacked from {codec}: {reason}")]
    Decompress {
        /// The codec.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// Records that unpack to more than the reader allows.
    #[error("records unpack to more than was expected: at most {limit} bytes")]
    TooLarge {
        /// What the reader allows.
        limit: usize,
    },
    /// A record that is not one, or contradicts the header.
    #[error("record {index} of the batch {fault}")]
    Record {
        /// Which, from 0.
        index: i32,
        /// Why.
        fault: RecordFault,
    },
    /// Bytes after the last record.
    #[error("{bytes} bytes follow the last record that the batch's header counts")]
    TrailingRecords {
        /// How many.
        bytes: usize,
    },
    /// An offset that no record can have.
    #[error(
        "record batch at offset {base_offset} has a record at {delta} more: expected 0 to 2^63-1"
    )]
    Offset {
        /// Where the batch says that it stands.
        base_offset: i64,
        /// The record's offset less that.
        delta: i32,
    },
    /// A batch to build without a record.
    #[error("a record batch needs at least one record")]
    Empty,
    /// A batch to build that its length field cannot say.
    #[error("record batch would have {bytes} bytes; expected less than 2 GiB: split it")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// A codec that could not pack.
    #[error("records cannot be packed with {codec}: {reason}")]
    Compress {
        /// The codec.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
}
