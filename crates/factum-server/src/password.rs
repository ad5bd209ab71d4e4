//! What is kept of a password, and how somebody shows to know it (SCRAM: RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use factum_event::access::{Credential, ScramMechanism};

/// The longest password that is taken, and the longest name beside one.
pub(crate) const MAX_BYTES: usize = 1024;

/// How often a password is hashed, unless somebody says otherwise; Kafka's default too.
pub(crate) const DEFAULT_ITERATIONS: u32 = 4096;

/// Bytes of a new salt.
pub(crate) const SALT_BYTES: usize = 16;

/// The algorithms of a mechanism.
struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

fn hash(mechanism: ScramMechanism) -> Hash {
    match mechanism {
        ScramMechanism::Sha256 => Hash {
            digest: &digest::SHA256,
            hmac: hmac::HMAC_SHA256,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256,
        },
        ScramMechanism::Sha512 => Hash {
            digest: &digest::SHA512,
            hmac: hmac::HMAC_SHA512,
            pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512,
        },
    }
}

/// Bytes of the hash of a mechanism.
pub(crate) fn hash_bytes(mechanism: ScramMechanism) -> usize {
    hash(mechanism).digest.output_len()
}

/// What is to be kept of a new password so that its user may log in by every mechanism. Slow on
/// purpose.
///
/// # Errors
/// Where the operating system has no random bytes.
pub(crate) fn of_all_mechanisms(
    password: &str,
) -> Result<Vec<(ScramMechanism, Credential)>, Unspecified> {
    ScramMechanism::ALL.iter().map(|one| Ok((*one, new(*one, password)?))).collect()
}

/// What is to be kept of a new password, under a salt of its own. Slow on purpose.
///
/// # Errors
/// Where the operating system has no random bytes.
pub(crate) fn new(mechanism: ScramMechanism, password: &str) -> Result<Credential, Unspecified> {
    let mut salt = vec![0; SALT_BYTES];
    rand::fill(&mut salt)?;
    Ok(of_password(mechanism, password, salt, DEFAULT_ITERATIONS))
}

/// What is to be kept of a password. Slow on purpose: it takes time by `iterations`.
pub(crate) fn of_password(
    mechanism: ScramMechanism,
    password: &str,
    salt: Vec<u8>,
    iterations: u32,
) -> Credential {
    let salted = salted(mechanism, password, &salt, iterations);
    of_salted(mechanism, &salted, salt, iterations)
}

/// What is to be kept where the client has hashed the password.
pub(crate) fn of_salted(
    mechanism: ScramMechanism,
    salted: &[u8],
    salt: Vec<u8>,
    iterations: u32,
) -> Credential {
    let Hash { digest, hmac, .. } = hash(mechanism);
    let client_key = sign(hmac, salted, b"Client Key");
    Credential {
        salt,
        iterations,
        stored_key: digest::digest(digest, client_key.as_ref()).as_ref().to_vec(),
        server_key: sign(hmac, salted, b"Server Key").as_ref().to_vec(),
    }
}

/// Whether the password is the one of a credential. As slow as making it.
pub(crate) fn is(credential: &Credential, mechanism: ScramMechanism, password: &str) -> bool {
    let Credential { salt, iterations, stored_key, .. } = credential;
    let shown = of_password(mechanism, password, salt.clone(), *iterations);
    constant_time::verify_slices_are_equal(&shown.stored_key, stored_key).is_ok()
}

/// The server's signature, if the client's proof shows that it knows the password.
pub(crate) fn prove(
    credential: &Credential,
    mechanism: ScramMechanism,
    auth_message: &[u8],
    proof: &[u8],
) -> Option<Vec<u8>> {
    let Hash { digest, hmac, .. } = hash(mechanism);
    let signature = sign(hmac, &credential.stored_key, auth_message);
    if proof.len() != signature.as_ref().len() {
        return None;
    }
    let client_key: Vec<_> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let shown = digest::digest(digest, &client_key);
    constant_time::verify_slices_are_equal(shown.as_ref(), &credential.stored_key).ok()?;
    Some(sign(hmac, &credential.server_key, auth_message).as_ref().to_vec())
}

fn salted(mechanism: ScramMechanism, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
    let Hash { digest, pbkdf2, .. } = hash(mechanism);
    let mut salted = vec![0; digest.output_len()];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2, iterations, salt, password.as_bytes(), &mut salted);
    salted
}

fn sign(algorithm: hmac::Algorithm, key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(algorithm, key), message)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard_is_proved() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credential = of_password(ScramMechanism::Sha256, "pencil", salt, 4096);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let auth_message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r={nonce}"
        );
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let prove = |message: &str, proof: &[u8]| {
            prove(&credential, ScramMechanism::Sha256, message.as_bytes(), proof)
        };
        let signature = prove(&auth_message, &proof).expect("the proof is right");
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(prove(&auth_message.replace("i=4096", "i=4097"), &proof), None);
        assert_eq!(prove(&auth_message, &proof[1..]), None);
        assert_eq!(prove(&auth_message, &[]), None);
    }

    #[test]
    fn a_password_is_told_from_others() {
        let all = of_all_mechanisms("secret").unwrap();
        assert_eq!(all.len(), ScramMechanism::ALL.len());
        for (mechanism, credential) in all {
            assert!(is(&credential, mechanism, "secret"));
            assert!(!is(&credential, mechanism, "Secret") && !is(&credential, mechanism, ""));
            assert_eq!(credential.stored_key.len(), hash_bytes(mechanism));
            assert_ne!(credential.salt, new(mechanism, "secret").unwrap().salt);
        }
    }
}
