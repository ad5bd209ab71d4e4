//! Why mirroring ends.

use std::io;

use thiserror::Error;

use crate::kafka_client::ClientError;

/// A failure of one of the clusters.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// The cluster that is copied.
    #[error("the source: {0}")]
    Source(#[source] ClientError),
    /// The server that takes the copy.
    #[error("the target: {0}")]
    Target(#[source] ClientError),
    /// The source does not say who it is, so its copy could not be told from another's.
    #[error("the source does not say its cluster id; expected Apache Kafka 1.1 or newer")]
    Nameless,
    /// The target cannot take copies.
    #[error(
        "the target takes no copies: it has no setting {setting}; expected a Factum server of this \
         version"
    )]
    Foreign {
        /// The setting.
        setting: &'static str,
    },
    /// Source and target are one, and copies would have the names of what they are copies of.
    #[error(
        "source and target are the same cluster, {id}; expected two, or other names for the \
         copies: say --prefix"
    )]
    Same {
        /// Its id.
        id: String,
    },
    /// A thread could not be started.
    #[error("a thread of the mirror could not be started: {0}")]
    Thread(#[source] io::Error),
    /// A thread ended by a panic.
    #[error(
        "a thread of the mirror panicked: {0}; nothing is copied twice, but please report this"
    )]
    Panic(String),
}

impl MirrorError {
    /// Whether trying again is of no use.
    pub const fn is_mistake(&self) -> bool {
        match self {
            // What a broker does not speak today it will not speak in a minute.
            Self::Source(error) | Self::Target(error) => {
                matches!(error, ClientError::Version { .. })
            }
            Self::Nameless
            | Self::Foreign { .. }
            | Self::Same { .. }
            | Self::Thread(_)
            | Self::Panic(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_wire::ApiKey;

    use super::*;

    #[test]
    fn a_broker_that_lacks_an_api_is_a_mistake_and_one_that_is_away_is_not() {
        let (address, api) = ("old:9092".to_owned(), ApiKey::DescribeConfigs);
        let version = ClientError::Version { address, api, ours: (1, 4), theirs: Some((0, 0)) };
        let error = MirrorError::Source(version);
        assert!(error.is_mistake());
        let says = "the source: the broker at old:9092 speaks DescribeConfigs in versions 0 to 0; \
                    expected one of the versions 1 to 4";
        assert_eq!(error.to_string(), says);
        let (address, source) = ("away:9092".to_owned(), io::ErrorKind::ConnectionRefused.into());
        assert!(!MirrorError::Source(ClientError::Connect { address, source }).is_mistake());
    }
}
