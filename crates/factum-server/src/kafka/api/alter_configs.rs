//! AlterConfigs (33): replaces all settings of topics; each is answered by itself.
//!
//! What the request does not name goes back to its default. Superseded by
//! IncrementalAlterConfigs (44), which shares this file's answers to what cannot be configured.

use std::collections::{BTreeMap, BTreeSet};

use factum_broker::topic_config::Configure;
use factum_event::TopicName;
use factum_event::access::Operation;
use factum_wire::messages::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use factum_wire::{ErrorCode, Str};

use super::describe_configs::{BROKER, TOPIC};
use super::{Refusal, text};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let named =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let twice = repeated(request.resources.iter().map(named));
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let topic = configurable(&twice, asked.resource_type, &asked.resource_name);
        let altered = match topic.and_then(|name| Ok((name, replacement(asked)?))) {
            Ok((name, configure)) => alter(call, &name, configure, request.validate_only).await,
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

/// The topic that a resource is.
pub(super) fn configurable(
    twice: &BTreeSet<(i8, String)>,
    resource_type: i8,
    name: &str,
) -> Result<TopicName, Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    if twice.contains(&(resource_type, name.to_owned())) {
        return invalid(format!("the request names {name:?} more than once"));
    }
    match resource_type {
        TOPIC => TopicName::new(name)
            .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string())),
        BROKER => invalid("the broker's settings are given when it starts: restart it".to_owned()),
        other => invalid(format!("resources of type {other} have no settings here; topics (2) do")),
    }
}

/// Configures a topic.
pub(super) async fn alter(
    call: &Call,
    name: &TopicName,
    configure: Configure,
    dry_run: bool,
) -> Result<(), Refusal> {
    call.may_with_topic(Operation::AlterConfigs, name.as_str())
        .map_err(|refused| (refused, format!("ALTER_CONFIGS of topic {name} is not allowed")))?;
    let broker = &call.door.broker;
    let altered = broker.configure_topic(&call.caller.author(), name, configure, dry_run).await;
    altered.map(drop).map_err(|error| (errors::admin(&error), error.to_string()))
}

/// The error code of an answer, and its message.
pub(super) fn outcome(altered: Result<(), Refusal>) -> (i16, Option<Str>) {
    match altered {
        Ok(()) => (ErrorCode::None.code(), None),
        Err((error, message)) => (error.code(), Some(text(message))),
    }
}

pub(super) fn no_value(name: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("{name} has no value; a text is expected"))
}

pub(super) fn named_twice(name: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("the request names the setting {name} more than once"))
}
