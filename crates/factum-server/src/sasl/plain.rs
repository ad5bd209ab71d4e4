//! The message of PLAIN (RFC 4616): `[AUTHZID] NUL NAME NUL PASSWORD`.

use super::LoginError;
use crate::config::Secret;
use crate::password::MAX_BYTES;

/// A name and a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Plain {
    pub(super) fn parse(message: &[u8]) -> Result<Self, LoginError> {
        let garbled = LoginError::Garbled;
        let text = std::str::from_utf8(message).map_err(|_| garbled("is not UTF-8"))?;
        let parts: Vec<&str> = text.splitn(4, '\0').collect();
        let [on_behalf_of, user, password] = parts[..] else {
            return Err(garbled("is not a name and a password with a zero byte before each"));
        };
        if user.is_empty() || user.len() > MAX_BYTES {
            return Err(garbled("has no name, or one that is too long"));
        }
        if password.is_empty() || password.len() > MAX_BYTES {
            return Err(garbled("has no password, or one that is too long"));
        }
        if !on_behalf_of.is_empty() && on_behalf_of != user {
            return Err(LoginError::OtherName);
        }
        Ok(Self { user: user.to_owned(), password: Secret::from(password.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_and_a_password_are_read() {
        for message in [&b"\0alice\0secret"[..], b"alice\0alice\0secret"] {
            let plain = Plain::parse(message).unwrap();
            assert_eq!((plain.user.as_str(), plain.password.reveal()), ("alice", "secret"));
        }
    }

    #[test]
    fn what_is_neither_is_refused_and_never_shown() {
        let others =
            [&b""[..], b"alice", b"\0alice", b"\0\0x", b"\0alice\0", b"\0a\0b\0c", b"\0\xff\0x"];
        for bad in others {
            assert!(matches!(Plain::parse(bad), Err(LoginError::Garbled(_))), "{bad:?}");
        }
        let (most, long) = ("a".repeat(MAX_BYTES), "a".repeat(MAX_BYTES + 1));
        assert!(Plain::parse(format!("\0{most}\0{most}").as_bytes()).is_ok());
        for too_long in [format!("\0{long}\0x"), format!("\0alice\0{long}")] {
            assert!(matches!(Plain::parse(too_long.as_bytes()), Err(LoginError::Garbled(_))));
        }
        assert!(matches!(Plain::parse(b"bob\0alice\0x"), Err(LoginError::OtherName)));
        let shown = format!("{:?}", Plain::parse(b"\0alice\0secret").unwrap());
        assert!(!shown.contains("secret\""), "{shown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_login_or_an_error(bytes: Vec<u8>) {
            let _ = Plain::parse(&bytes);
        }
    }
}
