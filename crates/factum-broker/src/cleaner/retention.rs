//! `cleanup.policy=delete`: how far the start of a partition moves by age and by size.
//!
//! Both remove whole virtual segments, the oldest first, as Kafka does:
//!
//! * `retention.ms` removes a segment when its latest batch is older, the active one too: an idle
//!   partition ends up empty. A timestamp in the future keeps its segment until it has passed.
//! * `retention.bytes` removes a segment as long as what is left still has that many bytes. So
//!   it takes the active one only where it is 0.
//!
//! Nothing of a segment goes while something of it must stay, nor of any segment after it.

use factum_event::{Offset, Timestamp};

use super::segment::{Entry, Segment, SegmentSettings};

/// What a topic says of how long its records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// `retention.ms`, in milliseconds; none keeps records whatever their age.
    pub retention_ms: Option<i64>,
    /// `retention.bytes` of a partition; none keeps records whatever their size.
    pub retention_bytes: Option<u64>,
    /// When a new segment begins.
    pub segment: SegmentSettings,
}

/// The offset at which the partition is to start from now on; none where nothing is to go.
///
/// `entries` are the partition's batches from its start on, the oldest first, and `total_bytes`
/// is what they all have together. No more of them are read than it takes to know the answer.
#[must_use]
pub fn new_start(
    settings: &RetentionSettings,
    now: Timestamp,
    total_bytes: u64,
    entries: impl IntoIterator<Item = Entry>,
) -> Option<Offset> {
    let mut limits = Limits {
        now,
        retention_ms: settings.retention_ms,
        excess_bytes: settings.retention_bytes.and_then(|keep| total_bytes.checked_sub(keep)),
    };
    if limits.keep_everything() {
        return None;
    }
    let mut start = None;
    let mut open: Option<Segment> = None;
    for entry in entries {
        let segment = match &mut open {
            None => open.insert(Segment::starting_with(&entry)),
            Some(segment) => {
                if !segment.take(&entry, settings.segment) {
                    start = Some(limits.remove(segment));
                    *segment = Segment::starting_with(&entry);
                }
                segment
            }
        };
        // More batches make it younger and larger: what must stay now must stay then.
        if !limits.allow_removing(segment) {
            return start;
        }
    }
    open.map(|active| active.next_offset)
}

/// What still keeps segments from being removed.
struct Limits {
    now: Timestamp,
    retention_ms: Option<i64>,
    /// Bytes above `retention.bytes`.
    excess_bytes: Option<u64>,
}

impl Limits {
    const fn keep_everything(&self) -> bool {
        self.retention_ms.is_none() && self.excess_bytes.is_none()
    }

    fn allow_removing(&self, segment: &Segment) -> bool {
        let age_ms = self.now.as_millis().saturating_sub(segment.latest_ms);
        self.retention_ms.is_some_and(|limit| age_ms > limit)
            || self.excess_bytes.is_some_and(|excess| segment.bytes <= excess)
    }

    /// Counts the segment off, and says where the next one begins.
    fn remove(&mut self, segment: &Segment) -> Offset {
        self.excess_bytes = self.excess_bytes.and_then(|excess| excess.checked_sub(segment.bytes));
        segment.next_offset
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// Batches of ten offsets and 100 bytes, at these times; appended now.
    fn batches(times: &[i64]) -> Vec<Entry> {
        let entry = |(index, &time): (i64, &i64)| Entry {
            base_offset: Offset::new(index * 10).unwrap(),
            last_offset: Offset::new(index * 10 + 9).unwrap(),
            max_timestamp: Timestamp::from_millis(time),
            appended_at: NOW,
            length: 100,
        };
        (0..).zip(times).map(entry).collect()
    }

    fn settings(retention_ms: i64, retention_bytes: i64) -> RetentionSettings {
        RetentionSettings {
            retention_ms: (retention_ms >= 0).then_some(retention_ms),
            retention_bytes: u64::try_from(retention_bytes).ok(),
            segment: SegmentSettings { bytes: 200, ms: 10_000 },
        }
    }

    /// The new start in batches.
    fn removed(settings: &RetentionSettings, entries: &[Entry]) -> i64 {
        let total = entries.iter().map(|entry| u64::from(entry.length)).sum();
        let start = new_start(settings, NOW, total, entries.iter().copied());
        start.map_or(0, |start| start.get() / 10)
    }

    #[test]
    fn whole_segments_go_by_age_and_the_active_one_when_all_of_it_is_old() {
        // Two batches a segment; one is old only when it is older than the limit.
        let cases = [(49_999, 5), (50_000, 4), (51_999, 4), (52_000, 2), (54_000, 0)];
        let entries = batches(&[946_000, 946_000, 948_000, 948_000, 950_000]);
        for (retention_ms, expected) in cases {
            assert_eq!(removed(&settings(retention_ms, -1), &entries), expected, "{retention_ms}");
        }
    }

    #[test]
    fn a_young_batch_keeps_its_segment_and_all_after_it() {
        let entries = batches(&[990_000, 990_000, 990_001, 999_999, 990_002, 990_002]);
        assert_eq!(removed(&settings(1_000, -1), &entries), 2);
    }

    #[test]
    fn a_timestamp_in_the_future_keeps_its_segment_and_none_counts_as_appended() {
        assert_eq!(removed(&settings(0, -1), &batches(&[i64::MAX])), 0);
        assert_eq!(removed(&settings(0, -1), &batches(&[1, 1, 1_000_001])), 2);
        // Appended now, whatever the records do not say.
        assert_eq!(removed(&settings(0, -1), &batches(&[-1, i64::MIN])), 0);
        assert_eq!(removed(&settings(0, -1), &batches(&[995_000, -1])), 0);
    }

    #[test]
    fn segments_begin_after_segment_ms_and_when_a_batch_has_no_room() {
        let entries = batches(&[0, 10_000, 10_001]);
        let by_age = RetentionSettings {
            segment: SegmentSettings { bytes: 1_000, ms: 10_000 },
            ..settings(989_999, -1)
        };
        assert_eq!(removed(&by_age, &entries), 2);
        // Larger than a segment: each batch is one.
        let small = SegmentSettings { bytes: 10, ms: 10_000 };
        let by_size = RetentionSettings { segment: small, ..settings(-1, 100) };
        assert_eq!(removed(&by_size, &entries), 2);
    }

    #[test]
    fn size_removes_a_segment_while_the_rest_has_as_many_bytes_as_are_to_be_kept() {
        let entries = batches(&[1; 7]);
        let cases = [(701, 0), (700, 0), (501, 0), (500, 2), (301, 2), (300, 4), (100, 6), (1, 6)];
        for (retention_bytes, expected) in cases {
            let settings = settings(-1, retention_bytes);
            assert_eq!(removed(&settings, &entries), expected, "{retention_bytes}");
        }
        assert_eq!(removed(&settings(-1, 0), &entries), 7);
    }

    #[test]
    fn no_more_is_read_than_is_needed() {
        let read = |settings: &RetentionSettings, times: &[i64]| {
            let mut read = 0;
            let entries = batches(times).into_iter().inspect(|_| read += 1);
            let _ = new_start(settings, NOW, 100 * times.len() as u64, entries);
            read
        };
        assert_eq!(read(&settings(-1, -1), &[1; 9]), 0);
        assert_eq!(read(&settings(-1, 1_000), &[1; 9]), 0);
        assert_eq!(read(&settings(1_000, -1), &[1, 1, 999_999, 1, 1]), 3);
        assert_eq!(read(&settings(-1, 600), &[1; 9]), 4);
    }

    proptest! {
        #[test]
        fn kafkas_two_rounds_over_segments_find_the_same(
            times in vec((990_000_i64..1_001_000, 1_u32..150), 0..30),
            retention_ms in proptest::option::of(0_i64..10_000),
            retention_bytes in proptest::option::of(0_u64..3_000),
            segment_ms in 1_i64..10_000,
        ) {
            let mut entries = batches(&times.iter().map(|(time, _)| *time).collect::<Vec<_>>());
            for (entry, (_, length)) in entries.iter_mut().zip(&times) {
                entry.length = *length;
            }
            let segment = SegmentSettings { bytes: 300, ms: segment_ms };
            let settings = RetentionSettings { retention_ms, retention_bytes, segment };
            let expected = as_kafka_does(&settings, &entries);
            let total = entries.iter().map(|entry| u64::from(entry.length)).sum();
            prop_assert_eq!(new_start(&settings, NOW, total, entries.clone()), expected);
            // What is left is counted into the same segments: nothing more goes.
            let left: Vec<_> = entries
                .into_iter()
                .filter(|entry| expected.is_none_or(|start| entry.base_offset >= start))
                .collect();
            let total = left.iter().map(|entry| u64::from(entry.length)).sum();
            prop_assert_eq!(new_start(&settings, NOW, total, left), None);
        }
    }

    /// Segments in a list; one round by size, then one by age, over what is left.
    fn as_kafka_does(settings: &RetentionSettings, entries: &[Entry]) -> Option<Offset> {
        let mut segments: Vec<Vec<Entry>> = Vec::new();
        for entry in entries {
            let fits = segments.last().is_some_and(|last| {
                let bytes: u32 = last.iter().map(|entry| entry.length).sum();
                let waited = entry.time_ms() - last[0].time_ms();
                u64::from(bytes + entry.length) <= settings.segment.bytes
                    && waited <= settings.segment.ms
            });
            match segments.last_mut() {
                Some(last) if fits => last.push(*entry),
                _ => segments.push(vec![*entry]),
            }
        }
        let bytes = |segment: &Vec<Entry>| -> i64 {
            segment.iter().map(|entry| i64::from(entry.length)).sum()
        };
        let total: i64 = segments.iter().map(bytes).sum();
        let mut start = None;
        if let Some(keep) = settings.retention_bytes {
            let mut diff = total - i64::try_from(keep).unwrap();
            while !segments.is_empty() && diff - bytes(&segments[0]) >= 0 {
                let gone = segments.remove(0);
                diff -= bytes(&gone);
                start = gone.last().map(|entry| entry.last_offset.next());
            }
        }
        if let Some(limit) = settings.retention_ms {
            let latest = |segment: &Vec<Entry>| segment.iter().map(Entry::time_ms).max().unwrap();
            while !segments.is_empty() && NOW.as_millis() - latest(&segments[0]) > limit {
                start = segments.remove(0).last().map(|entry| entry.last_offset.next());
            }
        }
        start
    }
}
