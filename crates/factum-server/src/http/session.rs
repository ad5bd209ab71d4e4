//! Who sends a request, and the log as it sees it.
//!
//! A name and a password come by HTTP's basic scheme (RFC 7617), a token by its bearer scheme
//! (RFC 6750), checked with every request; who sends neither is who the certificate of the
//! connection names, or anonymous.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use factum_event::access::{Client, Operation, Principal, Resource};
use factum_event::{EventLog, TopicName};

use super::problem::Problem;
use super::{Inner, Shared};
use crate::login::Login;
use crate::{password, token};

/// Where a request comes from, and what the connection says of who sends it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) host: IpAddr,
    /// Whom its certificate names.
    pub(super) certified: Option<Principal>,
}

/// What a handler works with.
#[derive(Clone)]
pub(super) struct Session {
    shared: Shared,
    /// Who asks.
    pub(super) client: Client,
    /// The log as it sees it.
    pub(super) log: Arc<dyn EventLog>,
}

impl Deref for Session {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.shared
    }
}

impl FromRequestParts<Shared> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        // Tests call the routes without a connection.
        let peer = parts.extensions.get::<Peer>();
        let host = peer.map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.host);
        let principal = match parts.headers.get(AUTHORIZATION) {
            None => {
                peer.and_then(|peer| peer.certified.clone()).unwrap_or_else(Principal::anonymous)
            }
            Some(value) => log_in(&shared.door.login, value.as_bytes(), host).await?,
        };
        let client = Client { principal, host };
        let log = (shared.door.enter)(&client, Operation::Describe);
        Ok(Self { shared: shared.clone(), client, log })
    }
}

impl Session {
    /// The log with the topics that may be read.
    pub(super) fn readable(&self) -> Arc<dyn EventLog> {
        (self.door.enter)(&self.client, Operation::Read)
    }

    /// Refuses who may not do something with the whole.
    pub(super) fn expect(&self, operation: Operation) -> Result<(), Problem> {
        self.expect_with(operation, Resource::CLUSTER)
    }

    /// Refuses who may not do something with a topic, before its request takes any room.
    pub(super) fn expect_on_topic(
        &self,
        operation: Operation,
        topic: &TopicName,
    ) -> Result<(), Problem> {
        self.expect_with(operation, Resource::topic(topic.as_str()))
    }

    fn expect_with(&self, operation: Operation, resource: Resource<'_>) -> Result<(), Problem> {
        let verdict = self.door.login.access().decide(&self.client, operation, resource);
        if verdict.is_allowed() {
            return Ok(());
        }
        let principal = self.client.principal.clone();
        let resource = resource.to_string();
        Err(factum_event::LogError::Forbidden { principal, operation, resource }.into())
    }
}

/// Who shows this header.
async fn log_in(login: &Login, header: &[u8], host: IpAddr) -> Result<Principal, Problem> {
    if let Some(token) = bearer(header) {
        return match login.by_token(token).await {
            Ok(identity) => Ok(Principal::user(&identity.user)),
            Err(reason) => {
                tracing::warn!(%host, %reason, "login refused");
                Err(Problem::invalid_token())
            }
        };
    }
    let (user, password) = basic(header).ok_or_else(not_understood)?;
    login.by_password(&user, &password).await.ok_or_else(|| {
        tracing::warn!(user, %host, "login refused");
        unauthorized("the name or the password is wrong")
    })
}

/// The token of the bearer scheme, no longer than any that is looked at.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = !token.is_empty() && token.len() <= token::MAX_BYTES;
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

/// Name and password of the basic scheme, neither longer than any that is kept.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    let fits = user.len() <= password::MAX_BYTES && password.len() <= password::MAX_BYTES;
    fits.then(|| (user.to_owned(), password.to_owned()))
}

fn not_understood() -> Problem {
    unauthorized(
        "the header authorization is not understood; expected Basic with name:password, each of at \
         most 1024 bytes, or Bearer with a token of at most 64 KiB",
    )
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::password::MAX_BYTES;

    fn header(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    #[test]
    fn name_and_password_are_taken_apart_at_the_first_colon() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        // RFC 7617, section 2.
        assert_eq!(basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        let with_colon = format!("basic {}", STANDARD.encode("a:b:c"));
        assert_eq!(basic(with_colon.as_bytes()), pair("a", "b:c"));
        for wrong in ["", "Basic", "Basic !", "Bearer QTpC", "Basic QQ=="] {
            assert_eq!(basic(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_what_follows_its_scheme() {
        assert_eq!(bearer(b"Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer(b"bearer  a.b.c "), Some("a.b.c"));
        let long = format!("Bearer {}", "a".repeat(token::MAX_BYTES + 1));
        for wrong in ["", "Bearer", "Bearer ", "Bearer  ", "Basic QTpC", &long] {
            assert_eq!(bearer(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_longer_than_any_password_is_not_looked_at() {
        let (most, long) = ("a".repeat(MAX_BYTES), "a".repeat(MAX_BYTES + 1));
        assert!(basic(header(&most, &most).as_bytes()).is_some());
        assert_eq!(basic(header(&long, "x").as_bytes()), None);
        assert_eq!(basic(header("alice", &long).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_name_and_password_come_through(user in "[^:]{0,60}", password in "\\PC{0,60}") {
            let came = basic(header(&user, &password).as_bytes());
            prop_assert_eq!(came, Some((user, password)));
        }

        #[test]
        fn any_bytes_are_a_login_or_none(
            noise: Vec<u8>,
            encoded in "[Bb]asic [A-Za-z0-9+/=]{0,60}",
        ) {
            let _ = (basic(&noise), basic(encoded.as_bytes()), bearer(&noise));
        }
    }
}
