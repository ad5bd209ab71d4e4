//! `POST /topics/{topic}/events`: publishes events in any mode of the CloudEvents HTTP binding,
//! and answers where they stand once they are on the disk.

use axum::Json;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use factum_event::access::Operation;
use factum_event::event::{Event, http, kafka};
use factum_event::record::Outgoing;
use factum_event::{Partition, Position};
use serde::Serialize;

use super::path::WritableTopic;
use super::problem::Problem;
use super::session::Session;
use super::{KIB, query};

#[derive(Serialize)]
struct Published {
    positions: Vec<PublishedEvent>,
}

#[derive(Serialize)]
struct PublishedEvent {
    #[serde(flatten)]
    position: Position,
    id: String,
}

/// Publishes the events of a request.
pub(super) async fn publish(
    session: Session,
    WritableTopic(topic): WritableTopic,
    request: Request,
) -> Result<Response, Problem> {
    let partition = partition(request.uri())?;
    let headers = request.headers().clone();
    session.expect_on_topic(Operation::Write, &topic)?;
    // Then the body: a client that is still sending might not hear the answer.
    let body = body(&session, request).await?;
    session.log.topic(&topic).await?;
    let events = events(&session, &headers, body)?;
    if events.is_empty() {
        return Ok(Json(Published { positions: Vec::new() }).into_response());
    }
    let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
    let now = session.door.clock.now();
    let record = |event: &Event| kafka::encode(event, kafka::Mode::Binary, now);
    let records = events.iter().map(|event| Outgoing { partition, record: record(event) });
    let positions = session.log.append(&topic, records.collect()).await?;
    session.door.metrics.http_published(positions.len());
    let published = positions.into_iter().zip(ids);
    let positions = published.map(|(position, id)| PublishedEvent { position, id }).collect();
    Ok((StatusCode::CREATED, Json(Published { positions })).into_response())
}

fn partition(uri: &Uri) -> Result<Option<Partition>, Problem> {
    let mut partition = None;
    for (name, value) in query::pairs(uri)? {
        if name != "partition" || partition.is_some() {
            return Err(Problem::parameter(&name, &value, "only partition, once"));
        }
        partition = Some(query::partition(&value)?);
    }
    Ok(partition)
}

/// The body of a request, within its limits of size and time.
pub(super) async fn body(session: &Session, request: Request) -> Result<Bytes, Problem> {
    let announced = request.body().size_hint().lower();
    if announced > session.door.limits.body_bytes as u64 {
        return Err(Problem::body_too_large(session.door.limits.body_bytes));
    }
    let most = session.door.limits.body_bytes as u64;
    let bytes = request.body().size_hint().upper().unwrap_or(most).min(most);
    let permits = u32::try_from(bytes / KIB as u64).unwrap_or(u32::MAX);
    let _room = session.bodies.try_acquire_many(permits).map_err(|_| {
        let limit = session.door.limits.bodies_bytes;
        Problem::busy("too-many-bytes-at-once", "bytes of bodies", limit)
    })?;
    let limit = session.door.limits.body_timeout;
    match tokio::time::timeout(limit, Bytes::from_request(request, session)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::body_too_large(session.door.limits.body_bytes))
        }
        Ok(Err(error)) => Err(Problem::incomplete_body(&error)),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", limit.as_secs_f64());
            let status = StatusCode::REQUEST_TIMEOUT;
            Err(Problem::new(status, "body-timeout", "Body too slow", detail))
        }
    }
}

fn events(session: &Session, headers: &HeaderMap, body: Bytes) -> Result<Vec<Event>, Problem> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let message = http::decode(headers, body, session.door.limits.batch_events)?;
    Ok(message.into_events().into_iter().map(Event::without_position).collect())
}
