//! Who is at the other end of a connection: nobody yet, somebody until their login ends, or whoever
//! may come. What may be asked for depends on it.
//!
//! On a listener of SASL a client sends SaslHandshake with a mechanism, and SaslAuthenticate as
//! often as the mechanism wants; before that only ApiVersions is answered. A login that fails is
//! answered after a moment, and closes the connection. One that counts for a time (KIP-368) is
//! done again on the same connection, by the same mechanism and principal; later requests close it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_event::access::Principal;
use factum_wire::ApiKey;
use parking_lot::Mutex;
use thiserror::Error;

use super::{KafkaDoor, KafkaListener};
use crate::config::SaslMechanism;
use crate::sasl::{Exchange, LoginError, Sasl, Step};

/// The largest request of somebody who has not logged in (Kafka's `sasl.server.max.receive.size`).
const STRANGERS_REQUEST_BYTES: usize = 512 << 10;

/// The most of a mechanism's name that a log line shows.
const SHOWN_CHARS: usize = 40;

/// Why a request is not looked at.
#[derive(Debug, Error)]
pub(super) enum Unwelcome {
    #[error("request {key} before a login; a listener {protocol} takes a login first")]
    Stranger { key: i16, protocol: crate::config::Protocol },
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
    },
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
    exchange: Option<(SaslMechanism, Exchange)>,
    has_failed: bool,
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
        self.state.lock().has_failed
    }

    /// The largest request that is read now, where `usual` is the limit for others.
    pub(super) fn request_bytes(&self, usual: usize) -> usize {
        if self.is_known() { usual } else { usual.min(STRANGERS_REQUEST_BYTES) }
    }

    /// Lets a request in that may be asked for now.
    pub(super) fn admit(&self, frame: &[u8]) -> Result<(), Unwelcome> {
        const ALWAYS: [ApiKey; 3] =
            [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        let key = frame.first_chunk().map_or(-1, |key| i16::from_be_bytes(*key));
        let state = self.state.lock();
        if state.has_failed {
            return Err(Unwelcome::Failed);
        }
        if ALWAYS.iter().any(|api| i16::from(*api) == key) {
            return Ok(());
        }
        match &state.known {
            None => Err(Unwelcome::Stranger { key, protocol: self.listener.protocol }),
            Some(known) if known.until.is_some_and(|until| until <= Instant::now()) => {
                Err(Unwelcome::Expired(key))
            }
            Some(_) => Ok(()),
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
        let state = &mut *self.state.lock();
        let known = offered.find(|offered| offered.name() == mechanism);
        let begun = match known {
            None => {
                door.metrics.kafka_authentication("other", false);
                Err(NoLogin::Mechanism)
            }
            Some(_) if version == 0 => Err(NoLogin::Raw),
            // Who begins anew before the end would never be counted as one who failed.
            Some(_) if state.exchange.is_some() => Err(NoLogin::UnderWay),
            Some(mechanism) => Ok(mechanism),
        };
        match begun {
            Ok(mechanism) => {
                state.exchange = Some((mechanism, Sasl::begin(mechanism)));
                Ok(())
            }
            Err(reason) => {
                state.has_failed = true;
                let mechanism: String = mechanism.chars().take(SHOWN_CHARS).collect();
                tracing::warn!(peer = %self.peer, listener = %self.listener.protocol, mechanism,
                    %reason, "login refused");
                Err(reason)
            }
        }
    }

    /// Takes the next message of a login; what comes back goes to the client, with the time that
    /// the login counts once it is done.
    pub(super) async fn authenticate(
        &self,
        door: &KafkaDoor,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Duration>), NoLogin> {
        let begun = self.state.lock().exchange.take();
        let Some((mechanism, mut exchange)) = begun else {
            self.state.lock().has_failed = true;
            tracing::warn!(peer = %self.peer, "login message without a login");
            return Err(NoLogin::NotBegun);
        };
        let step = match self.must_be_the_first(mechanism) {
            Ok(()) => door.sasl.step(&mut exchange, message).await.map_err(|error| {
                (NoLogin::Refused { shown: error.to_client(mechanism) }, Some(error))
            }),
            Err(reason) => Err((reason, None)),
        };
        let done = step.and_then(|step| match step {
            Step::Challenge(message) => {
                self.state.lock().exchange = Some((mechanism, exchange));
                Ok((message, None))
            }
            Step::Done { user, message, lasts } => {
                let lasts = self.succeed(door, mechanism, &user, lasts);
                lasts.map(|lasts| (message, lasts)).map_err(|reason| (reason, None))
            }
        });
        match done {
            Ok(answer) => Ok(answer),
            Err((reason, detail)) => {
                self.fail(door, mechanism, &reason, detail).await;
                Err(reason)
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

    /// Whoever tries passwords has to wait for each answer.
    async fn fail(
        &self,
        door: &KafkaDoor,
        mechanism: SaslMechanism,
        told: &NoLogin,
        detail: Option<LoginError>,
    ) {
        self.state.lock().has_failed = true;
        door.metrics.kafka_authentication(mechanism.name(), false);
        let reason = detail.map_or_else(|| told.to_string(), |detail| detail.to_string());
        let (listener, mechanism) = (self.listener.protocol, mechanism.name());
        tracing::warn!(peer = %self.peer, %listener, mechanism, reason, "login failed");
        tokio::time::sleep(door.sasl.settings().failure_delay).await;
    }
}
