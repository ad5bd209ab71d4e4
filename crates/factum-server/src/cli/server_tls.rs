//! What the command line needs to talk to a server over TLS: whom it trusts, and who it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::CliError;

/// Files for `https://` servers.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerTls {
    /// Authorities that an https server may have its certificate from, in PEM
    /// [default: those of the system]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "FACTUM_SERVER_CA",
        help_heading = "Global options"
    )]
    server_ca: Option<PathBuf>,

    /// Certificate that is shown to an https server, in PEM
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "FACTUM_CLIENT_CERTIFICATE",
        requires = "client_key",
        help_heading = "Global options"
    )]
    client_certificate: Option<PathBuf>,

    /// Key of that certificate, in PEM
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "FACTUM_CLIENT_KEY",
        help_heading = "Global options"
    )]
    client_key: Option<PathBuf>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// A wrong usage that names the file.
    pub fn config(&self) -> Result<TlsConfig, CliError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        Ok(config.root_certs(self.roots()?).client_cert(self.own()?).build())
    }

    fn roots(&self) -> Result<RootCerts, CliError> {
        let Some(path) = &self.server_ca else { return system() };
        let certificates = certificates("--server-ca", path)?;
        Ok(RootCerts::new_with_certs(&certificates))
    }

    fn own(&self) -> Result<Option<ClientCert>, CliError> {
        let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) else {
            return Ok(None);
        };
        let chain = certificates("--client-certificate", certificate)?;
        let parsed = PrivateKey::from_pem(&read("--client-key", key)?);
        // What is wrong with a key is not told in detail: it might tell parts of it.
        let parsed = parsed.map_err(|_| holds_no("--client-key", key, "private key"))?;
        Ok(Some(ClientCert::new_with_certs(&chain, parsed)))
    }
}

/// Whom the system trusts.
fn system() -> Result<RootCerts, CliError> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(CliError::usage(
            "the system has no authorities that certificates could be checked against; name the \
             server's own with --server-ca",
        ));
    }
    let all = found.iter().map(|one| Certificate::from_der(one).to_owned());
    Ok(all.into())
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let bytes = read(flag, path)?;
    let found: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() { Err(holds_no(flag, path, "certificate")) } else { Ok(found) }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |error| CliError::usage(format!("cannot read {flag} {}: {error}", path.display()));
    fs::read(path).map_err(failed)
}

fn holds_no(flag: &str, path: &Path, what: &str) -> CliError {
    CliError::usage(format!("{flag} {} holds no {what} in PEM", path.display()))
}
