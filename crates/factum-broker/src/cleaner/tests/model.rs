//! Random histories of a partition, against what compaction promises.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use factum_event::batch::{Batch, BatchRecord, Codec};
use factum_event::{Offset, Record};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::*;
use super::partition::{DELETE_RETENTION_MS, Defect, Partition, offset, readable, stop_after};

#[derive(Debug, Clone)]
enum Step {
    /// Keys, and whether there is a value.
    Produce {
        records: Vec<(Option<u8>, bool)>,
        codec: Codec,
        producer: Option<i64>,
        defect: Option<Defect>,
    },
    Wait(i64),
    /// The partition's start moves, into a batch too.
    Start(Index),
    Compact {
        budget: usize,
        uncleanable: Index,
        stop_after: Option<usize>,
    },
    /// It is forgotten how far compaction has come.
    Forget,
}

fn some_step() -> impl Strategy<Value = Step> {
    let key = option::weighted(0.95, 0_u8..6);
    let records = vec((key, proptest::bool::weighted(0.7)), 1..6);
    let defect = option::weighted(0.08, select(&Defect::ALL[..]));
    let produce = (records, select(&Codec::ALL[..]), option::of(0_i64..3), defect).prop_map(
        |(records, codec, producer, defect)| Step::Produce { records, codec, producer, defect },
    );
    let compact = (0_usize..300, any::<Index>(), option::weighted(0.3, 0_usize..12)).prop_map(
        |(budget, uncleanable, stop_after)| Step::Compact { budget, uncleanable, stop_after },
    );
    prop_oneof![
        8 => produce,
        3 => (0..2 * DELETE_RETENTION_MS).prop_map(Step::Wait),
        1 => any::<Index>().prop_map(Step::Start),
        8 => compact,
        1 => Just(Step::Forget),
    ]
}

/// The partition, and all that was ever written to it.
#[derive(Default)]
struct Model {
    partition: Partition,
    /// Every record that can be read.
    history: BTreeMap<Offset, Record>,
    /// Every record that cannot: its key.
    hidden: BTreeMap<Offset, Option<Bytes>>,
    headers: HashMap<i64, (Offset, i32)>,
    /// For tombstones that are the last of their key: since when no older one is in the log.
    alone_since: HashMap<Offset, i64>,
}

impl Model {
    fn produce(&mut self, records: &[(Option<u8>, bool)], defect: Option<Defect>) {
        let base = self.partition.end;
        let unique = |index: i64| Bytes::from((base.get() + index).to_string());
        let record = |(index, (key, has_value)): (i64, &(Option<u8>, bool))| {
            (key.map(|key| Bytes::from(vec![key])), has_value.then(|| unique(index)))
        };
        self.partition.append((0..).zip(records).map(record).collect());
        let stored = self.partition.batches.last().unwrap();
        let written = readable(stored).unwrap();
        if let Some(producer) = self.partition.producer {
            let sequence = Batch::parse(stored.bytes.clone()).unwrap().header().base_sequence;
            self.headers.insert(producer, (base, sequence));
        }
        match defect {
            None => self.history.extend(written.into_iter().map(|it| (it.offset, it.record))),
            Some(defect) => {
                self.partition.spoil_last(defect);
                self.hidden.extend(written.into_iter().map(|it| (it.offset, it.record.key)));
            }
        }
    }

    fn compact(&mut self, budget: usize, uncleanable: Index, stop: Option<usize>) {
        // At a batch's beginning, or at the end.
        let place = uncleanable.index(self.partition.batches.len() + 1);
        let base = self.partition.batches.get(place).map(|stored| stored.base_offset);
        self.partition.uncleanable = base;
        let before = self.partition.clone();
        let (first_dirty, border) = (before.first_dirty(), before.first_uncleanable());
        let outcome =
            self.partition.compact_paced(budget, &mut stop_after(stop.unwrap_or(usize::MAX)));

        let beyond = |partition: &Partition| -> Vec<_> {
            let touchable = |stored: &&SourceBatch| stored.last_offset < border;
            partition.batches.iter().skip_while(touchable).cloned().collect()
        };
        assert_eq!(beyond(&before), beyond(&self.partition), "touched what may not be cleaned");
        let Ok(compaction) = outcome else {
            assert_eq!(outcome, Err(CompactionError::Cancelled));
            return;
        };
        let dirty =
            |stored: &SourceBatch| stored.last_offset >= first_dirty && stored.last_offset < border;
        if before.batches.iter().any(dirty) {
            assert!(compaction.clean_until > first_dirty, "came no further");
            self.check_last_batch(compaction.clean_until);
        }
        assert!(compaction.clean_until <= border);
        assert_eq!(compaction.stats.bytes_left, self.bytes_cleaned(compaction.clean_until));
        if compaction.clean_until == border {
            let again = Partition { clean_until: before.clean_until, ..self.partition.clone() };
            let (_, fates) = again.run(budget, &mut stop_after(usize::MAX));
            let unchanged = |fate: &Fate| matches!(fate, Fate::Kept | Fate::Unopened(_));
            assert!(fates.iter().all(|(_, fate)| unchanged(fate)), "not idempotent: {fates:?}");
        }
    }

    fn bytes_cleaned(&self, end: Offset) -> u64 {
        let border = self.partition.first_uncleanable();
        let cleaned =
            |stored: &&SourceBatch| stored.base_offset < end && stored.last_offset < border;
        let batches = self.partition.batches.iter().take_while(cleaned);
        batches.map(|stored| stored.bytes.len() as u64).sum()
    }

    fn check_last_batch(&self, clean_until: Offset) {
        let last = offset(clean_until.get() - 1);
        let spans = |stored: &SourceBatch| stored.base_offset <= last && stored.last_offset >= last;
        assert!(self.partition.batches.iter().any(spans), "offset {last} was forgotten");
    }

    fn check(&mut self) {
        let left = self.partition.records();
        self.check_records(&left);
        self.check_latest(&left);
        self.check_clean_part(&left);
        self.check_producers();
        if let Some(last) = self.partition.batches.last() {
            assert_eq!(last.last_offset.next(), self.partition.end, "the end has moved");
        }
    }

    /// What is left is what was written, in its order.
    fn check_records(&self, left: &[BatchRecord]) {
        assert!(left.is_sorted_by(|a, b| a.offset < b.offset));
        for found in left {
            assert_eq!(self.history.get(&found.offset), Some(&found.record));
        }
        for (offset, key) in self.hidden.range(self.partition.start..) {
            let holds = |stored: &&SourceBatch| {
                stored.base_offset <= *offset && stored.last_offset >= *offset
            };
            let kept = self.partition.batches.iter().find(holds);
            assert!(kept.is_some_and(|it| readable(it).is_none()), "lost {key:?} at {offset}");
        }
    }

    /// The last record of every key is there; or a tombstone's time has passed, and so has all
    /// that was before it.
    fn check_latest(&mut self, left: &[BatchRecord]) {
        let offsets: HashSet<_> = left.iter().map(|found| found.offset).collect();
        let mut latest: HashMap<&Bytes, (Offset, bool)> = HashMap::new();
        for (offset, record) in self.history.range(self.partition.start..) {
            if let Some(key) = &record.key {
                latest.insert(key, (*offset, record.value.is_some()));
            }
        }
        for (key, (offset, has_value)) in latest {
            if has_value {
                assert!(offsets.contains(&offset), "lost the value of {key:?} at {offset}");
                continue;
            }
            let of_key = |found: &&BatchRecord| found.record.key.as_ref() == Some(key);
            let older = left.iter().filter(of_key).any(|found| found.offset < offset)
                || self
                    .hidden
                    .range(self.partition.start..offset)
                    .any(|(_, it)| it.as_ref() == Some(key));
            let now = self.partition.now_ms;
            if older {
                assert!(offsets.contains(&offset), "an old value of {key:?} is back");
                continue;
            }
            let since = *self.alone_since.entry(offset).or_insert(now);
            let visible = offsets.contains(&offset);
            assert!(visible || now >= since + DELETE_RETENTION_MS, "{key:?} went too early");
        }
    }

    /// Before where compaction came, every key is there once.
    fn check_clean_part(&self, left: &[BatchRecord]) {
        let mut keys = HashSet::new();
        for found in left.iter().filter(|it| it.offset < self.partition.clean_until) {
            let key = found.record.key.as_ref().expect("no record without a key");
            assert!(keys.insert(key), "{key:?} is there twice");
        }
    }

    /// Where every producer was.
    fn check_producers(&self) {
        for (producer, (base, sequence)) in &self.headers {
            let last_offset = self.partition.producers[producer];
            if last_offset < self.partition.start {
                continue;
            }
            let at = |stored: &&SourceBatch| stored.base_offset == *base;
            let stored = self.partition.batches.iter().find(at).expect("its header is kept");
            assert_eq!(stored.last_offset, last_offset);
            if let Ok(batch) = Batch::parse(stored.bytes.clone()) {
                let header = batch.header();
                assert_eq!((header.producer_id, header.base_sequence), (*producer, *sequence));
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Produce { records, codec, producer, defect } => {
                self.partition.codec = codec;
                self.partition.producer = producer;
                self.produce(&records, defect);
            }
            Step::Wait(ms) => self.partition.now_ms += ms,
            Step::Start(index) => {
                // Mostly a little.
                let ahead = self.partition.end.get() - self.partition.start.get();
                let steps = index.index(usize::try_from(ahead / 2 + 1).unwrap());
                let start = self.partition.start.get() + i64::try_from(steps).unwrap();
                self.partition.start_at(offset(start));
            }
            Step::Compact { budget, uncleanable, stop_after } => {
                self.compact(budget, uncleanable, stop_after);
            }
            Step::Forget => self.partition.clean_until = self.partition.start,
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn compaction_keeps_what_it_promises(steps in vec(some_step(), 1..40)) {
        let mut model = Model::default();
        for step in steps {
            model.run(step);
        }
    }
}
