//! Who may do what, and how much of it: principals, resources, operations, the rules (ACLs) about
//! them, and quotas.
//!
//! The words and their numbers are Kafka's, so that its tools and habits go on working. What is
//! decided here is pure; who keeps the rules is a matter of the log that implements
//! [`AccessControl`].

mod acl;
mod filter;
mod operation;
mod principal;
mod quota;
mod user;

pub use acl::{Acl, InvalidAcl, MAX_NAME_BYTES, Pattern, Permission};
pub use filter::{AclFilter, PatternFilter};
pub use operation::{CLUSTER_NAME, Operation, Resource, ResourceType};
pub use principal::{Client, InvalidPrincipal, Principal};
pub use quota::{InvalidQuota, Quota, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
pub use user::{Credential, InvalidUserName, ScramMechanism, UserInfo, UserName};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::BoxFuture;
use crate::log::Result;

/// What is kept about users, rules and quotas, and what it comes to.
///
/// Changes are durable when they are answered, and hold from then on for every request.
pub trait AccessControl: Send + Sync + 'static {
    /// Whether `client` may do `operation` with `resource`, and why.
    fn decide(&self, client: &Client, operation: Operation, resource: Resource<'_>) -> Verdict;

    /// The rules that fit, in their order.
    fn acls(&self, filter: &AclFilter) -> Vec<Acl>;

    /// Adds rules; those that are there already stay. All are checked before any is added.
    ///
    /// # Errors
    /// [`LogError::InvalidRequest`](crate::LogError::InvalidRequest), `Storage`.
    fn create_acls<'a>(&'a self, author: &'a str, acls: Vec<Acl>) -> BoxFuture<'a, Result<()>>;

    /// Removes the rules that fit, and answers them.
    ///
    /// # Errors
    /// `Storage`.
    fn delete_acls<'a>(
        &'a self,
        author: &'a str,
        filter: AclFilter,
    ) -> BoxFuture<'a, Result<Vec<Acl>>>;

    /// All users, by name.
    fn users(&self) -> Vec<UserInfo>;

    /// The credential that a user logs in with by a mechanism.
    fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<Credential>;

    /// Gives a user credentials, and takes others away. A user without any is gone.
    ///
    /// # Errors
    /// [`LogError::InvalidRequest`](crate::LogError::InvalidRequest) if there are too many users,
    /// `Storage`.
    fn alter_user<'a>(
        &'a self,
        author: &'a str,
        user: UserName,
        set: Vec<(ScramMechanism, Credential)>,
        unset: Vec<ScramMechanism>,
    ) -> BoxFuture<'a, Result<()>>;

    /// All quotas, in the order of whom they are about.
    fn quotas(&self) -> Vec<Quota>;

    /// Sets quotas of an entity, and takes others away.
    ///
    /// # Errors
    /// [`LogError::InvalidRequest`](crate::LogError::InvalidRequest) if there are too many,
    /// `Storage`.
    fn alter_quota<'a>(
        &'a self,
        author: &'a str,
        entity: QuotaEntity,
        set: BTreeMap<QuotaKey, QuotaLimit>,
        unset: BTreeSet<QuotaKey>,
    ) -> BoxFuture<'a, Result<()>>;
}

/// Whether somebody may do something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "because", content = "rule")]
pub enum Verdict {
    /// Nothing is asked for here: access control is off.
    Off,
    /// Who asks is a super user.
    SuperUser,
    /// A rule allows it, and none denies it.
    Allowed(Acl),
    /// A rule denies it; that beats all that allow it.
    Denied(Acl),
    /// No rule is about the resource, whoever asks, and everybody may then.
    Everybody,
    /// No rule allows it, so that it is denied.
    NoRule,
}

impl Verdict {
    /// Whether it may be done.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Off | Self::SuperUser | Self::Allowed(_) | Self::Everybody)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("access control is off"),
            Self::SuperUser => f.write_str("super users may do everything"),
            Self::Allowed(acl) | Self::Denied(acl) => acl.fmt(f),
            Self::Everybody => f.write_str(
                "no rule is about it, whoever asks, and allow_everyone_if_no_acl_found is set",
            ),
            Self::NoRule => f.write_str("no rule allows it"),
        }
    }
}
