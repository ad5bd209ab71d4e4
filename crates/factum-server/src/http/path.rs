//! Names out of the path, checked before a handler sees them.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use factum_event::{GroupName, InvalidName, TopicName};

use super::Shared;
use super::problem::Problem;

/// The topic that the path names.
#[derive(Debug)]
pub(super) struct TopicPath(pub(super) TopicName);

/// The topic that the path names, which a client may change: none of Factum's own.
#[derive(Debug)]
pub(super) struct WritableTopic(pub(super) TopicName);

/// The consumer group that the path names.
#[derive(Debug)]
pub(super) struct GroupPath(pub(super) GroupName);

impl FromRequestParts<Shared> for TopicPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        name(parts, shared).await.map(Self)
    }
}

impl FromRequestParts<Shared> for WritableTopic {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        writable(name(parts, shared).await?).map(Self)
    }
}

impl FromRequestParts<Shared> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        name(parts, shared).await.map(Self)
    }
}

/// Refuses Factum's own topics.
pub(super) fn writable(topic: TopicName) -> Result<TopicName, Problem> {
    if topic.is_internal() { Err(Problem::internal_topic(&topic)) } else { Ok(topic) }
}

async fn name<T>(parts: &mut Parts, shared: &Shared) -> Result<T, Problem>
where
    T: std::str::FromStr<Err = InvalidName>,
{
    let Path(name) = Path::<String>::from_request_parts(parts, shared).await.map_err(|error| {
        let status = StatusCode::BAD_REQUEST;
        Problem::new(status, "invalid-request", "Invalid path", error.body_text())
    })?;
    Ok(name.parse::<T>()?)
}
