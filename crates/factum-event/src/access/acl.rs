//! A rule: who may, or may not, do what with what, and from where.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::operation::numbered;
use super::{CLUSTER_NAME, Client, Operation, Principal, Resource, ResourceType};

/// The longest name in a rule, in bytes.
pub const MAX_NAME_BYTES: usize = 4096;

/// Every name, in a literal rule; every host.
pub(super) const ANY: &str = "*";

numbered! {
    /// How the name in a rule is meant (Kafka's `PatternType`).
    Pattern {
        /// This one name; `*` is every name.
        Literal = 3 "LITERAL",
        /// Every name that begins so.
        Prefixed = 4 "PREFIXED",
    }
}

numbered! {
    /// What a rule says.
    Permission {
        /// It may not be done, whatever others say.
        Deny = 2 "DENY",
        /// It may be done.
        Allow = 3 "ALLOW",
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acl {
    /// The type of the resources.
    pub resource_type: ResourceType,
    /// Their name, or how their names begin.
    pub name: String,
    /// How the name is meant.
    pub pattern: Pattern,
    /// Whom it is about.
    pub principal: Principal,
    /// The address that they come from; `*` is any.
    pub host: String,
    /// What they may do or not.
    pub operation: Operation,
    /// Which of it.
    pub permission: Permission,
}

/// A rule that can never be of use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidAcl {
    /// No name, or one that is too long.
    #[error("the name has {0} bytes; expected 1 to {MAX_NAME_BYTES}")]
    Name(usize),
    /// A cluster of another name.
    #[error("the only valid name for the CLUSTER resource is {CLUSTER_NAME}, not {0:?}")]
    Cluster(String),
    /// Not an address.
    #[error("{0:?} is not a host; expected an IP address, or * for any")]
    Host(String),
}

impl Acl {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// [`InvalidAcl`].
    pub fn check(&self) -> Result<(), InvalidAcl> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Err(InvalidAcl::Name(self.name.len()));
        }
        if self.resource_type == ResourceType::Cluster && self.name != CLUSTER_NAME {
            return Err(InvalidAcl::Cluster(self.name.clone()));
        }
        if self.host != ANY && self.host.parse::<IpAddr>().is_err() {
            return Err(InvalidAcl::Host(self.host.chars().take(100).collect()));
        }
        Ok(())
    }

    /// Whether the rule is about a resource.
    ///
    /// What allows everything that exists does not allow Factum's own topics, which hold what
    /// other rules keep apart: these have to be named.
    #[must_use]
    pub fn is_about(&self, resource: Resource<'_>) -> bool {
        if self.resource_type != resource.resource_type {
            return false;
        }
        match self.pattern {
            Pattern::Literal if self.name == resource.name => true,
            _ if resource.is_own_topic() && self.permission == Permission::Allow => false,
            Pattern::Literal => self.name == ANY,
            Pattern::Prefixed => resource.name.starts_with(&self.name),
        }
    }

    /// Whether the rule is about a client who does `operation`.
    #[must_use]
    pub fn is_about_client(&self, client: &Client, operation: Operation) -> bool {
        let does = self.operation == operation
            || self.operation == Operation::All
            || self.permission == Permission::Allow && self.operation.implies(operation);
        does && self.principal.covers(&client.principal) && self.covers_host(client.host)
    }

    fn covers_host(&self, host: IpAddr) -> bool {
        self.host == ANY
            || self.host.parse::<IpAddr>().is_ok_and(|of| of.to_canonical() == host.to_canonical())
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_type, name, pattern, principal, host, operation, permission } = self;
        let way = if *permission == Permission::Allow { "may" } else { "may not" };
        let begins = if *pattern == Pattern::Prefixed { " that begin with" } else { "" };
        write!(f, "{principal} {way} {operation} {resource_type}{begins} {name:?}")?;
        if host == ANY { Ok(()) } else { write!(f, " from {host}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(pattern: Pattern, name: &str, permission: Permission) -> Acl {
        Acl {
            resource_type: ResourceType::Topic,
            name: name.to_owned(),
            pattern,
            principal: Principal::user("alice"),
            host: ANY.to_owned(),
            operation: Operation::Read,
            permission,
        }
    }

    #[test]
    fn a_rule_is_about_its_name_a_prefix_or_all() {
        use Pattern::*;
        use Permission::*;
        let about =
            |pattern, name, topic| acl(pattern, name, Allow).is_about(Resource::topic(topic));
        assert!(about(Literal, "orders", "orders") && !about(Literal, "orders", "orders-eu"));
        assert!(about(Prefixed, "orders", "orders-eu") && !about(Prefixed, "orders", "order"));
        assert!(about(Literal, "*", "anything") && !about(Prefixed, "*", "anything"));
        assert!(!acl(Literal, "orders", Allow).is_about(Resource::group("orders")));
    }

    #[test]
    fn own_topics_are_allowed_by_name_alone() {
        use Pattern::*;
        use Permission::*;
        let own = Resource::topic("__factum_control");
        assert!(acl(Literal, "__factum_control", Allow).is_about(own));
        assert!(!acl(Literal, "*", Allow).is_about(own));
        assert!(!acl(Prefixed, "__factum", Allow).is_about(own));
        assert!(acl(Literal, "*", Deny).is_about(own) && acl(Prefixed, "__", Deny).is_about(own));
    }

    #[test]
    fn who_reads_may_describe_and_who_may_not_read_may() {
        let client = |name: &str, host: &str| Client {
            principal: Principal::user(name),
            host: host.parse().unwrap(),
        };
        let mut rule = acl(Pattern::Literal, "orders", Permission::Allow);
        let alice = client("alice", "10.0.0.1");
        assert!(rule.is_about_client(&alice, Operation::Read));
        assert!(rule.is_about_client(&alice, Operation::Describe));
        assert!(!rule.is_about_client(&alice, Operation::Write));
        assert!(!rule.is_about_client(&client("bob", "10.0.0.1"), Operation::Read));
        rule.host = "10.0.0.2".to_owned();
        assert!(!rule.is_about_client(&alice, Operation::Read));
        assert!(rule.is_about_client(&client("alice", "::ffff:10.0.0.2"), Operation::Read));
        rule = acl(Pattern::Literal, "orders", Permission::Deny);
        assert!(!rule.is_about_client(&alice, Operation::Describe));
    }

    #[test]
    fn what_can_be_of_no_use_is_refused() {
        let sound = acl(Pattern::Literal, "orders", Permission::Allow);
        assert_eq!(sound.check(), Ok(()));
        let nameless = Acl { name: String::new(), ..sound.clone() };
        assert_eq!(nameless.check(), Err(InvalidAcl::Name(0)));
        let cluster = Acl { resource_type: ResourceType::Cluster, ..sound.clone() };
        assert!(matches!(cluster.check(), Err(InvalidAcl::Cluster(_))));
        let somewhere = Acl { host: "somewhere".to_owned(), ..sound };
        assert!(matches!(somewhere.check(), Err(InvalidAcl::Host(_))));
    }
}
