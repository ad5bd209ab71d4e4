//! A small client of the Kafka protocol, for the commands that speak it to any broker.
//!
//! Blocking, with a thread for each direction where requests are pipelined: a scheduler between
//! socket and clock would add its own delay to what is measured. It decodes nothing that nobody
//! asks for, and does not retry: an error is for the caller to judge.

mod connection;
mod error;

use factum_wire::ErrorCode;

pub use connection::{Connection, Receiver, Sender};
pub use error::ClientError;

/// ListOffsets: the first offset that is kept.
pub const EARLIEST: i64 = -2;
/// ListOffsets: the offset that the next record will have.
pub const LATEST: i64 = -1;

/// Kafka's name of an error code.
pub fn code_name(code: i16) -> String {
    ErrorCode::try_from(code)
        .map_or_else(|_| format!("error {code}"), |code| code.name().to_owned())
}

/// An error unless the code is 0.
pub fn check(what: &str, code: i16, detail: Option<&str>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    Err(ClientError::Refused { what: what.to_owned(), code, detail: detail.map(str::to_owned) })
}

/// A broker's address as it is connected to.
pub fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
