//! Quotas at work: how long a client waits that had more than its share (KIP-219).
//!
//! Each share is a bucket that fills at the rate of its quota and holds what comes in ten seconds.
//! Whoever takes more than is in it is answered at once, told how long it is held back, and not
//! read from until then.

use std::collections::HashMap;
use std::time::Duration;

use factum_broker::{Broker, QuotaShare};
use factum_event::access::{QuotaKey, QuotaLimit};
use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long a share may be saved up: as long as Kafka measures rates.
const SAVED: Duration = Duration::from_secs(10);

/// The longest that anybody is held back for one request; what is owed beyond that stays owed.
const LONGEST: Duration = Duration::from_secs(60);

/// The same for work, which a client cannot know beforehand; so in Kafka.
const LONGEST_FOR_WORK: Duration = Duration::from_secs(1);

/// The most that may be owed; what is more is forgotten.
const MOST_OWED: Duration = Duration::from_secs(3600);

/// Shares that are remembered; more share what is left.
const MAX_SHARES: usize = 10_000;

/// The longest id of a client that has a share of its own.
const MAX_ID_BYTES: usize = 256;

/// How often shares that are full are looked for, to forget them.
const SWEEP: Duration = Duration::from_secs(1);

/// What shares have been taken of.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    shares: Mutex<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    /// When what was taken has come in; a share is full when it is saved up again after that.
    even: HashMap<Share, Instant>,
    swept: Option<Instant>,
}

/// Who shares what. A changed quota is another share, and begins full.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Share {
    key: QuotaKey,
    /// The bits of the limit.
    limit: u64,
    holder: Holder,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Of {
        user: Option<String>,
        client_id: Option<String>,
    },
    /// Clients choose their ids: those that choose new ones for ever have one share.
    Rest,
}

impl Quotas {
    /// Takes so much of a share: how long whoever has taken it is to be held back.
    pub(super) fn take(
        &self,
        key: QuotaKey,
        share: QuotaShare,
        amount: f64,
        now: Instant,
    ) -> Duration {
        let cost = amount / per_second(key, share.limit);
        let cost = Duration::try_from_secs_f64(cost).unwrap_or(MOST_OWED).min(MOST_OWED);
        let mut shares = self.shares.lock();
        let even = shares.even(key, share, now);
        *even = ((*even).max(full(now)) + cost).min(now + MOST_OWED);
        bound(key, even.saturating_duration_since(now))
    }

    /// How long whoever has a share is held back for what was taken of it before.
    pub(super) fn owed(&self, key: QuotaKey, share: QuotaShare, now: Instant) -> Duration {
        bound(key, self.shares.lock().even(key, share, now).saturating_duration_since(now))
    }
}

impl Shares {
    /// When a share is even; what is not remembered is full.
    fn even(&mut self, key: QuotaKey, share: QuotaShare, now: Instant) -> &mut Instant {
        let QuotaShare { limit, user, client_id } = share;
        let has_own = client_id.as_ref().is_none_or(|id| id.len() <= MAX_ID_BYTES);
        let holder = if has_own { Holder::Of { user, client_id } } else { Holder::Rest };
        let mut of = Share { key, limit: limit.get().to_bits(), holder };
        if self.even.len() >= MAX_SHARES && !self.even.contains_key(&of) {
            self.sweep(now);
            if self.even.len() >= MAX_SHARES {
                of.holder = Holder::Rest;
            }
        }
        self.even.entry(of).or_insert_with(|| full(now))
    }

    /// Forgets the shares that are full, unless that was done a moment ago.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            self.swept = Some(now);
            self.even.retain(|_, even| *even > full(now));
        }
    }
}

/// When a share was even that is full now.
fn full(now: Instant) -> Instant {
    now.checked_sub(SAVED).unwrap_or(now)
}

/// What comes in in a second: bytes, or seconds of work.
fn per_second(key: QuotaKey, limit: QuotaLimit) -> f64 {
    match key {
        QuotaKey::RequestPercentage => limit.get() / 100.0,
        _ => limit.get(),
    }
}

/// How long somebody is held back who owes something: in whole milliseconds, as it is told. An
/// answer to a fetch that is empty and says 0 would not be understood.
fn bound(key: QuotaKey, owed: Duration) -> Duration {
    let longest = if key == QuotaKey::RequestPercentage { LONGEST_FOR_WORK } else { LONGEST };
    let whole = owed.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX)).min(longest)
}

/// The most that a share of bytes can save up: no more is read for one fetch (KAFKA-9677: else a
/// small quota would never be kept).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits are above zero, and it is cut to the largest"
)]
pub(super) fn most_at_once(share: &QuotaShare) -> usize {
    // Above the largest answer that there is, it does not matter.
    (share.limit.get() * SAVED.as_secs_f64()).min(f64::from(i32::MAX)) as usize
}

/// The name of the user that quotas are about.
fn user(principal: &str) -> &str {
    principal.split_once(':').map_or(principal, |(_, name)| name)
}

impl super::Caller {
    /// The share of something that the caller takes from, if it is limited.
    pub(super) fn share(&self, broker: &Broker, key: QuotaKey) -> Option<QuotaShare> {
        broker.quota(key, user(self.client.principal.as_str()), &self.client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: QuotaKey = QuotaKey::ProducerByteRate;

    fn share(limit: f64, client_id: &str) -> QuotaShare {
        let (limit, client_id) = (KEY.limit(limit).unwrap(), Some(client_id.to_owned()));
        QuotaShare { limit, user: None, client_id }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_takes_more_than_was_saved_waits_for_the_rest() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        let take = |amount, now| quotas.take(KEY, share(100.0, "a"), amount, now);
        assert_eq!(take(1000.0, now), Duration::ZERO, "ten seconds are saved");
        assert_eq!(take(200.0, now), seconds(2));
        assert_eq!(take(100.0, now + seconds(1)), seconds(2), "on top of what is owed");
        assert_eq!(quotas.owed(KEY, share(100.0, "a"), now + seconds(2)), seconds(1));
        assert_eq!(take(0.0, now + seconds(3)), Duration::ZERO);
        assert_eq!(take(1000.0, now + seconds(100)), Duration::ZERO, "not more than ten");
        assert_eq!(take(100.0, now + seconds(100)), seconds(1));
        assert_eq!(quotas.take(KEY, share(100.0, "b"), 100.0, now), Duration::ZERO, "another");
    }

    #[test]
    fn a_changed_quota_forgets_what_was_owed() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        assert_eq!(quotas.take(KEY, share(1.0, "a"), 40.0, now), seconds(30));
        assert_eq!(quotas.take(KEY, share(1000.0, "a"), 40.0, now), Duration::ZERO);
    }

    #[test]
    fn nobody_is_held_back_for_ever() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        let take = |amount, now| quotas.take(KEY, share(1.0, "a"), amount, now);
        assert_eq!(take(100.0, now), LONGEST, "90 are owed");
        assert_eq!(take(0.0, now + LONGEST), seconds(30), "and stay owed");
        for amount in [1e6, 1e300, f64::MAX] {
            assert_eq!(take(amount, now), LONGEST);
        }
        assert_eq!(take(0.0, now + MOST_OWED), Duration::ZERO);
        let limit = QuotaKey::RequestPercentage.limit(1.0).unwrap();
        let share = QuotaShare { limit, user: None, client_id: None };
        let work = QuotaKey::RequestPercentage;
        assert_eq!(quotas.take(work, share.clone(), 0.1, now), Duration::ZERO);
        assert_eq!(quotas.take(work, share, 5.0, now), LONGEST_FOR_WORK);
    }

    #[test]
    fn what_is_owed_for_less_than_a_millisecond_is_told_as_one() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        let held = quotas.take(KEY, share(1e6, "a"), 1e7 + 1.0, now);
        assert_eq!(held, Duration::from_millis(1));
    }

    #[test]
    fn clients_that_choose_new_ids_for_ever_take_no_memory_and_gain_nothing() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        let remembered = || quotas.shares.lock().even.len();
        for client in 0..MAX_SHARES {
            quotas.take(KEY, share(1.0, &client.to_string()), 20.0, now);
        }
        let take = |limit, id: &str, now| quotas.take(KEY, share(limit, id), 20.0, now);
        assert_eq!((take(1.0, "new", now), take(1.0, "newer", now)), (seconds(10), seconds(30)));
        let others = (take(2.0, "new", now), take(2.0, "newer", now));
        assert_eq!(others, (seconds(0), seconds(10)), "of another quota");
        assert_eq!(take(1.0, "newest", now), seconds(50), "which changes nothing in theirs");
        assert_eq!(remembered(), MAX_SHARES + 2);
        take(1.0, "later", now + seconds(15));
        assert!(remembered() > MAX_SHARES, "who is even has not saved up again");
        take(1.0, "later", now + seconds(90));
        assert_eq!(remembered(), 1, "what is full is forgotten");
    }

    #[test]
    fn long_ids_have_no_share_of_their_own() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        let long = |end: char| "x".repeat(MAX_ID_BYTES) + &end.to_string();
        let held = [long('a'), long('b')].map(|id| quotas.take(KEY, share(1.0, &id), 20.0, now));
        assert_eq!(held, [seconds(10), seconds(30)]);
    }
}
