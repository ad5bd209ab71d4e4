//! The Kafka protocol without I/O: frames, messages, bounds.
//!
//! * [`frame`]: the four-byte size with its limit, request and response headers.
//! * [`api`]: which APIs in which versions, and what a broker advertises.
//! * [`messages`]: a plain struct per request and response, one file per API.
//! * [`error_code`]: Kafka's error numbers and names.
//!
//! Promises, for whatever bytes come in:
//!
//! * Nothing panics, and what is wrong is a [`DecodeError`] that names the field.
//! * A frame of `n` bytes makes the decoder reserve at most `16 n + 64 KiB`
//!   ([`reader::ALLOWANCE_PER_BYTE`]): no length from the wire is believed.
//! * Record bytes and strings are shared slices of the frame, never copies. Whoever keeps a
//!   string for longer than the request copies it, or the whole frame stays in memory.
//! * Encoding takes record bytes as shared chunks and hands them on as segments of their own;
//!   bytes that are in no memory ([`Part::External`]) need only be counted.
//!
//! ```
//! use factum_wire::messages::{HeartbeatRequest, HeartbeatResponse};
//! use factum_wire::{ApiKey, Message, frame};
//!
//! let request = HeartbeatRequest { group_id: "invoices".into(), ..Default::default() };
//! let sent = frame::write_request(&request, 4, 1, None)?.concat();
//!
//! // On the other side: the size first, then the frame.
//! let (size, frame) = sent.split_first_chunk().expect("a frame begins with its size");
//! assert_eq!(frame::size(*size, frame::DEFAULT_LIMIT)?, frame.len());
//! let (header, mut reader) = frame::read_request(frame.to_vec().into())?;
//! assert_eq!(header.api_key, ApiKey::Heartbeat);
//! assert_eq!(HeartbeatRequest::decode(&mut reader, header.api_version)?, request);
//! let answer = frame::write_response(&HeartbeatResponse::default(), 4, header.correlation_id)?;
//! # assert_eq!(answer.concat().len(), 4 + 4 + 1 + 4 + 2 + 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate knows nothing of records, topics or groups: bytes in, values out, and back.

pub mod api;
#[cfg(test)]
mod bounds;
mod codec;
pub mod error_code;
pub mod frame;
pub mod messages;
pub mod reader;
mod records;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod table;
pub mod writer;

pub use api::{ApiKey, Message, Request, Response};
pub use error_code::ErrorCode;
pub use reader::{DecodeError, Problem, Reader};
pub use records::{Part, Records};
pub use writer::{EncodeError, Writer};

/// Text on the wire: UTF-8 in a shared buffer, checked once, read as `&str`.
pub use bytestring::ByteString as Str;
