//! What a seal says of a journal, compared batch by batch with what the journal has.

use std::collections::{BTreeMap, HashSet};

use factum_event::{Offset, TopicId};

use super::finding::{Fault, Finding};
use super::heads::{Head, Heads};
use crate::chain::ChainHash;
use crate::entry::{BatchEntry, PartitionId};
use crate::journal::seal::{Line, Seal};
use crate::journal::{journal_path, seal_path};

/// The lines of a seal while its journal is read; without a seal, nothing is compared.
pub(super) struct SealedChains {
    number: u64,
    lines: Option<BTreeMap<PartitionId, LineCheck>>,
    /// Groups are lost, and nobody knows of which partitions.
    incomplete: bool,
    /// Journals before it have no seal: of what it does not have itself, it knows more than was
    /// read, or less.
    after_unsealed: bool,
    /// There was a seal: only it knew what stood before the journal.
    seal_is_lost: bool,
}

struct LineCheck {
    line: Line,
    seen: usize,
    /// Something is wrong with it, which was reported; what follows is no news.
    reported: bool,
}

impl SealedChains {
    pub(super) fn new(number: u64, seal: Option<Seal>) -> Self {
        let check = |line: Line| (line.id, LineCheck { line, seen: 0, reported: false });
        let lines = seal.map(|seal| seal.lines.into_iter().map(check).collect());
        let (incomplete, after_unsealed, seal_is_lost) = (false, false, false);
        Self { number, lines, incomplete, after_unsealed, seal_is_lost }
    }

    /// The chain before a batch: as it was computed, or where a journal begins, as it was sealed.
    pub(super) fn before(
        &mut self,
        id: PartitionId,
        entry: &BatchEntry,
        head: Option<Head>,
    ) -> (Option<ChainHash>, Option<Finding>) {
        let base = entry.base_offset;
        let follows = head.filter(|head| head.next == base);
        // Behind what was removed without a seal, a chain begins anew.
        let anew = match head {
            None => !self.seal_is_lost || base == Offset::ZERO,
            Some(head) => !self.seal_is_lost && head.next < base && head.hash.is_some(),
        };
        let computed = match follows {
            Some(head) => head.hash,
            None => anew.then(|| ChainHash::begin(id)),
        };
        let check = self.lines.as_mut().and_then(|lines| lines.get_mut(&id));
        let Some(LineCheck { line, seen: 0, reported: reported @ false }) = check else {
            return (computed, None);
        };
        let wrong = if line.first != base {
            Some(format!("the journal was sealed with offset {} as its first", line.first))
        } else if follows.and_then(|head| head.hash).is_some_and(|hash| hash != line.before)
            && line.before != ChainHash::begin(id)
        {
            Some(format!("what stands before offset {base} is not what was sealed"))
        } else {
            None
        };
        let incomplete = self.incomplete && line.first < base;
        let finding = wrong.map(|reason| {
            *reported = true;
            let fault = if incomplete { Fault::Offsets } else { Fault::Chain };
            let file = journal_path(self.number);
            let finding = Finding::new(fault, file, entry.position, reason);
            let lost = (line.first, Offset::new(base.get() - 1).unwrap_or(line.first));
            let (first, last) = if incomplete { lost } else { (base, entry.last_offset) };
            finding.of(id, first, last)
        });
        (Some(line.before), finding)
    }

    /// Compares the chain after a batch; none where the batch is damaged.
    pub(super) fn after(
        &mut self,
        id: PartitionId,
        entry: &BatchEntry,
        hash: Option<ChainHash>,
    ) -> Option<Finding> {
        let lines = self.lines.as_mut()?;
        let reason = match lines.get_mut(&id) {
            None => "the seal does not have this partition".to_owned(),
            Some(check) => {
                let tag = check.line.tags.get(check.seen).copied();
                check.seen += 1;
                if check.reported || tag.is_some() && tag == hash.map(|hash| hash.tag()) {
                    return None;
                }
                check.reported = true;
                hash?;
                match tag {
                    Some(_) => format!(
                        "the past was rewritten from offset {} on: this batch is the first that \
                         is not the one that was sealed",
                        entry.base_offset
                    ),
                    None => "the seal does not have this batch".to_owned(),
                }
            }
        };
        let finding = Finding::new(Fault::Chain, journal_path(self.number), entry.position, reason);
        Some(finding.of(id, entry.base_offset, entry.last_offset))
    }

    /// Notes that batches of a partition are lost, which was reported.
    pub(super) fn lost(&mut self, id: PartitionId) {
        if let Some(check) = self.lines.as_mut().and_then(|lines| lines.get_mut(&id)) {
            check.reported = true;
        }
    }

    /// Notes that batches of partitions are lost that nobody knows.
    pub(super) fn lost_some(&mut self) {
        self.incomplete = true;
    }

    /// Whether there is a seal.
    pub(super) fn is_sealed(&self) -> bool {
        self.lines.is_some()
    }

    /// Notes whether there were journals without a seal since the seal before.
    pub(super) fn after_unsealed(mut self, unsealed: bool) -> Self {
        self.after_unsealed = unsealed;
        self
    }

    /// Notes that the journal had a seal, which is lost: nobody knows what its chains follow, but
    /// for those that were read before.
    pub(super) fn seal_is_lost(mut self, lost: bool) -> Self {
        self.seal_is_lost = lost;
        self
    }

    /// The offsets of the journal, as its seal has them.
    pub(super) fn pieces(&self) -> Vec<(PartitionId, Offset, Offset)> {
        let lines = self.lines.iter().flatten().map(|(_, check)| &check.line);
        let lines = lines.filter(|line| !line.tags.is_empty());
        let piece = |line: &Line| Some((line.id, line.first, Offset::new(line.next.get() - 1)?));
        lines.filter_map(piece).collect()
    }

    /// Goes on with the values of a journal that was removed.
    pub(super) fn adopt(self, heads: &mut Heads) {
        let lines = self.lines.unwrap_or_default();
        for (&id, LineCheck { line, .. }) in &lines {
            heads.set(id, line.next, Some(line.after));
        }
    }

    /// The end of the journal: what the seal has more, and the values to go on with.
    pub(super) fn finish(self, heads: &mut Heads, removed: &HashSet<TopicId>) -> Vec<Finding> {
        let Some(lines) = self.lines else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        for (&id, check) in &lines {
            let head = heads.get(id);
            // It may know less than was read, from before a damaged journal, and hand that on.
            let is_unknown = self.after_unsealed || head.is_some_and(|head| head.hash.is_none());
            let unread = is_unknown && check.line.tags.is_empty();
            if !check.reported && !unread && !removed.contains(&id.topic) {
                let wrong =
                    if self.incomplete { check.lost_end(head) } else { check.wrong_end(head) };
                findings.extend(wrong.map(|(first, reason)| {
                    let last = Offset::new(check.line.next.get() - 1).unwrap_or(first);
                    let (fault, file) = if self.incomplete {
                        (Fault::Offsets, journal_path(self.number))
                    } else {
                        (Fault::Chain, seal_path(self.number))
                    };
                    let finding = Finding::new(fault, file, 0, reason);
                    finding.of(id, first, last)
                }));
            }
            let next = head.map_or(check.line.next, |head| head.next.max(check.line.next));
            // What is behind the last batch that the seal knows is of a damaged journal.
            heads.set(id, next, (next == check.line.next).then_some(check.line.after));
        }
        heads.keep_values_of(|id| lines.contains_key(id));
        findings
    }
}

impl LineCheck {
    /// From which offset on batches are lost with groups of which nobody knows what they had.
    fn lost_end(&self, head: Option<Head>) -> Option<(Offset, String)> {
        let from = head.map_or(self.line.first, |head| head.next.max(self.line.first));
        let reason = "offsets of this journal are missing, as the seal knows".to_owned();
        (from < self.line.next).then_some((from, reason))
    }

    /// From which offset on the journal does not have what the seal has, and why.
    fn wrong_end(&self, head: Option<Head>) -> Option<(Offset, String)> {
        let Line { next, after, tags, .. } = &self.line;
        if self.seen < tags.len() {
            let from = if self.seen == 0 { Some(self.line.first) } else { head.map(|h| h.next) };
            let (expected, seen) = (tags.len(), self.seen);
            let reason =
                format!("the journal was sealed with {expected} batches of it, and has {seen}");
            return Some((from.unwrap_or(self.line.first), reason));
        }
        let head = head?;
        let same = head.hash.is_none_or(|hash| hash == *after);
        (head.next != *next || !same).then(|| {
            let reason = format!("its end at offset {} is not the one that was sealed", head.next);
            (self.line.first.min(head.next), reason)
        })
    }
}
