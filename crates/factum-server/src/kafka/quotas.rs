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

/// The longest that anybody is held back for one request.
const LONGEST: Duration = Duration::from_secs(600);

/// The longest for work, which a client cannot know beforehand; so in Kafka.
const LONGEST_FOR_WORK: Duration = Duration::from_secs(1);

/// Shares that are remembered; those that nobody owes anything go first.
const MAX_SHARES: usize = 10_000;

/// What shares have been taken of.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    shares: Mutex<HashMap<Share, Bucket>>,
}

/// Who shares what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Share {
    key: QuotaKey,
    user: Option<String>,
    client_id: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// A changed quota begins with a full bucket.
    limit: QuotaLimit,
    /// When what was taken has come in.
    even: Instant,
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
        let mut shares = self.shares.lock();
        let bucket = bucket(&mut shares, key, share, now);
        let saved = now.checked_sub(SAVED).unwrap_or(now);
        let cost = amount / per_second(key, bucket.limit);
        let most = SAVED + LONGEST;
        let cost = Duration::try_from_secs_f64(cost).unwrap_or(most).min(most);
        bucket.even = (bucket.even.max(saved) + cost).min(now + LONGEST);
        bound(key, bucket.even.saturating_duration_since(now))
    }

    /// How long whoever has a share is held back for what was taken of it before.
    pub(super) fn owed(&self, key: QuotaKey, share: QuotaShare, now: Instant) -> Duration {
        let mut shares = self.shares.lock();
        bound(key, bucket(&mut shares, key, share, now).even.saturating_duration_since(now))
    }

    /// How many shares are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shares.lock().len()
    }
}

/// The bucket of a share; full, if there is none of this limit yet.
fn bucket(
    shares: &mut HashMap<Share, Bucket>,
    key: QuotaKey,
    share: QuotaShare,
    now: Instant,
) -> &mut Bucket {
    let QuotaShare { limit, user, client_id } = share;
    let mut of = Share { key, user, client_id };
    let full = Bucket { limit, even: now.checked_sub(SAVED).unwrap_or(now) };
    if shares.len() >= MAX_SHARES && !shares.contains_key(&of) {
        shares.retain(|_, bucket| bucket.even > now);
        if shares.len() >= MAX_SHARES {
            // Clients choose their ids: those that choose new ones for ever share what is left.
            of.client_id = None;
        }
    }
    let bucket = shares.entry(of).or_insert(full);
    if bucket.limit != limit {
        *bucket = full;
    }
    bucket
}

/// What comes in in a second: bytes, or seconds of work.
fn per_second(key: QuotaKey, limit: QuotaLimit) -> f64 {
    match key {
        QuotaKey::RequestPercentage => limit.get() / 100.0,
        _ => limit.get(),
    }
}

fn bound(key: QuotaKey, held: Duration) -> Duration {
    match key {
        QuotaKey::RequestPercentage => held.min(LONGEST_FOR_WORK),
        _ => held,
    }
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
        for amount in [1e6, 1e300, f64::MAX] {
            assert_eq!(quotas.take(KEY, share(1.0, "a"), amount, now), LONGEST);
        }
        let limit = QuotaKey::RequestPercentage.limit(1.0).unwrap();
        let share = QuotaShare { limit, user: None, client_id: None };
        let work = QuotaKey::RequestPercentage;
        assert_eq!(quotas.take(work, share.clone(), 0.1, now), Duration::ZERO);
        assert_eq!(quotas.take(work, share, 5.0, now), LONGEST_FOR_WORK);
    }

    #[test]
    fn clients_that_choose_new_ids_for_ever_take_no_memory_and_gain_nothing() {
        let (quotas, now) = (Quotas::default(), Instant::now() + seconds(60));
        for client in 0..MAX_SHARES {
            quotas.take(KEY, share(1.0, &client.to_string()), 20.0, now);
        }
        let first = quotas.take(KEY, share(1.0, "new"), 20.0, now);
        let second = quotas.take(KEY, share(1.0, "newer"), 20.0, now);
        assert_eq!((first, second), (seconds(10), seconds(30)), "they share");
        assert_eq!(quotas.len(), MAX_SHARES + 1);
        quotas.take(KEY, share(1.0, "later"), 1.0, now + seconds(60));
        assert_eq!(quotas.len(), 1, "who owes nothing is forgotten");
    }
}
