//! The messages of OAUTHBEARER (RFC 7628).
//!
//! A client shows a token. One that is not taken is answered with a document that says so, which
//! the client acknowledges with a single byte before the login ends as failed.

use super::LoginError;
use crate::token::MAX_BYTES;

/// What stands between the parts of a message.
const SEPARATOR: char = '\u{1}';

/// What a client is told whose token is not taken.
pub(super) const INVALID_TOKEN: &[u8] = br#"{"status":"invalid_token"}"#;

/// What a client says first.
#[derive(PartialEq, Eq)]
pub(super) struct Bearer<'a> {
    /// Whom it wants to be, if it says so.
    pub(super) on_behalf_of: Option<&'a str>,
    pub(super) token: &'a str,
}

impl<'a> Bearer<'a> {
    /// Reads `n,[a=NAME],^Aauth=Bearer TOKEN^A[NAME=VALUE^A…]^A`.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, LoginError> {
        let garbled = LoginError::Garbled;
        let text = std::str::from_utf8(message).map_err(|_| garbled("is not UTF-8"))?;
        let (header, rest) = text.split_once(SEPARATOR).ok_or_else(|| garbled("has no header"))?;
        let header = header.strip_prefix("n,").or_else(|| header.strip_prefix("y,"));
        let name = header.and_then(|rest| rest.strip_suffix(','));
        let on_behalf_of = match name.ok_or_else(|| garbled("has no header"))? {
            "" => None,
            name => Some(name.strip_prefix("a=").ok_or_else(|| garbled("has no header"))?),
        };
        let pairs = rest.strip_suffix(SEPARATOR).and_then(|rest| rest.strip_suffix(SEPARATOR));
        let pairs = pairs.ok_or_else(|| garbled("has no end"))?;
        let mut authorizations = pairs.split(SEPARATOR).filter_map(|one| one.strip_prefix("auth="));
        let value = authorizations.next().ok_or_else(|| garbled("has no token"))?;
        if authorizations.next().is_some() {
            return Err(garbled("has two tokens"));
        }
        let token = match value.split_once(' ') {
            Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(garbled("has no bearer token")),
        };
        if token.is_empty() || token.len() > MAX_BYTES {
            return Err(garbled("has no token, or one that is too long"));
        }
        Ok(Self { on_behalf_of, token })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read() {
        let bearer = Bearer::parse(b"n,,\x01auth=Bearer a.b.c\x01\x01").ok().unwrap();
        assert_eq!((bearer.on_behalf_of, bearer.token), (None, "a.b.c"));
        let message = b"n,a=alice,\x01host=x\x01auth=bearer a.b.c\x01port=1\x01\x01";
        let bearer = Bearer::parse(message).ok().unwrap();
        assert_eq!((bearer.on_behalf_of, bearer.token), (Some("alice"), "a.b.c"));
    }

    #[test]
    fn what_holds_no_token_is_refused() {
        for bad in [
            &b""[..],
            b"\x01",
            b"n,,",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer x\x01",
            b"n,,\x01auth=Basic x\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
            b"p=x,,\x01auth=Bearer x\x01\x01",
            b"n,b,\x01auth=Bearer x\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            assert!(Bearer::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_token_or_an_error(bytes: Vec<u8>) {
            let _ = Bearer::parse(&bytes);
        }
    }
}
