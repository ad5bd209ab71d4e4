//! The cipher suites of TLS 1.3 and 1.2, by their names at IANA.

use tokio_rustls::rustls::SupportedCipherSuite;
use tokio_rustls::rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, cipher_suite};

use super::TlsError;

/// What is taken where nothing is said: keys of 256 bits, and forward secrecy everywhere.
const DEFAULT: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The suites of these names, in this order; the usual ones for no name.
pub(super) fn named(names: &[String]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    if names.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    names.iter().map(|name| find(name)).collect()
}

fn find(name: &str) -> Result<SupportedCipherSuite, TlsError> {
    let known = |suite: &&SupportedCipherSuite| iana(suite).eq_ignore_ascii_case(name.trim());
    ALL_CIPHER_SUITES.iter().find(known).copied().ok_or_else(|| TlsError::Cipher {
        came: name.to_owned(),
        known: ALL_CIPHER_SUITES.iter().map(iana).collect::<Vec<_>>().join(", "),
    })
}

/// rustls writes `TLS13_…` where the registry has `TLS_…`.
fn iana(suite: &SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_the_registry() {
        let names = ["TLS_AES_256_GCM_SHA384", " tls_ecdhe_rsa_with_aes_128_gcm_sha256"];
        let suites = named(&names.map(str::to_owned)).unwrap();
        let expected = [
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ];
        assert_eq!(suites, expected);
        assert_eq!(named(&[]).unwrap(), DEFAULT);
    }

    #[test]
    fn a_suite_that_is_not_there_is_refused_with_those_that_are() {
        let error = named(&["TLS_RSA_WITH_AES_128_CBC_SHA".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("TLS_CHACHA20_POLY1305_SHA256"), "{error}");
    }
}
