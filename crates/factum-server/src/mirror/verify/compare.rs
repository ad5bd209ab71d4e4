//! Compares two partitions record by record, in the order of their offsets.
//!
//! Where a topic is compacted, each side may have removed records that the other still has: a
//! record that only one has is accounted for if a later one of its key follows, if it is the mark
//! of a deleted key, or if it has no key. What is not accounted for is a difference.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use factum_event::Record;
use factum_event::batch::BatchRecord;

/// Differences that are named; the others are counted.
pub const MAX_NAMED: usize = 100;
/// Keys whose later record is waited for.
const MAX_WAITING: usize = 1 << 20;

/// What is different at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Only the source has a record there.
    Missing,
    /// Only the target has a record there.
    Extra,
    /// The records there are not equal.
    Changed,
}

/// What one side has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// How many records.
    pub records: u64,
    /// BLAKE3 of all of them: offset, timestamp, key, value, headers.
    pub checksum: String,
}

/// What came of comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What the source has.
    pub source: Side,
    /// What the target has.
    pub target: Side,
    /// The first differences, with their offsets.
    pub differences: Vec<(i64, Difference)>,
    /// How many more there are.
    pub more: u64,
    /// Records that only one side has, because the other has compacted them away.
    pub compacted: u64,
}

/// Compares what both sides have; `seen` hears of every offset.
///
/// # Errors
/// The first of either side.
pub fn compare<E>(
    source: &mut dyn Iterator<Item = Result<BatchRecord, E>>,
    target: &mut dyn Iterator<Item = Result<BatchRecord, E>>,
    compacted: bool,
    seen: &mut dyn FnMut(i64),
) -> Result<Compared, E> {
    let mut state = State::new(compacted);
    let (mut theirs, mut ours) = (source.next().transpose()?, target.next().transpose()?);
    loop {
        let order = match (&theirs, &ours) {
            (None, None) => return Ok(state.finish()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(theirs), Some(ours)) => theirs.offset.cmp(&ours.offset),
        };
        let their = if order.is_le() { theirs.take() } else { None };
        let our = if order.is_ge() { ours.take() } else { None };
        if let Some(any) = their.as_ref().or(our.as_ref()) {
            seen(any.offset.get());
        }
        state.take(their.as_ref(), our.as_ref());
        if their.is_some() {
            theirs = source.next().transpose()?;
        }
        if our.is_some() {
            ours = target.next().transpose()?;
        }
    }
}

struct State {
    compacted: bool,
    source: Count,
    target: Count,
    differences: Vec<(i64, Difference)>,
    more: u64,
    explained: u64,
    /// By the hash of their keys, records that only one side has and that a later one must explain.
    waiting: HashMap<u64, (i64, Difference)>,
    hashes: RandomState,
}

impl State {
    fn new(compacted: bool) -> Self {
        Self {
            compacted,
            source: Count::default(),
            target: Count::default(),
            differences: Vec::new(),
            more: 0,
            explained: 0,
            waiting: HashMap::new(),
            hashes: RandomState::new(),
        }
    }

    fn take(&mut self, theirs: Option<&BatchRecord>, ours: Option<&BatchRecord>) {
        theirs.into_iter().for_each(|found| self.source.add(found));
        ours.into_iter().for_each(|found| self.target.add(found));
        let (found, difference) = match (theirs, ours) {
            (Some(theirs), Some(ours)) if theirs.record == ours.record => {
                return self.explain(&theirs.record);
            }
            (Some(theirs), Some(_)) => {
                self.explain(&theirs.record);
                return self.differ(theirs.offset.get(), Difference::Changed);
            }
            (Some(theirs), None) => (theirs, Difference::Missing),
            (None, Some(ours)) => (ours, Difference::Extra),
            (None, None) => return,
        };
        self.explain(&found.record);
        self.only_one(found, difference);
    }

    /// A record was found: what only one side had before it of the same key was compacted.
    fn explain(&mut self, record: &Record) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(key) = &record.key else { return };
        if self.waiting.remove(&self.hashes.hash_one(key)).is_some() {
            self.explained += 1;
        }
    }

    fn only_one(&mut self, found: &BatchRecord, difference: Difference) {
        let offset = found.offset.get();
        if !self.compacted {
            return self.differ(offset, difference);
        }
        match &found.record.key {
            Some(key) if found.record.value.is_some() => {
                if self.waiting.len() >= MAX_WAITING {
                    return self.differ(offset, difference);
                }
                self.waiting.insert(self.hashes.hash_one(key), (offset, difference));
            }
            _ => self.explained += 1,
        }
    }

    fn differ(&mut self, offset: i64, difference: Difference) {
        if self.differences.len() < MAX_NAMED {
            self.differences.push((offset, difference));
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Compared {
        let mut left: Vec<_> = self.waiting.drain().map(|(_, left)| left).collect();
        left.sort_unstable_by_key(|(offset, _)| *offset);
        for (offset, difference) in left {
            self.differ(offset, difference);
        }
        self.differences.sort_unstable_by_key(|(offset, _)| *offset);
        Compared {
            source: self.source.finish(),
            target: self.target.finish(),
            differences: self.differences,
            more: self.more,
            compacted: self.explained,
        }
    }
}

/// Counts and hashes records.
#[derive(Default)]
struct Count {
    records: u64,
    hasher: blake3::Hasher,
}

impl Count {
    fn add(&mut self, found: &BatchRecord) {
        self.records += 1;
        let BatchRecord { offset, record } = found;
        self.hasher.update(&offset.get().to_be_bytes());
        self.hasher.update(&record.timestamp.as_millis().to_be_bytes());
        self.part(record.key.as_deref());
        self.part(record.value.as_deref());
        self.hasher.update(&(record.headers.len() as u64).to_be_bytes());
        for header in &record.headers {
            self.part(Some(header.key.as_bytes()));
            self.part(header.value.as_deref());
        }
    }

    /// Bytes with their length, so that no two records look alike.
    fn part(&mut self, bytes: Option<&[u8]>) {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.hasher.update(&length.to_be_bytes());
        self.hasher.update(bytes.unwrap_or_default());
    }

    fn finish(&self) -> Side {
        Side { records: self.records, checksum: self.hasher.finalize().to_hex().to_string() }
    }
}

#[cfg(test)]
mod tests {
    use factum_event::{Offset, Timestamp};

    use super::*;

    type Row = (i64, &'static str, Option<&'static str>);

    fn found(&(offset, key, value): &Row) -> Result<BatchRecord, ()> {
        let record = Record {
            key: (!key.is_empty()).then(|| key.into()),
            value: value.map(Into::into),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(1),
        };
        Ok(BatchRecord { offset: Offset::new(offset).unwrap(), record })
    }

    fn check(source: &[Row], target: &[Row], compacted: bool) -> Compared {
        let (mut source, mut target) = (source.iter().map(found), target.iter().map(found));
        compare(&mut source, &mut target, compacted, &mut |_| ()).unwrap()
    }

    const LOG: [Row; 4] =
        [(0, "a", Some("1")), (2, "b", Some("2")), (3, "a", Some("3")), (9, "c", None)];

    #[test]
    fn equal_partitions_have_equal_counts_and_checksums() {
        let same = check(&LOG, &LOG, false);
        assert_eq!((same.source.records, same.differences.len(), same.more), (4, 0, 0));
        assert_eq!(same.source, same.target);
    }

    #[test]
    fn what_is_missing_too_much_or_changed_is_named_by_its_offset() {
        let other = [LOG[0], (2, "b", Some("x")), (4, "d", None), LOG[3]];
        let compared = check(&LOG, &other, false);
        let expected = [(2, Difference::Changed), (3, Difference::Missing), (4, Difference::Extra)];
        assert_eq!(compared.differences, expected);
        assert_ne!(compared.source.checksum, compared.target.checksum);
        let shifted = LOG.map(|(offset, key, value)| (offset + 1, key, value));
        assert_ne!(check(&LOG, &shifted, false).differences, [], "offsets count");
    }

    #[test]
    fn what_compaction_removes_is_no_difference_and_all_else_is() {
        let compacted = [LOG[1], LOG[2]];
        let compared = check(&LOG, &compacted, true);
        assert_eq!((compared.differences, compared.compacted), (vec![], 2));
        let compared = check(&compacted, &LOG, true);
        assert_eq!((compared.differences, compared.compacted), (vec![], 2));
        // The last of its key is gone, and so is one without a later one.
        let lost = [LOG[0], LOG[1]];
        assert_eq!(check(&LOG, &lost, true).differences, [(3, Difference::Missing)]);
        let changed = [LOG[0], LOG[1], (3, "a", Some("x")), LOG[3]];
        assert_eq!(check(&LOG, &changed, true).differences, [(3, Difference::Changed)]);
    }

    #[test]
    fn only_so_many_differences_are_named() {
        let many: Vec<Row> = (0..150).map(|offset| (offset, "k", None)).collect();
        let compared = check(&many, &[], false);
        assert_eq!((compared.differences.len(), compared.more), (MAX_NAMED, 50));
    }
}
