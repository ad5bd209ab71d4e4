//! What retention and compaction decide, with Kafka's meaning and without any I/O.
//!
//! * [`retention`]: how far the start of a partition moves (`cleanup.policy=delete`).
//! * [`mod@plan`]: whether a partition is due for compaction, and how far it may go.
//! * [`compaction`]: reads a range of a partition twice and says what becomes of every batch
//!   (`cleanup.policy=compact`), by a [`key_map`] of bounded size.
//!
//! A topic with both policies has both done, retention first. Time comes in as an argument;
//! batches come from a [`Source`] and go to a [`Sink`], one at a time. What is removed and written
//! to the disk, and when, is for the log to do.
//!
//! # Virtual segments
//!
//! In Kafka a partition is a row of segment files, and retention and compaction speak of whole
//! segments. Factum has no files per partition: segments are counted off from the partition's
//! first batch on, with Kafka's rules for when a new one begins. The last one is *active*.
//! Retention removes whole segments, so that counting from the new start finds the same ones.

pub mod compaction;
pub mod key_map;
pub mod plan;
pub mod retention;
mod segment;
#[cfg(test)]
mod tests;

pub use compaction::{
    Compaction, CompactionError, CompactionJob, CompactionStats, Fate, Sink, Source, SourceBatch,
    Unopened, compact_partition,
};
pub use key_map::{KeyMap, KeyMapFull};
pub use plan::{CompactionPlan, CompactionSettings, plan};
pub use retention::{RetentionSettings, new_start};
pub use segment::{Entry, SegmentSettings};
