//! Where each partition and its chain stand while files are read, and what was attested of them.

use std::collections::BTreeMap;

use factum_event::Offset;

use super::finding::{Fault, Finding};
use crate::chain::{ChainHash, ChainHead};
use crate::entry::PartitionId;
use crate::journal::DIRECTORY;

/// The end of a partition, as far as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) next: Offset,
    /// Unknown behind damage, until a seal says it.
    pub(super) hash: Option<ChainHash>,
}

pub(super) struct Heads {
    heads: BTreeMap<PartitionId, Head>,
    attested: BTreeMap<PartitionId, Attested>,
    /// Chains that began anew behind something that is gone, and where.
    anew: BTreeMap<PartitionId, Offset>,
}

/// What somebody was given at an earlier time.
struct Attested {
    next: Offset,
    hash: ChainHash,
    /// Whether the value at that offset is the same; unknown until it was seen.
    same: Option<bool>,
}

impl Heads {
    pub(super) fn new(against: &[ChainHead]) -> Self {
        let attested = |head: &ChainHead| {
            (head.partition, Attested { next: head.next, hash: head.hash, same: None })
        };
        let attested = against.iter().map(attested).collect();
        Self { heads: BTreeMap::new(), attested, anew: BTreeMap::new() }
    }

    pub(super) fn get(&self, id: PartitionId) -> Option<Head> {
        self.heads.get(&id).copied()
    }

    pub(super) fn set(&mut self, id: PartitionId, next: Offset, hash: Option<ChainHash>) {
        self.heads.insert(id, Head { next, hash });
        if let Some(hash) = hash {
            self.note(id, next, hash);
        }
    }

    /// Compares a value with the one that was attested; the first one that is seen counts.
    pub(super) fn note(&mut self, id: PartitionId, next: Offset, hash: ChainHash) {
        if let Some(attested) = self.attested.get_mut(&id)
            && attested.next == next
        {
            attested.same.get_or_insert(attested.hash == hash);
        }
    }

    /// Notes the value before a batch.
    pub(super) fn passes(&mut self, id: PartitionId, base: Offset, hash: ChainHash) {
        if base > Offset::ZERO && hash == ChainHash::begin(id) {
            self.anew.insert(id, base);
        } else {
            self.note(id, base, hash);
        }
    }

    /// Forgets the values of partitions that a seal no longer has: their topics were removed.
    pub(super) fn keep_values_of(&mut self, sealed: impl Fn(&PartitionId) -> bool) {
        for (id, head) in &mut self.heads {
            if !sealed(id) {
                head.hash = None;
            }
        }
    }

    /// The heads whose values are known, of partitions that are there.
    pub(super) fn known(&self, is_there: impl Fn(PartitionId) -> bool) -> Vec<ChainHead> {
        let head = |(id, head): (&PartitionId, &Head)| {
            Some(ChainHead { partition: *id, next: head.next, hash: head.hash? })
        };
        self.heads.iter().filter(|(id, _)| is_there(**id)).filter_map(head).collect()
    }

    /// What was attested and is not there, and what `why_gone` explains.
    pub(super) fn contradictions(
        &self,
        why_gone: impl Fn(PartitionId, Offset) -> Option<String>,
    ) -> (Vec<Finding>, Vec<String>) {
        let (mut findings, mut notes) = (Vec::new(), Vec::new());
        for (&id, attested) in &self.attested {
            let next = attested.next;
            match (attested.same, why_gone(id, next)) {
                (Some(true), _) => {}
                (None, Some(why)) => notes.push(format!(
                    "topic {}, partition {} cannot be compared with what was attested up to \
                     offset {next}: {why}; check against a younger attestation",
                    id.topic, id.partition
                )),
                _ => findings.push(self.contradiction(id, attested)),
            }
        }
        (findings, notes)
    }

    fn contradiction(&self, id: PartitionId, attested: &Attested) -> Finding {
        let next = attested.next;
        let reason = match (attested.same, self.heads.get(&id)) {
            (Some(_), _) => match self.anew.get(&id) {
                Some(base) => format!(
                    "the past was rewritten before offset {next}, or attested before the chain \
                     began anew at offset {base}, behind what was removed without a seal or damaged"
                ),
                None => format!("the past was rewritten before offset {next}"),
            },
            (None, Some(head)) if head.next < next => {
                format!("it ends at offset {}, but was attested up to {next}", head.next)
            }
            (None, Some(_)) => format!(
                "the past was rewritten before offset {next}: no batch ends there; if damage \
                 explains it, check against a younger attestation"
            ),
            (None, None) => format!(
                "it was attested up to offset {next}, and is not there; if its topic was deleted, \
                 check against a younger attestation"
            ),
        };
        let finding = Finding::new(Fault::Attestation, DIRECTORY, 0, reason);
        Finding { partition: Some(id), offsets: Some((Offset::ZERO, next)), ..finding }
    }
}
