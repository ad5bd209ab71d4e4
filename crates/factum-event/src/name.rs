//! Names that were checked once and need no second check.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} name {name:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What was to be named: "topic" or "consumer group".
    pub kind: &'static str,
    /// What came, cut to 64 characters.
    pub name: String,
    /// The rule that it breaks, as advice.
    pub rule: &'static str,
}

impl InvalidName {
    fn new(kind: &'static str, name: &str, rule: &'static str) -> Self {
        Self { kind, name: name.chars().take(64).collect(), rule }
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `name` against the rule of its kind.
            ///
            /// # Errors
            /// [`InvalidName`] with the rule that it breaks.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                $check(name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

name_type! {
    /// The name of a topic, by Kafka's rule: 1 to 249 of `a-z A-Z 0-9 . _ -`, but not `.` or `..`.
    TopicName, check_topic
}

name_type! {
    /// The name of a consumer group: 1 to 32,767 bytes of UTF-8, as Kafka's protocol carries it.
    GroupName, check_group
}

/// Longest topic name, in characters; Kafka's own limit, as names become file names there.
pub const MAX_TOPIC_NAME: usize = 249;

/// Longest group name, in bytes: what a string of Kafka's protocol can hold.
pub const MAX_GROUP_NAME: usize = i16::MAX as usize;

/// Topics whose names begin so are Factum's own; clients read them, but only Factum writes.
pub const INTERNAL_PREFIX: &str = "__factum";

impl TopicName {
    /// Whether this is one of Factum's own topics.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(INTERNAL_PREFIX)
    }
}

fn check_topic(name: &str) -> Result<(), InvalidName> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let rule = if name.is_empty() {
        "it is empty; give it 1 to 249 characters"
    } else if name.len() > MAX_TOPIC_NAME {
        "it is longer than 249 characters"
    } else if name == "." || name == ".." {
        "\".\" and \"..\" are reserved"
    } else if !name.bytes().all(legal) {
        "use only letters, digits, '.', '_' and '-'"
    } else {
        return Ok(());
    };
    Err(InvalidName::new("topic", name, rule))
}

fn check_group(name: &str) -> Result<(), InvalidName> {
    let rule = if name.is_empty() {
        "it is empty; give the group a name"
    } else if name.len() > MAX_GROUP_NAME {
        "it is longer than 32767 bytes"
    } else {
        return Ok(());
    };
    Err(InvalidName::new("consumer group", name, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "orders", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_kind_name_and_rule() {
        let error = TopicName::new("a b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "topic name \"a b\" is not valid: use only letters, digits, '.', '_' and '-'"
        );
    }

    #[test]
    fn names_are_checked_when_deserialised() {
        assert!(serde_json::from_str::<TopicName>("\"a/b\"").is_err());
        assert!(serde_json::from_str::<GroupName>("\"\"").is_err());
        assert_eq!(serde_json::from_str::<TopicName>("\"ab\"").unwrap().as_str(), "ab");
    }
}
