//! Bytes on disk: the log of one data directory, with threads of its own and no runtime.
//!
//! [`Log`] appends record batches and reads them back, for any number of partitions. It keeps
//! three promises:
//!
//! * what [`Appending`] has answered is durable: one flush makes everything durable that waits;
//! * what can be read is durable: no crash un-happens what somebody has seen;
//! * offsets of a partition grow by one and are never used twice.
//!
//! It knows partitions by their topic's identity and no names; who may do what, sequences of
//! producers and what a topic is are the broker's. `docs/formats/journal.md` has every byte on
//! the disk; [`disk`] is the only way to it.
//!
//! # The life of a batch
//!
//! [`Log::reserve`] waits for room, [`Log::append`] gives the offset and queues the batch. The
//! writer thread takes all that waits, writes it as one group to the journal, flushes once, and
//! then shows it: ends move, waiters wake, futures complete. Readers get recent batches from
//! memory and others from the disk on reader threads, checked. A housekeeper thread gives sealed
//! journals their indexes, removes files of which nothing is left, and moves what is left of
//! those that are mostly empty into segments. A thread makes the file of the next journal ready.
//! Where the disk is full or the like, the log is *stalled*: it refuses appends with the reason,
//! and goes on by itself.
//!
//! [`Log::trim`] cuts off the beginning of partitions; [`Log::clean`] puts fewer batches in the
//! place of many, for compaction. What to cut and what to keep is the broker's to say.

mod ahead;
mod chain;
pub mod disk;
mod entry;
mod error;
mod housekeeper;
mod journal;
mod log;
mod lookup;
mod metrics;
mod mutants;
mod partitions;
mod queue;
mod reader;
mod reclaim;
mod recovery;
mod region;
mod retention;
mod sealer;
mod settings;
mod shared;
mod spare;
mod starts;
mod summaries;
mod unread;
mod verify;
mod waiter;
mod window;
mod workers;
mod writer;

pub use chain::{CHAIN_HASH_BYTES, ChainHash, ChainHead, root_hash};
pub use disk::{Disk, DiskFile, OsDisk, ReadOnlyDisk, Space};
pub use entry::{BatchEntry, Extent, PartitionId, StoredBatch};
pub use error::{AppendError, OpenError, ReadError, TrimError};
pub use log::Log;
pub use metrics::{FLUSH_BOUNDS_MICROS, FlushTimes, LogMetrics};
pub use mutants::Mutant;
pub use queue::{Appended, Appending, Reservation};
pub use reclaim::{CleanError, Cleaning};
pub use recovery::{Recovery, Truncated};
pub use region::{Chunk, FileRegion, PartitionSlice};
pub use settings::LogSettings;
pub use verify::{
    Fault, Finding, MAX_FINDINGS, Verification, VerifyError, VerifyObserver, VerifyOptions, verify,
};
pub use waiter::Waiter;
pub use workers::{Pending, Worker, Workers};
