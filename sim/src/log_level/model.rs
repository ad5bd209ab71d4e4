//! What a partition of the log may and must hold.

use std::collections::{BTreeMap, BTreeSet};

use factum_event::Offset;
use factum_event::batch::{Batch, PREFIX_BYTES};
use factum_log::{Extent, StoredBatch};

use crate::Violation;

/// What is known of whether a batch is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is, as soon as it is durable.
    Kept,
    /// A cleaning that failed would have removed it: now it is there, and the next opening tells.
    Open,
    /// It was cleaned away.
    Gone,
}

/// A batch that was given an offset.
pub(crate) struct Attempt {
    pub(crate) batch: Batch,
    pub(crate) fate: Fate,
}

/// A partition.
pub(crate) struct Model {
    pub(crate) attempts: BTreeMap<Offset, Attempt>,
    pub(crate) start: Offset,
    /// Where a cut that failed would have moved the start.
    pub(crate) open_starts: BTreeSet<Offset>,
    /// Everything before was readable at some time.
    pub(crate) end: Offset,
    /// The offset that the next batch must get.
    pub(crate) next: Offset,
}

impl Default for Model {
    fn default() -> Self {
        let (start, end, next) = (Offset::ZERO, Offset::ZERO, Offset::ZERO);
        Self { attempts: BTreeMap::new(), start, open_starts: BTreeSet::new(), end, next }
    }
}

impl Attempt {
    pub(crate) fn next_offset(&self, base: Offset) -> Offset {
        base.plus(self.batch.header().offsets())
    }
}

impl Model {
    /// A batch was given an offset.
    pub(crate) fn appended(&mut self, base: Offset, batch: Batch) -> Result<(), Violation> {
        if base != self.next {
            return Err(format!("offset {base} was given, {} was expected", self.next));
        }
        self.next = base.plus(batch.header().offsets());
        self.attempts.insert(base, Attempt { batch, fate: Fate::Kept });
        Ok(())
    }

    /// A batch was acknowledged, while the partition had this extent.
    pub(crate) fn acknowledged(&mut self, base: Offset, extent: Extent) -> Result<(), Violation> {
        let attempt = self.attempts.get(&base).ok_or_else(|| format!("{base} was not given"))?;
        let next = attempt.next_offset(base);
        if extent.end < next {
            return Err(format!("{base} is acknowledged, but the end is {}", extent.end));
        }
        self.end = self.end.max(next);
        Ok(())
    }

    /// What can be read has these bounds; nothing was opened since the last look.
    pub(crate) fn bounds(&mut self, extent: Extent) -> Result<(), Violation> {
        let Extent { start, end } = extent;
        if start != self.start || end < self.end || end > self.next || start > end {
            let (was, until) = (self.start, self.end);
            let next = self.next;
            return Err(format!(
                "the extent is {start} to {end}, expected was {was} to {until} or up to {next}"
            ));
        }
        self.end = end;
        Ok(())
    }

    /// After opening: what was durable is there; of what was not, some beginning.
    pub(crate) fn reopened(&mut self, extent: Extent) -> Result<(), Violation> {
        let Extent { start, end } = extent;
        if start != self.start && !self.open_starts.contains(&start) || start > end {
            let (was, open) = (self.start, &self.open_starts);
            return Err(format!("it begins at {start}, not at {was} or one of {open:?}"));
        }
        if end < self.end {
            return Err(format!("it ends at {end}, but {} was acknowledged or read", self.end));
        }
        let next = self.attempts.range(..end).next_back().map(|(base, a)| a.next_offset(*base));
        if next.unwrap_or(Offset::ZERO).max(self.end).max(start) != end {
            return Err(format!("it ends at {end}, where no batch ends"));
        }
        drop(self.attempts.split_off(&end));
        self.open_starts.clear();
        (self.start, self.end, self.next) = (start, end, end);
        Ok(())
    }

    /// Compares a batch with the one that was appended there.
    pub(crate) fn compare(&self, stored: &StoredBatch) -> Result<&Attempt, Violation> {
        let base = stored.entry.base_offset;
        let attempt = self.attempts.get(&base).ok_or_else(|| format!("{base} was not given"))?;
        let expected = attempt.batch.prefix_at(base);
        let body = attempt.batch.body();
        if stored.prefix[..] != expected[..PREFIX_BYTES] || stored.body != body {
            return Err(format!("{base} has other bytes than were appended"));
        }
        if attempt.next_offset(base) != stored.entry.next_offset() {
            return Err(format!("{base} has other offsets than were appended"));
        }
        Ok(attempt)
    }

    /// The batches that must be there between two offsets, by their bases.
    pub(crate) fn kept(
        &self,
        from: Offset,
        until: Offset,
    ) -> impl Iterator<Item = (Offset, &Attempt)> {
        let known = self.attempts.range(..until).map(|(base, attempt)| (*base, attempt));
        known.filter(move |(base, attempt)| {
            attempt.fate == Fate::Kept && attempt.next_offset(*base) > from
        })
    }

    /// Checks what a read from `from` has answered. What is kept now was kept all the time, so
    /// none of it may be missing between what was returned.
    pub(crate) fn check_read(
        &self,
        from: Offset,
        until: Offset,
        read: &[StoredBatch],
        gone_before: &BTreeSet<Offset>,
    ) -> Result<(), Violation> {
        let mut next = from;
        for stored in read {
            let base = stored.entry.base_offset;
            self.compare(stored)?;
            if stored.entry.next_offset() <= next {
                return Err(format!("{base} is served after {next} was asked for"));
            }
            if gone_before.contains(&base) {
                return Err(format!("{base} is served though it was cleaned away"));
            }
            self.no_gap(next, base)?;
            next = stored.entry.next_offset();
        }
        if read.is_empty() { self.no_gap(from, until) } else { Ok(()) }
    }

    fn no_gap(&self, from: Offset, until: Offset) -> Result<(), Violation> {
        // What is before the start may have been cut off while it was read.
        match self.kept(from.max(self.start), until).next() {
            Some((missing, _)) => Err(format!("{missing} is missing after {from}")),
            None => Ok(()),
        }
    }

    /// The batches that were cleaned away.
    pub(crate) fn gone(&self) -> BTreeSet<Offset> {
        let gone = self.attempts.iter().filter(|(_, attempt)| attempt.fate == Fate::Gone);
        gone.map(|(base, _)| *base).collect()
    }
}
