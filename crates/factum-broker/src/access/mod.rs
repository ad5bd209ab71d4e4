//! Users, rules and quotas: a fold over control events, and what they come to for a request.
//!
//! Without [`AccessSettings::is_on`], everybody may do everything. With it, who is no super user
//! may do what a rule allows and none denies.

mod guarded;
mod quotas;
mod rules;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use factum_event::access::{
    AccessControl, Acl, AclFilter, Client, Credential, Operation, Permission, Principal, Quota,
    QuotaEntity, QuotaKey, QuotaLimit, Resource, ResourceType, ScramMechanism, UserInfo, UserName,
    Verdict,
};
use factum_event::{BoxFuture, LogError};
use parking_lot::RwLock;

pub use guarded::GuardedLog;
pub use quotas::QuotaShare;

use crate::control::{Change, QuotaAltered, UserAltered};
use crate::{AdminError, Broker};
use quotas::Quotas;
use rules::Rules;
use users::Users;

/// Most rules in one control event: together they stay far below the size of a batch.
const ACLS_PER_CHANGE: usize = 100;

/// Whether rules decide, for whom they do not, and how many there may be.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings {
    /// Whether rules are asked at all; without, everybody may do everything.
    pub is_on: bool,
    /// Who may do everything, whatever rules say.
    pub super_users: BTreeSet<Principal>,
    /// Whether everybody may do everything with what no rule is about, of whomever it speaks
    /// (Kafka's `allow.everyone.if.no.acl.found`); Factum's own topics are never open so.
    pub is_open_without_rules: bool,
    /// How much there may be, whether rules are asked or not.
    pub limits: AccessLimits,
}

/// How much there may be.
#[derive(Debug, Clone)]
pub struct AccessLimits {
    /// Most rules.
    pub acls: usize,
    /// Most users.
    pub users: usize,
    /// Most entities with quotas.
    pub quotas: usize,
}

impl Default for AccessLimits {
    fn default() -> Self {
        Self { acls: 100_000, users: 100_000, quotas: 100_000 }
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessCounts {
    /// Rules.
    pub acls: usize,
    /// Users.
    pub users: usize,
    /// Entities with quotas.
    pub quotas: usize,
}

/// What control events say about users, rules and quotas.
#[derive(Debug, Default)]
pub(crate) struct AccessState {
    rules: RwLock<Rules>,
    users: RwLock<Users>,
    quotas: RwLock<Quotas>,
}

impl AccessState {
    pub(crate) fn created(&self, acls: Vec<Acl>) {
        let mut rules = self.rules.write();
        acls.into_iter().for_each(|acl| rules.insert(acl));
    }

    pub(crate) fn deleted(&self, acls: &[Acl]) {
        let mut rules = self.rules.write();
        acls.iter().for_each(|acl| rules.remove(acl));
    }

    pub(crate) fn altered(&self, altered: UserAltered) {
        self.users.write().alter(altered);
    }

    pub(crate) fn quota_altered(&self, altered: QuotaAltered) {
        self.quotas.write().alter(altered);
    }

    /// The fewest changes that lead to this state.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let acls: Vec<_> = self.rules.read().all().cloned().collect();
        let created = acls.chunks(ACLS_PER_CHANGE);
        let created = created.map(|acls| Change::AclsCreated { acls: acls.to_vec() });
        let mut changes: Vec<_> =
            created.chain(self.users.read().all().map(Change::UserAltered)).collect();
        changes.extend(self.quotas.read().all().into_iter().map(|Quota { entity, limits }| {
            Change::QuotaAltered(QuotaAltered { entity, set: limits, unset: [].into() })
        }));
        changes
    }
}

impl Broker {
    /// Whether `client` may do `operation` with `resource`: [`AccessControl::decide`] for those
    /// who need no reason.
    #[must_use]
    pub fn may(&self, client: &Client, operation: Operation, resource: Resource<'_>) -> bool {
        if self.without_rules(client).is_some() {
            return true;
        }
        let rules = self.access_state().rules.read();
        let allowed = match rules.about(client, operation, resource) {
            Some(acl) => is_allowing(acl),
            None => self.is_open(&rules, resource),
        };
        if !allowed {
            // Lists ask for each of their items: what is left out is no news.
            tracing::debug!(principal = %client.principal, host = %client.host, %operation,
                %resource, "denied");
        }
        allowed
    }

    /// Whether `client` may do `operation` with any resource of a type.
    #[must_use]
    pub fn may_with_any(
        &self,
        client: &Client,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        if self.without_rules(client).is_some() {
            return true;
        }
        let rules = self.access_state().rules.read();
        rules.allow_any(client, operation, resource_type)
            || self.settings().access.is_open_without_rules && rules.leave_some_open(resource_type)
    }

    /// Whether everybody may do everything with a resource, because no rule is about it.
    fn is_open(&self, rules: &Rules, resource: Resource<'_>) -> bool {
        self.settings().access.is_open_without_rules
            && !resource.is_own_topic()
            && !rules.have_any_about(resource)
    }

    /// Whether everybody may change the cluster, users and rules included, because no rule is about
    /// it.
    #[must_use]
    pub fn is_cluster_open(&self) -> bool {
        let rules = self.access_state().rules.read();
        self.has_access_control() && self.is_open(&rules, Resource::CLUSTER)
    }

    /// Why `client` may do everything, if no rule needs to be asked for that.
    fn without_rules(&self, client: &Client) -> Option<Verdict> {
        let settings = &self.settings().access;
        if !settings.is_on {
            return Some(Verdict::Off);
        }
        settings.super_users.contains(&client.principal).then_some(Verdict::SuperUser)
    }

    /// Whether rules are asked at all.
    #[must_use]
    pub fn has_access_control(&self) -> bool {
        self.settings().access.is_on
    }

    /// How much there is.
    #[must_use]
    pub fn access_counts(&self) -> AccessCounts {
        let state = self.access_state();
        let (acls, users) = (state.rules.read().len(), state.users.read().len());
        AccessCounts { acls, users, quotas: state.quotas.read().len() }
    }

    /// The quota of something that holds for the clients of an id of a user.
    #[must_use]
    pub fn quota(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<QuotaShare> {
        self.access_state().quotas.read().share(key, user, client_id)
    }

    async fn add_acls(&self, author: &str, acls: Vec<Acl>) -> Result<(), LogError> {
        for acl in &acls {
            acl.check().map_err(|error| LogError::InvalidRequest(error.to_string()))?;
        }
        let _one_at_a_time = self.changes().lock().await;
        let (new, most) = {
            let rules = self.access_state().rules.read();
            let asked: BTreeSet<_> = acls.into_iter().collect();
            let new: Vec<_> = asked.into_iter().filter(|acl| !rules.contains(acl)).collect();
            (new, self.settings().access.limits.acls.saturating_sub(rules.len()))
        };
        if new.len() > most {
            let limit = self.settings().access.limits.acls;
            let advice = "delete some, or use prefixed names";
            let reason = format!("there would be more than {limit} rules; {advice}");
            return Err(LogError::InvalidRequest(reason));
        }
        for acls in new.chunks(ACLS_PER_CHANGE) {
            self.change(author, &Change::AclsCreated { acls: acls.to_vec() }).await?;
        }
        Ok(())
    }

    async fn remove_acls(&self, author: &str, filter: AclFilter) -> Result<Vec<Acl>, AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let gone = self.acls(&filter);
        for acls in gone.chunks(ACLS_PER_CHANGE) {
            self.change(author, &Change::AclsDeleted { acls: acls.to_vec() }).await?;
        }
        Ok(gone)
    }

    async fn change_quota(&self, author: &str, altered: QuotaAltered) -> Result<(), LogError> {
        let _one_at_a_time = self.changes().lock().await;
        let limit = self.settings().access.limits.quotas;
        let (changes, is_full) = {
            let quotas = self.access_state().quotas.read();
            let has = quotas.limits(&altered.entity);
            let value = |key: &QuotaKey| has.and_then(|limits| limits.get(key));
            let changes = altered.set.iter().any(|(key, limit)| value(key) != Some(limit))
                || altered.unset.iter().any(|key| value(key).is_some());
            (changes, has.is_none() && !altered.set.is_empty() && quotas.len() >= limit)
        };
        if !changes {
            return Ok(());
        }
        if is_full {
            let reason = format!("{limit} have quotas already; remove some first");
            return Err(LogError::InvalidRequest(reason));
        }
        Ok(self.change(author, &Change::QuotaAltered(altered)).await?)
    }

    async fn change_user(&self, author: &str, altered: UserAltered) -> Result<(), LogError> {
        let _one_at_a_time = self.changes().lock().await;
        let limit = self.settings().access.limits.users;
        let is_full = {
            let users = self.access_state().users.read();
            !altered.set.is_empty() && !users.has(altered.user.as_str()) && users.len() >= limit
        };
        if is_full {
            let reason = format!("there are {limit} users already; remove some first");
            return Err(LogError::InvalidRequest(reason));
        }
        Ok(self.change(author, &Change::UserAltered(altered)).await?)
    }
}

impl AccessControl for Broker {
    fn decide(&self, client: &Client, operation: Operation, resource: Resource<'_>) -> Verdict {
        if let Some(verdict) = self.without_rules(client) {
            return verdict;
        }
        let rules = self.access_state().rules.read();
        match rules.about(client, operation, resource) {
            Some(acl) if is_allowing(acl) => Verdict::Allowed(acl.clone()),
            Some(acl) => Verdict::Denied(acl.clone()),
            None if self.is_open(&rules, resource) => Verdict::Everybody,
            None => Verdict::NoRule,
        }
    }

    fn acls(&self, filter: &AclFilter) -> Vec<Acl> {
        self.access_state().rules.read().all().filter(|acl| filter.fits(acl)).cloned().collect()
    }

    fn create_acls<'a>(
        &'a self,
        author: &'a str,
        acls: Vec<Acl>,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.add_acls(author, acls))
    }

    fn delete_acls<'a>(
        &'a self,
        author: &'a str,
        filter: AclFilter,
    ) -> BoxFuture<'a, Result<Vec<Acl>, LogError>> {
        Box::pin(async move { Ok(self.remove_acls(author, filter).await?) })
    }

    fn users(&self) -> Vec<UserInfo> {
        self.access_state().users.read().infos()
    }

    fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<Credential> {
        self.access_state().users.read().credential(user, mechanism).cloned()
    }

    fn alter_user<'a>(
        &'a self,
        author: &'a str,
        user: UserName,
        set: Vec<(ScramMechanism, Credential)>,
        unset: Vec<ScramMechanism>,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        let set: BTreeMap<_, _> = set.into_iter().collect();
        let altered = UserAltered { user, set, unset: unset.into_iter().collect() };
        Box::pin(self.change_user(author, altered))
    }

    fn quotas(&self) -> Vec<Quota> {
        self.access_state().quotas.read().all()
    }

    fn alter_quota<'a>(
        &'a self,
        author: &'a str,
        entity: QuotaEntity,
        set: BTreeMap<QuotaKey, QuotaLimit>,
        unset: BTreeSet<QuotaKey>,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.change_quota(author, QuotaAltered { entity, set, unset }))
    }
}

fn is_allowing(acl: &Acl) -> bool {
    acl.permission == Permission::Allow
}

#[cfg(test)]
mod tests;
