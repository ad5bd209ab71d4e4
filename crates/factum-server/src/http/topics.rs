//! Topics: list, create, show, add partitions, configure, trim, delete.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use factum_event::access::Operation;
use factum_event::log::{NewTopic, PartitionInfo, SettingInfo, TopicInfo};
use factum_event::{Offset, Partition, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path::{TopicPath, WritableTopic, writable};
use super::problem::Problem;
use super::publish::body;
use super::query;
use super::session::Session;

const CREATE: &str = "{\"name\":\"orders\",\"partitions\":3,\"configs\":{}}, \
                      of which name is required";
const CHANGE: &str = "{\"partitions\":6}, the new total, or {\"configs\":{\"retention.ms\":\"-1\"}}, \
                      where null goes back to the default";
const TRIM: &str = "{\"partition\":0,\"before\":1000}, the first offset that stays";

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
struct Change {
    partitions: Option<u32>,
    configs: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trim {
    partition: Partition,
    before: Offset,
}

#[derive(Serialize)]
pub(super) struct Settings {
    settings: Vec<SettingInfo>,
}

/// `GET /topics`; Factum's own with `internal=true`.
pub(super) async fn list(session: Session, uri: Uri) -> Result<Json<Topics>, Problem> {
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
    let topics = session.log.topics().await?;
    let shown = topics.into_iter().filter(|topic| internal || !topic.name.is_internal());
    Ok(Json(Topics { topics: shown.map(Topic::from).collect() }))
}

/// `POST /topics`
pub(super) async fn create(session: Session, request: Request) -> Result<Response, Problem> {
    let body = body(&session, request).await?;
    let create: Create = read(&body, CREATE)?;
    let name = writable(create.name.parse()?)?;
    let configs = create.configs.into_iter().map(|(key, value)| (key, text(value))).collect();
    let topic = NewTopic { name, partitions: create.partitions, configs };
    let topic = session.log.create_topic(topic).await?;
    let location = [(LOCATION, format!("/topics/{}", topic.name))];
    Ok((StatusCode::CREATED, location, Json(Topic::from(topic))).into_response())
}

/// `GET /topics/{topic}`
pub(super) async fn show(
    session: Session,
    TopicPath(topic): TopicPath,
) -> Result<Response, Problem> {
    Ok(Json(Topic::from(session.log.topic(&topic).await?)).into_response())
}

/// `PATCH /topics/{topic}`
pub(super) async fn change(
    session: Session,
    WritableTopic(topic): WritableTopic,
    request: Request,
) -> Result<Response, Problem> {
    session.expect_on_topic(Operation::Describe, &topic)?;
    let body = body(&session, request).await?;
    let topic = match read(&body, CHANGE)? {
        Change { partitions: Some(total), configs: None } => {
            session.log.grow_topic(&topic, total).await?
        }
        Change { partitions: None, configs: Some(configs) } => {
            let (set, unset) = edits(configs);
            session.log.configure_topic(&topic, set, unset).await?
        }
        _ => {
            let detail = format!("one of partitions and configs is expected: {CHANGE}");
            let (status, title) = (StatusCode::BAD_REQUEST, "Invalid body");
            return Err(Problem::new(status, "invalid-body", title, detail));
        }
    };
    Ok(Json(Topic::from(topic)).into_response())
}

/// `GET /topics/{topic}/settings`: all of them, defaults included.
pub(super) async fn settings(
    session: Session,
    TopicPath(topic): TopicPath,
) -> Result<Json<Settings>, Problem> {
    Ok(Json(Settings { settings: session.log.topic_settings(&topic).await? }))
}

/// `POST /topics/{topic}/trim`: deletes the records of a partition before an offset.
pub(super) async fn trim(
    session: Session,
    WritableTopic(topic): WritableTopic,
    request: Request,
) -> Result<Response, Problem> {
    session.expect_on_topic(Operation::Delete, &topic)?;
    let body = body(&session, request).await?;
    let Trim { partition, before } = read(&body, TRIM)?;
    let before = BTreeMap::from([(partition, before)]);
    let topic = session.log.delete_records(&topic, before).await?;
    Ok(Json(Topic::from(topic)).into_response())
}

/// What is set, and what goes back to its default.
fn edits(configs: BTreeMap<String, Value>) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (unset, set): (BTreeMap<_, _>, BTreeMap<_, _>) =
        configs.into_iter().partition(|(_, value)| value.is_null());
    let set = set.into_iter().map(|(name, value)| (name, text(value))).collect();
    (set, unset.into_keys().collect())
}

/// `DELETE /topics/{topic}`
pub(super) async fn delete(
    session: Session,
    WritableTopic(topic): WritableTopic,
) -> Result<StatusCode, Problem> {
    session.log.delete_topic(&topic).await?;
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
