//! A partition that is being copied, as the threads that copy it share it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use factum_wire::Str;
use parking_lot::Mutex;

use super::cluster::Place;

/// A partition under way.
#[derive(Debug)]
pub struct Slot {
    /// Where it comes from.
    pub source: Place,
    /// Its topic in the target.
    pub target_topic: Str,
    /// Up to where the target has it, durably.
    copied: AtomicI64,
    /// Up to where the source has committed.
    stable: AtomicI64,
    /// Nothing more is copied until it is looked at anew.
    suspended: AtomicBool,
    /// It is to be looked at as soon as the clusters are.
    soon: AtomicBool,
}

/// When to look anew at a partition of which nothing more is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As soon as the clusters were asked again: they have probably changed.
    Soon,
    /// After a while: it would probably go wrong again.
    Later,
}

impl Slot {
    /// A partition that was copied up to one offset, and has committed up to another.
    pub const fn new(source: Place, target_topic: Str, copied: i64, stable: i64) -> Self {
        Self {
            source,
            target_topic,
            copied: AtomicI64::new(copied),
            stable: AtomicI64::new(stable),
            suspended: AtomicBool::new(false),
            soon: AtomicBool::new(false),
        }
    }

    /// Up to where the target has it.
    pub fn copied(&self) -> i64 {
        self.copied.load(Relaxed)
    }

    /// Takes that the target has it up to here.
    pub fn has_copied(&self, next: i64) {
        self.copied.fetch_max(next, Relaxed);
    }

    /// Up to where the source has committed.
    pub fn stable(&self) -> i64 {
        self.stable.load(Relaxed)
    }

    /// Takes up to where the source has committed.
    pub fn has_committed(&self, stable: i64) {
        self.stable.store(stable, Relaxed);
    }

    /// How many offsets the target lacks.
    pub fn lag(&self) -> u64 {
        let lag = self.stable().saturating_sub(self.copied());
        u64::try_from(lag).unwrap_or(0)
    }

    /// Whether nothing more is copied.
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Relaxed)
    }

    /// Whether it is to be looked at anew, where a look takes in (`closer`) those that can wait.
    pub fn is_due(&self, closer: bool) -> bool {
        self.is_suspended() && (closer || self.soon.load(Relaxed))
    }
}

/// What all threads share.
#[derive(Debug, Default)]
pub struct Shared {
    /// The end has come.
    pub stop: AtomicBool,
    /// Something is to be looked at anew, soon.
    pub refresh: AtomicBool,
    /// Records that were copied.
    pub records: AtomicU64,
    /// Bytes of their batches.
    pub bytes: AtomicU64,
    /// What went wrong, and was not told yet.
    told: Mutex<Vec<Trouble>>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// With which partition.
    pub place: Place,
    /// What.
    pub what: String,
}

/// More is not kept to be told.
const MAX_TROUBLES: usize = 1_000;

impl Shared {
    /// Whether the end has come.
    pub fn stops(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Copies no more of a partition until it is looked at anew, and says why, if that is worth
    /// telling.
    pub fn suspend(&self, slot: &Slot, again: Again, why: Option<String>) {
        if slot.suspended.swap(true, Relaxed) {
            return;
        }
        if let Some(what) = why {
            self.tell(Trouble { place: slot.source.clone(), what });
        }
        if again == Again::Soon {
            slot.soon.store(true, Relaxed);
            self.refresh.store(true, Relaxed);
        }
    }

    fn tell(&self, trouble: Trouble) {
        let mut told = self.told.lock();
        if told.len() < MAX_TROUBLES {
            told.push(trouble);
        }
    }

    /// What went wrong since the last time.
    pub fn troubles(&self) -> Vec<Trouble> {
        std::mem::take(&mut self.told.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clusters_may_have_changed_is_looked_at_soon_and_all_else_later() {
        for (again, is_soon) in [(Again::Soon, true), (Again::Later, false)] {
            let place = Place { topic: "orders".to_owned(), partition: 3 };
            let slot = Slot::new(place.clone(), Str::from("orders"), 0, 9);
            let shared = Shared::default();
            assert!(!slot.is_suspended() && !slot.is_due(true));
            shared.suspend(&slot, again, Some("is unknown".to_owned()));
            shared.suspend(&slot, Again::Soon, Some("is told once".to_owned()));
            assert_eq!((slot.is_due(false), slot.is_due(true)), (is_soon, true));
            assert_eq!(shared.refresh.load(Relaxed), is_soon);
            assert_eq!(shared.troubles(), [Trouble { place, what: "is unknown".to_owned() }]);
        }
    }
}
