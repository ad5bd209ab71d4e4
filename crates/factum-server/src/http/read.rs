//! `GET /topics/{topic}/events` and `GET /events`: opens a reading and answers it in the form
//! that the client accepts.

use axum::extract::Extension;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use factum_event::Place;

use super::accept::{Form, negotiate};
use super::page::{self, Page};
use super::path::TopicPath;
use super::problem::Problem;
use super::query::{self, ReadQuery};
use super::reading::{Begin, Reading, Scope, Until};
use super::session::Session;
use super::{layer, lines, stream};

/// The header by which an `EventSource` says what it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Reads one topic.
pub(super) async fn topic(
    session: Session,
    TopicPath(topic): TopicPath,
    Extension(place): Extension<layer::Place>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = query::pairs(&uri)?;
    let query = ReadQuery::parse(&pairs)?;
    let scope = Scope::Topic(topic, query.partition);
    answer(session, scope, query, &pairs, place, &uri, &headers).await
}

/// Reads all topics but Factum's own: the story of a process across them.
pub(super) async fn all(
    session: Session,
    Extension(place): Extension<layer::Place>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = query::pairs(&uri)?;
    let query = ReadQuery::parse(&pairs)?;
    if let Some(partition) = query.partition {
        let expected = "no partition, as all topics are read";
        return Err(Problem::parameter("partition", &partition.to_string(), expected));
    }
    answer(session, Scope::All, query, &pairs, place, &uri, &headers).await
}

async fn answer(
    session: Session,
    scope: Scope,
    query: ReadQuery,
    pairs: &[(String, String)],
    place: layer::Place,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let offer = negotiate(headers)?;
    let ReadQuery { from, cursor, until, limit, filter, .. } = query;
    let mut begin = match cursor {
        Some(cursor) => Begin::Cursor(cursor),
        None => Begin::Place(from.unwrap_or(Place::Start)),
    };
    if offer.form != Form::Stream {
        let end = Until::Place(until.unwrap_or(Place::End));
        let reading = open(&session, scope, begin, end).await?;
        return match offer.form {
            Form::Lines => Ok(lines::answer(session, reading, filter, limit, place)),
            _ => {
                let next = page::Next { uri, pairs };
                page::answer(&session, Page { reading, filter, limit }, offer, next).await
            }
        };
    }
    if until.is_some() {
        let expected = "no until in an event stream, which follows";
        return Err(Problem::parameter("until", "there", expected));
    }
    if let Some(seen) = headers.get(LAST_EVENT_ID) {
        let seen = seen.to_str().unwrap_or_default();
        let cursor = seen.parse().map_err(|error| Problem::parameter(LAST_EVENT_ID, seen, error));
        begin = Begin::Cursor(cursor?);
    }
    let slot = stream::Slot::take(&session)?;
    let reading = open(&session, scope, begin, Until::Never).await?;
    Ok(stream::answer(&session, reading, filter, limit, slot))
}

async fn open(
    session: &Session,
    scope: Scope,
    begin: Begin,
    until: Until,
) -> Result<Reading, Problem> {
    let log = session.log.clone();
    Reading::open(log, scope, begin, until, session.door.limits.read_partitions).await
}
