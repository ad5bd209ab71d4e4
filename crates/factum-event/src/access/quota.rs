//! Quotas: how fast somebody may write, read and ask (KIP-13, KIP-124, KIP-546).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::MAX_NAME_BYTES;

/// Limits are below it: in Kafka, those of bytes are whole numbers of 63 bits.
const MOST: f64 = 9_223_372_036_854_775_808.0;

/// What a quota limits, under Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKey {
    /// Bytes of produce requests in a second.
    ProducerByteRate,
    /// Bytes of fetched records in a second.
    ConsumerByteRate,
    /// Time that requests are worked at, in percent of one thread.
    RequestPercentage,
}

impl QuotaKey {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::ProducerByteRate, Self::ConsumerByteRate, Self::RequestPercentage];

    /// Kafka's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
        }
    }

    /// Checks how much somebody may have of it.
    ///
    /// # Errors
    /// [`InvalidQuota`] if that is not above zero, or not whole where bytes are counted.
    pub fn limit(self, value: f64) -> Result<QuotaLimit, InvalidQuota> {
        let is_number = value > 0.0 && value < MOST;
        if is_number && (value.fract() == 0.0 || self == Self::RequestPercentage) {
            Ok(QuotaLimit(value))
        } else {
            Err(InvalidQuota::Value { key: self, value: value.to_string() })
        }
    }
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuotaKey {
    type Err = InvalidQuota;

    fn from_str(name: &str) -> Result<Self, InvalidQuota> {
        let unknown = || InvalidQuota::Key(name.chars().take(100).collect());
        Self::ALL.into_iter().find(|key| key.as_str() == name).ok_or_else(unknown)
    }
}

/// How much somebody may have of something: a number above zero.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct QuotaLimit(f64);

// It is a number.
impl Eq for QuotaLimit {}

impl QuotaLimit {
    /// In the unit of its key: bytes in a second, or percent.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl From<QuotaLimit> for f64 {
    fn from(limit: QuotaLimit) -> Self {
        limit.0
    }
}

impl TryFrom<f64> for QuotaLimit {
    type Error = InvalidQuota;

    fn try_from(value: f64) -> Result<Self, InvalidQuota> {
        QuotaKey::RequestPercentage.limit(value)
    }
}

/// Whom a quota is about: one of a name, or everyone without a quota of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaName {
    /// Each that has no quota of its own.
    Default,
    /// The one of this name.
    Name(String),
}

/// What a quota is about: users, clients by their ids, or clients of users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct QuotaEntity {
    user: Option<QuotaName>,
    client_id: Option<QuotaName>,
}

/// The same, before it was checked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<QuotaName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<QuotaName>,
}

impl QuotaEntity {
    /// Clients of an id of a user; of all users or of any id, where one is not given.
    ///
    /// # Errors
    /// [`InvalidQuota`] if neither is given, or a name is empty or too long.
    pub fn new(
        user: Option<QuotaName>,
        client_id: Option<QuotaName>,
    ) -> Result<Self, InvalidQuota> {
        if user.is_none() && client_id.is_none() {
            return Err(InvalidQuota::Nobody);
        }
        for name in [&user, &client_id].into_iter().flatten() {
            if let QuotaName::Name(name) = name
                && (name.is_empty() || name.len() > MAX_NAME_BYTES)
            {
                return Err(InvalidQuota::Name(name.len()));
            }
        }
        Ok(Self { user, client_id })
    }

    /// The user.
    #[must_use]
    pub const fn user(&self) -> Option<&QuotaName> {
        self.user.as_ref()
    }

    /// The client's id.
    #[must_use]
    pub const fn client_id(&self) -> Option<&QuotaName> {
        self.client_id.as_ref()
    }
}

impl TryFrom<Parts> for QuotaEntity {
    type Error = InvalidQuota;

    fn try_from(Parts { user, client_id }: Parts) -> Result<Self, InvalidQuota> {
        Self::new(user, client_id)
    }
}

impl From<QuotaEntity> for Parts {
    fn from(QuotaEntity { user, client_id }: QuotaEntity) -> Self {
        Self { user, client_id }
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |kind: &str, name: &QuotaName| match name {
            QuotaName::Default => format!("any {kind}"),
            QuotaName::Name(name) => format!("{kind} {name}"),
        };
        let user = self.user.as_ref().map(|name| about("user", name));
        let client_id = self.client_id.as_ref().map(|name| about("client", name));
        let parts: Vec<_> = [user, client_id].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// The quotas of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Whose.
    pub entity: QuotaEntity,
    /// What they are.
    pub limits: BTreeMap<QuotaKey, QuotaLimit>,
}

/// Why something cannot be a quota.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuota {
    /// It is of something that is not limited here.
    #[error(
        "{0:?} is not limited here; expected producer_byte_rate, consumer_byte_rate or \
         request_percentage"
    )]
    Key(String),
    /// It is no number, or not of the right kind.
    #[error(
        "{key} cannot be {value}; expected a number above 0 and below 2^63, of bytes a whole one"
    )]
    Value {
        /// What it is of.
        key: QuotaKey,
        /// What came.
        value: String,
    },
    /// It is about nobody.
    #[error("a quota is about a user, a client or both; neither was given")]
    Nobody,
    /// A name cannot be one.
    #[error("a name of {0} bytes; expected 1 to {MAX_NAME_BYTES}")]
    Name(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_above_zero_and_bytes_are_whole() {
        assert_eq!(QuotaKey::ProducerByteRate.limit(1024.0).unwrap().get(), 1024.0);
        assert_eq!(QuotaKey::RequestPercentage.limit(12.5).unwrap().get(), 12.5);
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1.5] {
            assert!(QuotaKey::ConsumerByteRate.limit(value).is_err(), "{value}");
        }
        assert!(serde_json::from_str::<QuotaLimit>("0").is_err());
    }

    #[test]
    fn an_entity_is_about_somebody_and_survives_json() {
        let named = |name: &str| Some(QuotaName::Name(name.to_owned()));
        let entities = [
            (named("alice"), None, r#"{"user":{"name":"alice"}}"#),
            (None, Some(QuotaName::Default), r#"{"client_id":"default"}"#),
            (named("a"), named("b"), r#"{"user":{"name":"a"},"client_id":{"name":"b"}}"#),
        ];
        for (user, client_id, json) in entities {
            let entity = QuotaEntity::new(user, client_id).unwrap();
            assert_eq!(serde_json::to_string(&entity).unwrap(), json);
            assert_eq!(serde_json::from_str::<QuotaEntity>(json).unwrap(), entity);
        }
        assert_eq!(QuotaEntity::new(None, None), Err(InvalidQuota::Nobody));
        assert_eq!(QuotaEntity::new(named(""), None), Err(InvalidQuota::Name(0)));
        for wrong in ["{}", r#"{"user":{"name":""}}"#, r#"{"ip":"default"}"#, r#"{"user":"x"}"#] {
            assert!(serde_json::from_str::<QuotaEntity>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_have_the_names_that_kafka_gives_them() {
        for key in QuotaKey::ALL {
            assert_eq!(key.as_str().parse::<QuotaKey>().unwrap(), key);
            assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{key}\""));
        }
        assert!("controller_mutation_rate".parse::<QuotaKey>().is_err());
    }
}
