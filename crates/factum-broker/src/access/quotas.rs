//! Quotas, and whose holds for whom.

use std::collections::{BTreeMap, HashMap};

use factum_event::access::{Quota, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};

use crate::control::QuotaAltered;

type Limits = BTreeMap<QuotaKey, QuotaLimit>;

/// All quotas, by whom they are about; each entity has one at least.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// By user, and then by client id.
    users: Names<Names<Limits>>,
    entities: usize,
}

/// What there is for names, for each other name, and where no name matters.
#[derive(Debug)]
struct Names<T> {
    named: HashMap<String, T>,
    default: Option<T>,
    any: Option<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { named: HashMap::new(), default: None, any: None }
    }
}

impl<T> Names<T> {
    fn get(&self, name: Option<&QuotaName>) -> Option<&T> {
        match name {
            Some(QuotaName::Name(name)) => self.named.get(name),
            Some(QuotaName::Default) => self.default.as_ref(),
            None => self.any.as_ref(),
        }
    }

    fn get_or_insert(&mut self, name: Option<&QuotaName>) -> &mut T
    where
        T: Default,
    {
        match name {
            Some(QuotaName::Name(name)) => self.named.entry(name.clone()).or_default(),
            Some(QuotaName::Default) => self.default.get_or_insert_default(),
            None => self.any.get_or_insert_default(),
        }
    }

    fn remove(&mut self, name: Option<&QuotaName>) {
        match name {
            Some(QuotaName::Name(name)) => drop(self.named.remove(name)),
            Some(QuotaName::Default) => self.default = None,
            None => self.any = None,
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.default.is_none() && self.any.is_none()
    }

    /// What is about a name, from what is most about it on; whether that is about the name.
    fn about(&self, name: &str) -> impl Iterator<Item = (&T, bool)> {
        let named = [self.named.get(name), self.default.as_ref()].into_iter().flatten();
        named.map(|of| (of, true)).chain(self.any.iter().map(|of| (of, false)))
    }

    fn all(&self) -> impl Iterator<Item = (Option<QuotaName>, &T)> {
        let named = self.named.iter().map(|(name, of)| (Some(QuotaName::Name(name.clone())), of));
        let default = self.default.iter().map(|of| (Some(QuotaName::Default), of));
        named.chain(default).chain(self.any.iter().map(|of| (None, of)))
    }
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
        let had_some = self.has(&entity);
        let limits = self.users.get_or_insert(entity.user()).get_or_insert(entity.client_id());
        limits.retain(|key, _| !unset.contains(key));
        limits.extend(set);
        let has_some = !limits.is_empty();
        self.entities = self.entities + usize::from(has_some) - usize::from(had_some);
        if !has_some {
            let clients = self.users.get_or_insert(entity.user());
            clients.remove(entity.client_id());
            if clients.is_empty() {
                self.users.remove(entity.user());
            }
        }
    }

    /// What an entity has.
    pub(super) fn limits(&self, entity: &QuotaEntity) -> Option<&Limits> {
        self.users.get(entity.user())?.get(entity.client_id())
    }

    pub(super) fn has(&self, entity: &QuotaEntity) -> bool {
        self.limits(entity).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.entities
    }

    /// All of them, in the order of whom they are about.
    pub(super) fn all(&self) -> Vec<Quota> {
        let mut all: Vec<_> = self
            .users
            .all()
            .flat_map(|(user, clients)| {
                clients.all().filter_map(move |(client_id, limits)| {
                    let entity = QuotaEntity::new(user.clone(), client_id).ok()?;
                    Some(Quota { entity, limits: limits.clone() })
                })
            })
            .collect();
        all.sort_unstable_by(|one, other| one.entity.cmp(&other.entity));
        all
    }

    /// The quota of something that holds for clients of an id of a user: the one that is most
    /// about them, users before clients, as in Kafka.
    pub(super) fn share(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<QuotaShare> {
        self.users.about(user).find_map(|(clients, of_user)| {
            clients.about(client_id).find_map(|(limits, of_client)| {
                Some(QuotaShare {
                    limit: *limits.get(&key)?,
                    user: of_user.then(|| user.to_owned()),
                    client_id: of_client.then(|| client_id.to_owned()),
                })
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
        assert_eq!((quotas.all().len(), quotas.len()), (0, 0));
        assert!(quotas.users.is_empty());
    }
}
