//! AlterConfigs (33): replaces all settings of topics, groups and the broker; each is answered by
//! itself.
//!
//! What the request does not name goes back to its default. Superseded by
//! IncrementalAlterConfigs (44), which shares this file's answers to what cannot be configured.
//!
//! The broker's settings are those of this broker by its id, or of the cluster, whose name is
//! empty; of them only those can be changed that are dynamic in Kafka and mean something else than
//! what a server is started with ([`factum_broker::broker_config`]).

use std::collections::{BTreeMap, BTreeSet};

use factum_broker::broker_config::BrokerScope;
use factum_broker::topic_config::Configure;
use factum_event::access::{Operation, Resource};
use factum_event::{GroupName, TopicName};
use factum_wire::messages::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use factum_wire::{ErrorCode, Str};

use super::describe_configs::{BROKER, GROUP, TOPIC};
use super::{Refusal, text, told};
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let named =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let twice = repeated(request.resources.iter().map(named));
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let target = configurable(&twice, asked.resource_type, &asked.resource_name);
        let altered = match target.and_then(|target| Ok((target, replacement(asked)?))) {
            Ok((target, configure)) => alter(call, &target, configure, request.validate_only).await,
            Err(refusal) => Err(refusal),
        };
        let (error_code, error_message) = outcome(altered);
        responses.push(AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: asked.resource_type,
            resource_name: text(&*asked.resource_name),
        });
    }
    AlterConfigsResponse { responses, ..Default::default() }
}

fn replacement(asked: &AlterConfigsResource) -> Result<Configure, Refusal> {
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let value = config.value.as_ref().ok_or_else(|| no_value(&config.name))?;
        if configs.insert(String::from(&*config.name), String::from(&**value)).is_some() {
            return Err(named_twice(&config.name));
        }
    }
    Ok(Configure::Replace(configs))
}

/// Resources that a request names more than once.
pub(super) fn repeated(resources: impl Iterator<Item = (i8, Str)>) -> BTreeSet<(i8, String)> {
    let mut seen = BTreeSet::new();
    let owned = resources.map(|(kind, name)| (kind, String::from(&*name)));
    owned.filter(|resource| !seen.insert(resource.clone())).collect()
}

/// What has settings that can be changed.
pub(super) enum Target {
    Topic(TopicName),
    Broker(BrokerScope),
    Group(GroupName),
}

/// What a resource is.
pub(super) fn configurable(
    twice: &BTreeSet<(i8, String)>,
    resource_type: i8,
    name: &str,
) -> Result<Target, Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    if twice.contains(&(resource_type, name.to_owned())) {
        return invalid(format!("the request names {name:?} more than once"));
    }
    match resource_type {
        TOPIC => TopicName::new(name)
            .map(Target::Topic)
            .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string())),
        BROKER => broker_scope(name).map(Target::Broker),
        GROUP => group_name(name).map(Target::Group),
        other => invalid(no_settings(other)),
    }
}

/// What is told of resources of a type that has no settings.
pub(super) fn no_settings(resource_type: i8) -> String {
    format!(
        "resources of type {resource_type} have no settings here; topics (2), brokers (4) and \
         groups (32) do"
    )
}

/// The group that a resource is, which need not be there.
pub(super) fn group_name(name: &str) -> Result<GroupName, Refusal> {
    GroupName::new(name).map_err(|error| (ErrorCode::InvalidRequest, error.to_string()))
}

/// For whom the settings of a broker are: without a name for all of the cluster, else for this one.
pub(super) fn broker_scope(name: &str) -> Result<BrokerScope, Refusal> {
    if name.is_empty() {
        return Ok(BrokerScope::Cluster);
    }
    let message = match name.parse::<i32>() {
        Ok(NODE_ID) => return Ok(BrokerScope::Broker),
        Ok(_) => format!("Unexpected broker id, expected {NODE_ID}, but received {name}"),
        Err(_) => format!("Node id must be an integer, but it is: {name}"),
    };
    Err((ErrorCode::InvalidRequest, message))
}

/// Configures something.
pub(super) async fn alter(
    call: &Call,
    target: &Target,
    configure: Configure,
    dry_run: bool,
) -> Result<(), Refusal> {
    let (broker, author) = (&call.door.broker, call.caller.author());
    let altered = match target {
        Target::Topic(name) => {
            call.may_with_topic(Operation::AlterConfigs, name.as_str())
                .map_err(|refused| not_allowed(refused, Resource::topic(name.as_str())))?;
            broker.configure_topic(&author, name, configure, dry_run).await.map(drop)
        }
        Target::Broker(scope) => {
            call.may_with_cluster(Operation::AlterConfigs)
                .map_err(|refused| not_allowed(refused, Resource::CLUSTER))?;
            broker.configure_broker(&author, *scope, configure, dry_run).await
        }
        Target::Group(name) => {
            let resource = Resource::group(name.as_str());
            if !call.may(Operation::AlterConfigs, resource) {
                return Err(not_allowed(ErrorCode::GroupAuthorizationFailed, resource));
            }
            broker.configure_group(&author, name, configure, dry_run).await
        }
    };
    altered.map_err(|error| (errors::admin(&error), error.to_string()))
}

fn not_allowed(refused: ErrorCode, resource: Resource<'_>) -> Refusal {
    (refused, format!("{} of {resource} is not allowed", Operation::AlterConfigs))
}

/// The error code of an answer, and its message.
pub(super) fn outcome(altered: Result<(), Refusal>) -> (i16, Option<Str>) {
    match altered {
        Ok(()) => (ErrorCode::None.code(), None),
        Err((error, message)) => (error.code(), Some(told(&message))),
    }
}

pub(super) fn no_value(name: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("{name} has no value; a text is expected"))
}

pub(super) fn named_twice(name: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("the request names the setting {name} more than once"))
}
