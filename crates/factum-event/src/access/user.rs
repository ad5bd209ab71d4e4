//! Users that log in with a password, and what is kept of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::operation::numbered;

numbered! {
    /// How a user logs in (RFC 5802, RFC 7677), under Kafka's numbers.
    ScramMechanism {
        /// With SHA-256.
        Sha256 = 1 "SCRAM-SHA-256",
        /// With SHA-512.
        Sha512 = 2 "SCRAM-SHA-512",
    }
}

/// The longest name of a user, in bytes.
const MAX_USER_BYTES: usize = 256;

/// The name of a user that is kept here: 1 to 256 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// A text that cannot be the name of a user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be the name of a user; expected 1 to {MAX_USER_BYTES} bytes, without control \
     characters, other than * and ANONYMOUS, which mean everyone and nobody"
)]
pub struct InvalidUserName(pub String);

impl UserName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(name: &str) -> Result<Self, InvalidUserName> {
        let is_sound = !name.is_empty()
            && name.len() <= MAX_USER_BYTES
            && !name.chars().any(char::is_control)
            && name != "*"
            && name != "ANONYMOUS";
        if is_sound {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidUserName(name.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(name: String) -> Result<Self, InvalidUserName> {
        name.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is kept of a password (RFC 5802, section 3): enough to see that somebody knows it, not
/// enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Drawn anew for each password.
    #[serde(with = "base64_bytes")]
    pub salt: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: u32,
    /// The hash of the key that a client proves to have.
    #[serde(with = "base64_bytes")]
    pub stored_key: Vec<u8>,
    /// The key by which a server proves that it knows the user.
    #[serde(with = "base64_bytes")]
    pub server_key: Vec<u8>,
}

impl fmt::Debug for Credential {
    /// Without the keys: debug output goes to logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A user, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    /// The name.
    pub name: UserName,
    /// How the user may log in, and how often the password was hashed for it.
    pub mechanisms: Vec<(ScramMechanism, u32)>,
}

/// Bytes as Base64 in JSON.
mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_others_are_refused() {
        assert!("alice".parse::<UserName>().is_ok() && "Ä b".parse::<UserName>().is_ok());
        let long = "a".repeat(257);
        for wrong in ["", "*", "ANONYMOUS", "a\nb", &long] {
            assert!(wrong.parse::<UserName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_credential_survives_json_and_is_not_printed() {
        let credential = Credential {
            salt: vec![1, 2, 3],
            iterations: 4096,
            stored_key: vec![200; 32],
            server_key: vec![201; 32],
        };
        let json = serde_json::to_string(&credential).unwrap();
        assert_eq!(serde_json::from_str::<Credential>(&json).unwrap(), credential);
        let debug = format!("{credential:?}");
        assert!(!debug.contains("200") && !debug.contains("201"), "{debug}");
    }
}
