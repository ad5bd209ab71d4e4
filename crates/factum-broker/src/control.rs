//! Control events: what was created, changed and deleted, with when and by whom.
//!
//! They are CloudEvents in the topic [`CONTROL_TOPIC`], which anyone may read: auditing is a
//! read. What exists now is a fold over them.

use std::collections::{BTreeMap, BTreeSet};

use factum_event::access::{
    Acl, Credential, QuotaEntity, QuotaKey, QuotaLimit, ScramMechanism, UserName,
};
use factum_event::event::{EventError, EventIds, kafka};
use factum_event::{Event, GroupName, Offset, Partition, Record, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::broker_config::BrokerScope;
use crate::offsets::{OFFSETS_TOPIC, OFFSETS_TOPIC_ID};
use crate::topic_config::Configs;
use crate::transactions::{TRANSACTIONS_TOPIC, TRANSACTIONS_TOPIC_ID};

/// The name of the topic that holds control events.
pub const CONTROL_TOPIC: &str = "__factum_control";

/// The identity of [`CONTROL_TOPIC`]: it must be known before anything is read.
pub const CONTROL_TOPIC_ID: TopicId =
    TopicId(Uuid::from_u128(0x6661_6374_756d_8000_8000_0000_0000_0001));

/// A change of what exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(crate) enum Change {
    #[serde(rename = "io.factum.cluster.created")]
    ClusterCreated { id: String },
    #[serde(rename = "io.factum.topic.created")]
    TopicCreated(TopicCreated),
    #[serde(rename = "io.factum.topic.grown")]
    TopicGrown { topic: TopicName, id: TopicId, partitions: u32 },
    #[serde(rename = "io.factum.topic.configured")]
    TopicConfigured { topic: TopicName, id: TopicId, set: Configs, unset: BTreeSet<String> },
    #[serde(rename = "io.factum.broker.configured")]
    BrokerConfigured { scope: BrokerScope, set: Configs, unset: BTreeSet<String> },
    #[serde(rename = "io.factum.group.configured")]
    GroupConfigured(GroupConfigured),
    #[serde(rename = "io.factum.topic.deleted")]
    TopicDeleted { topic: TopicName, id: TopicId },
    #[serde(rename = "io.factum.records.deleted")]
    RecordsDeleted { topic: TopicName, id: TopicId, cuts: Vec<Cut> },
    #[serde(rename = "io.factum.producerids.reserved")]
    ProducerIdsReserved { next: i64 },
    #[serde(rename = "io.factum.acls.created")]
    AclsCreated { acls: Vec<Acl> },
    #[serde(rename = "io.factum.acls.deleted")]
    AclsDeleted { acls: Vec<Acl> },
    #[serde(rename = "io.factum.user.altered")]
    UserAltered(UserAltered),
    #[serde(rename = "io.factum.quota.altered")]
    QuotaAltered(QuotaAltered),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicCreated {
    pub(crate) topic: TopicName,
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
    pub(crate) configs: Configs,
}

/// Settings of a group that are new, and those that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupConfigured {
    pub(crate) group: GroupName,
    pub(crate) set: Configs,
    pub(crate) unset: BTreeSet<String>,
}

/// Credentials of a user that are new, and those that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserAltered {
    pub(crate) user: UserName,
    pub(crate) set: BTreeMap<ScramMechanism, Credential>,
    pub(crate) unset: BTreeSet<ScramMechanism>,
}

/// Quotas of an entity that are new, and those that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuotaAltered {
    pub(crate) entity: QuotaEntity,
    pub(crate) set: BTreeMap<QuotaKey, QuotaLimit>,
    pub(crate) unset: BTreeSet<QuotaKey>,
}

/// Records of a partition before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) partition: Partition,
    pub(crate) before: Offset,
}

/// What a [`Change`] is as JSON: its event's type and data.
#[derive(Serialize, Deserialize)]
struct TypeAndData {
    #[serde(rename = "type")]
    event_type: String,
    data: serde_json::Value,
}

/// Where control events come from.
const SOURCE: &str = "/factum/broker";

/// The extension attribute that says who asked for the change.
const PRINCIPAL: &str = "principal";

/// The record of a change that `principal` asked for.
pub(crate) fn encode(
    change: &Change,
    principal: &str,
    ids: &EventIds,
    now: Timestamp,
) -> Result<Record, EventError> {
    let json = serde_json::to_value(change).expect("names and numbers are JSON");
    let parts: TypeAndData = serde_json::from_value(json).expect("a change has a type and data");
    let event = Event::builder(SOURCE, parts.event_type)
        .subject(change.subject())
        .extension(PRINCIPAL, principal)
        .json(&parts.data)
        .stamp(ids, now)
        .build()?;
    Ok(kafka::encode(&event, kafka::Mode::Binary, now))
}

/// The change that a record states.
pub(crate) fn decode(offset: Offset, record: &Record) -> Result<Change, UnknownChange> {
    let unknown = |reason: String| UnknownChange { offset, reason };
    let event = kafka::decode(record).map_err(|error| unknown(error.to_string()))?;
    let data = event.data().as_json().ok_or_else(|| unknown("it has no JSON data".to_owned()))?;
    let data = data.decode().map_err(|error| unknown(error.to_string()))?;
    let parts = TypeAndData { event_type: event.event_type().to_owned(), data };
    let json = serde_json::to_value(parts).map_err(|error| unknown(error.to_string()))?;
    serde_json::from_value(json).map_err(|error| unknown(error.to_string()))
}

/// The topic that a record of the control topic says was created.
#[must_use]
pub fn created_topic(offset: Offset, record: &Record) -> Option<(TopicId, TopicName)> {
    match decode(offset, record) {
        Ok(Change::TopicCreated(created)) => Some((created.id, created.topic)),
        _ => None,
    }
}

/// The name of a topic of Factum's own.
#[must_use]
pub fn own_topic(id: TopicId) -> Option<TopicName> {
    let own = [
        (CONTROL_TOPIC_ID, CONTROL_TOPIC),
        (OFFSETS_TOPIC_ID, OFFSETS_TOPIC),
        (TRANSACTIONS_TOPIC_ID, TRANSACTIONS_TOPIC),
    ];
    own.into_iter().find(|(own, _)| *own == id).and_then(|(_, name)| TopicName::new(name).ok())
}

impl Change {
    /// What the change is about.
    fn subject(&self) -> &str {
        match self {
            Self::ClusterCreated { .. } => "cluster",
            Self::ProducerIdsReserved { .. } => "producer-ids",
            Self::AclsCreated { .. } | Self::AclsDeleted { .. } => "acls",
            Self::UserAltered(altered) => altered.user.as_str(),
            Self::QuotaAltered(_) => "quotas",
            Self::BrokerConfigured { .. } => "broker",
            // Names of groups may have characters that a subject cannot.
            Self::GroupConfigured(_) => "groups",
            _ => self.topic().map_or("", |(topic, _)| topic.as_str()),
        }
    }

    /// The topic that it changes, if it is one of a topic.
    pub(crate) fn topic(&self) -> Option<(&TopicName, TopicId)> {
        match self {
            Self::TopicCreated(TopicCreated { topic, id, .. })
            | Self::TopicGrown { topic, id, .. }
            | Self::TopicConfigured { topic, id, .. }
            | Self::RecordsDeleted { topic, id, .. }
            | Self::TopicDeleted { topic, id } => Some((topic, *id)),
            Self::ClusterCreated { .. }
            | Self::ProducerIdsReserved { .. }
            | Self::BrokerConfigured { .. }
            | Self::GroupConfigured(_)
            | Self::AclsCreated { .. }
            | Self::AclsDeleted { .. }
            | Self::UserAltered(_)
            | Self::QuotaAltered(_) => None,
        }
    }
}

/// A control event that this version does not understand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "control event at {CONTROL_TOPIC}@{offset} is not understood ({reason}); \
     a newer version may have written it"
)]
pub struct UnknownChange {
    /// Where it stands.
    pub offset: Offset,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use factum_event::access::{
        Operation, Pattern, Permission, Principal, QuotaName, ResourceType,
    };

    use super::*;

    #[test]
    fn every_change_survives_its_event() {
        let topic = TopicName::new("orders").unwrap();
        let id = TopicId(Uuid::from_u128(7));
        let configs = Configs::from([("max.message.bytes".to_owned(), "10".to_owned())]);
        let acl = Acl {
            resource_type: ResourceType::Topic,
            name: "orders".to_owned(),
            pattern: Pattern::Prefixed,
            principal: Principal::user("alice"),
            host: "*".to_owned(),
            operation: Operation::Read,
            permission: Permission::Allow,
        };
        let credential = Credential {
            salt: vec![1],
            iterations: 4096,
            stored_key: vec![2; 32],
            server_key: vec![3; 32],
        };
        let limit = QuotaKey::RequestPercentage.limit(12.5).unwrap();
        let changes = [
            Change::ClusterCreated { id: "9-LZ".to_owned() },
            Change::GroupConfigured(GroupConfigured {
                group: "bil\u{1}ling\n".parse().unwrap(),
                set: configs.clone(),
                unset: ["consumer.session.timeout.ms".to_owned()].into(),
            }),
            Change::BrokerConfigured {
                scope: BrokerScope::Broker,
                set: Configs::from([("log.retention.ms".to_owned(), "5".to_owned())]),
                unset: ["log.roll.ms".to_owned()].into(),
            },
            Change::TopicConfigured {
                topic: topic.clone(),
                id,
                set: configs.clone(),
                unset: ["retention.ms".to_owned()].into(),
            },
            Change::RecordsDeleted {
                topic: topic.clone(),
                id,
                cuts: vec![Cut { partition: Partition::ZERO, before: Offset::ZERO.plus(9) }],
            },
            Change::TopicCreated(TopicCreated { topic: topic.clone(), id, partitions: 3, configs }),
            Change::TopicGrown { topic: topic.clone(), id, partitions: 4 },
            Change::TopicDeleted { topic, id },
            Change::ProducerIdsReserved { next: 1000 },
            Change::AclsCreated { acls: vec![acl.clone()] },
            Change::AclsDeleted { acls: vec![acl] },
            Change::UserAltered(UserAltered {
                user: "alice".parse().unwrap(),
                set: [(ScramMechanism::Sha256, credential)].into(),
                unset: [ScramMechanism::Sha512].into(),
            }),
            Change::QuotaAltered(QuotaAltered {
                entity: QuotaEntity::new(Some(QuotaName::Default), None).unwrap(),
                set: [(QuotaKey::RequestPercentage, limit)].into(),
                unset: [QuotaKey::ConsumerByteRate].into(),
            }),
        ];
        for change in changes {
            let now = Timestamp::from_millis(1_700_000_000_000);
            let record = encode(&change, "tester", &EventIds::new(), now).unwrap();
            assert_eq!(decode(Offset::ZERO, &record).unwrap(), change);
            let event = kafka::decode(&record).unwrap();
            assert_eq!(event.attribute("principal").as_deref(), Some("tester"));
            assert_eq!(event.subject(), Some(change.subject()));
        }
    }

    #[test]
    fn an_event_of_another_type_is_refused_with_its_place() {
        let event = Event::builder("/factum/broker", "io.factum.unheard.of")
            .id("1")
            .json(&serde_json::json!({}))
            .build()
            .unwrap();
        let record = kafka::encode(&event, kafka::Mode::Binary, Timestamp::from_millis(0));
        let error = decode(Offset::ZERO, &record).unwrap_err().to_string();
        assert!(error.contains("__factum_control@0") && error.contains("unheard"), "{error}");
    }
}
