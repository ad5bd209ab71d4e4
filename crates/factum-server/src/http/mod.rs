//! The HTTP door: events by the CloudEvents binding, administration, health and metrics.
//!
//! It works on any [`EventLog`] and keeps nothing of its own. What one request may cost is
//! bounded by [`HttpLimits`]; what is refused is answered with a problem document. It knows
//! nothing of the Kafka protocol, and does not decide who may do what: it asks who it is, and works
//! on the log as that client sees it.

mod accept;
mod acls;
mod cursor;
mod groups;
mod layer;
mod lines;
mod operation;
mod page;
mod path;
mod problem;
mod publish;
mod query;
mod quotas;
mod read;
mod reading;
mod serve;
mod session;
mod stream;
mod topics;
mod users;

#[cfg(test)]
mod memory_log;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use factum_event::access::{Client, Operation};
use factum_event::event::EventIds;
use factum_event::{Clock, EventLog};
use tokio::sync::{Semaphore, watch};

use crate::login::Login;
use crate::metrics::Metrics;

pub(crate) use serve::{HttpTls, serve};

/// Says whether the log takes appends, and if not, why.
pub(crate) type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What permits for bodies count.
const KIB: usize = 1024;

/// The log as a client sees it who wants to do something: topics with which it may not are not
/// there.
pub(crate) type Enter = Arc<dyn Fn(&Client, Operation) -> Arc<dyn EventLog> + Send + Sync>;

/// What the door stands on.
pub(crate) struct HttpDoor {
    /// The log, for who asks.
    pub(crate) enter: Enter,
    /// Who that is, and what is kept of users and rules.
    pub(crate) login: Arc<Login>,
    /// The time, for record timestamps and request ids.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where requests are counted, and what `/metrics` answers.
    pub(crate) metrics: Arc<Metrics>,
    /// What requests may cost.
    pub(crate) limits: HttpLimits,
    /// What `/readyz` answers.
    pub(crate) ready: Ready,
    /// Turns true when the server stops: event streams end then.
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// What requests may cost.
#[derive(Debug, Clone)]
pub(crate) struct HttpLimits {
    /// Connections at once; more wait to be accepted.
    pub(crate) connections: usize,
    /// Requests at once, event streams apart; more are refused.
    pub(crate) requests: usize,
    /// Event streams at once; more are refused.
    pub(crate) followers: usize,
    /// Bytes of a request's body.
    pub(crate) body_bytes: usize,
    /// Bytes of all bodies that are arriving at once; more are refused.
    pub(crate) bodies_bytes: usize,
    /// Events of a request.
    pub(crate) batch_events: usize,
    /// How long the head of a request may take to arrive; a connection that is idle for so long
    /// is closed.
    pub(crate) header_timeout: Duration,
    /// How long the body of a request may take to arrive.
    pub(crate) body_timeout: Duration,
    /// How long requests may go on when the server stops.
    pub(crate) drain_timeout: Duration,
    /// Partitions that one read covers.
    pub(crate) read_partitions: usize,
    /// Events of a page, where the client does not say.
    pub(crate) page_events: u64,
    /// Events of a page at most.
    pub(crate) max_page_events: u64,
    /// Records that are looked at for a page.
    pub(crate) page_scan: u64,
    /// Bytes after which a page ends.
    pub(crate) page_bytes: usize,
    /// How often an event stream without events shows that it is alive.
    pub(crate) keep_alive: Duration,
    /// How often an event stream looks for new partitions.
    pub(crate) refresh: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            requests: 1024,
            followers: 1024,
            body_bytes: 16 << 20,
            bodies_bytes: 256 << 20,
            batch_events: 10_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            read_partitions: 2000,
            page_events: 1000,
            max_page_events: 10_000,
            page_scan: 100_000,
            page_bytes: 16 << 20,
            keep_alive: Duration::from_secs(15),
            refresh: Duration::from_secs(5),
        }
    }
}

/// What every handler gets: the door, and what its requests share.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    door: HttpDoor,
    requests: Arc<Semaphore>,
    /// In kibibytes.
    bodies: Semaphore,
    followers: Arc<Semaphore>,
    ids: EventIds,
}

impl Deref for Shared {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The routes of the door.
pub(crate) fn router(door: HttpDoor) -> Router {
    let shared = Shared(Arc::new(Inner {
        requests: Arc::new(Semaphore::new(door.limits.requests)),
        bodies: Semaphore::new(door.limits.bodies_bytes.max(door.limits.body_bytes) / KIB),
        followers: Arc::new(Semaphore::new(door.limits.followers)),
        ids: EventIds::new(),
        door,
    }));
    let body_bytes = shared.door.limits.body_bytes;
    let events = Router::new()
        .route("/events", get(read::all))
        .route("/topics", get(topics::list).post(topics::create))
        .route("/topics/{topic}", get(topics::show).patch(topics::change).delete(topics::delete))
        .route("/topics/{topic}/settings", get(topics::settings))
        .route("/topics/{topic}/trim", post(topics::trim))
        .route("/topics/{topic}/events", post(publish::publish).get(read::topic))
        .route("/groups", get(groups::list))
        .route("/groups/{group}", get(groups::show).delete(groups::delete))
        .route("/groups/{group}/offsets", put(groups::reset))
        .route("/users", get(users::list))
        .route("/users/{user}", put(users::put).delete(users::delete))
        .route("/acls", get(acls::list).post(acls::create).delete(acls::delete))
        .route("/acls/explain", get(acls::explain))
        .route("/quotas", get(quotas::list).post(quotas::alter))
        .method_not_allowed_fallback(layer::method_not_allowed)
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(from_fn_with_state(shared.clone(), layer::admit));
    // These answer under load as well: a limit on requests that hides the server's state helps
    // nobody.
    let operation = Router::new()
        .route("/", get(operation::index))
        .route("/healthz", get(operation::alive))
        .route("/readyz", get(operation::ready))
        .route("/metrics", get(operation::metrics))
        .method_not_allowed_fallback(layer::method_not_allowed);
    events
        .merge(operation)
        .fallback(layer::not_found)
        .layer(from_fn_with_state(shared.clone(), layer::observe))
        .with_state(shared)
}
