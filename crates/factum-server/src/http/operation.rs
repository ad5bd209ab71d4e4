//! For those who run the server: is it alive, is it ready, what does it count.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::metrics::MEDIA_TYPE;

/// `GET /`: what there is.
pub(super) async fn index() -> Json<Value> {
    Json(json!({
        "name": "factum",
        "version": env!("CARGO_PKG_VERSION"),
        "routes": [
            "POST /topics/{topic}/events",
            "GET /topics/{topic}/events?from&until&partition&type&subject&source&correlationid&id&limit&cursor",
            "GET /events?from&until&type&subject&source&correlationid&id&limit&cursor",
            "GET /topics", "POST /topics",
            "GET /topics/{topic}", "PATCH /topics/{topic}", "DELETE /topics/{topic}",
            "GET /topics/{topic}/settings", "POST /topics/{topic}/trim",
            "GET /groups", "GET /groups/{group}", "DELETE /groups/{group}",
            "PUT /groups/{group}/offsets",
            "GET /users", "PUT /users/{user}", "DELETE /users/{user}",
            "GET /acls", "POST /acls", "DELETE /acls", "GET /acls/explain",
            "GET /quotas", "POST /quotas",
            "GET /healthz", "GET /readyz", "GET /metrics",
        ],
    }))
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// `GET /readyz`: the log takes appends.
pub(super) async fn ready(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    match (shared.door.ready)() {
        Ok(()) => Ok(Json(json!({ "status": "ready" }))),
        Err(reason) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(Problem::new(status, "not-ready", "Not ready", reason))
        }
    }
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.door.metrics.encode().map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "internal", "Internal error", error.to_string())
    })?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
