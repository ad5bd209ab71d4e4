//! `GET /topics/{topic}/events` and `GET /events`: opens a reading and answers it in the form
//! that the client accepts.

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use factum_event::Place;

use super::accept::{Form, negotiate};
use super::page::{self, Page};
use super::path::TopicPath;
use super::problem::Problem;
use super::query::{self, ReadQuery};
use super::reading::{Begin, Reading, Scope, Until};
use super::{Shared, layer, lines, stream};

/// The header by which an `EventSource` says what it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Reads one topic.
pub(super) async fn topic(
    State(shared): State<Shared>,
    TopicPath(topic): TopicPath,
    Extension(place): Extension<layer::Place>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = query::pairs(&uri)?;
    let query = ReadQuery::parse(&pairs)?;
    let scope = Scope::Topic(topic, query.partition);
    answer(shared, scope, query, &pairs, place, &uri, &headers).await
}

/// Reads all topics but Factum's own: the story of a process across them.
pub(super) async fn all(
    State(shared): State<Shared>,
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
    answer(shared, Scope::All, query, &pairs, place, &uri, &headers).await
}

async fn answer(
    shared: Shared,
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
        let reading = open(&shared, scope, begin, end).await?;
        return match offer.form {
            Form::Lines => Ok(lines::answer(shared, reading, filter, limit, place)),
            _ => {
                let next = page::Next { uri, pairs };
                page::answer(&shared, Page { reading, filter, limit }, offer, next).await
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
    let slot = stream::Slot::take(&shared)?;
    let reading = open(&shared, scope, begin, Until::Never).await?;
    Ok(stream::answer(&shared, reading, filter, limit, slot))
}

async fn open(
    shared: &Shared,
    scope: Scope,
    begin: Begin,
    until: Until,
) -> Result<Reading, Problem> {
    let log = shared.door.log.clone();
    Reading::open(log, scope, begin, until, shared.door.limits.read_partitions).await
}
