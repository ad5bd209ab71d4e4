//! A partition in memory, with what is needed to compact it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use factum_event::batch::{Batch, BatchBuilder, BatchRecord, Codec, ProducerState, crc32c};
use factum_event::{Offset, Record, Timestamp};

use parking_lot::Mutex;

use super::super::*;
use crate::transactions::PartitionTransactions;

pub(super) const DELETE_RETENTION_MS: i64 = 100;
pub(super) const UNPACK_LIMIT: usize = 1 << 12;

pub(super) type Outcome = Result<Compaction, CompactionError<Infallible>>;
pub(super) type Pace<'a> = &'a mut dyn FnMut(&CompactionStats) -> ControlFlow<()>;

pub(super) fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

/// Goes on for so many batches.
pub(super) fn stop_after(batches: usize) -> impl FnMut(&CompactionStats) -> ControlFlow<()> {
    let mut left = batches;
    move |_| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        ControlFlow::Continue(())
    }
}

/// What can be wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    BitFlip,
    UnknownCodec,
    Count,
    OtherOffset,
}

impl Defect {
    pub(super) const ALL: [Self; 4] =
        [Self::BitFlip, Self::UnknownCodec, Self::Count, Self::OtherOffset];
}

#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) batches: Vec<SourceBatch>,
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) clean_until: Offset,
    /// The end, where it is not set.
    pub(super) uncleanable: Option<Offset>,
    pub(super) now_ms: i64,
    pub(super) codec: Codec,
    pub(super) producer: Option<i64>,
    pub(super) producers: HashMap<i64, Offset>,
    pub(super) goes_backwards: bool,
    pub(super) sequence: i32,
    pub(super) transactions: Arc<Mutex<PartitionTransactions>>,
    /// Whether the producer writes in a transaction.
    pub(super) in_transaction: bool,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            start: Offset::ZERO,
            end: Offset::ZERO,
            clean_until: Offset::ZERO,
            uncleanable: None,
            now_ms: 1_000_000,
            codec: Codec::None,
            producer: None,
            producers: HashMap::new(),
            goes_backwards: false,
            sequence: 0,
            transactions: Arc::default(),
            in_transaction: false,
        }
    }
}

impl Partition {
    pub(super) fn produce(&mut self, records: &[(&str, Option<&str>)]) {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let record = |(key, value): &(&str, Option<&str>)| (Some(bytes(key)), value.map(bytes));
        self.append(records.iter().map(record).collect());
    }

    pub(super) fn produce_keyless(&mut self, records: usize) {
        self.append(vec![(None, Some(Bytes::from_static(b"x"))); records]);
    }

    pub(super) fn append(&mut self, records: Vec<(Option<Bytes>, Option<Bytes>)>) {
        let base_offset = self.end;
        let producer =
            self.producer.map(|id| ProducerState { id, epoch: 0, base_sequence: self.sequence });
        let mut builder = BatchBuilder::new(self.codec, producer);
        if let Some(id) = self.producer.filter(|_| self.in_transaction) {
            builder = builder.transactional();
            let next = base_offset.plus(u32::try_from(records.len()).unwrap());
            self.transactions.lock().wrote(id, base_offset, next);
        }
        for (key, value) in records {
            self.end = self.end.next();
            let timestamp = Timestamp::from_millis(self.now_ms + self.end.get() % 3);
            builder.push(&Record { key, value, headers: Vec::new(), timestamp });
        }
        let last_offset = offset(self.end.get() - 1);
        self.sequence += i32::try_from(builder.len()).unwrap();
        let bytes = builder.build().unwrap().at(base_offset).bytes().clone();
        let appended_at = Timestamp::from_millis(0);
        self.batches.push(SourceBatch { base_offset, last_offset, appended_at, bytes });
        if let Some(producer) = self.producer {
            self.producers.insert(producer, last_offset);
        }
    }

    /// Ends the producer's transaction.
    pub(super) fn end_transaction(&mut self, outcome: factum_event::batch::Outcome) {
        let (id, base_offset) = (self.producer.unwrap(), self.end);
        let at = Timestamp::from_millis(self.now_ms);
        let marker = Batch::marker((id, 0), outcome, 0, at).unwrap().at(base_offset);
        self.end = self.end.next();
        self.transactions.lock().ended(id, base_offset, outcome);
        self.batches.push(SourceBatch {
            base_offset,
            last_offset: base_offset,
            appended_at: Timestamp::from_millis(0),
            bytes: marker.bytes().clone(),
        });
    }

    /// Where markers are.
    pub(super) fn markers(&self) -> Vec<i64> {
        let is_marker = |stored: &&SourceBatch| stored.bytes[22] & 0x20 != 0;
        self.batches.iter().filter(is_marker).map(|stored| stored.base_offset.get()).collect()
    }

    pub(super) fn spoil_last(&mut self, defect: Defect) {
        let last = self.batches.last_mut().unwrap();
        let mut bytes = last.bytes.to_vec();
        let end = bytes.len() - 1;
        match defect {
            Defect::BitFlip => bytes[end] ^= 1,
            Defect::UnknownCodec => bytes[22] |= 7,
            Defect::Count => bytes[60] += 1,
            Defect::OtherOffset => bytes[0] = 1,
        }
        if defect != Defect::BitFlip {
            let crc = crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        last.bytes = bytes.into();
    }

    /// Forgets what is before this offset, as retention does.
    pub(super) fn start_at(&mut self, start: Offset) {
        self.start = start;
        self.batches.retain(|stored| stored.last_offset >= start);
    }

    pub(super) fn compact(&mut self, budget: usize) -> Outcome {
        self.compact_paced(budget, &mut |_| ControlFlow::Continue(()))
    }

    pub(super) fn compact_from_start(&mut self, budget: usize) -> Outcome {
        self.clean_until = self.start;
        self.compact(budget)
    }

    pub(super) fn compact_paced(&mut self, budget: usize, pace: Pace<'_>) -> Outcome {
        let (outcome, fates) = self.run(budget, pace);
        self.apply(fates);
        if let Ok(compaction) = &outcome {
            self.clean_until = compaction.clean_until;
        }
        outcome
    }

    /// What another compaction of everything would do.
    pub(super) fn fates(&self) -> Vec<Fate> {
        let again = Self { clean_until: self.start, ..self.clone() };
        let (outcome, fates) = again.run(1 << 16, &mut |_| ControlFlow::Continue(()));
        outcome.unwrap();
        fates.into_iter().map(|(_, fate)| fate).collect()
    }

    pub(super) fn first_dirty(&self) -> Offset {
        self.clean_until.max(self.start)
    }

    pub(super) fn first_uncleanable(&self) -> Offset {
        self.uncleanable.unwrap_or(self.end).max(self.first_dirty())
    }

    pub(super) fn run(&self, budget: usize, pace: Pace<'_>) -> (Outcome, Vec<(SourceBatch, Fate)>) {
        let aborted = self.transactions.lock().aborted(self.start, self.end);
        let job = CompactionJob {
            start: self.start,
            first_dirty: self.first_dirty(),
            first_uncleanable: self.first_uncleanable(),
            aborted: &aborted,
            now: Timestamp::from_millis(self.now_ms),
            delete_retention_ms: DELETE_RETENTION_MS,
            unpack_limit: UNPACK_LIMIT,
            producers: &self.producers,
        };
        let mut map = KeyMap::with_budget(budget);
        let mut source =
            Reader { batches: &self.batches, goes_backwards: self.goes_backwards, reads: 0 };
        let mut fates = Fates(Vec::new());
        let outcome = compact_partition(&job, &mut map, &mut source, &mut fates, pace);
        (outcome, fates.0)
    }

    fn apply(&mut self, fates: Vec<(SourceBatch, Fate)>) {
        for (stored, fate) in fates {
            let place = self.batches.iter().position(|batch| *batch == stored).unwrap();
            match fate {
                Fate::Kept | Fate::Unopened(_) => {}
                Fate::Rewritten(batch) => self.batches[place].bytes = batch.bytes().clone(),
                Fate::Removed => drop(self.batches.remove(place)),
            }
        }
    }

    /// Every record that can be read.
    pub(super) fn records(&self) -> Vec<BatchRecord> {
        let readable = self.batches.iter().filter_map(readable);
        readable.flatten().filter(|found| found.offset >= self.start).collect()
    }

    /// Every record that can be read, as text: offset, key, value.
    pub(super) fn contents(&self) -> Vec<String> {
        let text = |bytes: Option<&Bytes>| match bytes {
            None => "-".to_owned(),
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        let line = |found: &BatchRecord| {
            let (key, value) = (found.record.key.as_ref(), found.record.value.as_ref());
            format!("{} {} {}", found.offset, text(key), text(value))
        };
        self.records().iter().map(line).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batches.iter().map(|stored| stored.bytes.len() as u64).sum()
    }
}

/// The records of a batch, if it can be read and is in no transaction.
pub(super) fn readable(stored: &SourceBatch) -> Option<Vec<BatchRecord>> {
    let batch = Batch::parse(stored.bytes.clone()).ok()?;
    let in_place = batch.header().base_offset == stored.base_offset.get();
    batch.records(UNPACK_LIMIT).ok().filter(|_| in_place)
}

struct Reader<'a> {
    batches: &'a [SourceBatch],
    goes_backwards: bool,
    reads: usize,
}

impl Source for Reader<'_> {
    type Error = Infallible;

    fn read(&mut self, from: Offset) -> Result<Option<SourceBatch>, Infallible> {
        self.reads += 1;
        assert!(self.reads <= 2 * self.batches.len() + 3, "it reads without end");
        let from = if self.goes_backwards { Offset::ZERO } else { from };
        Ok(self.batches.iter().find(|stored| stored.last_offset >= from).cloned())
    }
}

struct Fates(Vec<(SourceBatch, Fate)>);

impl Sink for Fates {
    type Error = Infallible;

    fn push(&mut self, batch: SourceBatch, fate: Fate) -> Result<(), Infallible> {
        self.0.push((batch, fate));
        Ok(())
    }
}
