//! Problem documents (RFC 9457): how this door says no.
//!
//! Every refusal becomes a [`Problem`] here, and nowhere else: the table from the errors of the
//! rooms below to status codes is in this file. A handler answers with the problem alone; the
//! layer around all routes writes the document, which names the request that it belongs to.

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, body::Body};
use factum_event::access::Principal;
use factum_event::event::EventError;
use factum_event::{InvalidName, LogError, TopicName};
use serde_json::{Map, Value};

/// The media type of a problem document.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What a problem's `type` begins with; the rest is its name.
const TYPE_PREFIX: &str = "urn:factum:problem:";

/// The name of what a refused token is.
const INVALID_TOKEN: &str = "invalid-token";

/// How to log in (RFC 7617, section 2; RFC 6750, section 3).
const BASIC: &str = r#"Basic realm="factum", charset="UTF-8""#;
const BEARER: &str = r#"Bearer realm="factum", error="invalid_token""#;

/// When to try again after a limit was hit, in seconds.
const RETRY_AFTER_SECONDS: u16 = 1;

/// A refusal, with what was expected, what came and what to do.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Facts>);

#[derive(Debug, Clone)]
struct Facts {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem of a name that programs can rely on.
    pub(super) fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self(Box::new(Facts { status, name, title, detail, members: Map::new() }))
    }

    /// The same with one more member in its document.
    pub(super) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// What a person reads.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The member `type` of the document.
    pub(super) fn type_uri(&self) -> String {
        format!("{TYPE_PREFIX}{}", self.0.name)
    }

    /// A query parameter that is not as it should be.
    pub(super) fn parameter(parameter: &str, came: &str, expected: impl std::fmt::Display) -> Self {
        let came: String = came.chars().take(64).collect();
        let detail = format!("parameter {parameter} is {came:?}; expected {expected}");
        Self::new(StatusCode::BAD_REQUEST, "invalid-parameter", "Invalid query parameter", detail)
            .with("parameter", parameter)
            .with("expected", expected.to_string())
            .with("came", came)
    }

    /// A body that is not the JSON that the route takes.
    pub(super) fn body(expected: &str, error: &serde_json::Error) -> Self {
        let detail = format!("the body is not understood: {error}; expected {expected}");
        Self::new(StatusCode::BAD_REQUEST, "invalid-body", "Invalid body", detail)
            .with("expected", expected)
    }

    /// A body above the limit, known from its length or from counting.
    pub(super) fn body_too_large(limit: usize) -> Self {
        let detail = format!(
            "the body is larger than the limit of {limit} bytes; send fewer or smaller events"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", detail)
            .with("limit", limit)
    }

    /// A body that broke off.
    pub(super) fn incomplete_body(error: &dyn std::fmt::Display) -> Self {
        let detail = format!("the body did not arrive in full: {error}");
        Self::new(StatusCode::BAD_REQUEST, "incomplete-body", "Incomplete body", detail)
    }

    /// Writing to one of Factum's own topics.
    pub(super) fn internal_topic(topic: &TopicName) -> Self {
        let detail =
            format!("topic {topic} is Factum's own: it can be read, but only Factum writes");
        Self::new(StatusCode::FORBIDDEN, "internal-topic", "Topic of Factum's own", detail)
    }

    /// A limit on what happens at once was hit; it goes away by itself.
    pub(super) fn busy(name: &'static str, what: &str, limit: usize) -> Self {
        let detail = format!("the limit of {limit} {what} at once is reached; try again shortly");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, "Limit reached", detail)
            .with("limit", limit)
    }

    /// A token that is not taken.
    pub(super) fn invalid_token() -> Self {
        let detail = "the token is not taken; the server's log says why";
        Self::new(StatusCode::UNAUTHORIZED, INVALID_TOKEN, "Unauthorized", detail)
    }

    /// A status that the HTTP library chose by itself.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Refused");
        let name = if status.is_server_error() { "internal" } else { "refused" };
        Self::new(status, name, title, format!("the request was answered with {status}"))
    }

    /// The document in place of what `response` carries.
    pub(super) fn write(self, response: &mut Response, instance: &str, request_id: &str) {
        let busy = self.0.status == StatusCode::SERVICE_UNAVAILABLE;
        let login = (self.0.status == StatusCode::UNAUTHORIZED).then_some(match self.0.name {
            INVALID_TOKEN => BEARER,
            _ => BASIC,
        });
        *response.body_mut() = Body::from(self.document(instance, request_id));
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(scheme) = login {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if busy {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
    }

    fn document(self, instance: &str, request_id: &str) -> String {
        let mut document = Map::new();
        document.insert("type".to_owned(), self.type_uri().into());
        document.insert("title".to_owned(), self.0.title.into());
        document.insert("status".to_owned(), self.0.status.as_u16().into());
        document.insert("detail".to_owned(), self.0.detail.into());
        document.insert("instance".to_owned(), instance.into());
        document.insert("requestid".to_owned(), request_id.into());
        document.extend(self.0.members);
        Value::Object(document).to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0.status, Extension(self)).into_response()
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let (status, name, title) = log_facts(&error);
        let problem = Self::new(status, name, title, error.to_string());
        match error {
            LogError::UnknownTopic(topic) => problem.with("topic", topic.as_str()).with(
                "advice",
                format!("create it: POST /topics {{\"name\":\"{topic}\"}}, or factum topic create"),
            ),
            LogError::UnknownPartition { partitions, .. } => problem.with("partitions", partitions),
            LogError::OffsetOutOfRange { from, start, end } => {
                problem.with("from", from.get()).with("start", start.get()).with("end", end.get())
            }
            LogError::RecordTooLarge { bytes, limit, .. } => {
                problem.with("bytes", bytes).with("limit", limit)
            }
            _ => problem,
        }
    }
}

/// Status, name and title of every error of a log.
fn log_facts(error: &LogError) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match error {
        LogError::UnknownTopic(_) => (S::NOT_FOUND, "unknown-topic", "Unknown topic"),
        LogError::UnknownPartition { .. } => {
            (S::NOT_FOUND, "unknown-partition", "Unknown partition")
        }
        LogError::TopicExists(_) => (S::CONFLICT, "topic-exists", "Topic exists"),
        LogError::OffsetOutOfRange { .. } => {
            (S::RANGE_NOT_SATISFIABLE, "offset-out-of-range", "Offset out of range")
        }
        LogError::RecordTooLarge { .. } => {
            (S::PAYLOAD_TOO_LARGE, "record-too-large", "Record too large")
        }
        LogError::InvalidRequest(_) => (S::BAD_REQUEST, "invalid-request", "Invalid request"),
        LogError::UnknownGroup(_) => (S::NOT_FOUND, "unknown-group", "Unknown consumer group"),
        LogError::GroupNotEmpty(_) => {
            (S::CONFLICT, "group-not-empty", "Consumer group has members")
        }
        // Who has not logged in may, once it has.
        LogError::Forbidden { principal, .. } if *principal == Principal::anonymous() => {
            (S::UNAUTHORIZED, "unauthorized", "Unauthorized")
        }
        LogError::Forbidden { .. } => (S::FORBIDDEN, "forbidden", "Forbidden"),
        LogError::Fenced => (S::CONFLICT, "fenced", "Fenced"),
        LogError::Storage(_) => (S::INTERNAL_SERVER_ERROR, "storage-failed", "Storage failed"),
        LogError::Closed => (S::SERVICE_UNAVAILABLE, "closed", "Log closed"),
        _ => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let (status, title) = match innermost(&error) {
            EventError::Format { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unknown event format")
            }
            EventError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            _ => (StatusCode::BAD_REQUEST, "Not a valid event"),
        };
        let mut problem = Self::new(status, error.code(), title, error.to_string());
        if let Some(attribute) = error.attribute() {
            problem = problem.with("attribute", attribute);
        }
        if let Some(index) = error.index() {
            problem = problem.with("index", index);
        }
        match innermost(&error) {
            EventError::Invalid { expected, came, .. } => {
                problem.with("expected", *expected).with("came", came.as_str())
            }
            EventError::TooLarge { limit, .. } => problem.with("limit", *limit),
            _ => problem,
        }
    }
}

fn innermost(error: &EventError) -> &EventError {
    match error {
        EventError::InBatch { error, .. } => innermost(error),
        other => other,
    }
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        let (name, title) = match error.kind {
            "topic" => ("invalid-topic-name", "Invalid topic name"),
            _ => ("invalid-group-name", "Invalid consumer group name"),
        };
        Self::new(StatusCode::BAD_REQUEST, name, title, error.to_string())
            .with("expected", error.rule)
            .with("came", error.name)
    }
}

#[cfg(test)]
mod tests {
    use factum_event::{Offset, Partition};

    use super::*;

    fn facts(problem: impl Into<Problem>) -> (u16, String, Map<String, Value>) {
        let problem = problem.into();
        let status = problem.0.status.as_u16();
        let document = problem.document("/x", "r1");
        let Ok(Value::Object(document)) = serde_json::from_str(&document) else {
            panic!("{document} is no object");
        };
        let name = document["type"].as_str().and_then(|uri| uri.strip_prefix(TYPE_PREFIX));
        (status, name.expect("a URN").to_owned(), document)
    }

    #[test]
    fn errors_of_the_log_have_their_status_and_name() {
        let topic: TopicName = "orders".parse().expect("a name");
        let group = "billing".parse().expect("a name");
        let zero = Offset::ZERO;
        let range = LogError::OffsetOutOfRange { from: zero, start: zero, end: zero };
        let partition = LogError::UnknownPartition {
            topic: topic.clone(),
            partition: Partition::ZERO,
            partitions: 3,
        };
        let large = LogError::RecordTooLarge { topic: topic.clone(), bytes: 2, limit: 1 };
        let table = [
            (LogError::UnknownTopic(topic.clone()), 404, "unknown-topic"),
            (partition, 404, "unknown-partition"),
            (LogError::TopicExists(topic), 409, "topic-exists"),
            (range, 416, "offset-out-of-range"),
            (large, 413, "record-too-large"),
            (LogError::InvalidRequest("x".into()), 400, "invalid-request"),
            (LogError::GroupNotEmpty(group), 409, "group-not-empty"),
            (LogError::Fenced, 409, "fenced"),
            (LogError::Storage("x".into()), 500, "storage-failed"),
            (LogError::Closed, 503, "closed"),
        ];
        for (error, status, name) in table {
            let (have_status, have_name, document) = facts(error.clone());
            assert_eq!((have_status, have_name.as_str()), (status, name), "{error:?}");
            assert_eq!(document["detail"], error.to_string());
            assert_eq!(document["instance"], "/x");
        }
    }

    #[test]
    fn an_event_at_fault_is_named_with_its_place_in_the_batch() {
        let error = Box::new(EventError::Missing { attribute: "source" });
        let (status, name, document) = facts(EventError::InBatch { index: 2, error });
        assert_eq!((status, name.as_str()), (400, "missing-attribute"));
        assert_eq!(document["attribute"], "source");
        assert_eq!(document["index"], 2);
        let format = EventError::Format { came: "application/cloudevents+xml".into() };
        assert_eq!(facts(format).0, 415);
        let large = EventError::TooLarge { what: "events", came: 3, limit: 2 };
        assert_eq!(facts(large).0, 413);
    }

    #[test]
    fn what_came_is_repeated_in_part_only() {
        let (_, _, document) = facts(Problem::parameter("from", &"x".repeat(1000), "a place"));
        assert_eq!(document["came"].as_str().map(str::len), Some(64));
        assert_eq!(document["parameter"], "from");
    }
}
