//! Consumer groups: list, show, reset offsets, delete.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use factum_event::log::{GroupInfo, GroupOffset, MemberInfo, TopicPartition};
use factum_event::{GroupName, LogError, Offset, Partition, Place, TopicName};
use serde::{Deserialize, Serialize};

use super::path::GroupPath;
use super::problem::Problem;
use super::publish::body;
use super::session::Session;
use super::topics::read;

const RESET: &str = "{\"topic\":\"orders\",\"to\":\"start\",\"partition\":0}: to is start, end, \
                     an offset or a time with its zone; without partition all of the topic";

#[derive(Serialize)]
pub(super) struct Groups {
    groups: Vec<Group>,
}

/// A group as JSON.
#[derive(Serialize)]
pub(super) struct Group {
    name: GroupName,
    state: &'static str,
    members: Vec<Member>,
    offsets: Vec<GroupOffset>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    client_id: String,
    client_host: String,
    partitions: Vec<Assigned>,
}

#[derive(Serialize)]
struct Assigned {
    topic: TopicName,
    partition: Partition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    topic: String,
    to: To,
    partition: Option<Partition>,
}

/// A place as text, or an offset as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    Offset(Offset),
    Place(String),
}

#[derive(Serialize)]
pub(super) struct Committed {
    offsets: Vec<CommittedOffset>,
}

#[derive(Serialize)]
struct CommittedOffset {
    topic: TopicName,
    partition: Partition,
    offset: Offset,
}

/// `GET /groups`
pub(super) async fn list(session: Session) -> Result<Json<Groups>, Problem> {
    let groups = session.log.groups().await?;
    Ok(Json(Groups { groups: groups.into_iter().map(Group::from).collect() }))
}

/// `GET /groups/{group}`
pub(super) async fn show(
    session: Session,
    GroupPath(group): GroupPath,
) -> Result<Json<Group>, Problem> {
    Ok(Json(session.log.group(&group).await?.into()))
}

/// `PUT /groups/{group}/offsets`
pub(super) async fn reset(
    session: Session,
    GroupPath(group): GroupPath,
    request: Request,
) -> Result<Json<Committed>, Problem> {
    let body = body(&session, request).await?;
    let reset: Reset = read(&body, RESET)?;
    let topic: TopicName = reset.topic.parse()?;
    let place = reset.to.place()?;
    let offsets = locate(&session, &topic, reset.partition, place).await?;
    session.log.commit(&group, offsets.clone()).await?;
    let offsets = offsets
        .into_iter()
        .map(|((topic, partition), offset)| CommittedOffset { topic, partition, offset })
        .collect();
    Ok(Json(Committed { offsets }))
}

/// `DELETE /groups/{group}`
pub(super) async fn delete(
    session: Session,
    GroupPath(group): GroupPath,
) -> Result<StatusCode, Problem> {
    session.log.delete_group(&group).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The offsets of a place in the partitions of a topic, or in one.
async fn locate(
    session: &Session,
    topic: &TopicName,
    only: Option<Partition>,
    place: Place,
) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
    let info = session.log.topic(topic).await?;
    let mut offsets = BTreeMap::new();
    for have in info.partitions.iter().filter(|p| only.is_none_or(|only| only == p.partition)) {
        let offset = match place {
            Place::Start => have.start,
            Place::End => have.end,
            // For one partition a mistake; for several they begin where they can.
            Place::At(from) if only.is_some() && !(have.start..=have.end).contains(&from) => {
                let (start, end) = (have.start, have.end);
                return Err(LogError::OffsetOutOfRange { from, start, end });
            }
            Place::At(offset) => offset.clamp(have.start, have.end),
            place => session.log.locate(topic, have.partition, place).await?.offset,
        };
        offsets.insert((topic.clone(), have.partition), offset);
    }
    match only {
        Some(partition) if offsets.is_empty() => {
            let (topic, partitions) = (topic.clone(), info.partitions.len());
            Err(LogError::UnknownPartition { topic, partition, partitions })
        }
        _ => Ok(offsets),
    }
}

impl To {
    fn place(self) -> Result<Place, Problem> {
        match self {
            Self::Offset(offset) => Ok(Place::At(offset)),
            Self::Place(text) => {
                text.parse().map_err(|error: factum_event::position::InvalidPlace| {
                    Problem::new(
                        StatusCode::BAD_REQUEST,
                        "invalid-body",
                        "Invalid body",
                        error.to_string(),
                    )
                    .with("expected", RESET)
                })
            }
        }
    }
}

impl From<GroupInfo> for Group {
    fn from(info: GroupInfo) -> Self {
        Self {
            name: info.name,
            state: info.state.as_str(),
            members: info.members.into_iter().map(Member::from).collect(),
            offsets: info.offsets,
        }
    }
}

impl From<MemberInfo> for Member {
    fn from(info: MemberInfo) -> Self {
        let assigned = |(topic, partition)| Assigned { topic, partition };
        Self {
            id: info.id,
            client_id: info.client_id,
            client_host: info.client_host,
            partitions: info.partitions.into_iter().map(assigned).collect(),
        }
    }
}
