//! Frames: the four-byte size, and the headers of requests and responses.
//!
//! A frame is a size (signed, 32 bits, big endian) and so many bytes: a header and a message.
//! This module checks the size before anyone reserves memory for it, and reads and writes
//! headers; which form they have depends on API and version.
//!
//! * Request header 1: API, version, correlation id, nullable client id. Header 2, of flexible
//!   versions, adds tagged fields; its client id keeps the old form. Header 0, without client id,
//!   belongs to an API between brokers that is not served here.
//! * Response header 0: correlation id. Header 1, of flexible versions, adds tagged fields. The
//!   ApiVersions response has header 0 in every version: the client cannot know yet what the
//!   broker speaks (KIP-511).

use bytes::Bytes;
use thiserror::Error;

use crate::Str;
use crate::api::{ApiKey, Request, Response, UnknownApi};
use crate::codec::{Form, Wire};
use crate::reader::{DecodeError, Reader};
use crate::records::Part;
use crate::writer::{EncodeError, Writer};

/// Kafka's default of `socket.request.max.bytes`: 100 MiB.
pub const DEFAULT_LIMIT: usize = 100 * 1024 * 1024;

/// The fewest bytes of a frame: the correlation id of a response.
const SMALLEST: usize = 4;

/// A frame that must not be read, or a header that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A size too small for any message, perhaps below zero.
    #[error(
        "a frame of {0} bytes was announced, but a message takes at least {SMALLEST}; close the connection"
    )]
    TooSmall(i32),
    /// A size above the limit.
    #[error(
        "a frame of {size} bytes was announced, but the limit is {limit}; send less, or raise the limit"
    )]
    TooLarge {
        /// Bytes announced.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A request for an API that does not exist here.
    #[error("request {correlation_id} in version {api_version}: {api}")]
    UnknownApi {
        /// The API's number.
        api: UnknownApi,
        /// The version asked for.
        api_version: i16,
        /// The client's number of the request.
        correlation_id: i32,
    },
    /// Bytes that are not a header.
    #[error("not a header: {0}")]
    Header(#[from] DecodeError),
}

/// What stands in front of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API that is called.
    pub api_key: ApiKey,
    /// The version of request and response, not yet checked to be supported.
    pub api_version: i16,
    /// The client's number of the request, to be answered with the response.
    pub correlation_id: i32,
    /// The name that the client gives itself.
    pub client_id: Option<Str>,
}

/// The length of the frame that `prefix` announces.
///
/// # Errors
/// If it is negative, too small for a message, or above `limit`.
pub fn size(prefix: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let announced = i32::from_be_bytes(prefix);
    match usize::try_from(announced).ok().filter(|&size| size >= SMALLEST) {
        None => Err(FrameError::TooSmall(announced)),
        Some(size) if size > limit => Err(FrameError::TooLarge { size, limit }),
        Some(size) => Ok(size),
    }
}

/// Reads the header of a request; the reader that comes back stands before the message.
///
/// An ApiVersions request in a version that is not supported has a header as well: it is
/// answered with a body of version 0 and error 35, without reading further.
///
/// # Errors
/// If the API is unknown or the header is malformed: close the connection.
pub fn read_request(frame: Bytes) -> Result<(RequestHeader, Reader), FrameError> {
    let mut reader = Reader::new(frame);
    reader.at("RequestHeader");
    let api_key = i16::from_be_bytes(reader.fixed()?);
    let api_version = i16::from_be_bytes(reader.fixed()?);
    let correlation_id = i32::from_be_bytes(reader.fixed()?);
    let api_key = ApiKey::try_from(api_key).map_err(|api| FrameError::UnknownApi {
        api,
        api_version,
        correlation_id,
    })?;
    reader.at("RequestHeader.client_id");
    let client_id = Option::<Str>::read(&mut reader, client_id_form(api_version))?;
    if api_key.is_flexible(api_version) {
        skip_tags(&mut reader)?;
    }
    Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, reader))
}

/// Reads the header of the response to a request for `api_key` in `version`: its correlation id.
///
/// # Errors
/// If the header is malformed.
pub fn read_response(
    frame: Bytes,
    api_key: ApiKey,
    version: i16,
) -> Result<(i32, Reader), DecodeError> {
    let mut reader = Reader::new(frame);
    reader.at("ResponseHeader.correlation_id");
    let correlation_id = i32::from_be_bytes(reader.fixed()?);
    if response_has_tags(api_key, version) {
        skip_tags(&mut reader)?;
    }
    Ok((correlation_id, reader))
}

/// A whole request frame, size and header included.
///
/// # Errors
/// If `version` is not supported or cannot express the request.
pub fn write_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&Str>,
) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::new();
    writer.put(&i16::from(R::KEY).to_be_bytes());
    writer.put(&version.to_be_bytes());
    writer.put(&correlation_id.to_be_bytes());
    writer.at("RequestHeader.client_id");
    client_id.cloned().write(&mut writer, client_id_form(version));
    if R::KEY.is_flexible(version) {
        writer.varint(0);
    }
    request.encode(&mut writer, version);
    writer.finish()
}

/// A whole response frame, size and header included.
///
/// # Errors
/// If `version` is not supported or cannot express the response.
pub fn write_response<R: Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Bytes>, EncodeError> {
    response_writer(response, version, correlation_id).finish()
}

/// The same of a response with records that are not in memory: its parts are in the order in
/// which the response has them.
///
/// # Errors
/// As [`write_response`].
pub fn write_response_parts<R: Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Part>, EncodeError> {
    response_writer(response, version, correlation_id).finish_parts()
}

fn response_writer<R: Response>(response: &R, version: i16, correlation_id: i32) -> Writer {
    let mut writer = Writer::new();
    writer.put(&correlation_id.to_be_bytes());
    if response_has_tags(R::KEY, version) {
        writer.varint(0);
    }
    response.encode(&mut writer, version);
    writer
}

fn response_has_tags(api_key: ApiKey, version: i16) -> bool {
    api_key.is_flexible(version) && api_key != ApiKey::ApiVersions
}

/// The client id keeps its two-byte length in every version.
const fn client_id_form(version: i16) -> Form {
    Form { version, flexible: false, nullable: true }
}

fn skip_tags(reader: &mut Reader) -> Result<(), DecodeError> {
    let mut tags = reader.tags()?;
    while tags.next(reader)?.is_some() {
        reader.skip();
        tags.close(reader)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::messages::*;
    use crate::reader::Problem;

    fn bytes(segments: Vec<Bytes>) -> Bytes {
        Bytes::from(segments.concat())
    }

    #[test]
    fn a_size_must_be_positive_and_within_the_limit() {
        assert_eq!(size(100_i32.to_be_bytes(), 100), Ok(100));
        assert_eq!(
            size(101_i32.to_be_bytes(), 100),
            Err(FrameError::TooLarge { size: 101, limit: 100 })
        );
        assert_eq!(
            size([0x7f, 0xff, 0xff, 0xff], DEFAULT_LIMIT),
            Err(FrameError::TooLarge { size: i32::MAX as usize, limit: DEFAULT_LIMIT })
        );
        assert_eq!(size([0xff; 4], 100), Err(FrameError::TooSmall(-1)));
        assert_eq!(size([0x80, 0, 0, 0], 100), Err(FrameError::TooSmall(i32::MIN)));
        assert_eq!(size([0; 4], 100), Err(FrameError::TooSmall(0)));
    }

    #[test]
    fn a_request_comes_back_with_its_header_in_both_header_versions() {
        for version in ApiKey::Metadata.versions() {
            let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
            let client = Str::from_static("kcat");
            let frame = bytes(write_request(&request, version, 7, Some(&client)).expect("frame"));
            let length = size(frame[..4].try_into().expect("four bytes"), 1000).expect("size");
            assert_eq!(length, frame.len() - 4);
            let (header, mut reader) = read_request(frame.slice(4..)).expect("header");
            let api_key = ApiKey::Metadata;
            let client_id = Some(client);
            let expected =
                RequestHeader { api_key, api_version: version, correlation_id: 7, client_id };
            assert_eq!(header, expected);
            assert_eq!(MetadataRequest::decode(&mut reader, version), Ok(request));
        }
    }

    #[test]
    fn a_client_without_a_name_and_unknown_header_tags_are_accepted() {
        let mut frame = vec![0, 12, 0, 4, 0, 0, 0, 9, 0xff, 0xff];
        frame.extend([2, 0, 1, 0xaa, 5, 2, 0xbb, 0xcc]);
        let (header, reader) = read_request(frame.into()).expect("header");
        assert_eq!((header.api_key, header.client_id), (ApiKey::Heartbeat, None));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn the_response_header_of_api_versions_never_has_tags() {
        for version in ApiKey::ApiVersions.versions() {
            let frame =
                bytes(write_response(&ApiVersionsResponse::default(), version, 7).expect("frame"));
            assert_eq!(frame[4..10], [0, 0, 0, 7, 0, 0], "version {version}: id, then error code");
        }
        let frame = bytes(write_response(&HeartbeatResponse::default(), 4, 7).expect("frame"));
        assert_eq!(frame[4..9], [0, 0, 0, 7, 0], "another flexible response has tags");
        let (id, mut reader) =
            read_response(frame.slice(4..), ApiKey::Heartbeat, 4).expect("header");
        assert_eq!(id, 7);
        assert_eq!(HeartbeatResponse::decode(&mut reader, 4), Ok(HeartbeatResponse::default()));
    }

    #[test]
    fn an_api_versions_request_of_the_future_has_a_readable_header() {
        let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'j', 0];
        frame.extend([0xff; 20]); // a body that nobody can read
        let (header, _) = read_request(frame.into()).expect("header");
        assert_eq!((header.api_version, header.correlation_id), (99, 7));
        assert!(!header.api_key.supports(header.api_version));
        assert!(write_response(&ApiVersionsResponse::default(), 0, 7).is_ok());
    }

    #[test]
    fn an_unknown_api_is_refused_with_its_number() {
        let frame = vec![0, 99, 0, 1, 0, 0, 0, 7, 0xff, 0xff];
        let unknown =
            FrameError::UnknownApi { api: UnknownApi(99), api_version: 1, correlation_id: 7 };
        assert_eq!(read_request(frame.into()).err(), Some(unknown));
    }

    #[test]
    fn a_truncated_header_is_refused() {
        let frame = [0, 3, 0, 1, 0, 0, 0, 7, 0, 5, b'k'];
        for length in 0..frame.len() {
            let cut = Bytes::copy_from_slice(&frame[..length]);
            let error = read_request(cut).expect_err("cut off");
            assert!(matches!(
                error,
                FrameError::Header(DecodeError { problem: Problem::Truncated { .. }, .. })
            ));
        }
    }
}
