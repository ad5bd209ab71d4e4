//! What a partition may and must show to who reads only what was committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_broker::UNPACKED_LIMIT;
use factum_event::batch::{Batch, BatchHeader, BatchRecord, Outcome};
use factum_event::{Offset, Record, TopicName};
use factum_log::Extent;

use super::transactions::{Number, Transaction};
use crate::Violation;

/// A batch that was given an offset.
pub(crate) struct Sent {
    pub(crate) header: BatchHeader,
    records: Vec<BatchRecord>,
    pub(crate) transaction: Option<Number>,
}

/// A partition.
pub(crate) struct Partition {
    pub(crate) topic: TopicName,
    pub(crate) policy: Policy,
    pub(crate) sent: BTreeMap<Offset, Sent>,
    pub(crate) start: Offset,
    /// Where it began when the broker was opened: who wrote before may be forgotten.
    opened_at: Offset,
    /// Everything before was readable at some time.
    pub(crate) end: Offset,
    /// Everything before was stable at some time.
    stable: Offset,
    /// No batch gets an offset before it.
    next: Offset,
    /// The latest offset at which somebody wants it to begin.
    pub(crate) cut_to: Offset,
}

/// What the settings of a topic let happen to its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) compacts: bool,
    pub(crate) retains: bool,
    pub(crate) delete_retention_ms: i64,
}

impl Partition {
    pub(crate) fn new(topic: TopicName, policy: Policy) -> Self {
        let zero = Offset::ZERO;
        let (start, opened_at, end, stable, next, cut_to) = (zero, zero, zero, zero, zero, zero);
        Self { topic, policy, sent: BTreeMap::new(), start, opened_at, end, stable, next, cut_to }
    }

    /// A batch was given an offset.
    pub(crate) fn appended(
        &mut self,
        base: Offset,
        batch: &Batch,
        transaction: Option<Number>,
    ) -> Result<(), Violation> {
        if base < self.next {
            return Err(format!("offset {base} was given, {} was expected", self.next));
        }
        let known = self.same_all(batch.header()).last().map(|(known, _)| known);
        if let Some(known) = known.filter(|known| *known >= self.opened_at) {
            return Err(format!("a batch at {known} is appended again, at {base}"));
        }
        let batch = batch.at(base);
        let records = batch.records(UNPACKED_LIMIT).map_err(|error| error.to_string())?;
        self.next = base.plus(batch.header().offsets());
        self.sent.insert(base, Sent { header: *batch.header(), records, transaction });
        Ok(())
    }

    /// A batch is said to have been appended before.
    pub(crate) fn repeated(&self, base: Offset, header: &BatchHeader) -> Result<(), Violation> {
        let known: Vec<_> = self.same_all(header).map(|(base, _)| base).collect();
        if known.contains(&base) {
            return Ok(());
        }
        Err(format!("a batch is said to be at {base}; it was appended at {known:?}"))
    }

    /// Whether it has a batch.
    pub(crate) fn has(&self, header: &BatchHeader) -> bool {
        self.same_all(header).next().is_some()
    }

    fn same_all<'a>(
        &'a self,
        header: &'a BatchHeader,
    ) -> impl Iterator<Item = (Offset, &'a Sent)> + use<'a> {
        let key = |header: &BatchHeader| {
            (header.producer_id, header.producer_epoch, header.base_sequence)
        };
        let same = move |(_, sent): &(Offset, &Sent)| {
            header.producer_id >= 0 && key(&sent.header) == key(header)
        };
        self.sent.iter().map(|(base, sent)| (*base, sent)).filter(same)
    }

    /// Something was cut off when the broker was opened: who wrote it may be forgotten.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.opened_at > Offset::ZERO
    }

    /// The sequence with which a producer goes on.
    pub(crate) fn next_sequence(&self, (id, epoch): (i64, i16)) -> i32 {
        let theirs =
            |sent: &&Sent| (sent.header.producer_id, sent.header.producer_epoch) == (id, epoch);
        let last = self.sent.values().rev().find(theirs);
        last.map_or(0, |sent| sent.header.base_sequence + sent.header.record_count)
    }

    /// A batch was acknowledged.
    pub(crate) fn acknowledged(&mut self, base: Offset, extent: Extent) -> Result<(), Violation> {
        let sent = self.sent.get(&base).ok_or_else(|| format!("{base} was not given"))?;
        let next = base.plus(sent.header.offsets());
        if extent.end < next {
            return Err(format!("{base} is acknowledged, but the end is {}", extent.end));
        }
        self.end = self.end.max(next);
        Ok(())
    }

    /// It has these bounds now, and this end of what is stable.
    pub(crate) fn bounds(
        &mut self,
        Extent { start, end }: Extent,
        stable: Offset,
        transactions: &[Transaction],
    ) -> Result<(), Violation> {
        let may_begin_at = start <= self.start.max(self.cut_to) || self.policy.retains;
        if start < self.start || end < self.end || start > end || !may_begin_at {
            let (was, until) = (self.start, self.end);
            return Err(format!("the extent is {start} to {end}, and was {was} to {until}"));
        }
        if stable < self.stable || !(start..=end).contains(&stable) {
            let was = self.stable;
            return Err(format!("{start} to {end} is stable up to {stable}, and was up to {was}"));
        }
        (self.start, self.end, self.stable) = (start, end, stable);
        let is_open =
            |sent: &Sent| sent.transaction.is_some_and(|of| transactions[of].must_be_open());
        match self.sent.range(start..stable).find(|(_, sent)| is_open(sent)) {
            Some((base, _)) => Err(format!("stable up to {stable}, past an open one at {base}")),
            None => Ok(()),
        }
    }

    /// After opening: of what was not durable some beginning is there.
    pub(crate) fn reopened(&mut self, extent: Extent) -> Result<(), Violation> {
        let Extent { start, end } = extent;
        if end < self.end {
            return Err(format!("it ends at {end}, but {} was acknowledged or read", self.end));
        }
        drop(self.sent.split_off(&end));
        if let Some((base, sent)) = self.sent.last_key_value()
            && base.plus(sent.header.offsets()) > end
        {
            return Err(format!("it ends at {end}, in the middle of a batch"));
        }
        (self.next, self.opened_at) = (end, start);
        Ok(())
    }

    /// Compares what somebody was shown of two offsets and what is between them.
    pub(crate) fn check(
        &self,
        (from, until): (Offset, Offset),
        shown: &[BatchRecord],
        transactions: &mut [Transaction],
    ) -> Result<(), Violation> {
        if let Some(pair) = shown.windows(2).find(|pair| pair[0].offset >= pair[1].offset) {
            return Err(format!("{} is shown after {}", pair[1].offset, pair[0].offset));
        }
        let mut left: BTreeMap<Offset, &Record> =
            shown.iter().map(|found| (found.offset, &found.record)).collect();
        for (base, sent) in self.overlapping(from, until) {
            let mut seen = 0;
            let mut hidden = Vec::new();
            let range = from.max(self.start)..until;
            for found in &sent.records {
                match left.remove(&found.offset) {
                    Some(record) if *record != found.record => {
                        return Err(format!("{} has another record than was sent", found.offset));
                    }
                    Some(_) => seen += 1,
                    None if range.contains(&found.offset) => hidden.push(found),
                    None => {}
                }
            }
            self.judge(base, sent, (seen, &hidden), transactions)?;
        }
        match left.first_key_value() {
            Some((offset, _)) => Err(format!("{offset} is shown, but was never given")),
            None => Ok(()),
        }
    }

    /// What it means that of a batch these records are shown, and those are not.
    fn judge(
        &self,
        base: Offset,
        sent: &Sent,
        (seen, hidden): (usize, &[&BatchRecord]),
        transactions: &mut [Transaction],
    ) -> Result<(), Violation> {
        let about = |violation: Violation| format!("transaction of {base}: {violation}");
        if let Some(of) = sent.transaction.filter(|_| seen > 0) {
            transactions[of].decide(Outcome::Commit).map_err(about)?;
        }
        let unexplained = hidden.iter().find(|found| !self.may_be_removed(found, transactions));
        match (unexplained, sent.transaction) {
            (None, _) => Ok(()),
            (Some(_), Some(of)) if seen == 0 => {
                transactions[of].decide(Outcome::Abort).map_err(about)
            }
            (Some(found), _) => Err(format!("{} is missing", found.offset)),
        }
    }

    /// Whether compaction may have removed a record that counts.
    fn may_be_removed(&self, found: &BatchRecord, transactions: &[Transaction]) -> bool {
        let counts =
            |sent: &Sent| sent.transaction.is_none_or(|of| transactions[of].may_be_committed());
        let key: Option<&Bytes> = found.record.key.as_ref();
        let durable = self.sent.range(..self.end);
        let is_later = |(_, sent): (&Offset, &Sent)| {
            let same = |later: &BatchRecord| {
                later.offset > found.offset && later.record.key.as_ref() == key
            };
            counts(sent) && sent.records.iter().any(same)
        };
        self.policy.compacts && (found.record.value.is_none() || durable.rev().any(is_later))
    }

    /// The batches with offsets between two.
    fn overlapping(&self, from: Offset, until: Offset) -> impl Iterator<Item = (Offset, &Sent)> {
        let first = self.sent.range(..=from).next_back().map_or(from, |(base, _)| *base);
        let range = if first < until { first..until } else { from..from };
        self.sent.range(range).map(|(base, sent)| (*base, sent))
    }
}
