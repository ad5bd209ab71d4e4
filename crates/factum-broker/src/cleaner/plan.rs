//! Whether a partition is due for compaction, and how far it may go.
//!
//! A partition has a clean part, which an earlier compaction has gone over, and a dirty one after
//! it. Compaction may touch the dirty part up to the first batch that
//!
//! * is in the active segment. Unlike in Kafka, where an idle partition keeps its active segment
//!   for ever, that ends `segment.ms` after the log took its first batch, or after
//!   `max.compaction.lag.ms` if that is shorter, also when no other batch comes;
//! * or is younger than `min.compaction.lag.ms`.
//!
//! It is due when the dirty part up to there is more than `min.cleanable.dirty.ratio` of all up
//! to there, or has a batch that is older than `max.compaction.lag.ms`.

use factum_event::{Offset, Timestamp};

use super::segment::{Entry, Segment, SegmentSettings};

/// What a topic says of its compaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionSettings {
    /// When a new segment begins.
    pub segment: SegmentSettings,
    /// `min.cleanable.dirty.ratio`, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: how long a batch is left alone. Milliseconds.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: how long a batch may be left alone. Milliseconds.
    pub max_compaction_lag_ms: i64,
}

/// What compaction has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPlan {
    /// Where the dirty part begins.
    pub first_dirty: Offset,
    /// Where compaction has to end.
    pub first_uncleanable: Offset,
    /// Bytes before the dirty part.
    pub clean_bytes: u64,
    /// Bytes of the dirty part up to where compaction has to end.
    pub dirty_bytes: u64,
    /// Whether it is time.
    pub due: bool,
}

impl CompactionPlan {
    /// How much of what can be cleaned is dirty, from 0 to 1; of two partitions, the dirtier one
    /// goes first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 { 0.0 } else { self.dirty_bytes as f64 / total as f64 }
    }
}

/// Plans the compaction of a partition.
///
/// `entries` are all its batches from its start on, the oldest first. `first_dirty` is where the
/// compaction before ended, not past the partition's end; its start, where nothing is known.
#[must_use]
pub fn plan(
    settings: &CompactionSettings,
    now: Timestamp,
    first_dirty: Offset,
    entries: impl IntoIterator<Item = Entry>,
) -> CompactionPlan {
    let ms = settings.segment.ms.min(settings.max_compaction_lag_ms);
    let segment_settings = SegmentSettings { ms, ..settings.segment };
    let mut walk = Walk::new(now, settings.min_compaction_lag_ms, first_dirty);
    let mut open: Option<Segment> = None;
    for entry in entries {
        match &mut open {
            None => open = Some(Segment::starting_with(&entry)),
            Some(segment) => {
                if !segment.take(&entry, segment_settings) {
                    walk.close_segment();
                    *segment = Segment::starting_with(&entry);
                }
            }
        }
        if walk.has_ended() {
            break;
        }
        walk.add(&entry);
    }
    if open.is_some_and(|active| active.is_over(now, segment_settings)) {
        walk.close_segment();
    }
    walk.closed.plan(settings, now, first_dirty)
}

/// Sums over the batches, up to the last closed segment and beyond.
struct Walk {
    closed: Sums,
    sums: Sums,
    first_dirty: Offset,
    /// A dirty batch that is later than this is left alone.
    too_young_ms: i64,
    met_young: bool,
    closed_after_young: bool,
}

impl Walk {
    fn new(now: Timestamp, min_lag_ms: i64, first_dirty: Offset) -> Self {
        let too_young_ms = match min_lag_ms {
            ..=0 => i64::MAX,
            lag => now.as_millis().saturating_sub(lag),
        };
        let (closed, sums) = (Sums::default(), Sums::default());
        Self {
            closed,
            sums,
            first_dirty,
            too_young_ms,
            met_young: false,
            closed_after_young: false,
        }
    }

    fn add(&mut self, entry: &Entry) {
        let dirty = entry.last_offset >= self.first_dirty;
        self.met_young |= dirty && entry.time_ms() > self.too_young_ms;
        if !self.met_young {
            self.sums.add(entry, dirty);
        }
    }

    fn close_segment(&mut self) {
        self.closed = self.sums;
        self.closed_after_young = self.met_young;
    }

    /// Whether no batch to come can change the sums up to the last closed segment.
    const fn has_ended(&self) -> bool {
        self.closed_after_young
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    end: Option<Offset>,
    clean_bytes: u64,
    dirty_bytes: u64,
    oldest_dirty_ms: Option<i64>,
}

impl Sums {
    fn add(&mut self, entry: &Entry, dirty: bool) {
        self.end = Some(entry.last_offset.next());
        if dirty {
            self.dirty_bytes += u64::from(entry.length);
            let oldest = self.oldest_dirty_ms.unwrap_or(i64::MAX);
            self.oldest_dirty_ms = Some(oldest.min(entry.time_ms()));
        } else {
            self.clean_bytes += u64::from(entry.length);
        }
    }

    fn plan(
        &self,
        settings: &CompactionSettings,
        now: Timestamp,
        first_dirty: Offset,
    ) -> CompactionPlan {
        let mut plan = CompactionPlan {
            first_dirty,
            first_uncleanable: self.end.unwrap_or(first_dirty).max(first_dirty),
            clean_bytes: self.clean_bytes,
            dirty_bytes: self.dirty_bytes,
            due: false,
        };
        let overdue = self.oldest_dirty_ms.is_some_and(|oldest| {
            now.as_millis().saturating_sub(oldest) > settings.max_compaction_lag_ms
        });
        plan.due = plan.dirty_bytes > 0
            && (overdue || plan.dirty_ratio() > settings.min_cleanable_dirty_ratio);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: CompactionSettings = CompactionSettings {
        segment: SegmentSettings { bytes: 200, ms: 10_000 },
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    /// Batches of one record and 100 bytes, two in a segment, at these times.
    fn batches(times: &[i64]) -> impl Iterator<Item = Entry> {
        let entry = |(offset, &time): (i64, &i64)| Entry {
            base_offset: at(offset),
            last_offset: at(offset),
            max_timestamp: Timestamp::from_millis(time),
            appended_at: Timestamp::from_millis(time.max(0)),
            length: 100,
        };
        (0..).zip(times).map(entry)
    }

    fn planned(
        settings: &CompactionSettings,
        now: i64,
        first_dirty: i64,
        times: &[i64],
    ) -> CompactionPlan {
        plan(settings, Timestamp::from_millis(now), at(first_dirty), batches(times))
    }

    #[test]
    fn the_active_segment_is_left_alone() {
        for (count, expected) in [(0, 0), (1, 0), (2, 0), (3, 2), (4, 2), (5, 4)] {
            let plan = planned(&SETTINGS, 100, 0, &vec![100; count]);
            assert_eq!(plan.first_uncleanable, at(expected), "{count}");
            assert_eq!(plan.dirty_bytes, expected.unsigned_abs() * 100);
            assert_eq!(plan.due, expected > 0);
        }
    }

    #[test]
    fn a_segment_ends_in_time_though_no_other_batch_comes() {
        let times = [100, 100, 100];
        assert_eq!(planned(&SETTINGS, 10_100, 0, &times).first_uncleanable, at(2));
        assert_eq!(planned(&SETTINGS, 10_101, 0, &times).first_uncleanable, at(3));
        let hasty = CompactionSettings { max_compaction_lag_ms: 50, ..SETTINGS };
        assert_eq!(planned(&hasty, 150, 0, &times).first_uncleanable, at(2));
        assert_eq!(planned(&hasty, 151, 0, &times).first_uncleanable, at(3));
    }

    #[test]
    fn it_is_due_above_the_ratio_of_what_can_be_cleaned() {
        // Of eight batches the last two are active.
        let ratio = |first_dirty| planned(&SETTINGS, 100, first_dirty, &[100; 8]);
        assert!(ratio(2).due);
        let half = ratio(3);
        assert_eq!((half.clean_bytes, half.dirty_bytes), (300, 300));
        assert!(!half.due);
        assert!(!ratio(4).due);
        let always = CompactionSettings { min_cleanable_dirty_ratio: 0.0, ..SETTINGS };
        assert!(planned(&always, 100, 5, &[100; 8]).due);
        assert!(!planned(&always, 100, 6, &[100; 8]).due);
        assert!(!planned(&always, 100, 7, &[100; 8]).due);
    }

    #[test]
    fn it_is_due_when_a_batch_has_waited_too_long() {
        let hasty = CompactionSettings { max_compaction_lag_ms: 1_000, ..SETTINGS };
        let times = [0, 0, 0, 0, 0, 500, 600, 600];
        assert!(!planned(&hasty, 1_000, 4, &times).due);
        assert!(planned(&hasty, 1_001, 4, &times).due);
        assert!(!planned(&hasty, 1_001, 5, &times).due);
    }

    #[test]
    fn nothing_younger_than_the_lag_is_touched() {
        let lag = CompactionSettings { min_compaction_lag_ms: 100, ..SETTINGS };
        let times = [1_000, 1_000, 1_000, 1_001, 1_000, 1_000];
        let plan = planned(&lag, 1_100, 0, &times);
        assert_eq!((plan.first_uncleanable, plan.dirty_bytes), (at(3), 300));
        assert_eq!(planned(&lag, 1_101, 0, &times).first_uncleanable, at(4));
        // What is clean already does not hold up what is dirty.
        assert_eq!(planned(&lag, 1_100, 4, &times).first_uncleanable, at(4));
        // Nor does youth in the active segment move the end past that segment's start.
        let plan = planned(&lag, 1_100, 0, &[1_000, 1_000, 1_000, 1_001]);
        assert_eq!(plan.first_uncleanable, at(2));
        assert_eq!(planned(&lag, i64::MAX, 0, &[i64::MAX; 3]).first_uncleanable, at(0));
    }

    #[test]
    fn reading_ends_with_the_segment_of_the_first_young_batch() {
        let lag = CompactionSettings { min_compaction_lag_ms: 100, ..SETTINGS };
        let mut read = 0;
        let entries = batches(&[1_000, 2_000, 2_000, 2_000, 2_000]).inspect(|_| read += 1);
        let plan = plan(&lag, Timestamp::from_millis(2_000), at(0), entries);
        assert_eq!((plan.first_uncleanable, read), (at(1), 3));
    }

    #[test]
    fn a_dirty_part_that_begins_in_the_active_segment_is_left_alone() {
        let plan = planned(&SETTINGS, 100, 3, &[100; 4]);
        assert_eq!((plan.first_dirty, plan.first_uncleanable), (at(3), at(3)));
        assert_eq!((plan.clean_bytes, plan.dirty_bytes, plan.due), (200, 0, false));
    }
}
