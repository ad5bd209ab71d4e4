//! Metadata (3): the broker and the topics.
//!
//! * 0: an empty list means all topics; from 1 on null does, and an empty list means none.
//! * 4: missing topics are created, if client and broker both want that (before, if the broker
//!   wants it).
//! * 8: what the client may do with topics and cluster (KIP-430), if it asks.
//! * 10: topic ids; 12: topics may be asked for by id alone. An unknown id is `UNKNOWN_TOPIC_ID`. A
//!   topic without name and id, or by id before 12, refuses the whole request.
//! * The address is the one that the client has reached, or the advertised one.

use std::sync::Arc;

use factum_broker::{AdminError, Topic};
use factum_event::TopicName;
use factum_event::access::{Operation, Resource};
use factum_event::batch::LEADER_EPOCH;
use factum_event::log::NewTopic;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

use uuid::Uuid;

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

/// The first version in which topics may be asked for by id, without a name.
const NAMES_OR_IDS_SINCE: i16 = 12;

pub(in crate::kafka) async fn handle(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let broker = &call.door.broker;
    let may_create = call.door.auto_create_topics && request.allow_auto_topic_creation;
    let asked = request.topics.filter(|topics| call.version() > 0 || !topics.is_empty());
    let mut topics = match asked {
        None => {
            let may = |topic: &&Arc<Topic>| {
                call.may(Operation::Describe, Resource::topic(topic.name.as_str()))
            };
            broker.all_topics().iter().filter(may).map(|topic| describe(topic)).collect()
        }
        Some(asked) if !asked.iter().all(|topic| is_sound(topic, call.version())) => {
            return refused(&asked);
        }
        Some(asked) => {
            let mut topics = Vec::new();
            for topic in asked {
                topics.push(one(call, topic, may_create).await);
            }
            topics
        }
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            let name = topic.name.clone().unwrap_or_default();
            topic.topic_authorized_operations = call.operations(true, Resource::topic(&name));
        }
    }
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: NODE_ID,
            host: text(&call.caller.host),
            port: call.caller.port.into(),
            rack: None,
        }],
        cluster_id: Some(text(broker.cluster_id())),
        controller_id: NODE_ID,
        topics,
        cluster_authorized_operations: call
            .operations(request.include_cluster_authorized_operations, Resource::CLUSTER),
        ..Default::default()
    }
}

/// Whether a topic is asked for as it may be in a version.
fn is_sound(asked: &MetadataRequestTopic, version: i16) -> bool {
    let (has_name, has_id) = (asked.name.is_some(), !asked.topic_id.is_nil());
    if version < NAMES_OR_IDS_SINCE { has_name && !has_id } else { has_name || has_id }
}

/// What is answered where a topic is asked for as it may not be: that, of all of them, and nothing
/// else.
fn refused(asked: &[MetadataRequestTopic]) -> MetadataResponse {
    let topic = |asked: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(text(asked.name.as_deref().unwrap_or_default())),
        topic_id: asked.topic_id,
        ..Default::default()
    };
    let topics = asked.iter().map(topic).collect();
    MetadataResponse { controller_id: -1, topics, ..Default::default() }
}

async fn one(call: &Call, asked: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    // Java's client asks by id with an empty name.
    let by_id = asked.name.is_none() || asked.topic_id != Uuid::nil();
    let name = asked.name.as_deref().unwrap_or_default();
    let found = call.find_topic(Operation::Describe, (name, asked.topic_id), by_id);
    let found = match found {
        // By its id, who may not know of a topic is told that there is none.
        Err(ErrorCode::TopicAuthorizationFailed) if by_id => Err(ErrorCode::UnknownTopicId),
        Err(ErrorCode::UnknownTopicOrPartition) => missing(call, name, may_create).await,
        found => found,
    };
    match found {
        Ok(topic) => describe(&topic),
        Err(error) => MetadataResponseTopic {
            error_code: error.code(),
            name: asked.name.filter(|_| !by_id),
            topic_id: asked.topic_id,
            ..Default::default()
        },
    }
}

/// Creates a topic that was asked for, or says why not.
async fn missing(call: &Call, name: &str, may_create: bool) -> Result<Arc<Topic>, ErrorCode> {
    let name = TopicName::new(name).map_err(|_| ErrorCode::InvalidTopicException)?;
    if !may_create || name.is_internal() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    call.may_create_topic(&name)?;
    let new = NewTopic { name: name.clone(), partitions: None, configs: [].into() };
    let broker = &call.door.broker;
    match broker.create_topic(&call.caller.author(), new, false).await {
        Ok(topic) => Ok(topic),
        // Another client was faster.
        Err(AdminError::TopicExists(_)) => {
            broker.topic(name.as_str()).ok_or(ErrorCode::UnknownTopicOrPartition)
        }
        Err(error) => Err(errors::admin(&error)),
    }
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partition_numbers().map(|partition| MetadataResponsePartition {
        partition_index: partition.get(),
        leader_id: NODE_ID,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        ..Default::default()
    });
    MetadataResponseTopic {
        name: Some(text(&topic.name)),
        topic_id: topic.id.0,
        is_internal: topic.name.is_internal(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}
