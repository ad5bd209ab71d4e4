//! Ids of new events: UUID version 7 (RFC 9562, section 5.7), strictly rising.

use std::sync::{Mutex, PoisonError};

use uuid::{Builder, NoContext, Uuid};

use crate::Timestamp;

/// Bits of the counter that orders ids of one millisecond (RFC 9562, section 6.2, method 1).
const COUNTER_BITS: u32 = 42;

/// Makes ids, each larger than the one before, whatever the clock does.
///
/// 48 bits of milliseconds, a 42-bit counter that begins at a random number in each millisecond,
/// and 32 random bits. A clock that stands still or goes back costs nothing but truth: the
/// milliseconds stay where they were.
#[derive(Debug, Default)]
pub struct EventIds {
    last: Mutex<Last>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Last {
    millis: u64,
    counter: u64,
    /// What random bits follow from, where they are not the system's.
    seed: Option<u64>,
}

impl Last {
    fn random(&mut self) -> [u8; 16] {
        let Some(seed) = &mut self.seed else {
            return Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, 0, 0)).into_bytes();
        };
        // The multiplier of Knuth's MMIX generator, of which the upper half is good.
        let mut next = || {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *seed >> 32
        };
        (u128::from(next()) << 96
            | u128::from(next()) << 64
            | u128::from(next()) << 32
            | u128::from(next()))
        .to_be_bytes()
    }
}

impl EventIds {
    /// A source of ids; keep one per process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A source of ids that follow from `seed` and the times: for simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { last: Mutex::new(Last { seed: Some(seed), ..Last::default() }) }
    }

    /// The next id, for an event made at `now`.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Uuid {
        let now = u64::try_from(now.as_millis()).unwrap_or(0);
        // A counter and a number stay whole, whatever panicked: a poisoned lock is no reason to stop.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let random = last.random();
        if now > last.millis {
            (last.millis, last.counter) = (now, seed(&random));
        } else {
            last.counter += 1;
            if last.counter >> COUNTER_BITS != 0 {
                (last.millis, last.counter) = (last.millis + 1, seed(&random));
            }
        }
        let Last { millis, counter, .. } = *last;
        drop(last);
        layout(millis, counter, &random)
    }
}

/// The counter's first number in a millisecond: random, with room for 2^41 more.
fn seed(random: &[u8; 16]) -> u64 {
    let mut bytes = [0; 8];
    bytes[3..].copy_from_slice(&random[7..12]);
    u64::from_be_bytes(bytes)
}

/// The counter fills `rand_a` (12 bits) and the front of `rand_b` (30 bits); version and variant
/// stand between and are set by the builder.
fn layout(millis: u64, counter: u64, random: &[u8; 16]) -> Uuid {
    let high = (counter >> 30).to_be_bytes();
    let low = (counter & 0x3fff_ffff).to_be_bytes();
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&high[6..]);
    bytes[2..6].copy_from_slice(&low[4..]);
    bytes[6..].copy_from_slice(&random[12..]);
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_ids_of_one_millisecond_are_unique_and_rising() {
        let ids = EventIds::new();
        let now = Timestamp::from_millis(1_769_860_800_123);
        let mut last = Uuid::nil();
        for _ in 0..1_000_000 {
            let id = ids.next(now);
            assert!(id > last, "{last} is followed by {id}");
            last = id;
        }
        assert_eq!(last.get_version_num(), 7);
        assert_eq!(last.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn ids_sort_by_creation_time_even_if_the_clock_jumps_back() {
        let ids = EventIds::new();
        let made: Vec<Uuid> =
            [5, 9, 9, 2, -7, 10].map(|ms| ids.next(Timestamp::from_millis(ms))).into();
        assert!(made.is_sorted());
        let texts: Vec<String> = made.iter().map(Uuid::to_string).collect();
        assert!(texts.is_sorted());
        let (seconds, nanos) = made[5].get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (0, 10_000_000));
    }

    #[test]
    fn the_counter_carries_over_into_the_next_millisecond() {
        let ids = EventIds::new();
        let counter = (1 << COUNTER_BITS) - 2;
        *ids.last.lock().unwrap() = Last { millis: 7, counter, seed: None };
        let made: Vec<Uuid> = (0..3).map(|_| ids.next(Timestamp::from_millis(7))).collect();
        assert!(made.is_sorted());
        assert_eq!(made[2].get_timestamp().unwrap().to_unix().1, 8_000_000);
    }

    #[test]
    fn threads_and_processes_do_not_meet() {
        let (here, there) = (EventIds::new(), EventIds::new());
        let now = Timestamp::from_millis(1);
        let make = |ids: &EventIds| -> Vec<Uuid> { (0..10_000).map(|_| ids.next(now)).collect() };
        let made: Vec<Vec<Uuid>> = std::thread::scope(|scope| {
            let threads = [&here, &here, &there].map(|ids| scope.spawn(move || make(ids)));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.concat().into_iter().collect::<HashSet<_>>().len(), 30_000);
    }
}
