//! Where the keys of tokens come from: a file, or a URL of whoever issues them.
//!
//! They are read when the server starts, again when they are old, and when a token names a key
//! that is not there; by one at a time and not more often than every few seconds, whatever clients
//! show. If that fails, those that were read before go on, and who is refused for it is told in
//! the log.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{Identity, Keys, TokenError};
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
pub(crate) enum KeysError {
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
    #[error("oauth_jwks_ca {path} holds no certificate in PEM{why}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it, if that is known.
        why: String,
    },
}

/// Checks tokens, with keys that are read again.
pub(crate) struct Tokens {
    trusted: Arc<Trusted>,
    /// When reading has ended last; who holds it reads.
    read_at: Arc<Mutex<Instant>>,
}

/// What tokens are checked with.
struct Trusted {
    settings: OauthSettings,
    keys: RwLock<Arc<Keys>>,
    /// Why the keys could not be read when it was tried last.
    failure: RwLock<Option<String>>,
}

impl Tokens {
    /// Reads the keys for the first time. An issuer that cannot be reached is no reason not to
    /// start; a file that cannot be read is.
    pub(crate) fn open(settings: OauthSettings) -> Result<Self, KeysError> {
        let (keys, failure) = match load(&settings) {
            Err(error @ (KeysError::Get { .. } | KeysError::Form { .. }))
                if url(&settings).is_some() =>
            {
                tracing::error!(%error, "no token is taken until the keys can be read");
                (Keys::default(), Some(error.to_string()))
            }
            loaded => (loaded?, None),
        };
        let (keys, failure) = (RwLock::new(Arc::new(keys)), RwLock::new(failure));
        let read_at = Arc::new(Mutex::new(Instant::now()));
        Ok(Self { trusted: Arc::new(Trusted { settings, keys, failure }), read_at })
    }

    /// Checks a token at `now`, in seconds since 1970.
    pub(crate) async fn check(&self, token: &str, now: f64) -> Result<Identity, TokenError> {
        // While one reads what is old, it is good enough for the others.
        if let Ok(turn) = Arc::clone(&self.read_at).try_lock_owned() {
            self.read_again_after(OLD, turn).await;
        }
        let checked = self.trusted.check(token, now);
        if !matches!(checked, Err(TokenError::UnknownKey(_))) {
            return checked;
        }
        // Who reads now may find the key: that is worth to wait for.
        let turn = Arc::clone(&self.read_at).lock_owned().await;
        self.read_again_after(PAUSE, turn).await;
        let checked = self.trusted.check(token, now);
        checked.map_err(|error| self.trusted.explained(error))
    }

    async fn read_again_after(&self, age: Duration, turn: OwnedMutexGuard<Instant>) {
        if turn.elapsed() < age {
            return;
        }
        let trusted = Arc::clone(&self.trusted);
        // The turn goes with the work: a client that hangs up meanwhile gives it to nobody.
        if let Err(error) = tokio::task::spawn_blocking(move || trusted.read_again(turn)).await {
            tracing::error!(%error, "the keys of tokens could not be read");
        }
    }
}

impl Trusted {
    fn check(&self, token: &str, now: f64) -> Result<Identity, TokenError> {
        let keys = Arc::clone(&self.keys.read());
        keys.check(token, &self.settings, now)
    }

    /// With why a key is unknown that might be there, had it been possible to read it.
    fn explained(&self, error: TokenError) -> TokenError {
        match (error, &*self.failure.read()) {
            (TokenError::UnknownKey(key), Some(failure)) => {
                TokenError::Unread { key, why: failure.clone() }
            }
            (error, _) => error,
        }
    }

    fn read_again(&self, mut read_at: OwnedMutexGuard<Instant>) {
        let loaded = load(&self.settings);
        *self.failure.write() = loaded.as_ref().err().map(ToString::to_string);
        match loaded {
            Ok(keys) => *self.keys.write() = Arc::new(keys),
            Err(error) => tracing::error!(%error, "the keys of before go on"),
        }
        // Not before: an issuer that takes its time gets a pause all the same.
        *read_at = Instant::now();
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
    let none = |why| KeysError::Authorities { path: path.display().to_string(), why };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = read.map_err(|error| none(format!(": {error}")))?;
    if found.is_empty() {
        return Err(none(String::new()));
    }
    Ok(found.iter().map(|one| Certificate::from_der(one).to_owned()).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    /// How long something may take that does not wait.
    const SOON: Duration = Duration::from_secs(20);

    fn publish(directory: &Path, id: &str) {
        let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"AAAA"}}"#);
        fs::write(directory.join("keys.json"), format!(r#"{{"keys":[{key}]}}"#)).unwrap();
    }

    fn with_key(id: &str) -> (TempDir, Tokens) {
        let directory = TempDir::new().unwrap();
        publish(directory.path(), id);
        let settings = OauthSettings {
            jwks: directory.path().join("keys.json").display().to_string(),
            jwks_ca: None,
            issuer: None,
            audience: Vec::new(),
            principal_claim: "sub".to_owned(),
            clock_skew: Duration::ZERO,
        };
        (directory, Tokens::open(settings).unwrap())
    }

    /// As if keys had been read so long ago.
    async fn age(tokens: &Tokens, age: Duration) {
        *tokens.read_at.lock().await = Instant::now().checked_sub(age).unwrap();
    }

    /// A token of this key; its signature is wrong.
    fn token(id: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#));
        format!("{header}.e30.AAAA")
    }

    /// What a token of this key is refused for.
    async fn refused(tokens: &Tokens, id: &str) -> TokenError {
        let checked = timeout(SOON, tokens.check(&token(id), 0.0)).await;
        checked.expect("it waits for nobody").unwrap_err()
    }

    #[tokio::test]
    async fn while_one_reads_keys_again_the_others_go_on_with_those_of_before() {
        let (_directory, tokens) = with_key("one");
        // For longer than keys are good.
        let mut reading = tokens.read_at.lock().await;
        *reading = Instant::now().checked_sub(OLD).unwrap_or(*reading);
        assert_eq!(refused(&tokens, "one").await, TokenError::Signature);
    }

    #[tokio::test]
    async fn a_key_that_is_new_is_found_after_the_pause() {
        let (directory, tokens) = with_key("one");
        publish(directory.path(), "two");
        let unknown = TokenError::UnknownKey("\"two\" for EdDSA".to_owned());
        assert_eq!(refused(&tokens, "two").await, unknown);
        age(&tokens, PAUSE).await;
        assert_eq!(refused(&tokens, "two").await, TokenError::Signature);
    }

    #[tokio::test]
    async fn who_is_refused_as_keys_could_not_be_read_is_told_so() {
        let (directory, tokens) = with_key("one");
        fs::write(directory.path().join("keys.json"), "no keys").unwrap();
        age(&tokens, PAUSE).await;
        let error = refused(&tokens, "two").await.to_string();
        assert!(error.contains("\"two\"") && error.contains("no document of keys"), "{error}");
        assert_eq!(refused(&tokens, "one").await, TokenError::Signature, "it is still there");
        publish(directory.path(), "one");
        age(&tokens, PAUSE).await;
        let unknown = refused(&tokens, "two").await;
        assert!(matches!(unknown, TokenError::UnknownKey(_)), "{unknown}");
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_while_keys_are_read_gives_its_turn_to_nobody() {
        let (_directory, tokens) = with_key("one");
        age(&tokens, PAUSE).await;
        let token = token("two");
        tokio::select! {
            biased;
            _ = tokens.check(&token, 0.0) => panic!("the keys are being read"),
            () = std::future::ready(()) => {}
        }
        // Whoever comes next waits for the end of that reading, and then needs none.
        let read_at = timeout(SOON, tokens.read_at.lock()).await.expect("it ends");
        assert!(read_at.elapsed() < PAUSE, "{:?}", read_at.elapsed());
    }
}
