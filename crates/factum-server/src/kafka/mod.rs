//! The Kafka door: stock Kafka clients produce to and consume from the broker.
//!
//! A connection is one task ([`connection`]): it reads frames, starts requests in their order
//! ([`dispatch`]), lets those that wait (for the disk, for records, for a rebalance) overlap, and
//! answers in order. What each API does is in a file of its own under [`api`].
//!
//! Record batches pass through as they came; this door decodes no record.

mod access;
mod acls;
mod api;
mod connection;
mod dispatch;
mod errors;
mod features;
mod fetch_sessions;
mod operations;
mod quota_entity;
mod quotas;
mod sending;
mod session;
mod transport;
mod work;

use std::io;
use std::sync::Arc;

use factum_broker::Broker;
use factum_event::access::{Client, Principal};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{ClientAuth, Listener, Protocol};
use crate::metrics::Metrics;
use crate::sasl::Sasl;
use crate::tls::Tls;
use fetch_sessions::FetchSessions;
use quotas::Quotas;
use session::Session;

/// The number of the only broker.
pub const NODE_ID: i32 = 1;

/// The permits of a [`Semaphore`] that limits bytes count kibibytes.
const PERMIT_BYTES: usize = 1024;

/// Limits of the door, so that clients cannot make it grow without bound.
#[derive(Debug, Clone)]
pub struct KafkaLimits {
    /// Most connections at once; more are closed at once.
    pub connections: usize,
    /// The largest request, in bytes (Kafka's `socket.request.max.bytes`).
    pub request_bytes: usize,
    /// Bytes of all requests that are in work at once; others wait to be read.
    pub requests_in_work_bytes: usize,
    /// Requests of one connection that are in work at once.
    pub requests_per_connection: usize,
    /// Most bytes of records in one answer to a fetch (Kafka's `fetch.max.bytes`).
    pub fetch_bytes: usize,
    /// Bytes in memory of all answers to fetches that are on their way at once.
    pub fetches_in_work_bytes: usize,
    /// A connection that neither sends nor takes anything for so long is closed
    /// (Kafka's `connections.max.idle.ms`).
    pub idle: std::time::Duration,
    /// A request that has begun must be there, and an answer taken, with no pause longer than this.
    pub stall: std::time::Duration,
}

impl Default for KafkaLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            request_bytes: 100 << 20,
            requests_in_work_bytes: 512 << 20,
            requests_per_connection: 64,
            fetch_bytes: 16 << 20,
            fetches_in_work_bytes: 256 << 20,
            idle: std::time::Duration::from_secs(600),
            stall: std::time::Duration::from_secs(30),
        }
    }
}

/// One of the places where the door listens.
pub struct KafkaListener {
    protocol: Protocol,
    /// What clients are told to connect to; without it, the address that they have reached.
    advertised: Option<(String, u16)>,
    /// Certificates, where connections are encrypted.
    tls: Option<Arc<Tls>>,
    client_auth: ClientAuth,
}

impl KafkaListener {
    /// A listener of these settings; `tls` is of those that are encrypted, and of no others.
    ///
    /// None if it is to be encrypted and cannot be.
    #[must_use]
    pub fn new(settings: &Listener, tls: Option<&Arc<Tls>>) -> Option<Self> {
        let Listener { protocol, advertised, client_auth, .. } = settings.clone();
        let tls = if protocol.is_tls() { Some(Arc::clone(tls?)) } else { None };
        Some(Self { protocol, advertised, tls, client_auth })
    }
}

/// What all connections share.
pub struct KafkaDoor {
    broker: Broker,
    metrics: Arc<Metrics>,
    limits: KafkaLimits,
    sasl: Arc<Sasl>,
    /// Whether asking for a topic that does not exist creates it.
    auto_create_topics: bool,
    /// A place for each connection, whichever listener it came through.
    places: Arc<Semaphore>,
    requests_in_work: Arc<Semaphore>,
    fetches_in_work: Arc<Semaphore>,
    fetch_sessions: Arc<FetchSessions>,
    quotas: Quotas,
}

impl KafkaDoor {
    /// A door to `broker`.
    #[must_use]
    pub fn new(
        broker: Broker,
        metrics: Arc<Metrics>,
        limits: KafkaLimits,
        sasl: Arc<Sasl>,
        auto_create_topics: bool,
    ) -> Self {
        let fetch_sessions = Arc::<FetchSessions>::default();
        let observed = Arc::clone(&fetch_sessions);
        metrics.observe(move || observed.readings());
        let places = Arc::new(Semaphore::new(limits.connections));
        let permits = |bytes: usize| Arc::new(Semaphore::new(bytes / PERMIT_BYTES));
        let requests_in_work = permits(limits.requests_in_work_bytes.max(limits.request_bytes));
        let fetches_in_work = permits(limits.fetches_in_work_bytes.max(limits.fetch_bytes));
        Self {
            broker,
            metrics,
            limits,
            sasl,
            auto_create_topics,
            places,
            requests_in_work,
            fetches_in_work,
            fetch_sessions,
            quotas: Quotas::default(),
        }
    }

    /// Accepts connections on a listener until `shutdown` says true, then closes them.
    ///
    /// # Errors
    /// Where the listener is of no use any more.
    pub async fn serve(
        self: Arc<Self>,
        socket: TcpListener,
        listener: Arc<KafkaListener>,
        mut shutdown: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!(%peer, limit = self.limits.connections, "too many connections");
                continue;
            };
            let (door, listener) = (Arc::clone(&self), Arc::clone(&listener));
            connections.spawn(async move {
                connection::run(door, listener, stream, peer).await;
                drop(place);
            });
        }
    }

    /// Kibibytes, as the semaphores count, of `bytes`.
    fn permits(bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX)
    }
}

/// Out of file descriptors or the like: connections that end make room.
async fn accept_failed(error: &io::Error) {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
    tracing::error!(%error, "cannot accept connections; trying again");
    tokio::time::sleep(PAUSE).await;
}

/// Who sent a request, and what it has reached.
#[derive(Clone)]
struct Caller {
    client_id: String,
    /// Who it is, and from where.
    client: Client,
    /// Its login.
    session: Arc<Session>,
    /// Where this client finds this broker.
    host: String,
    port: u16,
}

impl Caller {
    /// The caller as the author of a change.
    fn author(&self) -> String {
        let Client { principal, host } = &self.client;
        if *principal == Principal::anonymous() {
            format!("kafka:{}@{host}", self.client_id)
        } else {
            principal.to_string()
        }
    }
}
