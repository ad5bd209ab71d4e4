//! What can be done, and with what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::INTERNAL_PREFIX;

/// The name of the only resource of the type [`ResourceType::Cluster`].
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// An enumeration of Kafka's with its numbers and names.
macro_rules! numbered {
    ($(#[$about:meta])* $name:ident { $($(#[$variant_about:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$variant_about])* #[serde(rename = $text)] $variant, )*
        }

        impl $name {
            /// All of them, by their numbers.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// Its number in Kafka's protocol.
            #[must_use]
            pub const fn code(self) -> i8 {
                match self { $( Self::$variant => $code, )* }
            }

            /// The one of a number; none for those of filters, and for unknown ones.
            #[must_use]
            pub const fn from_code(code: i8) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// Its name, as Kafka's tools print it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// Reads a name in any case, with `-` for `_`, or without.
            fn from_str(text: &str) -> Result<Self, String> {
                let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_uppercase();
                let asked = plain(text);
                Self::ALL.iter().find(|one| plain(one.name()) == asked).copied().ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|one| one.name()).collect();
                    format!("{text:?} is none of {}", names.join(", "))
                })
            }
        }
    };
}
pub(super) use numbered;

numbered! {
    /// What somebody wants to do (Kafka's `AclOperation`).
    Operation {
        /// Everything.
        All = 2 "ALL",
        /// Read records, or be a member of a group.
        Read = 3 "READ",
        /// Append records.
        Write = 4 "WRITE",
        /// Create it.
        Create = 5 "CREATE",
        /// Delete it.
        Delete = 6 "DELETE",
        /// Change it.
        Alter = 7 "ALTER",
        /// Know of it.
        Describe = 8 "DESCRIBE",
        /// What brokers do among each other.
        ClusterAction = 9 "CLUSTER_ACTION",
        /// Know its settings.
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        /// Change its settings.
        AlterConfigs = 11 "ALTER_CONFIGS",
        /// Have a producer id.
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        /// Make tokens for a user.
        CreateTokens = 13 "CREATE_TOKENS",
        /// Know the tokens of a user.
        DescribeTokens = 14 "DESCRIBE_TOKENS",
    }
}

numbered! {
    /// What kind of thing a rule is about (Kafka's `ResourceType`).
    ResourceType {
        /// A topic.
        Topic = 2 "TOPIC",
        /// A consumer group.
        Group = 3 "GROUP",
        /// The whole, under the name [`CLUSTER_NAME`].
        Cluster = 4 "CLUSTER",
        /// A transactional id.
        TransactionalId = 5 "TRANSACTIONAL_ID",
        /// A delegation token.
        DelegationToken = 6 "DELEGATION_TOKEN",
        /// A user.
        User = 7 "USER",
    }
}

impl Operation {
    /// Whether who may do `self` may also do `asked`: who reads a topic knows of it.
    #[must_use]
    pub const fn implies(self, asked: Self) -> bool {
        match asked {
            Self::Describe => {
                matches!(self, Self::Read | Self::Write | Self::Delete | Self::Alter)
            }
            Self::DescribeConfigs => matches!(self, Self::AlterConfigs),
            _ => false,
        }
    }
}

impl ResourceType {
    /// What can be done with a resource of this type.
    #[must_use]
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Self::Topic => {
                &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs]
            }
            Self::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[
                Create,
                Alter,
                Describe,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
            ],
            Self::TransactionalId => &[Write, Describe],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }
}

/// Something that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What kind of thing.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// The whole.
    pub const CLUSTER: Resource<'static> =
        Resource { resource_type: ResourceType::Cluster, name: CLUSTER_NAME };

    /// A topic.
    #[must_use]
    pub const fn topic(name: &'a str) -> Self {
        Self { resource_type: ResourceType::Topic, name }
    }

    /// A consumer group.
    #[must_use]
    pub const fn group(name: &'a str) -> Self {
        Self { resource_type: ResourceType::Group, name }
    }

    /// A transactional id.
    #[must_use]
    pub const fn transactional_id(name: &'a str) -> Self {
        Self { resource_type: ResourceType::TransactionalId, name }
    }

    /// Whether it is one of Factum's own topics, which only rules with their full names open.
    #[must_use]
    pub fn is_own_topic(&self) -> bool {
        self.resource_type == ResourceType::Topic && self.name.starts_with(INTERNAL_PREFIX)
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.resource_type, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(*operation));
            assert_eq!(operation.name().to_lowercase().replace('_', "-").parse(), Ok(*operation));
        }
        for kind in ResourceType::ALL {
            assert_eq!(ResourceType::from_code(kind.code()), Some(*kind));
            assert_eq!(kind.name().replace('_', "").parse(), Ok(*kind));
        }
        assert_eq!(Operation::from_code(1), None, "any, in a filter");
        assert!("FLY".parse::<Operation>().unwrap_err().contains("DESCRIBE_CONFIGS"));
    }
}
