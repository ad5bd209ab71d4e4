//! Where a cluster is: `kafka://HOST:PORT[,HOST:PORT...]`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const SCHEME: &str = "kafka";
const DEFAULT_PORT: u16 = 9092;

/// Brokers by which a cluster is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The one to try first.
    first: String,
    others: Vec<String>,
}

/// Why a text says no cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidBootstrap {
    /// Another protocol, or one that is not spoken yet.
    #[error(
        "{scheme}:// is not spoken here; expected kafka://HOST:PORT, without encryption and login"
    )]
    Scheme {
        /// What came.
        scheme: String,
    },
    /// No address.
    #[error("{came:?} is no address of a broker; expected kafka://HOST:PORT[,HOST:PORT...]")]
    Address {
        /// What came.
        came: String,
    },
}

impl Bootstrap {
    /// The address to try first.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The addresses in the order in which they are to be tried, each with a port.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.others).map(String::as_str)
    }

    /// Has this one tried first from now on, if it is one of them: it has answered.
    pub fn prefer(&mut self, broker: &str) {
        if let Some(found) = self.others.iter_mut().find(|other| other.as_str() == broker) {
            std::mem::swap(&mut self.first, found);
        }
    }
}

impl FromStr for Bootstrap {
    type Err = InvalidBootstrap;

    fn from_str(text: &str) -> Result<Self, InvalidBootstrap> {
        let addresses = match text.split_once("://") {
            Some((SCHEME, addresses)) => addresses,
            Some((scheme, _)) => {
                return Err(InvalidBootstrap::Scheme { scheme: scheme.to_owned() });
            }
            None => text,
        };
        let addresses = addresses.strip_suffix('/').unwrap_or(addresses);
        let mut brokers = addresses.split(',').map(address);
        // There is a first part even of an empty text.
        let first = brokers.next().unwrap_or_else(|| address(""))?;
        Ok(Self { first, others: brokers.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{SCHEME}://{}", self.brokers().collect::<Vec<_>>().join(","))
    }
}

/// An address with its port: Kafka's own, if there is none.
fn address(text: &str) -> Result<String, InvalidBootstrap> {
    let invalid = || InvalidBootstrap::Address { came: text.to_owned() };
    let text = text.trim();
    // An IPv6 address stands in brackets, and has colons of its own.
    let after = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text[after..].rfind(':') {
        Some(at) => {
            let (host, port) = text.split_at(after + at);
            (host, port[1..].parse().map_err(|_| invalid())?)
        }
        None => (text, DEFAULT_PORT),
    };
    let bad = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?');
    let colons = after == 0 && host.contains(':');
    if host.is_empty() || host.contains(bad) || colons || port == 0 {
        return Err(invalid());
    }
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(text: &str) -> Vec<String> {
        let bootstrap: Bootstrap = text.parse().unwrap();
        bootstrap.brokers().map(str::to_owned).collect()
    }

    #[test]
    fn brokers_are_named_with_or_without_scheme_and_port() {
        assert_eq!(brokers("kafka://a:1,b"), ["a:1", "b:9092"]);
        assert_eq!(brokers("127.0.0.1:9093"), ["127.0.0.1:9093"]);
        assert_eq!(brokers("kafka://[::1]:7/"), ["[::1]:7"]);
        assert_eq!(brokers("[::1]"), ["[::1]:9092"]);
        assert_eq!("a".parse::<Bootstrap>().unwrap().to_string(), "kafka://a:9092");
    }

    #[test]
    fn the_broker_that_has_answered_is_tried_first() {
        let mut bootstrap: Bootstrap = "a:1,b:2,c:3".parse().unwrap();
        assert_eq!(bootstrap.first(), "a:1");
        bootstrap.prefer("c:3");
        assert_eq!(bootstrap.brokers().collect::<Vec<_>>(), ["c:3", "b:2", "a:1"]);
        bootstrap.prefer("c:3");
        bootstrap.prefer("elsewhere:4");
        assert_eq!(bootstrap.first(), "c:3");
    }

    #[test]
    fn other_schemes_and_what_is_no_address_are_refused() {
        for text in ["kafka+ssl://a:1", "http://a", "mqtt://b"] {
            let error = text.parse::<Bootstrap>().unwrap_err();
            assert!(error.to_string().contains("expected kafka://HOST:PORT"), "{error}");
        }
        for text in ["", "kafka://", "a:", "a:x", "a:70000", ":1", "a b:1", "u@a:1", "::1", "a:0"] {
            let error = text.parse::<Bootstrap>().unwrap_err();
            assert!(matches!(error, InvalidBootstrap::Address { .. }), "{text}: {error}");
        }
    }
}
