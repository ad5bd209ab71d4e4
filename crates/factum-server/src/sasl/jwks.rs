//! Where the keys of tokens come from: a file, or a URL of whoever issues them.
//!
//! They are read when the server starts, again when they are old, and when a token names a key
//! that is not there; not more often than every few seconds, whatever clients show. If that fails,
//! those that were read before go on.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::token::{Identity, Keys, TokenError};
use crate::config::OauthSettings;

/// The largest document of keys.
const MAX_BYTES: u64 = 1 << 20;

/// After that long, keys are read again with the next token.
const OLD: Duration = Duration::from_secs(300);

/// Between two readings there is at least this.
const PAUSE: Duration = Duration::from_secs(5);

/// How long the issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read oauth_jwks {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The issuer does not answer as it should.
    #[error("cannot get oauth_jwks {url}: {source}")]
    Get {
        /// The URL.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// Not a document of keys.
    #[error("oauth_jwks {place} is no document of keys in JSON: {source}")]
    Form {
        /// Where it came from.
        place: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A document without a key for signatures.
    #[error("oauth_jwks {0} holds no public key for signatures of RSA, P-256, P-384 or Ed25519")]
    Empty(String),
    /// Nobody to check the issuer's certificate against.
    #[error("oauth_jwks_ca {0} holds no certificate in PEM")]
    Authorities(String),
}

/// Keys and the settings of tokens.
pub(super) struct Tokens {
    settings: Arc<OauthSettings>,
    keys: RwLock<Arc<Keys>>,
    /// When reading was last begun; who holds it reads.
    read_at: tokio::sync::Mutex<Instant>,
}

impl Tokens {
    /// Reads the keys for the first time. An issuer that cannot be reached is no reason not to
    /// start; a file that cannot be read is.
    pub(super) fn open(settings: OauthSettings) -> Result<Self, KeysError> {
        let keys = match load(&settings) {
            Err(error @ (KeysError::Get { .. } | KeysError::Form { .. }))
                if url(&settings).is_some() =>
            {
                tracing::error!(%error, "no token is taken until the keys can be read");
                Keys::default()
            }
            loaded => loaded?,
        };
        let read_at = tokio::sync::Mutex::new(Instant::now());
        let keys = RwLock::new(Arc::new(keys));
        Ok(Self { settings: Arc::new(settings), keys, read_at })
    }

    /// Checks a token at `now`, in seconds since 1970.
    pub(super) async fn check(&self, token: &str, now: f64) -> Result<Identity, TokenError> {
        self.read_again_after(OLD).await;
        let checked = self.check_now(token, now);
        if checked != Err(TokenError::UnknownKey) {
            return checked;
        }
        self.read_again_after(PAUSE).await;
        self.check_now(token, now)
    }

    fn check_now(&self, token: &str, now: f64) -> Result<Identity, TokenError> {
        let keys = Arc::clone(&self.keys.read());
        keys.check(token, &self.settings, now)
    }

    async fn read_again_after(&self, age: Duration) {
        let mut read_at = self.read_at.lock().await;
        if read_at.elapsed() < age {
            return;
        }
        *read_at = Instant::now();
        let settings = Arc::clone(&self.settings);
        match tokio::task::spawn_blocking(move || load(&settings)).await {
            Ok(Ok(keys)) => *self.keys.write() = Arc::new(keys),
            Ok(Err(error)) => tracing::error!(%error, "the keys of before go on"),
            Err(error) => tracing::error!(%error, "the keys of before go on"),
        }
    }
}

fn url(settings: &OauthSettings) -> Option<&str> {
    let is_url = |text: &&str| text.starts_with("https://") || text.starts_with("http://");
    Some(settings.jwks.as_str()).filter(is_url)
}

fn load(settings: &OauthSettings) -> Result<Keys, KeysError> {
    let place = settings.jwks.clone();
    let document = match url(settings) {
        Some(url) => get(url, settings)?,
        None => read(&settings.jwks)?,
    };
    let keys = Keys::parse(&document);
    let keys = keys.map_err(|source| KeysError::Form { place: place.clone(), source })?;
    if keys.count() == 0 { Err(KeysError::Empty(place)) } else { Ok(keys) }
}

fn read(path: &str) -> Result<Vec<u8>, KeysError> {
    let mut document = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut document));
    read.map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
    Ok(document)
}

fn get(url: &str, settings: &OauthSettings) -> Result<Vec<u8>, KeysError> {
    let failed = |source| KeysError::Get { url: url.to_owned(), source: Box::new(source) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(authorities(settings.jwks_ca.as_ref())?)
        .build();
    let agent: Agent = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("factum/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut answer = agent.get(url).header("accept", "application/json").call().map_err(failed)?;
    answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(failed)
}

fn authorities(file: Option<&PathBuf>) -> Result<RootCerts, KeysError> {
    let Some(path) = file else {
        let system = rustls_native_certs::load_native_certs().certs;
        return Ok(system.iter().map(|one| Certificate::from_der(one).to_owned()).into());
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = read.unwrap_or_default();
    if found.is_empty() {
        return Err(KeysError::Authorities(path.display().to_string()));
    }
    Ok(found.iter().map(|one| Certificate::from_der(one).to_owned()).into())
}
