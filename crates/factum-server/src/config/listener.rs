//! Listeners of the Kafka door: where each listens, how it is protected, what its clients are told.
//!
//! On one line, as a flag and in the environment, a listener is a URL: the protocol, the address,
//! and what else is to be said as a query, `sasl_ssl://0.0.0.0:9093?advertise=broker.example:9093`.
//! In a file it is a table of `[[listeners]]` with the same names, or the same line.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a client has to do on a listener: Kafka's security protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encryption nor login.
    #[serde(alias = "PLAINTEXT")]
    Plaintext,
    /// TLS; who a client is, its certificate says.
    #[serde(alias = "SSL", alias = "tls")]
    Ssl,
    /// Login without encryption.
    #[serde(alias = "SASL_PLAINTEXT")]
    SaslPlaintext,
    /// Login over TLS.
    #[serde(alias = "SASL_SSL")]
    SaslSsl,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];

    /// Its name, as in Factum's settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients have to log in.
    #[must_use]
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether clients show a certificate: Kafka's `ssl.client.auth`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one
    #[default]
    None,
    /// They are asked, and may have none; one that is shown must be right
    Requested,
    /// Without one there is no connection
    Required,
}

/// A listener as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerLayer {
    /// How it is protected.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: String,
    /// What clients are told to connect to; unset, the address that they have reached.
    pub advertise: Option<String>,
    /// Whether clients show a certificate; unset, as `tls_client_auth` says.
    pub client_auth: Option<ClientAuth>,
}

/// A listener that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// How it is protected.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
    /// What clients are told to connect to; none: the address that they have reached.
    pub advertised: Option<(String, u16)>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
}

impl Listener {
    /// Whether it knows who its clients are.
    #[must_use]
    pub const fn authenticates(&self) -> bool {
        let certificates = matches!(self.client_auth, ClientAuth::Required);
        self.protocol.is_sasl() || (self.protocol.is_tls() && certificates)
    }
}

/// Not a listener.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListenerError {
    /// Something is missing or too much.
    #[error(
        "{0:?} is not a listener; expected PROTOCOL://HOST:PORT, with ?advertise=HOST:PORT or \
         ?client_auth=none|requested|required (both with & between), such as \
         sasl_ssl://0.0.0.0:9093?advertise=broker.example:9093"
    )]
    Form(String),
    /// An unknown protocol.
    #[error("{0:?} is no protocol; expected plaintext, ssl, sasl_plaintext or sasl_ssl")]
    Protocol(String),
}

impl FromStr for ListenerLayer {
    type Err = ListenerError;

    fn from_str(text: &str) -> Result<Self, ListenerError> {
        let form = || ListenerError::Form(text.to_owned());
        let (protocol, rest) = text.trim().split_once("://").ok_or_else(form)?;
        let named = |known: &Protocol| known.name().eq_ignore_ascii_case(protocol);
        let unknown = || ListenerError::Protocol(protocol.to_owned());
        let protocol = Protocol::ALL.into_iter().find(named).ok_or_else(unknown)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = address.trim_end_matches('/').to_owned();
        if address.is_empty() {
            return Err(form());
        }
        let mut listener = Self { protocol, address, advertise: None, client_auth: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').ok_or_else(form)? {
                ("advertise", address) if listener.advertise.is_none() => {
                    listener.advertise = Some(address.to_owned());
                }
                ("client_auth", word) if listener.client_auth.is_none() => {
                    let auth = <ClientAuth as clap::ValueEnum>::from_str(word, true);
                    listener.client_auth = Some(auth.map_err(|_| form())?);
                }
                _ => return Err(form()),
            }
        }
        Ok(listener)
    }
}

/// The table of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    protocol: Protocol,
    address: String,
    advertise: Option<String>,
    client_auth: Option<ClientAuth>,
}

impl<'de> Deserialize<'de> for ListenerLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ListenerLayer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a listener: a table with protocol and address, or a line of both")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ListenerLayer, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerLayer, A::Error> {
                let ListenerTable { protocol, address, advertise, client_auth } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))
                        .map_err(A::Error::custom)?;
                Ok(ListenerLayer { protocol, address, advertise, client_auth })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_one_line() {
        let line = "SASL_SSL://0.0.0.0:9093?advertise=broker.example:9093&client_auth=requested";
        let expected = ListenerLayer {
            protocol: Protocol::SaslSsl,
            address: "0.0.0.0:9093".to_owned(),
            advertise: Some("broker.example:9093".to_owned()),
            client_auth: Some(ClientAuth::Requested),
        };
        assert_eq!(line.parse(), Ok(expected));
        let short: ListenerLayer = "plaintext://[::1]:9092/".parse().unwrap();
        assert_eq!((short.address.as_str(), short.advertise), ("[::1]:9092", None));
    }

    #[test]
    fn what_is_no_listener_is_refused_with_the_form() {
        for bad in [
            "",
            "127.0.0.1:9092",
            "ssl://",
            "ssl://h:1?advertise",
            "ssl://h:1?colour=red",
            "ssl://h:1?client_auth=maybe",
            "ssl://h:1?advertise=a:1&advertise=b:1",
        ] {
            assert!(matches!(bad.parse::<ListenerLayer>(), Err(ListenerError::Form(_))), "{bad}");
        }
        let unknown = "https://h:1".parse::<ListenerLayer>();
        assert_eq!(unknown, Err(ListenerError::Protocol("https".to_owned())));
    }

    #[test]
    fn a_file_has_tables_or_lines() {
        #[derive(Deserialize)]
        struct File {
            listeners: Vec<ListenerLayer>,
        }
        let table = "[[listeners]]\nprotocol = 'sasl_ssl'\naddress = 'h:1'\nadvertise = 'a:2'";
        let table: File = toml::from_str(table).unwrap();
        let line: File = toml::from_str("listeners = ['sasl_ssl://h:1?advertise=a:2']").unwrap();
        assert_eq!(table.listeners, line.listeners);
        let unknown = toml::from_str::<File>("[[listeners]]\nprotocol = 'ssl'\nadress = 'h:1'");
        assert!(unknown.is_err_and(|error| error.to_string().contains("adress")));
    }
}
