//! Users and their credentials.

use std::collections::BTreeMap;

use factum_event::access::{Credential, ScramMechanism, UserInfo, UserName};

use crate::control::UserAltered;

/// All users, by name; each has a credential at least.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: BTreeMap<String, BTreeMap<ScramMechanism, Credential>>,
}

impl Users {
    pub(super) fn alter(&mut self, altered: UserAltered) {
        let UserAltered { user, set, unset } = altered;
        let credentials = self.users.entry(user.as_str().to_owned()).or_default();
        credentials.retain(|mechanism, _| !unset.contains(mechanism));
        credentials.extend(set);
        if credentials.is_empty() {
            self.users.remove(user.as_str());
        }
    }

    pub(super) fn has(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<&Credential> {
        self.users.get(user)?.get(&mechanism)
    }

    pub(super) fn infos(&self) -> Vec<UserInfo> {
        let named = self.users.iter().filter_map(|(user, credentials)| {
            let of = credentials.iter().map(|(mechanism, of)| (*mechanism, of.iterations));
            Some(UserInfo { name: user.parse().ok()?, mechanisms: of.collect() })
        });
        named.collect()
    }

    /// All of them, each as it was made in one step.
    pub(super) fn all(&self) -> impl Iterator<Item = UserAltered> {
        self.users.iter().filter_map(|(user, credentials)| {
            let user: UserName = user.parse().ok()?;
            Some(UserAltered { user, set: credentials.clone(), unset: [].into() })
        })
    }
}
