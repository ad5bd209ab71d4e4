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
        Self { heads: BTreeMap::new(), attested: against.iter().map(attested).collect() }
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

    /// Forgets the values of partitions that a seal no longer has: their topics were removed.
    pub(super) fn keep_values_of(&mut self, sealed: impl Fn(&PartitionId) -> bool) {
        for (id, head) in &mut self.heads {
            if !sealed(id) {
                head.hash = None;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The heads whose values are known.
    pub(super) fn known(&self) -> Vec<ChainHead> {
        let head = |(id, head): (&PartitionId, &Head)| {
            Some(ChainHead { partition: *id, next: head.next, hash: head.hash? })
        };
        self.heads.iter().filter_map(head).collect()
    }

    /// What was attested and is not there.
    pub(super) fn contradictions(&self) -> Vec<Finding> {
        let broken = self.attested.iter().filter(|(_, attested)| attested.same != Some(true));
        broken.map(|(&id, attested)| self.contradiction(id, attested)).collect()
    }

    fn contradiction(&self, id: PartitionId, attested: &Attested) -> Finding {
        let next = attested.next;
        let reason = match (attested.same, self.heads.get(&id)) {
            (Some(_), _) => format!("the past was rewritten before offset {next}"),
            (None, Some(head)) if head.next < next => {
                format!("it ends at offset {}, but was attested up to {next}", head.next)
            }
            (None, Some(_)) => format!(
                "the past was rewritten before offset {next}: no batch ends there; if retention \
                 or damage explains it, check against a younger attestation"
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
