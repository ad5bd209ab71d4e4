//! Logging in by SASL: what clients and server say to each other until it is known who the client
//! is, whatever protocol carries it.
//!
//! PLAIN (RFC 4616), SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677) and OAUTHBEARER (RFC 7628). Users
//! are known by what was stored of their passwords for SCRAM, and that is what a password of PLAIN
//! is compared with. An unknown user takes the same way as a known one, with a salt that stays the
//! same while the server runs: nobody learns who there is among users with the usual credentials.

mod oauth;
mod plain;
mod scram;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use factum_event::access::{Credential, ScramMechanism};
use thiserror::Error;

use crate::config::{Protocol, SaslMechanism, SaslSettings};
use crate::login::Login;
use crate::password;
use crate::token::{Identity, TokenError};
use oauth::Bearer;
use plain::Plain;
use scram::{Challenge, ClientFirst};

/// Random bytes of a nonce, and of what makes salts.
const NONCE_BYTES: usize = 18;
const PEPPER_BYTES: usize = 32;

/// Why somebody is not logged in. What the client is told is less: see [`Self::to_client`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The message is not one of the mechanism's.
    #[error("the login message {0}")]
    Garbled(&'static str),
    /// Somebody wants to be somebody else.
    #[error("the login message names another user than the one who logs in")]
    OtherName,
    /// An unknown user, or not their password; which of both is for nobody to know.
    #[error("unknown user or wrong password of {0:?}")]
    Credentials(String),
    /// A token that is not taken.
    #[error("the token is not taken: {0}")]
    Token(TokenError),
    /// No more messages are expected.
    #[error("a login message after the last")]
    Over,
    /// The system has no random bytes, or gave up a task.
    #[error("the login could not be checked")]
    Unchecked,
}

impl LoginError {
    /// What the client is told: as Kafka, without a hint whether the user exists.
    #[must_use]
    pub fn to_client(&self, mechanism: SaslMechanism) -> String {
        let mechanism = mechanism.name();
        match self {
            Self::Token(_) => String::from_utf8_lossy(oauth::INVALID_TOKEN).into_owned(),
            Self::Credentials(_) | Self::Unchecked => format!(
                "Authentication failed during authentication due to invalid credentials with SASL \
                 mechanism {mechanism}"
            ),
            other => format!("Authentication failed with SASL mechanism {mechanism}: {other}"),
        }
    }
}

/// How a step of a login went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The client has to say more.
    Challenge(Vec<u8>),
    /// The client is known.
    Done {
        /// The name that it has proven.
        user: String,
        /// The last message to it.
        message: Vec<u8>,
        /// How long what it showed is good for; none: for ever.
        lasts: Option<Duration>,
    },
    /// The client is not let in, and has to take note of that: whatever it says next ends the
    /// login as failed.
    Refused {
        /// What it is told first.
        message: Vec<u8>,
        /// Why.
        reason: LoginError,
    },
}

/// A login that is under way.
#[derive(Debug)]
pub struct Exchange {
    mechanism: SaslMechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Challenged { challenge: Box<Challenge>, credential: Credential },
    Over,
}

/// What all logins share.
pub struct Sasl {
    settings: SaslSettings,
    login: Arc<Login>,
    /// What salts of users that do not exist are made of.
    pepper: hmac::Key,
}

impl Sasl {
    /// Logins by the settings, with passwords and tokens that `login` checks.
    ///
    /// # Errors
    /// Where the operating system has no random bytes.
    pub(crate) fn open(
        settings: SaslSettings,
        login: Arc<Login>,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, &bytes::<PEPPER_BYTES>()?);
        Ok(Self { settings, login, pepper })
    }

    /// The mechanisms of a listener.
    pub fn offered(&self, protocol: Protocol) -> impl Iterator<Item = SaslMechanism> {
        self.settings.offered(protocol)
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &SaslSettings {
        &self.settings
    }

    /// A login by this mechanism.
    #[must_use]
    pub const fn begin(mechanism: SaslMechanism) -> Exchange {
        Exchange { mechanism, state: State::Begun }
    }

    /// Takes the client's next message.
    ///
    /// # Errors
    /// [`LoginError`]; the login is over then.
    pub async fn step(&self, exchange: &mut Exchange, message: &[u8]) -> Result<Step, LoginError> {
        let state = std::mem::replace(&mut exchange.state, State::Over);
        match (state, scram(exchange.mechanism)) {
            (State::Begun, None) if exchange.mechanism == SaslMechanism::OauthBearer => {
                self.token(Bearer::parse(message)?).await
            }
            (State::Begun, None) => self.plain(Plain::parse(message)?).await,
            (State::Begun, Some(mechanism)) => {
                let first = ClientFirst::parse(message)?;
                let credential = self.credential_or_fake(&first.user, mechanism);
                let nonce = bytes::<NONCE_BYTES>().map_err(|_| LoginError::Unchecked)?;
                let nonce = URL_SAFE_NO_PAD.encode(nonce);
                let (salt, iterations) = (&credential.salt, credential.iterations);
                let challenge = Box::new(Challenge::new(first, &nonce, salt, iterations));
                let message = challenge.message();
                exchange.state = State::Challenged { challenge, credential };
                Ok(Step::Challenge(message))
            }
            (State::Challenged { challenge, credential }, Some(mechanism)) => {
                let last = challenge.parse_final(message)?;
                let user = challenge.user().to_owned();
                match password::prove(&credential, mechanism, &last.auth_message, &last.proof) {
                    Some(signature) => {
                        let message = scram::server_final(&signature);
                        Ok(Step::Done { user, message, lasts: None })
                    }
                    None => Err(LoginError::Credentials(user)),
                }
            }
            (State::Over | State::Challenged { .. }, _) => Err(LoginError::Over),
        }
    }

    async fn plain(&self, Plain { user, password }: Plain) -> Result<Step, LoginError> {
        match self.login.by_password(&user, password.reveal()).await {
            Some(_) => Ok(Step::Done { user, message: Vec::new(), lasts: None }),
            None => Err(LoginError::Credentials(user)),
        }
    }

    async fn token(&self, bearer: Bearer<'_>) -> Result<Step, LoginError> {
        match self.login.by_token(bearer.token).await {
            Ok(identity) if bearer.on_behalf_of.is_some_and(|name| name != identity.user) => {
                Err(LoginError::OtherName)
            }
            Ok(Identity { user, lasts }) => {
                Ok(Step::Done { user, message: Vec::new(), lasts: Some(lasts) })
            }
            Err(reason) => {
                let message = oauth::INVALID_TOKEN.to_vec();
                Ok(Step::Refused { message, reason: LoginError::Token(reason) })
            }
        }
    }

    fn credential_or_fake(&self, user: &str, mechanism: ScramMechanism) -> Credential {
        self.login.credential(user, mechanism).unwrap_or_else(|| self.fake(user, mechanism))
    }

    /// What stands for a user that does not exist: no proof fits it, as nobody knows its keys.
    fn fake(&self, user: &str, mechanism: ScramMechanism) -> Credential {
        let derive = |what: &str, bytes: usize| {
            let of = format!("{what}:{}:{user}", mechanism.name());
            let tag = hmac::sign(&self.pepper, of.as_bytes());
            tag.as_ref().iter().copied().cycle().take(bytes).collect::<Vec<u8>>()
        };
        let hash_bytes = password::hash_bytes(mechanism);
        Credential {
            salt: derive("salt", password::SALT_BYTES),
            iterations: password::DEFAULT_ITERATIONS,
            stored_key: derive("stored key", hash_bytes),
            server_key: derive("server key", hash_bytes),
        }
    }
}

/// The hash of a mechanism of SCRAM.
const fn scram(mechanism: SaslMechanism) -> Option<ScramMechanism> {
    match mechanism {
        SaslMechanism::Plain | SaslMechanism::OauthBearer => None,
        SaslMechanism::ScramSha256 => Some(ScramMechanism::Sha256),
        SaslMechanism::ScramSha512 => Some(ScramMechanism::Sha512),
    }
}

fn bytes<const COUNT: usize>() -> Result<[u8; COUNT], aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; COUNT];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}
