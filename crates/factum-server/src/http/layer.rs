//! Around every request: its id, its span, its counters, the limit on requests at once, and the
//! one place where problems become documents.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::Shared;
use super::problem::Problem;

/// The header that names a request.
const REQUEST_ID: &str = "x-request-id";

/// Longest request id that is taken from a client.
const MAX_REQUEST_ID: usize = 128;

/// The place of a request among those that may run at once. An answer that streams keeps a
/// clone.
#[derive(Debug, Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Names, traces and counts a request, and writes the document of its problem.
pub(super) async fn observe(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let started = shared.door.clock.monotonic();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let path = request.uri().path().to_owned();
    let id = request_id(&shared, &request);
    let span = tracing::info_span!(
        "http", method, route, request_id = %id,
        traceparent = header(&request, "traceparent"),
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) =
        problem.or_else(|| refused.then(|| Problem::of_status(response.status())))
    {
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            span.in_scope(|| tracing::error!(detail = problem.detail(), "request failed"));
        }
        problem.write(&mut response, &path, &id);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let took = shared.door.clock.monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    shared.door.metrics.http_request(method, route, status, took);
    span.in_scope(|| tracing::debug!(status, ?took, "answered"));
    response
}

/// Lets a request in while fewer than the limit are at work. One that may change something goes to
/// its end and keeps its place until then, also if its client hangs up: nothing is left half done.
pub(super) async fn admit(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&shared.requests).try_acquire_owned().map_err(|_| {
        let limit = shared.door.limits.requests;
        Problem::busy("too-many-requests-at-once", "requests", limit)
    })?;
    let place = Place(Arc::new(permit));
    request.extensions_mut().insert(place.clone());
    let only_reads = request.method().is_safe();
    let answered = async move {
        let response = next.run(request).await;
        drop(place);
        response
    };
    Ok(if only_reads { answered.await } else { to_its_end(answered).await })
}

/// Does a work to its end, whether or not somebody still waits for it.
async fn to_its_end(work: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(work.in_current_span()).await {
        Ok(response) => response,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// No route of this path.
pub(super) async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; GET / lists what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
}

/// A route of this path, but not of this method.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; header allow lists what it takes", uri.path());
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Problem::new(status, "method-not-allowed", "Method not allowed", detail)
}

/// The method as a label; clients make up methods, and labels must be few.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// The client's id of the request if it is short and printable, or a new one.
fn request_id(shared: &Shared, request: &Request) -> String {
    header(request, REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID)
        .map_or_else(|| shared.ids.next(shared.door.clock.now()).to_string(), str::to_owned)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}
