//! TLS for the doors: certificates from files, read again when they change; handshakes with limits;
//! who a client is by its certificate.
//!
//! TLS 1.3 and 1.2 and nothing older, with the cipher suites of a list. A file that cannot be used
//! is refused when the server starts; later it is said, and what was read before goes on.
//! Connections that are open keep what they began with.

mod files;
mod name;
mod principal;
mod suites;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_event::Clock;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub use files::TlsError;
use files::{Loaded, Stamps};
use principal::PrincipalRules;

use crate::config::{ClientAuth, TlsSettings};
use crate::metrics::{Metrics, Reading};

/// A connection whose handshake is done.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Names that mean nobody or everybody.
const NOBODY: [&str; 3] = ["", "*", "ANONYMOUS"];

/// How often to look whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A certificate that ends sooner is worth a warning, once a day.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// How long a handshake may take, and how long where many are under way: who is slow goes first.
#[derive(Debug, Clone, Copy)]
struct Patience {
    usual: Duration,
    hurried: Duration,
    many: usize,
}

const PATIENCE: Patience =
    Patience { usual: Duration::from_secs(10), hurried: Duration::from_secs(1), many: 1000 };

/// What a handshake ended with.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The other side is no client of TLS, or not one that is let in.
    #[error("the TLS handshake failed: {0}")]
    Failed(io::Error),
    /// It closed before it said anything.
    #[error("closed before the TLS handshake")]
    Silent,
    /// It took too long.
    #[error("the TLS handshake was not done after {0:?}")]
    Slow(Duration),
    /// There is nobody to check client certificates against.
    #[error("client certificates are asked for, but tls_client_ca names no authority")]
    NoAuthority,
    /// The rules make no principal of the certificate's name.
    #[error("no rule of tls_principal_rules makes a principal of the certificate of {0:?}")]
    NoPrincipal(String),
}

/// Certificates and rules, as they are now.
pub struct Tls {
    settings: TlsSettings,
    rules: PrincipalRules,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    current: RwLock<Arc<Loaded>>,
    looked: Mutex<Looked>,
    patience: Patience,
    under_way: AtomicUsize,
}

/// What was seen of the files last, and when the end of the certificate was last warned of.
struct Looked {
    stamps: Stamps,
    warned_at: Option<Duration>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] with the file and what is wrong with it.
    pub fn open(
        settings: TlsSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsError> {
        let rules = PrincipalRules::parse(&settings.principal_rules)?;
        // Before reading: what changes meanwhile is read again.
        let looked = Looked { stamps: Stamps::of(&settings), warned_at: None };
        let current = RwLock::new(Arc::new(Loaded::read(&settings)?));
        let patience = PATIENCE;
        let under_way = AtomicUsize::new(0);
        let looked = Mutex::new(looked);
        let tls = Arc::new(Self {
            settings,
            rules,
            clock,
            metrics,
            current,
            looked,
            patience,
            under_way,
        });
        tls.warn_of_its_end();
        let observed = Arc::downgrade(&tls);
        tls.metrics.observe(move || observed.upgrade().map_or_else(Vec::new, |tls| tls.readings()));
        Ok(tls)
    }

    /// Does the handshake of a connection.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is closed then.
    pub async fn accept(
        &self,
        stream: TcpStream,
        auth: ClientAuth,
    ) -> Result<TlsStream, HandshakeError> {
        let config = self.config(auth).ok_or(HandshakeError::NoAuthority)?;
        let accepted = self.handshake(config, stream).await;
        match &accepted {
            Ok(_) | Err(HandshakeError::Silent) => {}
            Err(HandshakeError::Slow(_)) => self.metrics.tls_handshake_failed("slow"),
            Err(_) => self.metrics.tls_handshake_failed("refused"),
        }
        accepted
    }

    async fn handshake(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
    ) -> Result<TlsStream, HandshakeError> {
        let under_way = UnderWay::new(&self.under_way);
        let is_crowded = under_way.count > self.patience.many;
        let patience = if is_crowded { self.patience.hurried } else { self.patience.usual };
        let within = timeout(patience, async {
            // Who says nothing costs no more than a socket.
            let said = stream.peek(&mut [0]).await.map_err(HandshakeError::Failed)?;
            if said == 0 {
                return Err(HandshakeError::Silent);
            }
            let accepted = Box::pin(TlsAcceptor::from(config).accept(stream)).await;
            accepted.map_err(HandshakeError::Failed)
        });
        within.await.map_err(|_| HandshakeError::Slow(patience))?
    }

    /// The principal of a client by its certificate; none if it has shown none.
    ///
    /// # Errors
    /// Where no rule fits the name.
    pub fn principal(&self, stream: &TlsStream) -> Result<Option<String>, HandshakeError> {
        let (_, session) = stream.get_ref();
        let Some(certificate) = session.peer_certificates().and_then(<[_]>::first) else {
            return Ok(None);
        };
        let name = name::subject(certificate).unwrap_or_default();
        let is_somebody = |principal: &String| !NOBODY.contains(&principal.as_str());
        let principal = self.rules.apply(&name).filter(is_somebody);
        if principal.is_none() {
            self.metrics.tls_handshake_failed("no_principal");
        }
        principal.map(Some).ok_or(HandshakeError::NoPrincipal(name))
    }

    fn config(&self, auth: ClientAuth) -> Option<Arc<ServerConfig>> {
        self.current.read().config(auth)
    }

    /// Reads the files again when they change, and when `asked` to (SIGHUP), until `shutdown`.
    pub async fn watch(self: Arc<Self>, mut asked: Signal, mut shutdown: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let was_asked = tokio::select! {
                _ = asked.recv() => true,
                _ = ticks.tick() => false,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look(was_asked)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "the files of TLS could not be looked at");
            }
        }
    }

    /// Reads the files again if they are not the ones that were read last, or in any case.
    fn look(&self, in_any_case: bool) {
        let stamps = Stamps::of(&self.settings);
        if in_any_case || self.looked.lock().stamps != stamps {
            self.read_again();
            self.looked.lock().stamps = stamps;
        }
        self.warn_of_its_end();
    }

    fn read_again(&self) {
        match Loaded::read(&self.settings) {
            Ok(loaded) => {
                *self.current.write() = Arc::new(loaded);
                self.looked.lock().warned_at = None;
                let certificate = self.settings.certificate.display();
                tracing::info!(%certificate, "TLS certificates were read again");
            }
            Err(error) => {
                self.metrics.tls_reload_failed();
                tracing::error!(%error, "the new TLS files are not used; the old ones go on");
            }
        }
    }

    fn warn_of_its_end(&self) {
        let (left, now) = (self.seconds_left(), self.clock.monotonic());
        if left >= WARN_BEFORE.as_secs_f64() {
            return;
        }
        let warned_at = &mut self.looked.lock().warned_at;
        if warned_at.is_some_and(|at| now.saturating_sub(at) < WARN_EVERY) {
            return;
        }
        *warned_at = Some(now);
        let certificate = self.settings.certificate.display();
        if left > 0.0 {
            let days = (left / 86_400.0).floor();
            tracing::warn!(%certificate, "the TLS certificate ends in {days} days; renew it");
        } else {
            tracing::warn!(%certificate, "the TLS certificate has ended; clients refuse it: renew it");
        }
    }

    /// Seconds until the first certificate of the chain ends; below 0 if it has ended.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a gauge")]
    fn seconds_left(&self) -> f64 {
        let now = self.clock.now().as_millis() as f64 / 1000.0;
        self.current.read().ends_at_seconds() as f64 - now
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
    fn readings(&self) -> Vec<Reading> {
        vec![
            Reading::gauge(
                "tls_certificate_expires_in_seconds",
                "Seconds until the first of the server's certificates ends; below 0 when it has",
                self.seconds_left(),
            ),
            Reading::gauge(
                "tls_handshakes_under_way",
                "TLS handshakes that have begun and not ended",
                self.under_way.load(Ordering::Relaxed) as f64,
            ),
        ]
    }
}

/// A handshake counts as under way until this is dropped.
struct UnderWay<'a> {
    all: &'a AtomicUsize,
    count: usize,
}

impl<'a> UnderWay<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        Self { all, count: all.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
