//! Who somebody is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::MAX_NAME_BYTES;

/// Somebody who has logged in, or not: `User:alice`, as Kafka writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(Arc<str>);

/// A text that is no principal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a principal; expected a type, a colon and a name of at most {MAX_NAME_BYTES} \
     bytes, such as User:alice"
)]
pub struct InvalidPrincipal(pub String);

impl Principal {
    /// The user of this name.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self(format!("User:{name}").into())
    }

    /// Who has not logged in.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }

    /// Everyone, in a rule.
    #[must_use]
    pub fn everyone() -> Self {
        Self::user("*")
    }

    /// Type and name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a rule about `self` is about `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        *self.0 == *other.0 || *self.0 == *"User:*"
    }
}

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        match text.split_once(':') {
            Some((kind, name))
                if !kind.is_empty() && !name.is_empty() && text.len() <= MAX_NAME_BYTES =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidPrincipal(text.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = InvalidPrincipal;

    fn try_from(text: String) -> Result<Self, InvalidPrincipal> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        Self::from(&*principal.0)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who sends a request, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub host: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_a_type_and_a_name() {
        assert_eq!("User:alice".parse(), Ok(Principal::user("alice")));
        assert_eq!("User:CN=a:b".parse(), Ok(Principal::user("CN=a:b")));
        for wrong in ["", "alice", ":alice", "User:", &format!("User:{}", "a".repeat(5000))] {
            assert!(wrong.parse::<Principal>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_about_everyone_is_about_each() {
        let alice = Principal::user("alice");
        assert!(Principal::everyone().covers(&alice) && alice.covers(&alice));
        assert!(!alice.covers(&Principal::everyone()) && !alice.covers(&Principal::anonymous()));
    }
}
