//! Certificates that are made for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Somebody who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = named(&[(DnType::CommonName, name)]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of `localhost` and 127.0.0.1 for so many days.
    pub fn server(&self, days: i64) -> Issued {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("two names");
        params.not_before = OffsetDateTime::now_utc() - Duration::days(60);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        self.issue(params)
    }

    /// A client's certificate: `CN=name,O=Example`.
    pub fn client(&self, name: &str, serial: u64) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name =
            named(&[(DnType::OrganizationName, "Example"), (DnType::CommonName, name)]);
        params.serial_number = Some(SerialNumber::from(serial));
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The list of these revoked certificates, in PEM.
    pub fn revoked(&self, serials: &[u64]) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::days(1),
            next_update: now + Duration::days(30),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).and_then(|list| list.pem()).expect("a list")
    }
}

fn named(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    parts.iter().for_each(|(kind, value)| name.push(kind.clone(), *value));
    name
}

/// The files of a server.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    pub crl: PathBuf,
}

impl Files {
    pub fn new(directory: &Path) -> Self {
        let at = |name| directory.join(name);
        let (certificate, key) = (at("server.pem"), at("server.key"));
        Self { certificate, key, client_ca: at("clients.pem"), crl: at("revoked.pem") }
    }

    pub fn write(&self, server: &Issued) {
        fs::write(&self.key, &server.key).expect("written");
        fs::write(&self.certificate, &server.certificate).expect("written");
    }

    /// The flags of a server that has these files, without those of clients.
    pub fn flags(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let certificate = ["--tls-certificate".to_owned(), text(&self.certificate)];
        let key = ["--tls-key".to_owned(), text(&self.key)];
        certificate.into_iter().chain(key).collect()
    }
}

/// What a client is made of.
pub struct ClientTls<'a> {
    pub authority: &'a Authority,
    pub own: Option<&'a Issued>,
    pub provider: CryptoProvider,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl<'a> ClientTls<'a> {
    /// A client that trusts this authority, with all that rustls offers.
    pub fn trusting(authority: &'a Authority) -> Self {
        let versions = vec![&TLS13, &TLS12];
        Self { authority, own: None, provider: aws_lc_rs::default_provider(), versions }
    }

    /// With a certificate of its own.
    pub fn with(self, own: &'a Issued) -> Self {
        Self { own: Some(own), ..self }
    }

    pub fn build(self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem().as_bytes());
        roots.add(root.expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider))
            .with_protocol_versions(&self.versions)
            .expect("versions that there are")
            .with_root_certificates(roots);
        let config = match self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes());
                let chain: Result<Vec<_>, _> = chain.collect();
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain.expect("a chain"), key).expect("a pair")
            }
        };
        Arc::new(config)
    }
}
