//! Quotas, and whose holds for whom.

use std::collections::BTreeMap;

use factum_event::access::{Quota, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};

use crate::control::QuotaAltered;

/// All quotas, by whom they are about; each entity has one at least.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    all: BTreeMap<QuotaEntity, BTreeMap<QuotaKey, QuotaLimit>>,
}

/// A quota that holds for a client, and who shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaShare {
    /// How much they may have together.
    pub limit: QuotaLimit,
    /// The user whose clients share it; none where users do.
    pub user: Option<String>,
    /// The id of the clients that share it; none where clients of any id do.
    pub client_id: Option<String>,
}

impl Quotas {
    pub(super) fn alter(&mut self, altered: QuotaAltered) {
        let QuotaAltered { entity, set, unset } = altered;
        let limits = self.all.entry(entity.clone()).or_default();
        limits.retain(|key, _| !unset.contains(key));
        limits.extend(set);
        if limits.is_empty() {
            self.all.remove(&entity);
        }
    }

    pub(super) fn has(&self, entity: &QuotaEntity) -> bool {
        self.all.contains_key(entity)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Quota> {
        self.all
            .iter()
            .map(|(entity, limits)| Quota { entity: entity.clone(), limits: limits.clone() })
    }

    /// The quota of something that holds for clients of an id of a user: the one that is most
    /// about them, users before clients, as in Kafka.
    pub(super) fn share(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<QuotaShare> {
        if self.all.is_empty() {
            return None;
        }
        let named = |name: &str| Some(QuotaName::Name(name.to_owned()));
        let default = || Some(QuotaName::Default);
        let candidates = [
            (named(user), named(client_id)),
            (named(user), default()),
            (named(user), None),
            (default(), named(client_id)),
            (default(), default()),
            (default(), None),
            (None, named(client_id)),
            (None, default()),
        ];
        candidates.into_iter().find_map(|(of_user, of_client)| {
            let entity = QuotaEntity::new(of_user, of_client).ok()?;
            Some(QuotaShare {
                limit: *self.all.get(&entity)?.get(&key)?,
                user: entity.user().map(|_| user.to_owned()),
                client_id: entity.client_id().map(|_| client_id.to_owned()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<QuotaName> {
        Some(QuotaName::Name(name.to_owned()))
    }

    fn put(quotas: &mut Quotas, user: Option<QuotaName>, client: Option<QuotaName>, limit: f64) {
        let set = [(QuotaKey::ProducerByteRate, QuotaKey::ProducerByteRate.limit(limit).unwrap())];
        let entity = QuotaEntity::new(user, client).unwrap();
        quotas.alter(QuotaAltered { entity, set: set.into(), unset: [].into() });
    }

    #[test]
    fn the_quota_that_is_most_about_a_client_holds() {
        let default = || Some(QuotaName::Default);
        let mut quotas = Quotas::default();
        let share = |quotas: &Quotas| {
            let share = quotas.share(QuotaKey::ProducerByteRate, "alice", "app");
            share.map(|share| (share.limit.get(), share.user, share.client_id))
        };
        let (alice, app) = (|| Some("alice".to_owned()), || Some("app".to_owned()));
        assert_eq!(share(&quotas), None);
        // From what is least about her to what is most.
        let steps = [
            (None, default(), (None, app())),
            (None, named("app"), (None, app())),
            (default(), None, (alice(), None)),
            (default(), default(), (alice(), app())),
            (default(), named("app"), (alice(), app())),
            (named("alice"), None, (alice(), None)),
            (named("alice"), default(), (alice(), app())),
            (named("alice"), named("app"), (alice(), app())),
        ];
        for (limit, (user, client, (of_user, of_client))) in (1_u32..).map(f64::from).zip(steps) {
            put(&mut quotas, user, client, limit);
            put(&mut quotas, named("bob"), named("app"), 99.0);
            put(&mut quotas, named("alice"), named("other"), 98.0);
            assert_eq!(share(&quotas), Some((limit, of_user, of_client)));
            assert_eq!(quotas.share(QuotaKey::ConsumerByteRate, "alice", "app"), None);
        }
    }

    #[test]
    fn who_has_no_quota_left_is_gone() {
        let mut quotas = Quotas::default();
        put(&mut quotas, named("alice"), None, 5.0);
        put(&mut quotas, named("alice"), None, 6.0);
        let entity = QuotaEntity::new(named("alice"), None).unwrap();
        assert!(quotas.has(&entity) && quotas.len() == 1);
        let unset = [QuotaKey::ProducerByteRate].into();
        quotas.alter(QuotaAltered { entity, set: [].into(), unset });
        assert_eq!(quotas.all().count(), 0);
    }
}
