//! What groups have committed, by themselves and in transactions.

use std::collections::BTreeMap;

use factum_broker::CommitKey;
use factum_event::batch::Outcome;

use super::transactions::{Number, Transaction};
use crate::Violation;

/// A commit that was asked for.
#[derive(Debug)]
struct Asked {
    /// No other commit has this offset.
    offset: i64,
    /// The number of the operation.
    asked: u64,
    /// Set once it is known to be done.
    done: Option<u64>,
    transaction: Option<Number>,
}

/// All committed offsets.
#[derive(Default)]
pub(crate) struct Offsets {
    places: BTreeMap<CommitKey, Vec<Asked>>,
    last: i64,
}

impl Offsets {
    /// An offset that nobody has committed.
    pub(crate) fn fresh(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// Somebody wants this to be committed, by itself or with a transaction.
    pub(crate) fn ask(&mut self, key: &CommitKey, offset: i64, of: Option<Number>, at: u64) {
        let place = self.places.entry(key.clone()).or_default();
        if !place.iter().any(|known| known.offset == offset) {
            place.push(Asked { offset, asked: at, done: None, transaction: of });
        }
    }

    /// It is done.
    pub(crate) fn done(&mut self, key: &CommitKey, offset: i64, at: u64) {
        let place = self.places.get_mut(key).into_iter().flatten();
        for known in place.filter(|known| known.offset == offset && known.done.is_none()) {
            known.done = Some(at);
        }
    }

    /// Compares what there is with what may be there.
    pub(crate) fn check(
        &self,
        key: &CommitKey,
        found: Option<i64>,
        transactions: &mut [Transaction],
    ) -> Result<(), Violation> {
        let place = self.places.get(key).map_or(&[][..], Vec::as_slice);
        let Some(offset) = found else {
            return match place.iter().find(|known| known.done.is_some()) {
                Some(known) => Err(format!("{key:?} has no offset, but {known:?}")),
                None => Ok(()),
            };
        };
        let Some(known) = place.iter().find(|known| known.offset == offset) else {
            return Err(format!("{key:?} has {offset}, which nobody wanted to commit"));
        };
        let is_later = |other: &&Asked| {
            other.done.is_some() && known.done.is_some_and(|done| other.asked > done)
        };
        if let Some(later) = place.iter().find(is_later) {
            return Err(format!("{key:?} has {known:?}, but later {later:?}"));
        }
        match known.transaction {
            Some(of) => transactions[of].decide(Outcome::Commit),
            None => Ok(()),
        }
    }

    /// After opening: what there is now is what was done.
    pub(crate) fn settle(&mut self, key: &CommitKey, found: Option<i64>, at: u64) {
        let place = self.places.entry(key.clone()).or_default();
        place.retain(|known| Some(known.offset) == found);
        place.iter_mut().for_each(|known| known.done = Some(at));
    }

    pub(crate) fn keys(&self) -> Vec<CommitKey> {
        self.places.keys().cloned().collect()
    }
}
