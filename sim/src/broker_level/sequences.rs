//! What a partition must know of its idempotent producers.

use std::collections::BTreeMap;

use factum_event::Offset;
use factum_event::batch::BatchHeader;

/// Batches of a producer that are recognised.
const RECOGNISED: usize = 5;

/// The batches that each producer has in a partition.
#[derive(Default)]
pub(crate) struct Sequences(BTreeMap<i64, Vec<Known>>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    epoch: i16,
    first: i32,
    pub(crate) base: Offset,
    next: Offset,
    /// It was cut off when the log was opened, so that it may be forgotten.
    may_be_forgotten: bool,
}

/// What must become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    Duplicate(Offset),
    OutOfOrder,
    Stale,
}

impl Known {
    fn records(&self) -> i32 {
        i32::try_from(self.next.get() - self.base.get()).unwrap_or(i32::MAX)
    }
}

impl Sequences {
    pub(crate) fn appended(&mut self, header: &BatchHeader, base: Offset) {
        if header.producer_id < 0 {
            return;
        }
        let (epoch, first) = (header.producer_epoch, header.base_sequence);
        let next = base.plus(header.offsets());
        let known = Known { epoch, first, base, next, may_be_forgotten: false };
        self.0.entry(header.producer_id).or_default().push(known);
    }

    /// What was not durable has never happened; what was cut off may be forgotten.
    pub(crate) fn reopened(&mut self, start: Offset, end: Offset) {
        for batches in self.0.values_mut() {
            batches.retain(|known| known.base < end);
            batches.iter_mut().for_each(|known| known.may_be_forgotten |= known.next <= start);
        }
        self.0.retain(|_, batches| !batches.is_empty());
    }

    /// The epoch and the sequence with which a producer goes on.
    pub(crate) fn next(&self, producer: i64) -> (i16, i32) {
        let last = self.0.get(&producer).and_then(|batches| batches.last());
        last.map_or((0, 0), |last| (last.epoch, last.first + last.records()))
    }

    /// The last batches of a producer, the newest first.
    pub(crate) fn last(&self, producer: i64) -> impl Iterator<Item = &Known> {
        self.0.get(&producer).into_iter().flatten().rev()
    }

    /// Whether a batch may be judged so.
    pub(crate) fn allows(&self, header: &BatchHeader, came: Verdict) -> bool {
        let Some(known) = self.0.get(&header.producer_id) else { return came == Verdict::Append };
        // The oldest are forgotten first.
        let most = known.iter().take_while(|known| known.may_be_forgotten).count();
        (0..=most).any(|forgotten| judge(&known[forgotten..], header) == came)
    }
}

fn judge(known: &[Known], header: &BatchHeader) -> Verdict {
    let Some(last) = known.last() else { return Verdict::Append };
    let (epoch, first) = (header.producer_epoch, header.base_sequence);
    if epoch < last.epoch {
        return Verdict::Stale;
    }
    if epoch > last.epoch {
        return if first == 0 { Verdict::Append } else { Verdict::OutOfOrder };
    }
    let of_epoch = known.iter().rev().filter(|known| known.epoch == epoch).take(RECOGNISED);
    let same =
        |known: &&Known| (known.first, known.records()) == (first, header.last_offset_delta + 1);
    if let Some(same) = of_epoch.into_iter().find(same) {
        return Verdict::Duplicate(same.base);
    }
    if first == last.first + last.records() { Verdict::Append } else { Verdict::OutOfOrder }
}
