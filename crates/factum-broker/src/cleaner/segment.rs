//! Virtual segments: a partition's batches, counted off as Kafka would have put them into files.

use factum_event::{Offset, Timestamp};

/// What is known of a batch without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The largest timestamp of its records, or one below 0 where they have none.
    pub max_timestamp: Timestamp,
    /// When the log took it; compaction must not change it.
    pub appended_at: Timestamp,
    /// Its length in bytes.
    pub length: u32,
}

impl Entry {
    /// When it was, in milliseconds: by its records, or by the log where they do not say.
    pub(crate) const fn time_ms(&self) -> i64 {
        let time = self.max_timestamp.as_millis();
        if time >= 0 { time } else { self.appended_at.as_millis() }
    }
}

/// When a new segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSettings {
    /// `segment.bytes`: a batch that would make the segment longer begins a new one.
    pub bytes: u64,
    /// `segment.ms`: a batch that is later by more than that than the segment's first one, by
    /// the batches' timestamps, begins a new one. Milliseconds.
    pub ms: i64,
}

/// Batches in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// After its last batch.
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    /// The latest of its batches.
    pub(crate) latest_ms: i64,
    first_ms: i64,
    first_appended_ms: i64,
}

impl Segment {
    pub(crate) fn starting_with(entry: &Entry) -> Self {
        Self {
            next_offset: entry.last_offset.next(),
            bytes: entry.length.into(),
            latest_ms: entry.time_ms(),
            first_ms: entry.time_ms(),
            first_appended_ms: entry.appended_at.as_millis(),
        }
    }

    /// Takes the batch if it belongs to this segment; if not, the segment is complete.
    pub(crate) fn take(&mut self, entry: &Entry, settings: SegmentSettings) -> bool {
        let bytes = self.bytes + u64::from(entry.length);
        let waited_ms = entry.time_ms().saturating_sub(self.first_ms);
        if bytes > settings.bytes || waited_ms > settings.ms {
            return false;
        }
        self.next_offset = entry.last_offset.next();
        self.bytes = bytes;
        self.latest_ms = self.latest_ms.max(entry.time_ms());
        true
    }

    /// Whether it would have been closed by now, though no batch came that had to begin another.
    pub(crate) const fn is_over(&self, now: Timestamp, settings: SegmentSettings) -> bool {
        now.as_millis().saturating_sub(self.first_appended_ms) > settings.ms
    }
}
