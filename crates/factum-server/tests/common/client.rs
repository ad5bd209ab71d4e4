//! A blocking client of the Kafka protocol that does what it is told, and no more.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use factum_wire::{ApiKey, Request, Response, Str, frame};
use rustls_pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::DEADLINE;

const CLIENT_ID: &str = "test";

/// A connection.
pub struct Client {
    stream: Wire,
    next: i32,
}

/// A socket, with TLS or without.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server takes connections")
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: Wire::Plain(socket(address)?), next: 0 })
    }

    /// Connects with TLS, and waits for the end of the handshake as the client sees it: a server
    /// that does not want its certificate says so later.
    pub fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream: Wire::Tls(Box::new(stream)), next: 0 })
    }

    /// The certificate that the server has shown.
    pub fn server_certificate(&self) -> Vec<u8> {
        let Wire::Tls(stream) = &self.stream else { return Vec::new() };
        let certificates = stream.conn.peer_certificates().unwrap_or_default();
        certificates.first().map_or_else(Vec::new, |first| first.to_vec())
    }

    /// Asks in a version and waits for the answer.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let answer = self.try_call(request, version);
        answer.unwrap_or_else(|error| panic!("{} version {version}: {error}", R::KEY))
    }

    /// Asks in the newest version in which topics have names.
    pub fn ask<R: Request>(&mut self, request: &R) -> R::Response {
        self.call(request, newest(R::KEY))
    }

    pub fn try_call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        let sent = self.send(request, version)?;
        self.receive(sent, version)
    }

    /// Sends a request; what comes back is its number.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<i32> {
        let number = self.next;
        self.next += 1;
        let client_id = Str::from_static(CLIENT_ID);
        let parts = frame::write_request(request, version, number, Some(&client_id));
        let parts = parts.expect("the request can be encoded");
        self.stream.write_all(&parts.concat())?;
        Ok(number)
    }

    /// Waits for the next answer, which must be to request `number`.
    pub fn receive<R: Response>(&mut self, number: i32, version: i16) -> io::Result<R> {
        let (came, answer) = decode(self.frame()?, version)?;
        assert_eq!(came, number, "answers come in the order of the requests");
        Ok(answer)
    }

    /// Waits for the next answer to begin, without taking anything of it.
    pub fn wait_for_answer(&self) {
        let waiting = self.stream.socket().peek(&mut [0; 1]).expect("an answer is on its way");
        assert_eq!(waiting, 1, "the server closed the connection");
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame without its length.
    pub fn frame(&mut self) -> io::Result<Bytes> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let size = frame::size(prefix, frame::DEFAULT_LIMIT).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        // The other side may have closed already.
        let _ = self.stream.socket().shutdown(Shutdown::Write);
    }

    pub fn patience(&self, patience: Duration) {
        self.stream.socket().set_read_timeout(Some(patience)).expect("not zero");
    }

    /// Fails unless the server closes the connection and says nothing more.
    pub fn assert_closed(&mut self, why: &str) {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => {}
            Ok(_) => panic!("{why}: answered, where closing was expected"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => panic!("{why}: not closed ({error})"),
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, DEADLINE)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    Ok(socket)
}

/// The number of the request that a frame answers, and the answer.
pub fn decode<R: Response>(bytes: Bytes, version: i16) -> io::Result<(i32, R)> {
    let read = frame::read_response(bytes, R::KEY, version).map_err(io::Error::other)?;
    let (number, mut reader) = read;
    let answer = R::decode(&mut reader, version).map_err(io::Error::other)?;
    Ok((number, answer))
}

/// A request frame: header as given, body as given.
pub fn raw_request(api: i16, version: i16, number: i32, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(api.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend((CLIENT_ID.len() as u16).to_be_bytes());
    bytes.extend(CLIENT_ID.as_bytes());
    bytes.extend(flexible.then_some(0));
    bytes.extend(body);
    let length = u32::try_from(bytes.len() - 4).expect("a test's request is small");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// The newest version in which topics have names, not only ids.
pub fn newest(api: ApiKey) -> i16 {
    match api {
        ApiKey::Produce | ApiKey::Fetch => 12,
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => 9,
        _ => *api.versions().end(),
    }
}
