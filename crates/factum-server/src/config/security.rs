//! Settings of TLS and of logging in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::listener::{ClientAuth, Listener, Protocol};
use super::{ConfigError, Layer};

/// The longest session without a new login, and the longest tolerance of clocks.
const DAY_MS: u64 = 86_400_000;

/// The longest pause after a login that failed: a connection is held for as long.
const MAX_FAILURE_DELAY_MS: u64 = 10_000;

/// A password of the configuration. It is not printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A way to log in: SASL's mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
pub enum SaslMechanism {
    /// Name and password as they are
    #[serde(rename = "PLAIN")]
    #[value(name = "PLAIN")]
    Plain,
    /// Proof of a password by SHA-256
    #[serde(rename = "SCRAM-SHA-256")]
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// Proof of a password by SHA-512
    #[serde(rename = "SCRAM-SHA-512")]
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token of somebody who is trusted
    #[serde(rename = "OAUTHBEARER")]
    #[value(name = "OAUTHBEARER")]
    OauthBearer,
}

impl SaslMechanism {
    /// What is offered where nothing is said; tokens too, once their keys are named.
    const USUAL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Files and rules of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, in PEM.
    pub key: PathBuf,
    /// Certificates of the authorities that clients' certificates come from.
    pub client_ca: Option<PathBuf>,
    /// Revoked certificates.
    pub crl: Option<PathBuf>,
    /// Names of the cipher suites; empty for Factum's own choice.
    pub ciphers: Vec<String>,
    /// Kafka's `ssl.principal.mapping.rules`.
    pub principal_rules: String,
}

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslSettings {
    /// What is offered, in this order.
    pub mechanisms: Vec<SaslMechanism>,
    /// Whether passwords may go over a connection that is not encrypted.
    pub plain_without_tls: bool,
    /// How long a login counts; none: as long as the connection.
    pub max_reauth: Option<Duration>,
    /// How long a login that failed waits for its answer.
    pub failure_delay: Duration,
    /// Which tokens are taken, through either door; none are without it.
    pub oauth: Option<OauthSettings>,
}

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthSettings {
    /// A file or a URL with the keys that tokens are signed with.
    pub jwks: String,
    /// Authorities that the URL may have its certificate from; none: those of the system.
    pub jwks_ca: Option<PathBuf>,
    /// Who must have issued a token; none: whoever has the keys.
    pub issuer: Option<String>,
    /// For whom a token must be: one of these, or anybody if there are none.
    pub audience: Vec<String>,
    /// The claim with the name of the user.
    pub principal_claim: String,
    /// How far clocks may differ.
    pub clock_skew: Duration,
}

/// The settings of TLS, where something needs it.
pub(super) fn tls(
    layer: &Layer,
    listeners: &[Listener],
) -> Result<Option<TlsSettings>, ConfigError> {
    let http_tls = layer.http_tls.unwrap_or(false);
    let needed_by = match listeners.iter().find(|listener| listener.protocol.is_tls()) {
        Some(listener) => listener.protocol.name(),
        None if http_tls => "http_tls",
        None => return Ok(None),
    };
    let asks = http_tls && layer.tls_client_auth.unwrap_or_default() != ClientAuth::None
        || listeners.iter().any(|one| one.protocol.is_tls() && one.client_auth != ClientAuth::None);
    if asks && layer.tls_client_ca.is_none() {
        return Err(ConfigError::Missing {
            setting: "tls_client_ca",
            needed_by: "client certificates",
        });
    }
    let missing = |setting| ConfigError::Missing { setting, needed_by };
    Ok(Some(TlsSettings {
        certificate: layer.tls_certificate.clone().ok_or_else(|| missing("tls_certificate"))?,
        key: layer.tls_key.clone().ok_or_else(|| missing("tls_key"))?,
        client_ca: layer.tls_client_ca.clone(),
        crl: layer.tls_crl.clone(),
        ciphers: layer.tls_ciphers.clone().unwrap_or_default(),
        principal_rules: layer.tls_principal_rules.clone().unwrap_or_default(),
    }))
}

/// How clients log in.
pub(super) fn sasl(layer: &Layer, listeners: &[Listener]) -> Result<SaslSettings, ConfigError> {
    let oauth = oauth(layer)?;
    let usual = || {
        let tokens = oauth.is_some().then_some(SaslMechanism::OauthBearer);
        SaslMechanism::USUAL.into_iter().chain(tokens).collect()
    };
    let mechanisms = layer.sasl_mechanisms.clone().unwrap_or_else(usual);
    let takes_tokens = mechanisms.contains(&SaslMechanism::OauthBearer);
    if takes_tokens && oauth.is_none() {
        return Err(ConfigError::Missing { setting: "oauth_jwks", needed_by: "OAUTHBEARER" });
    }
    let settings = SaslSettings {
        mechanisms,
        plain_without_tls: layer.sasl_plain_without_tls.unwrap_or(false),
        max_reauth: match layer.connections_max_reauth_ms.unwrap_or(0) {
            0 => None,
            ms => Some(milliseconds("connections_max_reauth_ms", ms, 1000, DAY_MS)?),
        },
        failure_delay: milliseconds(
            "failed_authentication_delay_ms",
            layer.failed_authentication_delay_ms.unwrap_or(100),
            0,
            MAX_FAILURE_DELAY_MS,
        )?,
        oauth: oauth.filter(|_| takes_tokens),
    };
    for listener in listeners.iter().filter(|listener| listener.protocol.is_sasl()) {
        if settings.offered(listener.protocol).next().is_none() {
            return Err(ConfigError::NoMechanism { protocol: listener.protocol });
        }
    }
    Ok(settings)
}

fn oauth(layer: &Layer) -> Result<Option<OauthSettings>, ConfigError> {
    let Some(jwks) = layer.oauth_jwks.clone() else { return Ok(None) };
    let nearby = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_nearby = nearby.iter().any(|host| {
        let rest = jwks.strip_prefix(host);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if jwks.starts_with("http://") && !is_nearby {
        return Err(ConfigError::OpenKeys { url: jwks });
    }
    let skew = layer.oauth_clock_skew_ms.unwrap_or(30_000);
    Ok(Some(OauthSettings {
        jwks,
        jwks_ca: layer.oauth_jwks_ca.clone(),
        issuer: layer.oauth_issuer.clone(),
        audience: layer.oauth_audience.clone().unwrap_or_default(),
        principal_claim: layer.oauth_principal_claim.clone().unwrap_or_else(|| "sub".to_owned()),
        clock_skew: milliseconds("oauth_clock_skew_ms", skew, 0, DAY_MS)?,
    }))
}

impl SaslSettings {
    /// The mechanisms of a listener: passwords as they are only go over TLS, unless said otherwise.
    pub fn offered(&self, protocol: Protocol) -> impl Iterator<Item = SaslMechanism> {
        let plain = protocol.is_tls() || self.plain_without_tls;
        self.mechanisms.iter().copied().filter(move |one| plain || *one != SaslMechanism::Plain)
    }
}

fn milliseconds(
    setting: &'static str,
    came: u64,
    min: u64,
    max: u64,
) -> Result<Duration, ConfigError> {
    if (min..=max).contains(&came) {
        return Ok(Duration::from_millis(came));
    }
    Err(ConfigError::Range { setting, came, min, max })
}
