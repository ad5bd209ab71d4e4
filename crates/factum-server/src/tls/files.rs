//! From files in PEM to what a handshake needs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::{name, suites};
use crate::config::{ClientAuth, TlsSettings};

/// The largest file of certificates or keys; one that is larger is something else.
const MAX_BYTES: u64 = 1 << 20;

/// The largest file of revoked certificates.
const MAX_CRL_BYTES: u64 = 16 << 20;

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not there, or not readable.
    #[error("cannot read {setting} {}: {source}", path.display())]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{setting} {} holds no {expected} in PEM{why}", path.display())]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong with it, if that is known.
        why: String,
    },
    /// Certificate and key do not go together, or a key is of a kind that cannot be used.
    #[error(
        "tls_certificate {} and tls_key {} cannot be used together: {source}",
        certificate.display(),
        key.display()
    )]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Authorities and revoked certificates of clients do not go together.
    #[error("tls_client_ca or tls_crl cannot be used: {0}")]
    Clients(VerifierBuilderError),
    /// No cipher suite of that name.
    #[error("{came:?} of tls_ciphers is not known; there are {known}")]
    Cipher {
        /// What came.
        came: String,
        /// The names that there are.
        known: String,
    },
    /// A handshake cannot be made with the cipher suites.
    #[error("tls_ciphers cannot be used: {0}")]
    Suites(rustls::Error),
    /// A rule for principals is none.
    #[error(
        "{came:?} of tls_principal_rules is no rule{why}; expected RULE:PATTERN/REPLACEMENT/, with \
         L or U behind it, or DEFAULT, with commas between"
    )]
    Rule {
        /// What came.
        came: String,
        /// What is wrong with it, if that is known.
        why: String,
    },
}

/// What was read.
pub(super) struct Loaded {
    without: Arc<ServerConfig>,
    requested: Option<Arc<ServerConfig>>,
    required: Option<Arc<ServerConfig>>,
    ends_at_seconds: i64,
}

impl Loaded {
    /// Reads and checks all files.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = CryptoProvider {
            cipher_suites: suites::named(&settings.ciphers)?,
            ..aws_lc_rs::default_provider()
        };
        let provider = Arc::new(provider);
        let chain = certificates("tls_certificate", &settings.certificate)?;
        let ends_at_seconds = chain.iter().filter_map(|one| name::ends_at_seconds(one)).min();
        let key = key(&settings.key)?;
        let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|source| {
            let (certificate, key) = (settings.certificate.clone(), settings.key.clone());
            TlsError::Pair { certificate, key, source }
        })?;
        let pair = Arc::new(SingleCertAndKey::from(pair));
        let build = |verifier| config(&provider, &pair, verifier).map(Arc::new);
        let clients = Clients::read(settings, &provider)?;
        let (requested, required) = clients.map(|of| (of.requested, of.required)).unzip();
        Ok(Self {
            without: build(WebPkiClientVerifier::no_client_auth())?,
            requested: requested.map(build).transpose()?,
            required: required.map(build).transpose()?,
            ends_at_seconds: ends_at_seconds.unwrap_or(i64::MAX),
        })
    }

    /// What a handshake needs; none if there is nobody to check client certificates against.
    pub(super) fn config(&self, auth: ClientAuth) -> Option<Arc<ServerConfig>> {
        match auth {
            ClientAuth::None => Some(Arc::clone(&self.without)),
            ClientAuth::Requested => self.requested.clone(),
            ClientAuth::Required => self.required.clone(),
        }
    }

    /// When the first certificate of the chain ends, in seconds since 1970.
    pub(super) const fn ends_at_seconds(&self) -> i64 {
        self.ends_at_seconds
    }
}

/// Who checks the certificates of clients: both by the same reading of the files, so that one door
/// never refuses whom another lets in.
struct Clients {
    requested: Arc<dyn ClientCertVerifier>,
    required: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// None where there is nobody to check certificates against.
    fn read(
        settings: &TlsSettings,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, TlsError> {
        let Some(authorities) = &settings.client_ca else { return Ok(None) };
        let roots = Arc::new(roots(authorities)?);
        let revoked = settings.crl.as_deref().map_or(Ok(Vec::new()), revoked)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .with_crls(revoked);
        Ok(Some(Self {
            requested: clients
                .clone()
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::Clients)?,
            required: clients.build().map_err(TlsError::Clients)?,
        }))
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    pair: &Arc<SingleCertAndKey>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Suites)?;
    Ok(builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::clone(pair) as _))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let setting = "tls_client_ca";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| content(setting, path, "certificates", format!(": {error}")))?;
    }
    Ok(roots)
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read("tls_crl", path, MAX_CRL_BYTES)?;
    items("tls_crl", path, "list of revoked certificates", &bytes)
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(setting, path, MAX_BYTES)?;
    items(setting, path, "certificate", &bytes)
}

/// All items of a file; there must be one.
fn items<T: PemObject>(
    setting: &'static str,
    path: &Path,
    expected: &'static str,
    bytes: &[u8],
) -> Result<Vec<T>, TlsError> {
    let items: Result<Vec<T>, pem::Error> = T::pem_slice_iter(bytes).collect();
    let items = items.map_err(|error| content(setting, path, expected, format!(": {error}")))?;
    if items.is_empty() {
        return Err(content(setting, path, expected, String::new()));
    }
    Ok(items)
}

/// The key; what is wrong with its file is not told in detail, as a log is no place for parts of it.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read("tls_key", path, MAX_BYTES)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    key.map_err(|_| content("tls_key", path, "private key without a passphrase", String::new()))
}

fn content(setting: &'static str, path: &Path, expected: &'static str, why: String) -> TlsError {
    TlsError::Content { setting, path: path.to_owned(), expected, why }
}

fn read(setting: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { setting, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let message = format!("larger than {limit} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(bytes)
}

/// What shows that a file is another one than before, or has changed: where a link leads counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The stamps of all files of TLS; none for one that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    pub(super) fn of(settings: &TlsSettings) -> Self {
        let TlsSettings { certificate, key, client_ca, crl, .. } = settings;
        let files = [Some(certificate), Some(key), client_ca.as_ref(), crl.as_ref()];
        Self(files.into_iter().flatten().map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = fs::metadata(path).ok()?;
    Some(Stamp {
        device: of.dev(),
        number: of.ino(),
        bytes: of.size(),
        modified: (of.mtime(), of.mtime_nsec()),
        changed: (of.ctime(), of.ctime_nsec()),
    })
}
