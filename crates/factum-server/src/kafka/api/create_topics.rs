//! CreateTopics (19): creates topics; each is answered by itself, once it is durable.
//!
//! * A name that comes more than once is one `INVALID_REQUEST`, and nothing of it is created.
//! * -1 partitions or replicas mean the broker's defaults. Beside assignments they must be -1.
//! * 5: partitions, replicas and settings
//!   come back (KIP-525). 7: so does the topic's id.

use std::collections::BTreeMap;
use std::sync::Arc;

use factum_broker::Topic;
use factum_broker::topic_config::TOPIC_CONFIGS;
use factum_event::TopicName;
use factum_event::access::Operation;
use factum_event::log::NewTopic;
use factum_wire::messages::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use factum_wire::{ErrorCode, Str};

use super::describe_configs::held;
use super::{NAMED_TWICE, Refusal, text, times, told};
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut unanswered = times(request.topics.iter().map(|topic| topic.name.clone()));
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let name = asked.name.clone();
        let created = match unanswered.remove(&name) {
            None => continue,
            Some(1) => create(call, asked, request.validate_only).await,
            Some(_) => Err((ErrorCode::InvalidRequest, NAMED_TWICE.to_owned())),
        };
        topics.push(result(call, name, created));
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

async fn create(call: &Call, asked: CreatableTopic, dry_run: bool) -> Result<Arc<Topic>, Refusal> {
    let name = TopicName::new(&asked.name)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    call.may_create_topic(&name)
        .map_err(|refused| (refused, format!("CREATE of topic {name} is not allowed")))?;
    let partitions = partitions(&asked)?;
    let mut configs = BTreeMap::new();
    for config in asked.configs {
        let value = config
            .value
            .ok_or_else(|| (ErrorCode::InvalidConfig, format!("{} has no value", &*config.name)))?;
        configs.insert(String::from(&*config.name), String::from(&*value));
    }
    let new = NewTopic { name, partitions, configs };
    let created = call.door.broker.create_topic(&call.caller.author(), new, dry_run).await;
    created.map_err(|error| (errors::admin(&error), error.to_string()))
}

/// The number of partitions that is asked for; none means the default.
fn partitions(asked: &CreatableTopic) -> Result<Option<u32>, Refusal> {
    if !asked.assignments.is_empty() {
        return assigned_partitions(asked);
    }
    if !matches!(asked.replication_factor, -1 | 1) {
        let message = format!(
            "replication factor {}: one machine keeps the log; use 1 or -1",
            asked.replication_factor
        );
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    match asked.num_partitions {
        -1 => Ok(None),
        number => u32::try_from(number).map(Some).map_err(|_| {
            let message = format!("{number} partitions: expected 1 or more, or -1 for the default");
            (ErrorCode::InvalidPartitions, message)
        }),
    }
}

fn assigned_partitions(asked: &CreatableTopic) -> Result<Option<u32>, Refusal> {
    if (asked.replication_factor, asked.num_partitions) != (-1, -1) {
        let message = "assignments are given: the replication factor and the number of partitions \
                       are to be -1";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    }
    let assignments = &asked.assignments;
    let mut indexes: Vec<_> = assignments.iter().map(|one| one.partition_index).collect();
    indexes.sort_unstable();
    let counted = indexes.iter().zip(0..).all(|(index, expected)| *index == expected);
    if !counted || !assignments.iter().all(|one| one.broker_ids == [NODE_ID]) {
        let message = format!("every partition from 0 on is to be on broker {NODE_ID} alone");
        return Err((ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(u32::try_from(assignments.len()).ok())
}

fn result(call: &Call, name: Str, created: Result<Arc<Topic>, Refusal>) -> CreatableTopicResult {
    let name = text(&*name);
    match created {
        // It was created; only what it has is not told.
        Ok(topic) if call.may_with_topic(Operation::DescribeConfigs, &name).is_err() => {
            CreatableTopicResult {
                name,
                topic_id: topic.id.0,
                topic_config_error_code: ErrorCode::TopicAuthorizationFailed.code(),
                num_partitions: -1,
                replication_factor: -1,
                configs: Some(Vec::new()),
                ..Default::default()
            }
        }
        Ok(topic) => CreatableTopicResult {
            name,
            topic_id: topic.id.0,
            num_partitions: i32::try_from(topic.partition_count()).unwrap_or(i32::MAX),
            replication_factor: 1,
            configs: Some(configs(call, &topic)),
            ..Default::default()
        },
        Err((error, message)) => CreatableTopicResult {
            name,
            error_code: error.code(),
            error_message: Some(told(&message)),
            configs: Some(Vec::new()),
            ..Default::default()
        },
    }
}

fn configs(call: &Call, topic: &Topic) -> Vec<CreatableTopicConfigs> {
    let dynamic = call.door.broker.dynamic_configs();
    let describe = |key: &factum_broker::topic_config::ConfigKey| {
        let (value, config_source) = held(dynamic.values_of_topic(topic, key));
        CreatableTopicConfigs {
            name: text(key.name),
            value,
            read_only: key.is_fixed(),
            config_source,
            ..Default::default()
        }
    };
    TOPIC_CONFIGS.iter().map(describe).collect()
}
