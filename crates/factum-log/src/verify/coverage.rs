//! What files answer for, put together as opening does it: every partition is there from its start
//! to its end, without a gap.

use std::collections::{BTreeMap, HashSet};

use factum_event::{Offset, TopicId};

use super::finding::{Fault, Finding};
use crate::entry::PartitionId;
use crate::journal::index::{self, Summary};
use crate::journal::seal::Seal;
use crate::journal::{is_segment, journal_path, seal_path};
use crate::partitions::{Gap, PartitionState, Partitions};
use crate::starts::{Start, Starts};

/// The first and the last offset that one file has of each partition.
pub(super) type Pieces = BTreeMap<PartitionId, (Offset, Offset)>;

/// Adds offsets to what a file has of a partition.
pub(super) fn widen(pieces: &mut Pieces, id: PartitionId, first: Offset, last: Offset) {
    let piece = pieces.entry(id).or_insert((first, last));
    *piece = (piece.0.min(first), piece.1.max(last));
}

/// What is known of all partitions; files are added in the order in which opening takes them.
#[derive(Default)]
pub(super) struct Coverage {
    partitions: Partitions,
    starts: Starts,
    /// The starts are not known: what is missing at the front may have been cut off.
    forgive: bool,
    /// Topics whose holes are explained.
    removed: HashSet<TopicId>,
    /// What segments answered for of which only the index is left.
    vanished: Vec<(PartitionId, u64, index::Coverage)>,
    /// Where partitions ended at the newest seal, and its number.
    sealed: (u64, Vec<(PartitionId, Offset)>),
}

impl Coverage {
    /// Takes the list of starts; none where it is missing or damaged.
    pub(super) fn begin(&mut self, starts: Option<Starts>) {
        self.forgive = starts.is_none();
        self.starts = starts.unwrap_or_default();
        self.note_removed(self.starts.removed.clone());
    }

    pub(super) fn note_removed(&mut self, topics: impl IntoIterator<Item = TopicId>) {
        self.removed.extend(topics);
        self.partitions.note_removed(self.removed.iter().copied());
    }

    /// Topics that were removed, as markers and the list of starts say.
    pub(super) fn removed(&self) -> &HashSet<TopicId> {
        &self.removed
    }

    /// Where a partition begins; none where that is not known.
    pub(super) fn start(&self, id: PartitionId) -> Option<Offset> {
        let start = self.starts.by_partition.get(&id).map(|start| start.offset);
        if self.forgive { None } else { Some(start.unwrap_or(Offset::ZERO)) }
    }

    /// Takes a journal; journals come in their order.
    pub(super) fn journal(&mut self, number: u64, pieces: Pieces) {
        for (id, (base, last)) in pieces {
            let covered = index::Coverage { base, last, cleaned: index::Cleaned::No };
            if let Some(state) = self.partitions.get_or_create(id) {
                state.lock().load_sealed(&Summary::answering(number, covered));
            }
        }
    }

    /// Takes a segment, between the sealed journals and the last one; segments come in their order.
    pub(super) fn segment(&mut self, number: u64, lines: &[(PartitionId, index::Coverage)]) {
        for &(id, covered) in lines {
            if let Some(state) = self.partitions.get_or_create(id) {
                state.lock().load_segment(&Summary::answering(number, covered));
            }
        }
    }

    /// Takes what an index says of a segment that is not there: where something is missing, this
    /// file had it.
    pub(super) fn vanished(&mut self, number: u64, lines: &[(PartitionId, index::Coverage)]) {
        self.vanished.extend(lines.iter().map(|&(id, covered)| (id, number, covered)));
    }

    /// Notes up to where a seal knows partitions; the last one counts.
    pub(super) fn sealed(&mut self, seal: &Seal) {
        self.sealed = (seal.number, seal.lines.iter().map(|line| (line.id, line.next)).collect());
    }

    /// Ends adding: what is missing.
    pub(super) fn settle(&mut self) -> Vec<Finding> {
        for &id in self.starts.by_partition.keys() {
            self.partitions.get_or_create(id);
        }
        let mut findings = Vec::new();
        for state in self.partitions.all() {
            self.settle_partition(&state, &mut findings);
        }
        if !self.forgive {
            findings.extend(self.lost_since_seal());
        }
        findings
    }

    fn settle_partition(&self, state: &PartitionState, findings: &mut Vec<Finding>) {
        let mut inner = state.lock();
        let mut start = self.starts.by_partition.get(&state.id).copied();
        while let Err(gap) = inner.settle(start, self.forgive) {
            let (first, next) = (gap.expected.min(gap.came), gap.expected.max(gap.came));
            let finding = self.vanished_with(state.id, first).filter(|_| gap.expected < gap.came);
            let finding = finding.unwrap_or_else(|| {
                let Gap { expected, came, file } = gap;
                let what = if expected < came { "missing" } else { "there twice" };
                let reason =
                    format!("offset {expected} was expected, {came} came: offsets are {what}");
                Finding::new(Fault::Offsets, journal_path(file), 0, reason)
            });
            findings.push(finding.of(state.id, first, before(next)));
            // Each gap ends further up than the one before.
            start = Some(Start { offset: next, file: 0, hidden: 0 });
        }
        // Behind the end no file shows a gap.
        let end = inner.next_offset();
        let behind = self
            .vanished
            .iter()
            .filter(|(id, _, covered)| *id == state.id && covered.last >= end && !self.forgive);
        if let Some((_, number, covered)) = behind.max_by_key(|(_, _, covered)| covered.last) {
            findings.push(vanished(*number).of(state.id, end.max(covered.base), covered.last));
            inner.next = Some(covered.last.next());
        }
    }

    /// Says that a segment is missing, if one had this offset.
    fn vanished_with(&self, id: PartitionId, offset: Offset) -> Option<Finding> {
        let has = |covered: &index::Coverage| covered.base <= offset && offset <= covered.last;
        let mut newest_first = self.vanished.iter().rev();
        let found = newest_first.find(|(of, _, covered)| *of == id && has(covered));
        found.map(|(_, number, _)| vanished(*number))
    }

    /// What the newest seal knows and no file has, of topics that are still there.
    fn lost_since_seal(&self) -> Vec<Finding> {
        let topics: HashSet<TopicId> =
            self.partitions.all().iter().map(|state| state.id.topic).collect();
        let (number, ends) = &self.sealed;
        let mut findings = Vec::new();
        for &(id, next) in ends.iter().filter(|(id, _)| topics.contains(&id.topic)) {
            let state = self.partitions.get(id);
            let end = state.map_or(Offset::ZERO, |state| state.lock().next_offset());
            if end < next && !self.removed.contains(&id.topic) {
                let reason = format!("it ends at offset {end}, but was sealed up to {next}");
                let finding = Finding::new(Fault::Offsets, seal_path(*number), 0, reason);
                findings.push(finding.of(id, end, before(next)));
            }
        }
        findings
    }

    /// Whether it is a partition of a topic that is still there.
    pub(super) fn has(&self, id: PartitionId) -> bool {
        self.partitions.get(id).is_some()
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> u64 {
        self.partitions.all().len() as u64
    }

    /// How many partitions have offsets that only segments answer for, and how many offsets.
    pub(super) fn moved(&self) -> (u64, u64) {
        let mut moved = (0, 0);
        for state in self.partitions.all() {
            let inner = state.lock();
            let start = inner.extent().start;
            let segments = inner.sealed().iter().filter(|piece| is_segment(piece.journal));
            let offsets = |piece: Summary| {
                piece.last.next().get().saturating_sub(piece.base.max(start).get()).unsigned_abs()
            };
            let offsets: u64 = segments.map(offsets).sum();
            moved = (moved.0 + u64::from(offsets > 0), moved.1 + offsets);
        }
        moved
    }

    /// Why the chain of a partition cannot be computed up to an offset, if something explains it.
    pub(super) fn why_gone(&self, id: PartitionId, next: Offset) -> Option<String> {
        if self.removed.contains(&id.topic) {
            return Some("its topic was removed".into());
        }
        let state = self.partitions.get(id)?;
        let inner = state.lock();
        let start = inner.extent().start;
        if next <= start {
            return Some(format!("what was before offset {start} was cut off"));
        }
        let last = before(next);
        let piece = inner.sealed().at_or_after(last).filter(|piece| piece.base <= last)?;
        is_segment(piece.journal).then(|| {
            let file = journal_path(piece.journal);
            format!("what was before it was moved or compacted, into {file}")
        })
    }
}

fn vanished(number: u64) -> Finding {
    let reason = "the file is missing, and nothing has taken its place";
    Finding::new(Fault::Missing, journal_path(number), 0, reason)
}

fn before(next: Offset) -> Offset {
    Offset::new(next.get() - 1).unwrap_or(Offset::ZERO)
}

#[cfg(test)]
mod tests {
    use factum_event::Partition;
    use uuid::Uuid;

    use super::*;
    use crate::journal::FIRST_SEGMENT;

    fn id() -> PartitionId {
        PartitionId { topic: TopicId(Uuid::from_u128(7)), partition: Partition::ZERO }
    }

    fn offset(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn starts(at: i64) -> Starts {
        let mut starts = Starts::default();
        let start = Start { offset: offset(at), file: 0, hidden: 0 };
        starts.by_partition.insert(id(), start);
        starts
    }

    /// Journals with these offsets, then segments, with a list of starts.
    fn coverage(start: Option<i64>, journals: &[(i64, i64)], segments: &[(i64, i64)]) -> Coverage {
        let mut coverage = Coverage::default();
        coverage.begin(start.map(starts));
        for (number, &(first, last)) in (1..).zip(journals) {
            coverage.journal(number, Pieces::from([(id(), (offset(first), offset(last)))]));
        }
        for (number, &(base, last)) in (FIRST_SEGMENT..).zip(segments) {
            let (base, last) = (offset(base), offset(last));
            let covered = index::Coverage { base, last, cleaned: index::Cleaned::Wholly };
            coverage.segment(number, &[(id(), covered)]);
        }
        coverage
    }

    fn ranges(findings: &[Finding]) -> Vec<(i64, i64)> {
        findings.iter().map(|f| f.offsets.unwrap()).map(|(a, b)| (a.get(), b.get())).collect()
    }

    #[test]
    fn every_gap_is_named_unless_a_start_or_a_segment_explains_it() {
        let gaps = |start, journals: &[_], segments: &[_]| {
            ranges(&coverage(start, journals, segments).settle())
        };
        let journals = [(5, 9), (12, 19), (30, 31)];
        assert_eq!(gaps(Some(0), &journals, &[]), [(0, 4), (10, 11), (20, 29)]);
        assert_eq!(gaps(Some(12), &journals, &[]), [(20, 29)]);
        assert_eq!(gaps(Some(12), &journals, &[(20, 29)]), []);
        assert_eq!(gaps(Some(3), &journals, &[(0, 29)]), []);
        assert_eq!(gaps(Some(0), &journals, &[(0, 14), (20, 29)]), [(12, 14)], "there twice");
        assert_eq!(gaps(None, &journals, &[]), [], "without a list of starts nothing is known");
    }

    #[test]
    fn what_is_gone_is_explained() {
        let mut coverage = coverage(Some(10), &[(5, 19), (20, 29)], &[(5, 19)]);
        assert_eq!(coverage.settle(), []);
        assert_eq!(coverage.moved(), (1, 10));
        assert!(coverage.why_gone(id(), offset(10)).unwrap().contains("cut off"));
        assert!(coverage.why_gone(id(), offset(20)).unwrap().contains("compacted"));
        assert_eq!(coverage.why_gone(id(), offset(21)), None);
        assert_eq!(coverage.why_gone(id(), offset(31)), None);
    }

    #[test]
    fn a_vanished_segment_is_missed_unless_a_later_one_has_its_place() {
        let covered =
            index::Coverage { base: offset(0), last: offset(9), cleaned: index::Cleaned::No };
        for (journals, replaced, expected) in [
            (&[(10, 19)][..], false, &[(4, 9)][..]),
            (&[(10, 19)], true, &[]),
            (&[], false, &[(4, 9)]),
            (&[], true, &[]),
            (&[(7, 19)], false, &[(4, 6)]),
        ] {
            let mut coverage = coverage(Some(4), journals, &[]);
            coverage.vanished(FIRST_SEGMENT, &[(id(), covered)]);
            if replaced {
                coverage.segment(FIRST_SEGMENT + 1, &[(id(), covered)]);
            }
            let findings = coverage.settle();
            assert_eq!(ranges(&findings), expected);
            assert!(findings.iter().all(|f| f.file == journal_path(FIRST_SEGMENT)));
        }
    }
}
