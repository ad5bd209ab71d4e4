//! IncrementalAlterConfigs (44): changes some settings of topics, groups and the broker (KIP-339);
//! each is answered by itself, and changes as a whole or not at all.
//!
//! * Operations: 0 set, 1 delete (back to the default), 2 append, 3 subtract. The last two are
//!   for lists, and begin with the default where none is set.

use std::collections::BTreeMap;

use factum_broker::topic_config::{Configure, Edit};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
    IncrementalAlterableConfig,
};

use super::alter_configs::{alter, configurable, named_twice, no_value, outcome, repeated};
use super::{Refusal, text};
use crate::kafka::dispatch::Call;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let named = |resource: &IncrementalAlterConfigsResource| {
        (resource.resource_type, resource.resource_name.clone())
    };
    let twice = repeated(request.resources.iter().map(named));
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let target = configurable(&twice, asked.resource_type, &asked.resource_name);
        let altered = match target.and_then(|target| Ok((target, edits(asked)?))) {
            Ok((target, configure)) => alter(call, &target, configure, request.validate_only).await,
            Err(refusal) => Err(refusal),
        };
        let (error_code, error_message) = outcome(altered);
        responses.push(IncrementalAlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: asked.resource_type,
            resource_name: text(&*asked.resource_name),
        });
    }
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

fn edits(asked: &IncrementalAlterConfigsResource) -> Result<Configure, Refusal> {
    let mut edits = BTreeMap::new();
    for config in &asked.configs {
        if edits.insert(String::from(&*config.name), edit(config)?).is_some() {
            return Err(named_twice(&config.name));
        }
    }
    Ok(Configure::Edit(edits))
}

fn edit(config: &IncrementalAlterableConfig) -> Result<Edit, Refusal> {
    let value = || {
        let value = config.value.as_ref().ok_or_else(|| no_value(&config.name))?;
        Ok(String::from(&**value))
    };
    match config.config_operation {
        SET => value().map(Edit::Set),
        DELETE => Ok(Edit::Unset),
        APPEND => value().map(Edit::Append),
        SUBTRACT => value().map(Edit::Subtract),
        other => {
            let message = format!(
                "{}: operation {other} is unknown; expected 0 (set), 1 (delete), 2 (append) or 3 \
                 (subtract)",
                &*config.name
            );
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}
