//! Who is at the other end of a connection, and what may be asked for before that is known.

use std::sync::Arc;

use factum_wire::ApiKey;
use thiserror::Error;

use super::KafkaListener;

/// The largest request of somebody who has not logged in (Kafka's `sasl.server.max.receive.size`).
const STRANGERS_REQUEST_BYTES: usize = 512 << 10;

/// Why a request is not looked at.
#[derive(Debug, Error)]
pub(super) enum Unwelcome {
    #[error("request {0} before a login; this listener takes SaslHandshake and SaslAuthenticate")]
    Stranger(i16),
}

/// A connection's login.
pub(super) struct Session {
    listener: Arc<KafkaListener>,
    is_known: bool,
}

impl Session {
    /// A session that begins as the listener rules, with what a certificate says of the client.
    pub(super) fn begin(listener: &Arc<KafkaListener>, _certified: Option<String>) -> Arc<Self> {
        let is_known = !listener.protocol.is_sasl();
        Arc::new(Self { listener: Arc::clone(listener), is_known })
    }

    pub(super) fn listener(&self) -> &KafkaListener {
        &self.listener
    }

    /// The largest request that is read now, where `usual` is the limit for others.
    pub(super) fn request_bytes(&self, usual: usize) -> usize {
        if self.is_known { usual } else { usual.min(STRANGERS_REQUEST_BYTES) }
    }

    /// Lets a request in that may be asked for now.
    pub(super) fn admit(&self, frame: &[u8]) -> Result<(), Unwelcome> {
        let key = frame.first_chunk().map_or(-1, |key| i16::from_be_bytes(*key));
        if self.is_known || key == i16::from(ApiKey::ApiVersions) {
            return Ok(());
        }
        Err(Unwelcome::Stranger(key))
    }
}
