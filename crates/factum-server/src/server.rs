//! Runs the server: opens the broker, opens the doors, and closes both in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use factum_broker::groups::GroupSettings;
use factum_broker::{AccessCounts, AccessSettings, Broker, BrokerOpenError, BrokerSettings};
use factum_event::access::Principal;
use factum_event::{Clock, SystemClock};
use factum_log::{LogSettings, OsDisk, Recovery};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::{Protocol, ServeConfig};
use crate::http::{self, HttpDoor, HttpLimits, HttpTls};
use crate::kafka::{KafkaDoor, KafkaLimits, KafkaListener};
use crate::login::{ADMIN, Login, LoginSetupError};
use crate::metrics::{Metrics, Reading};
use crate::open_files;
use crate::sasl::Sasl;
use crate::tls::{Tls, TlsError};

/// How long open connections may go on once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Where the doors are, and what opening the log found.
#[derive(Debug)]
pub struct Listening {
    /// The Kafka door, in the order of the configuration: one place at least.
    pub kafka: Vec<(Protocol, SocketAddr)>,
    /// The HTTP door.
    pub http: SocketAddr,
    /// Whether the HTTP door speaks TLS.
    pub is_https: bool,
    /// What recovery found.
    pub recovery: Recovery,
}

/// Why the server did not start, or ended.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The data directory could not be made.
    #[error("cannot use {directory} as the data directory: {source}")]
    Data {
        /// The directory.
        directory: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The log does not open.
    #[error(transparent)]
    Open(#[from] BrokerOpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop what listens there, or choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Certificates and keys are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody can log in.
    #[error(transparent)]
    Login(#[from] LoginSetupError),
    /// A door is to be encrypted, and there is no certificate.
    #[error(
        "{0} is to be encrypted, and no certificate was given; set tls_certificate and tls_key"
    )]
    NoCertificate(&'static str),
    /// The runtime or a signal handler could not be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

/// Runs the server until SIGTERM or Ctrl-C; calls `ready` once both doors are open.
///
/// # Errors
/// [`ServerError`]; nothing is served then.
pub fn run(config: ServeConfig, ready: impl FnOnce(&Listening)) -> Result<(), ServerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Start)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Arc::new(Metrics::new());
    // Certificates and addresses first: what is wrong with them is told before a long recovery.
    let tls =
        config.tls.clone().map(|tls| Tls::open(tls, Arc::clone(&clock), Arc::clone(&metrics)));
    let tls = tls.transpose()?;
    let sockets = runtime.block_on(Sockets::bind(&config))?;
    let (broker, recovery) = open(&config, &clock)?;
    let login = Login::open(
        Arc::new(broker.clone()),
        config.admin_password.as_ref(),
        config.sasl.oauth.clone(),
        Arc::clone(&clock),
    );
    let login = Arc::new(login?);
    warn_if_open(&broker);
    let sasl = Sasl::open(config.sasl.clone(), Arc::clone(&login));
    let sasl = Arc::new(sasl.map_err(LoginSetupError::from)?);
    let inside = Inside { broker: broker.clone(), clock, metrics, tls, login, sasl };
    let is_https = config.http_tls.is_some();
    let serving = serve(&config, inside, sockets, |kafka, http| {
        ready(&Listening { kafka, http, is_https, recovery });
    });
    let served = runtime.block_on(serving);
    runtime.shutdown_timeout(GRACE);
    broker.close();
    tracing::info!("stopped; everything that was acknowledged is on the disk");
    served
}

fn warn_if_open(broker: &Broker) {
    if broker.is_cluster_open() {
        tracing::warn!(
            "allow_everyone_if_no_acl_found is set and no rule is about the cluster: whoever can \
             connect may make users and rules; let a rule be about the cluster to close it"
        );
    }
}

/// What the doors stand on.
struct Inside {
    broker: Broker,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tls: Option<Arc<Tls>>,
    login: Arc<Login>,
    sasl: Arc<Sasl>,
}

/// Addresses that are taken.
struct Sockets {
    kafka: Vec<TcpListener>,
    http: TcpListener,
}

impl Sockets {
    async fn bind(config: &ServeConfig) -> Result<Self, ServerError> {
        let mut kafka = Vec::new();
        for listener in &config.listeners {
            kafka.push(listen(listener.address).await?);
        }
        Ok(Self { kafka, http: listen(config.http).await? })
    }
}

fn open(config: &ServeConfig, clock: &Arc<dyn Clock>) -> Result<(Broker, Recovery), ServerError> {
    let directory = || config.data.display().to_string();
    let disk = OsDisk::new(&config.data)
        .map_err(|source| ServerError::Data { directory: directory(), source })?;
    let settings = BrokerSettings {
        log: LogSettings {
            journal_bytes: config.journal_bytes,
            queue_bytes: config.queue_bytes,
            tail_bytes: config.tail_bytes,
            seal_bytes_per_second: config.seal_bytes_per_second,
            ..LogSettings::default()
        },
        default_partitions: config.default_partitions,
        upkeep_interval: config.upkeep_interval,
        seal_interval: config.seal_interval,
        compaction_bytes_per_second: config.compaction_bytes_per_second,
        compaction_key_bytes: config.compaction_key_bytes,
        access: access(config),
        groups: GroupSettings {
            initial_rebalance_delay: config.group_initial_rebalance_delay,
            consumer_session_timeout: config.group_consumer_session_timeout,
            consumer_heartbeat_interval: config.group_consumer_heartbeat_interval,
            ..Default::default()
        },
        ..Default::default()
    };
    Ok(Broker::open(Arc::new(disk), Arc::clone(clock), settings)?)
}

fn access(config: &ServeConfig) -> AccessSettings {
    let mut super_users = config.super_users.clone();
    if config.admin_password.is_some() {
        super_users.insert(Principal::user(ADMIN));
    }
    AccessSettings {
        is_on: config.access_control,
        super_users,
        is_open_without_rules: config.allow_everyone_if_no_acl_found,
        ..Default::default()
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |source| ServerError::Listen { address, source };
    TcpListener::bind(address).await.map_err(failed)
}

async fn serve(
    config: &ServeConfig,
    inside: Inside,
    sockets: Sockets,
    ready: impl FnOnce(Vec<(Protocol, SocketAddr)>, SocketAddr),
) -> Result<(), ServerError> {
    let stopped = stop_signal().map_err(ServerError::Start)?;
    let at = |listener: &TcpListener| listener.local_addr().map_err(ServerError::Start);
    let Sockets { kafka, http } = sockets;
    let kafka_at: Result<Vec<_>, _> = kafka.iter().map(at).collect();
    let protocols = config.listeners.iter().map(|listener| listener.protocol);
    let (kafka_at, http_at) = (protocols.zip(kafka_at?).collect(), at(&http)?);
    observe(&inside.metrics, &inside.broker);
    let (stop, shutdown) = watch::channel(false);
    let (kafka_limits, http_limits) = limits();
    if let Some(tls) = &inside.tls {
        let asked = signal(SignalKind::hangup()).map_err(ServerError::Start)?;
        tokio::spawn(Arc::clone(tls).watch(asked, shutdown.clone()));
    }
    let kafka = open_kafka(config, &inside, kafka_limits, kafka, &shutdown)?;
    let http = open_http(config, inside, http_limits, http, shutdown)?;
    ready(kafka_at, http_at);
    stopped.await;
    tracing::info!("stopping");
    // A door that is gone already needs no word.
    let _ = stop.send(true);
    let closed = async { (kafka.join_all().await, http.await) };
    let _ = tokio::time::timeout(GRACE, closed).await;
    Ok(())
}

/// Opens the Kafka door on all its listeners.
fn open_kafka(
    config: &ServeConfig,
    inside: &Inside,
    limits: KafkaLimits,
    sockets: Vec<TcpListener>,
    shutdown: &watch::Receiver<bool>,
) -> Result<JoinSet<io::Result<()>>, ServerError> {
    let (broker, metrics) = (inside.broker.clone(), Arc::clone(&inside.metrics));
    let door = Arc::new(KafkaDoor::new(
        broker,
        metrics,
        limits,
        Arc::clone(&inside.sasl),
        config.auto_create_topics,
    ));
    let mut serving = JoinSet::new();
    for (settings, socket) in config.listeners.iter().zip(sockets) {
        let listener = KafkaListener::new(settings, inside.tls.as_ref())
            .ok_or(ServerError::NoCertificate("a listener"))?;
        let door = Arc::clone(&door);
        serving.spawn(door.serve(socket, Arc::new(listener), shutdown.clone()));
    }
    Ok(serving)
}

/// Opens the HTTP door.
fn open_http(
    config: &ServeConfig,
    inside: Inside,
    limits: HttpLimits,
    socket: TcpListener,
    shutdown: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, ServerError> {
    let Inside { broker, clock, metrics, tls, login, .. } = inside;
    let tls = match config.http_tls {
        Some(client_auth) => {
            let tls = tls.ok_or(ServerError::NoCertificate("the HTTP door"))?;
            Some(HttpTls { tls, client_auth })
        }
        None => None,
    };
    let door = HttpDoor {
        enter: {
            let broker = broker.clone();
            Arc::new(move |client, to_do| Arc::new(broker.as_client(client.clone(), to_do)))
        },
        login,
        clock,
        metrics: Arc::clone(&metrics),
        limits: limits.clone(),
        ready: Arc::new(move || broker.log().failure().map_or(Ok(()), Err)),
        shutdown: shutdown.clone(),
    };
    let router = http::router(door);
    Ok(tokio::spawn(http::serve(socket, tls, router, limits, metrics, shutdown)))
}

/// The limits of both doors, with as many connections as the system allows.
fn limits() -> (KafkaLimits, HttpLimits) {
    let (mut kafka, mut http) = (KafkaLimits::default(), HttpLimits::default());
    let allowed = open_files::connections(2, kafka.connections.max(http.connections));
    kafka.connections = kafka.connections.min(allowed);
    http.connections = http.connections.min(allowed);
    (kafka, http)
}

/// Completes on SIGTERM or Ctrl-C.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The numbers of the rooms below, as they are when they are asked for.
fn observe(metrics: &Metrics, broker: &Broker) {
    let broker = broker.clone();
    metrics.observe(move || {
        let mut readings = log_readings(&broker);
        readings.extend(upkeep_readings(&broker));
        readings.extend(group_readings(&broker));
        readings.extend(transaction_readings(&broker));
        readings.extend(access_readings(&broker));
        readings
    });
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn log_readings(broker: &Broker) -> Vec<Reading> {
    let log = broker.log().metrics();
    let topics = broker.all_topics();
    let partitions: u32 = topics.iter().map(|topic| topic.partition_count()).sum();
    let failed = broker.log().failure().is_some();
    let flush_time = Duration::from_micros(log.flush_times.sum_micros);
    vec![
        Reading::counter("log_flushes", "Flushes of the journal", log.flushes),
        Reading::spent("log_flush_seconds", "Time spent writing and flushing groups", flush_time),
        Reading::counter("log_batches_appended", "Batches made durable", log.batches),
        Reading::counter("log_appended_bytes", "Bytes made durable", log.bytes_appended),
        Reading::counter("log_read_memory_bytes", "Bytes read from memory", log.bytes_read_tail),
        Reading::counter("log_read_disk_bytes", "Bytes read from disk", log.bytes_read_disk),
        Reading::gauge("log_queue_bytes", "Bytes waiting for a flush", log.queue_bytes as f64),
        Reading::gauge("log_tail_bytes", "Recent bytes held in memory", log.tail_bytes as f64),
        Reading::gauge(
            "log_summary_bytes",
            "Memory for what full journals and segments have of each partition",
            broker.log().summary_bytes() as f64,
        ),
        Reading::gauge("log_journals", "Journal files", log.journals as f64),
        Reading::gauge(
            "log_segments",
            "Files with what retention and compaction left of journals",
            log.segments as f64,
        ),
        Reading::counter("log_seals", "Journals checked again and sealed", log.seals),
        Reading::gauge(
            "log_unsealed_bytes",
            "Bytes of full journals not sealed yet",
            log.unsealed_bytes as f64,
        ),
        Reading::counter("log_scrub_damage", "Damaged files found by sealing", log.scrub_damage),
        Reading::gauge(
            "log_stalled",
            "1 while the disk takes nothing for now, as when it is full",
            log.is_stalled.into(),
        ),
        Reading::counter("log_stalls", "Times that the disk took nothing for a while", log.stalls),
        Reading::gauge("log_failed", "1 if the journal takes nothing more", failed.into()),
        Reading::gauge("topics", "Topics, Factum's own included", topics.len() as f64),
        Reading::gauge("partitions", "Partitions of all topics", partitions.into()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn upkeep_readings(broker: &Broker) -> Vec<Reading> {
    let upkeep = broker.upkeep_metrics();
    let failed_at = upkeep.last_error_at.map_or(0.0, |at| at.as_millis() as f64 / 1000.0);
    vec![
        Reading::counter(
            "retention_removed_bytes",
            "Bytes of batches that retention cut off",
            upkeep.retention_bytes,
        ),
        Reading::counter(
            "retention_removed_offsets",
            "Offsets that retention cut off: records, where nothing was compacted",
            upkeep.retention_offsets,
        ),
        Reading::counter("compactions", "Compactions of a partition", upkeep.compactions),
        Reading::counter(
            "compaction_read_bytes",
            "Bytes of batches that compaction went over",
            upkeep.compaction_bytes_read,
        ),
        Reading::counter(
            "compaction_left_bytes",
            "Bytes of what compaction left of them",
            upkeep.compaction_bytes_left,
        ),
        Reading::counter(
            "compaction_removed_records",
            "Records that compaction removed",
            upkeep.compaction_records_removed,
        ),
        Reading::counter("checkpoints", "Checkpoints of the broker's state", upkeep.checkpoints),
        Reading::counter(
            "upkeep_errors",
            "Times that retention, compaction or a checkpoint failed; the log says why",
            upkeep.errors,
        ),
        Reading::gauge(
            "upkeep_last_error_timestamp_seconds",
            "When that was last, in seconds since 1970; 0 if never",
            failed_at,
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn group_readings(broker: &Broker) -> Vec<Reading> {
    let groups = broker.groups().metrics();
    vec![
        Reading::gauge(
            "groups",
            "Consumer groups with members now or lately",
            groups.groups as f64,
        ),
        Reading::gauge("group_members", "Members of consumer groups", groups.members as f64),
        Reading::counter("group_rebalances", "Rebalances begun", groups.rebalances_begun),
        Reading::counter(
            "group_members_evicted",
            "Members removed because they were silent",
            groups.members_evicted,
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn access_readings(broker: &Broker) -> Vec<Reading> {
    let AccessCounts { acls, users, quotas } = broker.access_counts();
    vec![
        Reading::gauge("acls", "Rules of access", acls as f64),
        Reading::gauge("users", "Users that log in with a password", users as f64),
        Reading::gauge("quotas", "Users and clients that have quotas", quotas as f64),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn transaction_readings(broker: &Broker) -> Vec<Reading> {
    let transactions = broker.transaction_metrics();
    vec![
        Reading::counter(
            "transactions_committed",
            "Transactions committed",
            transactions.committed,
        ),
        Reading::counter("transactions_aborted", "Transactions aborted", transactions.aborted),
        Reading::counter(
            "transactions_timed_out",
            "Transactions aborted because they took too long",
            transactions.timed_out,
        ),
        Reading::gauge(
            "transactions_ongoing",
            "Transactions under way",
            transactions.ongoing as f64,
        ),
        Reading::gauge("transactional_ids", "Transactional ids kept", transactions.ids as f64),
    ]
}
