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

/// What a broker says that it speaks: the oldest and the newest version of each API.
type Offers = Arc<HashMap<i16, (i16, i16)>>;

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
    offers: Offers,
    client_id: Str,
    next: i32,
}

/// The direction of answers.
pub struct Receiver {
    stream: BufReader<TcpStream>,
    address: String,
    offers: Offers,
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
        let offers: Offers = Arc::new(HashMap::from([(ApiKey::ApiVersions.into(), (0, 0))]));
        let mut connection = Self {
            sender: Sender {
                stream,
                address: address.to_owned(),
                offers: Arc::clone(&offers),
                client_id: Str::from_static(client_id),
                next: 0,
            },
            receiver: Receiver {
                stream: BufReader::with_capacity(256 * 1024, reading),
                address: address.to_owned(),
                offers,
                next: 0,
            },
        };
        let answer = connection.call(&ApiVersionsRequest::default())?;
        check("ApiVersions", answer.error_code, None)?;
        let offers = Arc::new(offered(&answer));
        connection.sender.offers = Arc::clone(&offers);
        connection.receiver.offers = offers;
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
        let version = version(&self.offers, &self.address, R::KEY)?;
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
        let version = version(&self.offers, &self.address, R::KEY)?;
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

fn offered(answer: &ApiVersionsResponse) -> HashMap<i16, (i16, i16)> {
    answer.api_keys.iter().map(|one| (one.api_key, (one.min_version, one.max_version))).collect()
}

/// The newest version that this client asks for: the codec's, but where later ones name topics by id
/// alone, or groups in plenty. The oldest are those of the codec.
fn newest(api: ApiKey) -> i16 {
    match api {
        ApiKey::Produce | ApiKey::Fetch | ApiKey::Metadata => 12,
        ApiKey::ListOffsets => 8,
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => 7,
        ApiKey::ListGroups => 4,
        other => *other.versions().end(),
    }
}

/// The version in which a broker is asked: the newest that both know.
fn version(offers: &Offers, address: &str, api: ApiKey) -> Result<i16, ClientError> {
    let ours = (*api.versions().start(), newest(api));
    let theirs = offers.get(&i16::from(api)).copied();
    let both = theirs.map(|(oldest, newest)| (oldest.max(ours.0), newest.min(ours.1)));
    both.filter(|(oldest, newest)| oldest <= newest)
        .map(|(_, newest)| newest)
        .ok_or_else(|| ClientError::Version { address: address.to_owned(), api, ours, theirs })
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
                api(ApiKey::DescribeConfigs, 0, 0),
            ],
            ..ApiVersionsResponse::default()
        };
        let offers = Arc::new(offered(&answer));
        let version = |api| version(&offers, "old:9092", api);
        assert_eq!(version(ApiKey::Produce).unwrap(), 9);
        assert_eq!(version(ApiKey::Fetch).unwrap(), 12);
        for (api, says) in [
            (ApiKey::Metadata, "old:9092 speaks Metadata in versions 13 to 14"),
            (ApiKey::DescribeConfigs, "old:9092 speaks DescribeConfigs in versions 0 to 0"),
            (ApiKey::ListGroups, "old:9092 does not speak ListGroups"),
        ] {
            let error = version(api).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("expected one of"), "{error}");
        }
    }
}
