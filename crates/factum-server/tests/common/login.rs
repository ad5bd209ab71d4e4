//! Logging in at the Kafka door by hand, rightly and wrongly.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use factum_wire::messages::*;

use super::client::Client;
use super::work::name;

/// The hash of a mechanism of SCRAM.
#[derive(Clone, Copy)]
pub enum Scram {
    Sha256,
    Sha512,
}

impl Scram {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let (algorithm, bytes) = match self {
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut salted = vec![0; bytes];
        let iterations = NonZeroU32::new(iterations).expect("some iterations");
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }

    /// The client's last message, and the server's that follows from it.
    pub fn answer(self, first_bare: &str, challenge: &str, password: &str) -> (String, String) {
        let part = |prefix| challenge.split(',').find_map(|part| part.strip_prefix(prefix));
        let salt = STANDARD.decode(part("s=").expect("a salt")).expect("Base64");
        let iterations = part("i=").and_then(|i| i.parse().ok()).expect("iterations");
        let salted = self.salted(password, &salt, iterations);
        let without_proof = format!("c=biws,r={}", part("r=").expect("a nonce"));
        let auth_message = format!("{first_bare},{challenge},{without_proof}");
        let client_key = self.hmac(&salted, b"Client Key");
        let signature = self.hmac(&self.hash(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server = self.hmac(&self.hmac(&salted, b"Server Key"), auth_message.as_bytes());
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        (message, format!("v={}", STANDARD.encode(server)))
    }
}

/// The answer to SaslHandshake for this mechanism.
pub fn handshake(client: &mut Client, mechanism: &str) -> SaslHandshakeResponse {
    let request = SaslHandshakeRequest { mechanism: name(mechanism) };
    client.call(&request, 1)
}

/// The answer to one message of a login.
pub fn authenticate(client: &mut Client, message: impl AsRef<[u8]>) -> SaslAuthenticateResponse {
    client.call(&message_request(message), 2)
}

pub fn message_request(message: impl AsRef<[u8]>) -> SaslAuthenticateRequest {
    let auth_bytes = Bytes::copy_from_slice(message.as_ref());
    SaslAuthenticateRequest { auth_bytes }
}

/// Logs in by PLAIN: the last answer.
pub fn plain(client: &mut Client, user: &str, password: &str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, "PLAIN").error_code, 0);
    authenticate(client, format!("\0{user}\0{password}"))
}

/// Logs in by SCRAM: the last answer. A server that lets in must prove that it knows the password.
pub fn scram(
    client: &mut Client,
    scram: Scram,
    user: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, scram.name()).error_code, 0);
    let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
    let challenge = authenticate(client, format!("n,,{bare}"));
    if challenge.error_code != 0 {
        return challenge;
    }
    let challenge = String::from_utf8(challenge.auth_bytes.to_vec()).expect("text");
    let (message, expected) = scram.answer(&bare, &challenge, password);
    let answer = authenticate(client, message);
    if answer.error_code == 0 {
        assert_eq!(answer.auth_bytes, expected, "the server does not know the password");
    }
    answer
}
