//! Reading ahead: who reads much at once finds what follows checked by the time it asks for it.
//!
//! Checking takes longer than sending; done while a client takes in what it got, it costs it no
//! time. What was prepared is used once, and soon, or not at all.

use std::collections::VecDeque;
use std::time::Duration;

use factum_event::{Clock, Offset};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::entry::PartitionId;
use crate::error::ReadError;
use crate::region::PartitionSlice;

/// Reads that are prepared at the same time; a new one takes the place of the oldest.
const MAX_PREPARED: usize = 32;

/// How long what was checked may wait: pages do not stay in the page cache for ever, and others
/// want the memory.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The most that a prepared read may have in memory of its own; it is read again when it is wanted.
pub(crate) const MAX_IN_MEMORY: usize = 64 << 10;

/// The answer of a reader thread.
pub(crate) type Answer = oneshot::Receiver<Result<PartitionSlice, ReadError>>;

/// A read that somebody may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) partition: PartitionId,
    pub(crate) from: Offset,
    /// The file that it begins in: another one has taken its place if that has changed.
    pub(crate) journal: u64,
}

struct Prepared {
    next: Next,
    max_bytes: usize,
    since: Duration,
    answer: Answer,
}

/// The reads that are prepared, the oldest first.
#[derive(Default)]
pub(crate) struct Ahead {
    prepared: Mutex<VecDeque<Prepared>>,
}

impl Ahead {
    /// The answer to a read, if it was prepared, and how many bytes it was to have at most.
    pub(crate) fn take(&self, next: Next, clock: &dyn Clock) -> Option<(Answer, usize)> {
        let mut prepared = self.prepared.lock();
        forget_late(&mut prepared, clock);
        let at = prepared.iter().position(|known| known.next == next)?;
        prepared.remove(at).map(|known| (known.answer, known.max_bytes))
    }

    /// Whether a read is prepared.
    pub(crate) fn has(&self, next: Next) -> bool {
        self.prepared.lock().iter().any(|known| known.next == next)
    }

    pub(crate) fn put(&self, next: Next, max_bytes: usize, answer: Answer, clock: &dyn Clock) {
        let mut prepared = self.prepared.lock();
        forget_late(&mut prepared, clock);
        if prepared.len() >= MAX_PREPARED {
            prepared.pop_front();
        }
        let since = clock.monotonic();
        prepared.push_back(Prepared { next, max_bytes, since, answer });
    }

    /// Forgets what was prepared of a file that is removed: it would keep it open.
    pub(crate) fn forget(&self, journal: u64) {
        self.prepared.lock().retain(|known| known.next.journal != journal);
    }
}

fn forget_late(prepared: &mut VecDeque<Prepared>, clock: &dyn Clock) {
    let now = clock.monotonic();
    let is_late = |known: &Prepared| now.saturating_sub(known.since) > LONGEST_WAIT;
    while prepared.front().is_some_and(is_late) {
        prepared.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use factum_event::{Partition, Timestamp, TopicId};
    use uuid::Uuid;

    use super::*;

    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Relaxed))
        }
    }

    fn next(from: u32, journal: u64) -> Next {
        let partition =
            PartitionId { topic: TopicId(Uuid::from_u128(1)), partition: Partition::ZERO };
        Next { partition, from: Offset::ZERO.plus(from), journal }
    }

    #[test]
    fn what_was_prepared_is_taken_once_and_soon_and_from_the_same_file() {
        let (ahead, clock) = (Ahead::default(), Seconds(AtomicU64::new(0)));
        let put = |next| ahead.put(next, 1, oneshot::channel().1, &clock);
        let takes = |next| ahead.take(next, &clock).is_some();
        put(next(5, 1));
        assert!(ahead.has(next(5, 1)) && !ahead.has(next(6, 1)));
        assert!(!takes(next(5, 2)), "compaction has put another file in its place");
        assert!(takes(next(5, 1)) && !takes(next(5, 1)));
        put(next(5, 1));
        clock.0.store(3, Relaxed);
        assert!(!takes(next(5, 1)), "it is too old");
        put(next(5, 1));
        put(next(6, 2));
        ahead.forget(1);
        assert!(!takes(next(5, 1)) && takes(next(6, 2)));
    }

    #[test]
    fn the_oldest_makes_room_and_nobody_works_for_it_any_more() {
        let (ahead, clock) = (Ahead::default(), Seconds(AtomicU64::new(0)));
        let (oldest, answer) = oneshot::channel();
        ahead.put(next(0, 1), 1, answer, &clock);
        for from in 1..=u32::try_from(MAX_PREPARED).unwrap() {
            ahead.put(next(from, 1), 1, oneshot::channel().1, &clock);
        }
        assert!(oldest.is_closed());
        assert_eq!(ahead.prepared.lock().len(), MAX_PREPARED);
    }
}
