//! Where a cluster is: `kafka://HOST:PORT[,HOST:PORT...]`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const SCHEME: &str = "kafka";
const DEFAULT_PORT: u16 = 9092;

/// Brokers by which a cluster is found; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap(Vec<String>);

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
    /// The addresses, each with a port.
    pub fn brokers(&self) -> &[String] {
        &self.0
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
        addresses.split(',').map(address).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{SCHEME}://{}", self.0.join(","))
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
        text.parse::<Bootstrap>().unwrap().0
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
