//! A connection to a Kafka broker: requests out, answers in, in their order.

use std::collections::HashMap;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use factum_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use factum_wire::{ApiKey, Request, Response, Str, frame};

use super::{ClientError, check};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The newest versions that this client asks for: later ones name topics by id alone, or groups
/// in plenty. The oldest are those of the codec; brokers from Kafka 1.0 on speak them.
const NEWEST: [(ApiKey, i16); 12] = [
    (ApiKey::Produce, 12),
    (ApiKey::Fetch, 12),
    (ApiKey::ListOffsets, 8),
    (ApiKey::Metadata, 12),
    (ApiKey::OffsetCommit, 7),
    (ApiKey::OffsetFetch, 7),
    (ApiKey::ListGroups, 4),
    (ApiKey::CreateTopics, 7),
    (ApiKey::DeleteRecords, 2),
    (ApiKey::DescribeConfigs, 4),
    (ApiKey::CreatePartitions, 3),
    (ApiKey::IncrementalAlterConfigs, 1),
];

/// The versions in which a broker is spoken to.
type Versions = Arc<HashMap<i16, i16>>;

/// A connection: both directions.
pub struct Connection {
    /// Requests.
    pub sender: Sender,
    /// Answers.
    pub receiver: Receiver,
}

/// The direction of requests.
pub struct Sender {
    stream: TcpStream,
    address: String,
    versions: Versions,
    client_id: Str,
    next: i32,
}

/// The direction of answers.
pub struct Receiver {
    stream: BufReader<TcpStream>,
    address: String,
    versions: Versions,
    next: i32,
}

impl Connection {
    /// Connects under a client id, and learns what the broker speaks.
    pub fn open(address: &str, client_id: &'static str) -> Result<Self, ClientError> {
        let stream = connect(address)
            .map_err(|source| ClientError::Connect { address: address.to_owned(), source })?;
        let failed = |source| ClientError::Connection { address: address.to_owned(), source };
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        let reading = stream.try_clone().map_err(failed)?;
        let versions: Versions = Arc::new(HashMap::from([(ApiKey::ApiVersions.into(), 0)]));
        let mut connection = Self {
            sender: Sender {
                stream,
                address: address.to_owned(),
                versions: Arc::clone(&versions),
                client_id: Str::from_static(client_id),
                next: 0,
            },
            receiver: Receiver {
                stream: BufReader::with_capacity(256 * 1024, reading),
                address: address.to_owned(),
                versions,
                next: 0,
            },
        };
        let answer = connection.call(&ApiVersionsRequest::default())?;
        check("ApiVersions", answer.error_code, None)?;
        let versions = Arc::new(negotiate(&answer));
        connection.sender.versions = Arc::clone(&versions);
        connection.receiver.versions = versions;
        Ok(connection)
    }

    /// Sends a request and waits for its answer.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        self.sender.send(request)?;
        self.receiver.receive()
    }
}

impl Sender {
    /// Sends a request.
    pub fn send<R: Request>(&mut self, request: &R) -> Result<(), ClientError> {
        let version = version(&self.versions, R::KEY)?;
        let segments = frame::write_request(request, version, self.next, Some(&self.client_id))?;
        self.next = self.next.wrapping_add(1);
        write_all(&mut self.stream, &segments)
            .map_err(|source| ClientError::Connection { address: self.address.clone(), source })
    }

    /// Ends the connection, so that whoever waits for an answer stops.
    pub fn close(&self) {
        // The other side may have closed it already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Receiver {
    /// Waits for the next answer, which must be to the next request.
    pub fn receive<R: Response>(&mut self) -> Result<R, ClientError> {
        let version = version(&self.versions, R::KEY)?;
        let bytes = self.frame()?;
        let (came, mut reader) = frame::read_response(bytes, R::KEY, version)?;
        let expected = self.next;
        self.next = expected.wrapping_add(1);
        if came != expected {
            return Err(ClientError::Order { expected, came });
        }
        Ok(R::decode(&mut reader, version)?)
    }

    fn frame(&mut self) -> Result<Bytes, ClientError> {
        let failed =
            |address: &str, source| ClientError::Connection { address: address.to_owned(), source };
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).map_err(|error| failed(&self.address, error))?;
        let size = frame::size(prefix, frame::DEFAULT_LIMIT)?;
        let mut bytes = Vec::with_capacity(size);
        let read = (&mut self.stream).take(size as u64).read_to_end(&mut bytes);
        read.map_err(|error| failed(&self.address, error))?;
        if bytes.len() < size {
            return Err(failed(&self.address, io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes.into())
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for one in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&one, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn negotiate(answer: &ApiVersionsResponse) -> HashMap<i16, i16> {
    let mut versions = HashMap::new();
    for (api, newest) in NEWEST {
        let key = i16::from(api);
        if let Some(theirs) = answer.api_keys.iter().find(|one| one.api_key == key) {
            let version = newest.min(theirs.max_version);
            if version >= theirs.min_version && api.supports(version) {
                versions.insert(key, version);
            }
        }
    }
    versions
}

fn version(versions: &Versions, api: ApiKey) -> Result<i16, ClientError> {
    versions.get(&i16::from(api)).copied().ok_or(ClientError::Version { api })
}

fn write_all(stream: &mut TcpStream, segments: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = segments.iter().map(|one| IoSlice::new(one)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use factum_wire::messages::ApiVersion;

    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_spoken() {
        let api = |key: ApiKey, min_version, max_version| ApiVersion {
            api_key: key.into(),
            min_version,
            max_version,
        };
        let answer = ApiVersionsResponse {
            api_keys: vec![
                api(ApiKey::Produce, 0, 9),
                api(ApiKey::Fetch, 4, 18),
                api(ApiKey::Metadata, 13, 14),
            ],
            ..ApiVersionsResponse::default()
        };
        let versions = Arc::new(negotiate(&answer));
        assert_eq!(version(&versions, ApiKey::Produce).unwrap(), 9);
        assert_eq!(version(&versions, ApiKey::Fetch).unwrap(), 12);
        assert!(matches!(version(&versions, ApiKey::Metadata), Err(ClientError::Version { .. })));
    }
}
