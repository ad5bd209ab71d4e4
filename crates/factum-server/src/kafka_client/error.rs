//! Why a broker could not be asked.

use std::io;

use factum_wire::frame::FrameError;
use factum_wire::{ApiKey, DecodeError, EncodeError, ErrorCode};
use thiserror::Error;

use super::code_name;

/// A failure of the Kafka client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The broker.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection failed.
    #[error("the connection to {address} failed: {source}")]
    Connection {
        /// The broker.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The broker sent what is no frame.
    #[error("the broker's answer is no Kafka frame: {0}")]
    Frame(#[from] FrameError),
    /// The broker sent what is no answer.
    #[error("the broker's answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A request cannot be written.
    #[error("a request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// An answer to another request.
    #[error("the broker answered request {came} instead of {expected}")]
    Order {
        /// The request that waited.
        expected: i32,
        /// The one that was answered.
        came: i32,
    },
    /// The broker lacks an API, or speaks it only in other versions.
    #[error(
        "the broker at {address} {}; expected one of the versions {} to {}",
        spoken(*api, *theirs),
        ours.0,
        ours.1
    )]
    Version {
        /// The broker.
        address: String,
        /// The API.
        api: ApiKey,
        /// The oldest and the newest version that this client knows.
        ours: (i16, i16),
        /// Those that the broker offers, if it has the API.
        theirs: Option<(i16, i16)>,
    },
    /// An error code.
    #[error(
        "the broker refused {what}: {}{}",
        code_name(*code),
        detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default()
    )]
    Refused {
        /// What was asked.
        what: String,
        /// The protocol's number of the error.
        code: i16,
        /// The broker's own words.
        detail: Option<String>,
    },
    /// A partition without a leader, or a leader without an address.
    #[error("partition {partition} of {topic} has no leader; is the cluster well?")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

impl ClientError {
    /// Whether the broker refused with this error.
    pub fn is(&self, expected: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == expected.code())
    }
}

fn spoken(api: ApiKey, versions: Option<(i16, i16)>) -> String {
    match versions {
        Some((oldest, newest)) => format!("speaks {api} in versions {oldest} to {newest}"),
        None => format!("does not speak {api}"),
    }
}
