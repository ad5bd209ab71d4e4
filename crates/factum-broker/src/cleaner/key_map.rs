//! The latest offset of every key, in memory of a fixed size.
//!
//! As in Kafka's `SkimpyOffsetMap`, keys are not kept: an entry is a hash of 16 bytes and an
//! offset of 8, so that a gigabyte knows 40 million keys of any length. Two keys with the same
//! hash would make compaction remove a record that is the last of its key, so that must not
//! happen, not even on purpose: the hash is SipHash-2-4 with 128 bits, under a secret that is
//! drawn for every map. Without the secret nobody can choose keys that collide (Kafka's MD5
//! lets them), and by chance it takes 2^64 keys.
//!
//! Open addressing with linear probing; nine tenths of the slots are used at most.

use std::hash::{BuildHasher, RandomState};

use factum_event::Offset;
use siphasher::sip128::SipHasher24;
use thiserror::Error;

/// Bytes of an entry.
const SLOT_BYTES: usize = size_of::<Slot>();

/// Two halves of the key's hash, and the offset plus one: a slot of zeros is free.
type Slot = [u64; 3];

const FREE: Slot = [0; 3];

/// The latest offset of every key.
#[derive(Debug)]
pub struct KeyMap {
    slots: Vec<Slot>,
    used: usize,
    capacity: usize,
    secret: SipHasher24,
}

/// There is no room for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the key map is full with {capacity} keys; clean with what it has, or give it more memory")]
pub struct KeyMapFull {
    /// How many keys it takes.
    pub capacity: usize,
}

impl KeyMap {
    /// An empty map that takes at most `budget` bytes, but has room for one key at least.
    #[must_use]
    pub fn with_budget(budget: usize) -> Self {
        // One slot must stay free, or a search for what is not there would not end.
        let slots = (budget / SLOT_BYTES).max(2);
        let capacity = (slots - slots.div_ceil(10)).max(1);
        Self { slots: vec![FREE; slots], used: 0, capacity, secret: secret() }
    }

    /// How many keys it takes.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many keys it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether it has no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Notes that `key` stands at `offset`; the largest offset stays.
    ///
    /// # Errors
    /// [`KeyMapFull`] for a key that it does not have when it is full; nothing has changed then.
    pub fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), KeyMapFull> {
        let stored = offset.get().unsigned_abs() + 1;
        let slot = self.slot_of(key);
        let [high, low, known] = self.slots[slot.index];
        if known == 0 && self.used == self.capacity {
            return Err(KeyMapFull { capacity: self.capacity });
        }
        debug_assert!(known == 0 || [high, low] == slot.hash);
        self.used += usize::from(known == 0);
        self.slots[slot.index] = [slot.hash[0], slot.hash[1], known.max(stored)];
        Ok(())
    }

    /// The largest offset that was noted for `key`.
    #[must_use]
    pub fn latest(&self, key: &[u8]) -> Option<Offset> {
        let [_, _, stored] = self.slots[self.slot_of(key).index];
        stored.checked_sub(1).and_then(|offset| Offset::new(offset.cast_signed()))
    }

    /// Forgets every key, and hashes with a new secret from now on.
    pub fn clear(&mut self) {
        self.slots.fill(FREE);
        self.used = 0;
        self.secret = secret();
    }

    /// The slot that has `key`, or the free one where it would be.
    fn slot_of(&self, key: &[u8]) -> Found {
        let hash = self.secret.hash(key);
        let hash = [hash.h1, hash.h2];
        let mut index = self.first_slot(hash[0]);
        // Ends: at least one slot is free.
        loop {
            let [high, low, stored] = self.slots[index];
            if stored == 0 || [high, low] == hash {
                return Found { index, hash };
            }
            index = if index + 1 == self.slots.len() { 0 } else { index + 1 };
        }
    }

    /// Spreads hashes over the slots without a division.
    fn first_slot(&self, hash: u64) -> usize {
        let scaled = (u128::from(hash) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).expect("less than the number of slots")
    }
}

struct Found {
    index: usize,
    hash: [u64; 2],
}

/// A hasher with a key from the standard library's randomness.
fn secret() -> SipHasher24 {
    let random = RandomState::new();
    SipHasher24::new_with_keys(random.hash_one(0_u8), random.hash_one(1_u8))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn offset(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    #[test]
    fn it_is_full_at_nine_tenths_and_still_takes_keys_that_it_has() {
        let mut map = KeyMap::with_budget(100 * SLOT_BYTES + SLOT_BYTES - 1);
        assert_eq!(map.capacity(), 90);
        for key in 0..90_u8 {
            map.put(&[key], offset(key.into())).unwrap();
        }
        assert_eq!(map.put(b"another", offset(90)), Err(KeyMapFull { capacity: 90 }));
        assert_eq!(map.latest(b"another"), None);
        map.put(&[7], offset(91)).unwrap();
        assert_eq!(map.latest(&[7]), Some(offset(91)));
        assert_eq!(map.len(), 90);
    }

    #[test]
    fn the_smallest_map_has_one_key_and_the_largest_offset_fits() {
        let mut map = KeyMap::with_budget(0);
        assert_eq!(map.capacity(), 1);
        map.put(b"", offset(i64::MAX)).unwrap();
        map.put(b"", offset(0)).unwrap();
        assert_eq!(map.latest(b""), Some(offset(i64::MAX)));
        assert!(map.put(b"x", offset(0)).is_err());
        assert_eq!(map.latest(b"x"), None);
    }

    #[test]
    fn a_cleared_map_is_empty_and_hashes_differently() {
        let mut map = KeyMap::with_budget(1 << 20);
        map.put(b"key", offset(1)).unwrap();
        let before = map.slot_of(b"key").hash;
        map.clear();
        assert!(map.is_empty());
        assert_eq!(map.latest(b"key"), None);
        assert_ne!(map.slot_of(b"key").hash, before);
    }

    proptest! {
        #[test]
        fn it_answers_as_a_map_of_whole_keys(
            slots in 2_usize..40,
            puts in vec((vec(0_u8..3, 0..4), 0..100_i64), 0..200),
        ) {
            let mut map = KeyMap::with_budget(slots * SLOT_BYTES);
            let mut model: HashMap<Vec<u8>, i64> = HashMap::new();
            for (key, value) in puts {
                let room = model.contains_key(&key) || model.len() < map.capacity();
                prop_assert_eq!(map.put(&key, offset(value)).is_ok(), room);
                if room {
                    let latest = model.entry(key.clone()).or_insert(value);
                    *latest = (*latest).max(value);
                }
                prop_assert_eq!(map.latest(&key), model.get(&key).map(|&value| offset(value)));
                prop_assert_eq!(map.len(), model.len());
            }
            for (key, &value) in &model {
                prop_assert_eq!(map.latest(key), Some(offset(value)));
            }
        }
    }
}
