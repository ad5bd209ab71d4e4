//! Who is at the other end of a connection: nobody yet, somebody until their login ends, or whoever
//! may come. What may be asked for depends on it.
//!
//! On a listener of SASL a client sends SaslHandshake with a mechanism, and SaslAuthenticate as
//! often as the mechanism wants; before that only ApiVersions is answered. A login that fails is
//! answered after a moment, and closes the connection. One that counts for a time (KIP-368) is
//! done again on the same connection, by the same mechanism and principal; later requests close it.
//!
//! Each failure is in the log and in the metric once, and at once: whoever hangs up on it has
//! failed all the same. What counts as one is Kafka's, and so requests of who is not logged in are.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_event::access::Principal;
use factum_wire::ApiKey;
use parking_lot::Mutex;
use thiserror::Error;

use super::{KafkaDoor, KafkaListener};
use crate::config::{Protocol, SaslMechanism};
use crate::sasl::{Exchange, LoginError, Sasl, Step};

/// The largest request of somebody who has not logged in (Kafka's `sasl.server.max.receive.size`).
const STRANGERS_REQUEST_BYTES: usize = 512 << 10;

/// The most of a mechanism's name that a log line shows.
const SHOWN_CHARS: usize = 40;

/// What counts as a failure of no mechanism that there is.
const NO_MECHANISM: &str = "other";

/// Why a request is not looked at.
#[derive(Debug, Error)]
pub(super) enum Unwelcome {
    #[error("request {0} after the login has ended; the client has to log in again before that")]
    Expired(i16),
    #[error("the login failed")]
    Failed,
}

/// Why a login does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NoLogin {
    /// This listener has no logins, or none was begun.
    #[error("no login is under way: SaslHandshake comes first, on a listener of SASL")]
    NotBegun,
    /// Something else is asked for.
    #[error("request {key} before a login; a listener {protocol} takes a login first")]
    Stranger {
        /// The API.
        key: i16,
        /// The protocol of the listener.
        protocol: Protocol,
    },
    /// Not a mechanism of this listener.
    #[error("this mechanism is not offered here")]
    Mechanism,
    /// Another one is not over.
    #[error("a login is under way already")]
    UnderWay,
    /// The raw login of Kafka 0.10.
    #[error("SaslHandshake version 0 is not supported; clients since Kafka 1.0 use version 1")]
    Raw,
    /// Another mechanism than the one of the first login.
    #[error("a client logs in again by the mechanism of its first login, {0}")]
    OtherMechanism(&'static str),
    /// Another user than the first.
    #[error("a client logs in again as the user of its first login")]
    OtherUser,
    /// What the mechanism says.
    #[error("{shown}")]
    Refused {
        /// What the client is told.
        shown: String,
        /// What is the matter.
        error: LoginError,
    },
}

impl NoLogin {
    fn refused(mechanism: SaslMechanism, error: LoginError) -> Self {
        Self::Refused { shown: error.to_client(mechanism), error }
    }

    /// For the log, which is told more than the client.
    fn detail(&self) -> String {
        match self {
            Self::Refused { error, .. } => error.to_string(),
            other => other.to_string(),
        }
    }
}

/// A connection's login.
pub(super) struct Session {
    listener: Arc<KafkaListener>,
    peer: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    login: Progress,
}

/// How far a login is.
#[derive(Default)]
enum Progress {
    /// There is none, or it is done.
    #[default]
    None,
    UnderWay(SaslMechanism, Exchange),
    /// It has failed. The client is to say that it knows, and is told this then.
    Refused(NoLogin),
    /// It has failed, and nothing more is taken.
    Failed,
}

impl Progress {
    const fn mechanism(&self) -> &'static str {
        match self {
            Self::UnderWay(mechanism, _) => mechanism.name(),
            Self::None | Self::Refused(_) | Self::Failed => NO_MECHANISM,
        }
    }
}

/// Somebody who may ask.
struct Known {
    principal: Principal,
    /// How they logged in; none where no login is needed.
    mechanism: Option<SaslMechanism>,
    until: Option<Instant>,
}

impl Session {
    /// A session that begins as the listener rules, with what a certificate says of the client.
    pub(super) fn begin(
        listener: &Arc<KafkaListener>,
        peer: SocketAddr,
        certified: Option<String>,
    ) -> Arc<Self> {
        let principal =
            || certified.map_or_else(Principal::anonymous, |name| Principal::user(&name));
        let known = (!listener.protocol.is_sasl()).then(|| Known {
            principal: principal(),
            mechanism: None,
            until: None,
        });
        let state = Mutex::new(State { known, ..Default::default() });
        Arc::new(Self { listener: Arc::clone(listener), peer, state })
    }

    pub(super) fn listener(&self) -> &KafkaListener {
        &self.listener
    }

    /// Who it is; nobody in particular before a login.
    pub(super) fn principal(&self) -> Principal {
        let state = self.state.lock();
        state.known.as_ref().map_or_else(Principal::anonymous, |known| known.principal.clone())
    }

    /// Whether it is known who it is, so that the usual limits hold.
    pub(super) fn is_known(&self) -> bool {
        self.state.lock().known.is_some()
    }

    /// Whether nothing more is taken, and the connection closes once its answers are sent.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state.lock().login, Progress::Failed)
    }

    /// The largest request that is read now, where `usual` is the limit for others.
    pub(super) fn request_bytes(&self, usual: usize) -> usize {
        if self.is_known() { usual } else { usual.min(STRANGERS_REQUEST_BYTES) }
    }

    /// Lets a request in that may be asked for now.
    pub(super) fn admit(&self, door: &KafkaDoor, frame: &[u8]) -> Result<(), Unwelcome> {
        const ALWAYS: [ApiKey; 3] =
            [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        let key = frame.first_chunk().map_or(-1, |key| i16::from_be_bytes(*key));
        let is = |api: ApiKey| i16::from(api) == key;
        let state = self.state.lock();
        match state.login {
            Progress::Failed => return Err(Unwelcome::Failed),
            Progress::Refused(_) if !is(ApiKey::SaslAuthenticate) => return Err(Unwelcome::Failed),
            _ if ALWAYS.into_iter().any(is) => return Ok(()),
            _ => {}
        }
        let Some(known) = &state.known else {
            let reason = NoLogin::Stranger { key, protocol: self.listener.protocol };
            self.note_failure(door, state.login.mechanism(), &reason);
            return Err(Unwelcome::Failed);
        };
        if known.until.is_some_and(|until| until <= Instant::now()) {
            return Err(Unwelcome::Expired(key));
        }
        Ok(())
    }

    /// Counts somebody whose bytes are no request where a login was expected; what is wrong with
    /// them is in the log as why the connection closes.
    pub(super) fn count_noise(&self, door: &KafkaDoor) {
        let state = self.state.lock();
        let is_counted = matches!(state.login, Progress::Refused(_) | Progress::Failed);
        if state.known.is_none() && !is_counted {
            door.metrics.kafka_authentication(state.login.mechanism(), false);
        }
    }

    /// Begins a login by the mechanism of this name, in this version of SaslHandshake.
    pub(super) fn handshake(
        &self,
        door: &KafkaDoor,
        mechanism: &str,
        version: i16,
    ) -> Result<(), NoLogin> {
        if !self.listener.protocol.is_sasl() {
            return Err(NoLogin::NotBegun);
        }
        let mut offered = door.sasl.offered(self.listener.protocol);
        let known = offered.find(|offered| offered.name() == mechanism);
        let begun = self.begin_login(known, version);
        if let Err(reason) = &begun {
            self.state.lock().login = Progress::Failed;
            let counted = known.map_or(NO_MECHANISM, SaslMechanism::name);
            let came: String = mechanism.chars().take(SHOWN_CHARS).collect();
            self.note_failure(door, counted, &format_args!("{reason}; {came:?} came"));
        }
        begun
    }

    fn begin_login(&self, known: Option<SaslMechanism>, version: i16) -> Result<(), NoLogin> {
        let mechanism = known.ok_or(NoLogin::Mechanism)?;
        if version == 0 {
            return Err(NoLogin::Raw);
        }
        let state = &mut *self.state.lock();
        // Who begins anew before the end would never be counted as one who failed.
        if !matches!(state.login, Progress::None) {
            return Err(NoLogin::UnderWay);
        }
        state.login = Progress::UnderWay(mechanism, Sasl::begin(mechanism));
        Ok(())
    }

    /// Takes the next message of a login; what comes back goes to the client, with the time that
    /// the login counts once it is done.
    pub(super) async fn authenticate(
        &self,
        door: &KafkaDoor,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Duration>), NoLogin> {
        if !self.listener.protocol.is_sasl() {
            return Err(NoLogin::NotBegun);
        }
        let login = std::mem::take(&mut self.state.lock().login);
        let (mechanism, exchange) = match login {
            Progress::UnderWay(mechanism, exchange) => (mechanism, exchange),
            Progress::None | Progress::Failed => {
                self.state.lock().login = Progress::Failed;
                self.note_failure(door, NO_MECHANISM, &NoLogin::NotBegun);
                return Err(NoLogin::NotBegun);
            }
            // It was noted when it was refused.
            Progress::Refused(reason) => {
                self.state.lock().login = Progress::Failed;
                return Err(reason);
            }
        };
        let answer = self.step(door, mechanism, exchange, message).await;
        if let Err(reason) = &answer {
            self.state.lock().login = Progress::Failed;
            self.note_failure(door, mechanism.name(), &reason.detail());
            pause(door).await;
        }
        answer
    }

    async fn step(
        &self,
        door: &KafkaDoor,
        mechanism: SaslMechanism,
        mut exchange: Exchange,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Duration>), NoLogin> {
        self.must_be_the_first(mechanism)?;
        let step = door.sasl.step(&mut exchange, message).await;
        match step.map_err(|error| NoLogin::refused(mechanism, error))? {
            Step::Challenge(message) => {
                self.state.lock().login = Progress::UnderWay(mechanism, exchange);
                Ok((message, None))
            }
            Step::Done { user, message, lasts } => {
                Ok((message, self.succeed(door, mechanism, &user, lasts)?))
            }
            Step::Refused { message, reason } => {
                // Now, as the client may never say that it knows.
                self.note_failure(door, mechanism.name(), &reason);
                pause(door).await;
                let told = NoLogin::refused(mechanism, reason);
                self.state.lock().login = Progress::Refused(told);
                Ok((message, None))
            }
        }
    }

    fn must_be_the_first(&self, mechanism: SaslMechanism) -> Result<(), NoLogin> {
        match self.state.lock().known.as_ref().and_then(|known| known.mechanism) {
            Some(first) if first != mechanism => Err(NoLogin::OtherMechanism(first.name())),
            _ => Ok(()),
        }
    }

    fn succeed(
        &self,
        door: &KafkaDoor,
        mechanism: SaslMechanism,
        user: &str,
        lasts: Option<Duration>,
    ) -> Result<Option<Duration>, NoLogin> {
        let principal = Principal::user(user);
        let limits = [lasts, door.sasl.settings().max_reauth];
        let lasts = limits.into_iter().flatten().min();
        // What lasts longer than the clock counts has no end.
        let until = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        let state = &mut *self.state.lock();
        let is_other = |known: &Known| known.principal != principal;
        if state.known.as_ref().is_some_and(is_other) {
            return Err(NoLogin::OtherUser);
        }
        tracing::debug!(peer = %self.peer, %principal, mechanism = mechanism.name(), "logged in");
        door.metrics.kafka_authentication(mechanism.name(), true);
        state.known = Some(Known { principal, mechanism: Some(mechanism), until });
        Ok(lasts)
    }

    /// Logs and counts a login that failed.
    fn note_failure(&self, door: &KafkaDoor, mechanism: &'static str, reason: &dyn Display) {
        let listener = self.listener.protocol;
        door.metrics.kafka_authentication(mechanism, false);
        tracing::warn!(peer = %self.peer, %listener, mechanism, %reason, "login failed");
    }
}

/// Whoever tries passwords and tokens has to wait for each answer.
async fn pause(door: &KafkaDoor) {
    tokio::time::sleep(door.sasl.settings().failure_delay).await;
}
