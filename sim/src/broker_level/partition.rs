//! What a partition of a topic may and must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use factum_broker::UNPACKED_LIMIT;
use factum_event::batch::{Batch, BatchRecord};
use factum_event::{Offset, Timestamp};
use factum_log::Extent;

use super::policy::{Policy, Window};
use super::sequences::Sequences;
use super::served::Served;
use crate::Violation;

/// A batch that was given an offset.
pub(crate) struct Sent {
    pub(crate) batch: Batch,
    pub(crate) records: Vec<BatchRecord>,
    pub(crate) sent_at: Timestamp,
}

impl Sent {
    pub(crate) fn next_offset(&self, base: Offset) -> Offset {
        base.plus(self.batch.header().offsets())
    }

    /// The time of its earliest record: what it has when compaction has left only that.
    pub(crate) fn earliest(&self) -> Timestamp {
        let times = self.records.iter().map(|found| found.record.timestamp);
        times.min().unwrap_or(self.sent_at)
    }
}

/// A partition.
pub(crate) struct Partition {
    pub(crate) sent: BTreeMap<Offset, Sent>,
    pub(crate) start: Offset,
    /// Everything before was readable at some time.
    pub(crate) end: Offset,
    /// The offset that the next batch must get.
    pub(crate) next: Offset,
    /// Where somebody wants it to begin, from the smallest to the largest offset that this means.
    pub(crate) cuts: Vec<(Offset, Offset)>,
    /// What retention would have moved the start by, but has failed: it may have been done.
    pub(crate) open_retention: Vec<Window>,
    /// Offsets that a reader has found removed, and when: nobody who asks later may get them.
    gone: BTreeMap<Offset, u64>,
    pub(crate) sequences: Sequences,
}

impl Partition {
    /// An empty one, which somebody may want to cut off already.
    pub(crate) fn with_cuts(cuts: Vec<(Offset, Offset)>) -> Self {
        let (start, end, next) = (Offset::ZERO, Offset::ZERO, Offset::ZERO);
        let open_retention = Vec::new();
        let (sent, gone, sequences) = (BTreeMap::new(), BTreeMap::new(), Sequences::default());
        Self { sent, start, end, next, cuts, open_retention, gone, sequences }
    }
}

/// What was so when a reader asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) extent: Extent,
    /// The number of the operation.
    pub(crate) at: u64,
}

/// How a partition is looked at.
pub(crate) struct Look<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
    /// The number of the operation.
    pub(crate) at: u64,
}

impl Partition {
    /// A batch was given an offset.
    pub(crate) fn appended(
        &mut self,
        base: Offset,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<(), Violation> {
        if base != self.next {
            return Err(format!("offset {base} was given, {} was expected", self.next));
        }
        let batch = batch.at(base);
        let records = batch.records(UNPACKED_LIMIT).map_err(|error| error.to_string())?;
        self.next = base.plus(batch.header().offsets());
        self.sequences.appended(batch.header(), base);
        self.sent.insert(base, Sent { batch, records, sent_at: now });
        Ok(())
    }

    /// A batch was acknowledged, while the partition had this extent.
    pub(crate) fn acknowledged(&mut self, base: Offset, extent: Extent) -> Result<(), Violation> {
        let sent = self.sent.get(&base).ok_or_else(|| format!("{base} was not given"))?;
        let next = sent.next_offset(base);
        if extent.end < next {
            return Err(format!("{base} is acknowledged, but the end is {}", extent.end));
        }
        self.end = self.end.max(next);
        Ok(())
    }

    /// What can be read has these bounds; nothing has moved the start since the last look.
    pub(crate) fn bounds(&mut self, extent: Extent) -> Result<(), Violation> {
        let Extent { start, end } = extent;
        let Self { start: was, end: until, next, .. } = *self;
        if start != was || end < until || end > next || start > end {
            return Err(format!(
                "the extent is {start} to {end}, expected was {was} to {until} or up to {next}"
            ));
        }
        self.end = end;
        Ok(())
    }

    /// Somebody's cuts may have been made.
    pub(crate) fn cut(&mut self, extent: Extent) -> Result<(), Violation> {
        let start = extent.start;
        if start != self.start && !self.is_cut(start) {
            let (was, cuts) = (self.start, &self.cuts);
            return Err(format!(
                "it was cut off at {start}; it began at {was}, asked was {cuts:?}"
            ));
        }
        self.moved(start)
    }

    /// Retention may have moved the start.
    pub(crate) fn retained(&mut self, extent: Extent, window: &Window) -> Result<(), Violation> {
        if extent.start != self.start && !window.lets_begin_at(self, extent.start) {
            let (was, now) = (self.start, extent.start);
            return Err(format!("retention has moved the start from {was} to {now}: {window:?}"));
        }
        self.moved(extent.start)
    }

    fn moved(&mut self, start: Offset) -> Result<(), Violation> {
        if start < self.start {
            return Err(format!("the start goes back from {} to {start}", self.start));
        }
        self.start = start;
        self.cuts.retain(|(_, to)| *to > start);
        Ok(())
    }

    fn is_cut(&self, start: Offset) -> bool {
        self.cuts.iter().any(|(from, to)| (*from..=*to).contains(&start))
    }

    /// After opening: what was durable is there; of what was not, some beginning.
    pub(crate) fn reopened(&mut self, extent: Extent) -> Result<(), Violation> {
        let Extent { start, end } = extent;
        let is_retained = |window: &Window| start > self.start && window.lets_begin_at(self, start);
        if start != self.start
            && !self.is_cut(start)
            && !self.open_retention.iter().any(is_retained)
        {
            let (was, cuts) = (self.start, &self.cuts);
            return Err(format!("it begins at {start}, not at {was} or one of {cuts:?}"));
        }
        if end < self.end {
            return Err(format!("it ends at {end}, but {} was acknowledged or read", self.end));
        }
        let next = self.sent.range(..end).next_back().map(|(base, sent)| sent.next_offset(*base));
        if next.unwrap_or(Offset::ZERO).max(self.end).max(start) != end {
            return Err(format!("it ends at {end}, where no batch ends"));
        }
        drop(self.sent.split_off(&end));
        // What was decided is made when it is opened.
        self.open_retention.clear();
        self.cuts.clear();
        (self.end, self.next) = (end, end);
        self.sequences.reopened(start, end);
        self.moved(start)
    }

    /// The last offset of every key, of what is durable.
    pub(crate) fn latest(&self) -> HashMap<&Bytes, Offset> {
        let durable = self.sent.range(..self.end).flat_map(|(_, sent)| &sent.records);
        durable.filter_map(|found| Some((found.record.key.as_ref()?, found.offset))).collect()
    }

    /// Records that are not known to be removed and need not be there.
    fn may_be_missing(
        look: &Look<'_>,
        sent: &Sent,
        found: &BatchRecord,
        latest: &HashMap<&Bytes, Offset>,
    ) -> bool {
        let Look { policy, now, .. } = look;
        let Some(key) = &found.record.key else { return policy.was_compacted };
        let superseded = latest.get(key).is_some_and(|offset| *offset > found.offset);
        let expired = found.record.value.is_none() && policy.may_expire(sent.sent_at, *now);
        policy.may_compact(sent.earliest(), *now) && (superseded || expired)
    }

    /// Checks what a read from `from` has answered, record by record.
    pub(crate) fn check_read(
        &mut self,
        asked: Asked,
        from: Offset,
        read: &[Served],
        look: &Look<'_>,
    ) -> Result<BTreeSet<Offset>, Violation> {
        let (mut next, mut served) = (from, BTreeSet::new());
        for batch in read {
            if batch.next <= next {
                return Err(format!("{} is served after {next} was asked for", batch.base));
            }
            for offset in self.compare(batch, look)? {
                if self.gone.get(&offset).is_some_and(|gone| *gone < asked.at) {
                    return Err(format!("{offset} is served though it was compacted away"));
                }
                served.insert(offset);
            }
            next = batch.next;
        }
        if !read.is_empty() {
            self.end = self.end.max(next);
        }
        let until = if read.is_empty() { asked.extent.end } else { next };
        self.check_missing(from.max(self.start), until, &served, look)?;
        Ok(served)
    }

    /// What is not served between two offsets must be what compaction may have removed.
    fn check_missing(
        &mut self,
        from: Offset,
        until: Offset,
        served: &BTreeSet<Offset>,
        look: &Look<'_>,
    ) -> Result<(), Violation> {
        let latest = self.latest();
        let mut gone = Vec::new();
        for sent in self.overlapping(from, until).map(|(_, sent)| sent) {
            for found in &sent.records {
                let offset = found.offset;
                if offset < from || offset >= until || served.contains(&offset) {
                    continue;
                }
                if !Self::may_be_missing(look, sent, found, &latest) {
                    return Err(format!("{offset} is missing after {from}"));
                }
                gone.push(offset);
            }
        }
        for offset in gone {
            self.gone.entry(offset).or_insert(look.at);
        }
        Ok(())
    }

    /// The batches with offsets between two.
    fn overlapping(&self, from: Offset, until: Offset) -> impl Iterator<Item = (Offset, &Sent)> {
        let first = self.sent.range(..=from).next_back().map_or(from, |(base, _)| *base);
        let range = if first < until { first..until } else { from..from };
        self.sent.range(range).map(|(base, sent)| (*base, sent))
    }

    /// Compares a batch with the one that was appended there; the offsets of its records.
    fn compare(&self, served: &Served, look: &Look<'_>) -> Result<Vec<Offset>, Violation> {
        let Served { base, next, batch } = served;
        let base = *base;
        let sent = self.sent.get(&base).ok_or_else(|| format!("{base} was not given"))?;
        if sent.next_offset(base) != *next {
            return Err(format!("{base} has other offsets than were appended"));
        }
        if batch.bytes() == sent.batch.bytes() {
            return Ok(sent.records.iter().map(|found| found.offset).collect());
        }
        if !look.policy.was_compacted {
            return Err(format!("{base} has other bytes than were appended"));
        }
        compare_compacted(sent, batch)
    }

    /// What is served of a key is the end of what was acknowledged of it: nothing comes back, and
    /// no later record goes before an earlier one.
    pub(crate) fn check_keys(&self, served: &BTreeSet<Offset>) -> Result<(), Violation> {
        let mut there = HashSet::new();
        for found in self.sent.range(..self.end).flat_map(|(_, sent)| &sent.records) {
            let Some(key) = found.record.key.as_ref().filter(|_| found.offset >= self.start) else {
                continue;
            };
            if served.contains(&found.offset) {
                there.insert(key);
            } else if there.contains(key) {
                let offset = found.offset;
                return Err(format!(
                    "an older record is there of the key of {offset}, which is not"
                ));
            }
        }
        Ok(())
    }

    /// The first record from `from` on that must be there and has this time or a later one.
    pub(crate) fn first_at(&self, time: Timestamp, look: &Look<'_>) -> Option<Offset> {
        let latest = self.latest();
        let durable = self.sent.range(..self.end);
        let mut records =
            durable.flat_map(|(_, sent)| sent.records.iter().map(move |found| (sent, found)));
        let first = records.find(|(sent, found)| {
            found.offset >= self.start
                && found.record.timestamp >= time
                && !Self::may_be_missing(look, sent, found, &latest)
        });
        first.map(|(_, found)| found.offset)
    }

    /// The record at an offset.
    pub(crate) fn record(&self, offset: Offset) -> Option<&BatchRecord> {
        let (_, sent) = self.sent.range(..=offset).next_back()?;
        sent.records.iter().find(|found| found.offset == offset)
    }
}

/// Compares what compaction has left of a batch with all of it.
fn compare_compacted(sent: &Sent, batch: &Batch) -> Result<Vec<Offset>, Violation> {
    let (was, now) = (sent.batch.header(), batch.header());
    let producer = |header: &factum_event::batch::BatchHeader| {
        (header.producer_id, header.producer_epoch, header.base_sequence, header.last_offset_delta)
    };
    if producer(was) != producer(now) || was.max_timestamp < now.max_timestamp {
        return Err(format!("compaction has made {now:?} of {was:?}"));
    }
    let left = batch.records(UNPACKED_LIMIT).map_err(|error| error.to_string())?;
    for found in &left {
        if !sent.records.contains(found) {
            return Err(format!("{} has another record than was appended", found.offset));
        }
    }
    Ok(left.into_iter().map(|found| found.offset).collect())
}
