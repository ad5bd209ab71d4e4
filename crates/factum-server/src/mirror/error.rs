//! Why mirroring ends.

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
    #[error("the source does not say its cluster id; expected Kafka 1.0 or newer")]
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
    /// Source and target are one.
    #[error("source and target are the same cluster, {id}")]
    Same {
        /// Its id.
        id: String,
    },
    /// A thread could not be started, or ended by a panic.
    #[error("a thread of the mirror failed: {0}")]
    Thread(String),
}

impl MirrorError {
    /// Whether trying again is of no use.
    pub const fn is_mistake(&self) -> bool {
        match self {
            Self::Source(_) | Self::Target(_) => false,
            Self::Nameless | Self::Foreign { .. } | Self::Same { .. } | Self::Thread(_) => true,
        }
    }
}
