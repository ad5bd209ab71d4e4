//! A clock that only the simulation turns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use factum_event::{Clock, Timestamp};

/// The wall clock when a simulation begins, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Microseconds since the beginning.
#[derive(Debug, Default)]
pub(crate) struct VirtualClock(AtomicU64);

impl VirtualClock {
    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(0), Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let millis = self.0.load(Relaxed) / 1000;
        Timestamp::from_millis(BEGIN_MS.saturating_add_unsigned(millis))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Relaxed))
    }
}
