//! Why a measurement could not be made.

use factum_event::batch::BatchError;
use factum_wire::EncodeError;
use thiserror::Error;

use crate::kafka_client::ClientError;

/// A failure of a measurement.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The broker could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Record batches that are none.
    #[error("the broker sent a bad record batch: {0}")]
    Batch(#[from] BatchError),
    /// A request cannot be written.
    #[error("a request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// Nothing more came.
    #[error("nothing came from the broker for {seconds} s, although there is more to read")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// A thread ended by a panic.
    #[error("a thread of the benchmark failed; please report this")]
    Thread,
}
