//! Topics: list, create, show, add partitions, delete.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use factum_event::log::{NewTopic, PartitionInfo, TopicInfo};
use factum_event::{TopicId, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path::{TopicPath, WritableTopic, writable};
use super::problem::Problem;
use super::publish::body;
use super::{Shared, query};

const CREATE: &str = "{\"name\":\"orders\",\"partitions\":3,\"configs\":{}}, \
                      of which name is required";
const GROW: &str = "{\"partitions\":6}, the new total";

/// A topic as JSON.
#[derive(Serialize)]
struct Topic {
    name: TopicName,
    id: TopicId,
    created_at: Option<String>,
    internal: bool,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionInfo>,
}

impl From<TopicInfo> for Topic {
    fn from(info: TopicInfo) -> Self {
        Self {
            internal: info.name.is_internal(),
            name: info.name,
            id: info.id,
            created_at: info.created_at.to_rfc3339(),
            configs: info.configs,
            partitions: info.partitions,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Topics {
    topics: Vec<Topic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    partitions: Option<u32>,
    #[serde(default)]
    configs: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grow {
    partitions: u32,
}

/// `GET /topics`; Factum's own with `internal=true`.
pub(super) async fn list(State(shared): State<Shared>, uri: Uri) -> Result<Json<Topics>, Problem> {
    let mut internal = false;
    for (name, value) in query::pairs(&uri)? {
        match (name.as_str(), value.as_str()) {
            ("internal", "true") => internal = true,
            ("internal", "false") => internal = false,
            _ => {
                return Err(Problem::parameter(&name, &value, "only internal=true or false"));
            }
        }
    }
    let topics = shared.door.log.topics().await?;
    let shown = topics.into_iter().filter(|topic| internal || !topic.name.is_internal());
    Ok(Json(Topics { topics: shown.map(Topic::from).collect() }))
}

/// `POST /topics`
pub(super) async fn create(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let body = body(&shared, request).await?;
    let create: Create = read(&body, CREATE)?;
    let name = writable(create.name.parse()?)?;
    let configs = create.configs.into_iter().map(|(key, value)| (key, text(value))).collect();
    let topic = NewTopic { name, partitions: create.partitions, configs };
    let topic = shared.door.log.create_topic(topic).await?;
    let location = [(LOCATION, format!("/topics/{}", topic.name))];
    Ok((StatusCode::CREATED, location, Json(Topic::from(topic))).into_response())
}

/// `GET /topics/{topic}`
pub(super) async fn show(
    State(shared): State<Shared>,
    TopicPath(topic): TopicPath,
) -> Result<Response, Problem> {
    Ok(Json(Topic::from(shared.door.log.topic(&topic).await?)).into_response())
}

/// `PATCH /topics/{topic}`
pub(super) async fn grow(
    State(shared): State<Shared>,
    WritableTopic(topic): WritableTopic,
    request: Request,
) -> Result<Response, Problem> {
    let body = body(&shared, request).await?;
    let grow: Grow = read(&body, GROW)?;
    let topic = shared.door.log.grow_topic(&topic, grow.partitions).await?;
    Ok(Json(Topic::from(topic)).into_response())
}

/// `DELETE /topics/{topic}`
pub(super) async fn delete(
    State(shared): State<Shared>,
    WritableTopic(topic): WritableTopic,
) -> Result<StatusCode, Problem> {
    shared.door.log.delete_topic(&topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the JSON body of an administrative request.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::body(expected, &error))
}

/// Settings are texts in Kafka; a number or a truth value in JSON is taken for its text.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
