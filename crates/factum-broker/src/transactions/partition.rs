//! The transactions of one partition: a fold over its batches.
//!
//! A transaction is open in a partition from its first batch to its marker. What is before the
//! first open one, and durable, is stable: whoever reads only what was committed reads up to
//! there. A marker counts once it is durable; until then its transaction is as good as open.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut};
use factum_event::Offset;
use factum_event::batch::Outcome;
use factum_log::Extent;

/// A transaction of which nothing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first: Offset,
    /// The offset of its marker.
    pub marker: Offset,
    /// Before it, every transaction had ended when this one did.
    stable: Offset,
}

impl AbortedTransaction {
    /// Whether it has the batch of a producer at this offset.
    #[must_use]
    pub fn has(&self, producer_id: i64, base_offset: Offset) -> bool {
        self.producer_id == producer_id && (self.first..self.marker).contains(&base_offset)
    }
}

/// A transaction without a marker.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The offset of its first record.
    first: Offset,
    /// The offset behind its last one.
    next: Offset,
}

/// A transaction whose marker may not be durable yet.
#[derive(Debug, Clone, Copy)]
struct Ended {
    producer_id: i64,
    was: Open,
    marker: Offset,
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionTransactions {
    /// The open transaction of a producer.
    open: BTreeMap<i64, Open>,
    /// In the order of their markers.
    ended: VecDeque<Ended>,
    /// In the order of their markers.
    aborted: Vec<AbortedTransaction>,
}

impl PartitionTransactions {
    /// Whether the producer has an open transaction.
    pub(crate) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// Takes a batch of a producer's transaction, up to the offset `next` behind it.
    pub(crate) fn wrote(&mut self, producer_id: i64, base_offset: Offset, next: Offset) {
        self.open.entry(producer_id).or_insert(Open { first: base_offset, next }).next = next;
    }

    /// Takes the marker of a producer's transaction; one that nothing was written in has no open
    /// transaction here.
    pub(crate) fn ended(&mut self, producer_id: i64, marker: Offset, outcome: Outcome) {
        let Some(was) = self.open.remove(&producer_id) else { return };
        self.ended.push_back(Ended { producer_id, was, marker });
        if outcome == Outcome::Abort {
            let (first, stable) = (was.first, self.first_open().unwrap_or(marker.next()));
            self.aborted.push(AbortedTransaction { producer_id, first, marker, stable });
        }
    }

    /// The open transactions: their producers and first offsets.
    pub(crate) fn open(&self) -> impl Iterator<Item = (i64, Offset)> {
        self.open.iter().map(|(id, open)| (*id, open.first))
    }

    fn first_open(&self) -> Option<Offset> {
        self.open.values().map(|open| open.first).min()
    }

    /// Up to where everything has ended, of what there is and is durable.
    pub(crate) fn last_stable(&mut self, Extent { start, end }: Extent) -> Offset {
        while self.ended.front().is_some_and(|ended| ended.marker < end) {
            self.ended.pop_front();
        }
        self.cut_off(start);
        let ending = self.ended.iter().map(|ended| ended.was.first);
        ending.chain(self.first_open()).min().map_or(end, |first| first.clamp(start, end))
    }

    /// The aborted transactions with something from `from` on and before `to`.
    pub(crate) fn aborted(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let at = self.aborted.partition_point(|known| known.marker < from);
        let mut found = Vec::new();
        for known in &self.aborted[at..] {
            if known.first < to {
                found.push(*known);
            }
            // Those that ended later begin where this one says that it was stable, or later.
            if known.stable >= to {
                break;
            }
        }
        found
    }

    /// Forgets transactions of which everything is before the start of the partition. An open one
    /// must go too: who computes them from the log does not know of it.
    pub(crate) fn cut_off(&mut self, start: Offset) {
        self.open.retain(|_, open| open.next > start);
        let gone = self.aborted.partition_point(|known| known.marker < start);
        self.aborted.drain(..gone);
    }

    /// What is left of a producer's open transaction begins there.
    pub(crate) fn begins_at(&mut self, producer_id: i64, first: Offset) {
        if let Some(open) = self.open.get_mut(&producer_id) {
            open.first = first;
        }
    }

    /// Forgets aborted transactions of which compaction has left nothing, by their markers.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(Offset) -> bool) {
        self.aborted.retain(|known| !is_gone(known.marker));
    }

    /// What is known of batches before `end`.
    pub(crate) fn before(&self, end: Offset) -> Self {
        let ending = self.ended.iter().filter(|ended| ended.marker >= end);
        let ending = ending.map(|ended| (ended.producer_id, ended.was));
        let still = self.open.iter().map(|(id, open)| (*id, *open));
        // Of two transactions of a producer, the first is the one that is open before `end`.
        let mut open = BTreeMap::new();
        for (id, Open { first, next }) in ending.chain(still).filter(|(_, one)| one.first < end) {
            open.entry(id).or_insert(Open { first, next: next.min(end) });
        }
        let aborted = self.aborted.iter().filter(|known| known.marker < end).copied().collect();
        Self { open, ended: VecDeque::new(), aborted }
    }

    /// Writes what a checkpoint has of them.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        for (id, Open { first, next }) in &self.open {
            out.put_i64(*id);
            out.put_i64(first.get());
            out.put_i64(next.get());
        }
        out.put_u32(u32::try_from(self.aborted.len()).unwrap_or(u32::MAX));
        for known in &self.aborted {
            out.put_i64(known.producer_id);
            out.put_i64(known.first.get());
            out.put_i64(known.marker.get());
            out.put_i64(known.stable.get());
        }
    }

    /// Reads what [`encode`](Self::encode) wrote of batches before `end`; none if it ends too
    /// early, or has something that cannot be.
    pub(crate) fn decode(rest: &mut &[u8], end: Offset) -> Option<Self> {
        let mut known = Self::default();
        for _ in 0..rest.try_get_u32().ok()? {
            let (id, first, next) = (rest.try_get_i64().ok()?, offset(rest)?, offset(rest)?);
            let is_new = known.open.insert(id, Open { first, next }).is_none();
            if !is_new || first >= next || next > end {
                return None;
            }
        }
        for _ in 0..rest.try_get_u32().ok()? {
            let producer_id = rest.try_get_i64().ok()?;
            let (first, marker, stable) = (offset(rest)?, offset(rest)?, offset(rest)?);
            let last = known.aborted.last().map(|known| known.marker);
            if first >= marker || marker >= end || last >= Some(marker) {
                return None;
            }
            known.aborted.push(AbortedTransaction { producer_id, first, marker, stable });
        }
        Some(known)
    }
}

fn offset(rest: &mut &[u8]) -> Option<Offset> {
    Offset::new(rest.try_get_i64().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn wrote(known: &mut PartitionTransactions, id: i64, offset: i64) {
        known.wrote(id, at(offset), at(offset + 1));
    }

    fn stable(known: &mut PartitionTransactions, end: i64) -> Offset {
        known.last_stable(Extent { start: Offset::ZERO, end: at(end) })
    }

    fn firsts(known: &PartitionTransactions, from: i64, to: i64) -> Vec<i64> {
        known.aborted(at(from), at(to)).iter().map(|known| known.first.get()).collect()
    }

    #[test]
    fn a_marker_counts_once_it_is_durable() {
        let mut known = PartitionTransactions::default();
        wrote(&mut known, 1, 3);
        wrote(&mut known, 1, 4);
        assert_eq!(stable(&mut known, 5), at(3));
        assert_eq!(stable(&mut known, 2), at(2), "not more than is durable");
        known.ended(1, at(6), Outcome::Commit);
        assert_eq!(stable(&mut known, 6), at(3), "the marker is on its way");
        assert_eq!(stable(&mut known, 7), at(7));
        known.ended(1, at(8), Outcome::Abort);
        assert!(firsts(&known, 0, 100).is_empty(), "nothing was written in it");
    }

    #[test]
    fn an_open_transaction_of_which_nothing_is_left_holds_back_nobody() {
        let mut known = PartitionTransactions::default();
        known.wrote(1, at(2), at(5));
        let mut stable = |start| known.last_stable(Extent { start: at(start), end: at(9) });
        assert_eq!(stable(0), at(2));
        assert_eq!(stable(4), at(4), "its last record is there");
        assert_eq!(stable(5), at(9));
        known.wrote(1, at(9), at(10));
        assert_eq!(known.last_stable(Extent { start: at(5), end: at(10) }), at(9));
    }

    #[test]
    fn the_first_open_transaction_holds_back_those_after_it() {
        let mut known = PartitionTransactions::default();
        wrote(&mut known, 1, 0);
        wrote(&mut known, 2, 1);
        known.ended(2, at(2), Outcome::Abort);
        wrote(&mut known, 2, 3);
        assert_eq!(stable(&mut known, 4), at(0));
        known.ended(1, at(4), Outcome::Abort);
        assert_eq!(stable(&mut known, 5), at(3));
        known.ended(2, at(5), Outcome::Commit);
        assert_eq!(stable(&mut known, 6), at(6));
        assert_eq!(firsts(&known, 0, 6), [1, 0], "in the order of their markers");
        assert_eq!(firsts(&known, 0, 1), [0]);
        assert_eq!(firsts(&known, 3, 6), [0], "the other ended at 2");
        assert_eq!(firsts(&known, 5, 6), [0_i64; 0]);
        known.cut_off(at(3));
        assert_eq!(firsts(&known, 0, 6), [0]);
        known.forget(|marker| marker == at(4));
        assert!(firsts(&known, 0, 6).is_empty());
    }

    #[test]
    fn all_aborted_transactions_of_a_range_are_found_and_no_other() {
        let mut known = PartitionTransactions::default();
        let mut all = Vec::new();
        for number in 0..40_i64 {
            // Some run long, across many short ones.
            let (id, begin) = (number % 7, number * 3);
            if !known.is_open(id) {
                wrote(&mut known, id, begin);
            }
            if number % 7 != 3 || number > 30 {
                let first = known.open[&id].first;
                known.ended(id, at(begin + 1), Outcome::Abort);
                all.push((first.get(), begin + 1));
            }
        }
        for from in 0..120 {
            for to in from..125 {
                let expected: Vec<i64> = all
                    .iter()
                    .filter(|(first, marker)| *marker >= from && *first < to)
                    .map(|(first, _)| *first)
                    .collect();
                assert_eq!(firsts(&known, from, to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_checkpoint_has_what_was_durable() {
        let mut known = PartitionTransactions::default();
        wrote(&mut known, 1, 0);
        known.ended(1, at(1), Outcome::Abort);
        wrote(&mut known, 1, 2);
        wrote(&mut known, 2, 3);
        known.ended(1, at(4), Outcome::Abort);
        wrote(&mut known, 1, 5);
        let read_back = |end: i64| {
            let mut bytes = Vec::new();
            known.before(at(end)).encode(&mut bytes);
            let mut rest = &bytes[..];
            let read = PartitionTransactions::decode(&mut rest, at(end)).unwrap();
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert!(PartitionTransactions::decode(&mut &bytes[..cut], at(end)).is_none());
            }
            read
        };
        let read = read_back(4);
        assert_eq!(read.open().collect::<Vec<_>>(), [(1, at(2)), (2, at(3))]);
        assert_eq!(firsts(&read, 0, 9), [0]);
        let read = read_back(6);
        assert_eq!(read.open().collect::<Vec<_>>(), [(1, at(5)), (2, at(3))]);
        assert_eq!(firsts(&read, 0, 9), [0, 2]);
    }
}
