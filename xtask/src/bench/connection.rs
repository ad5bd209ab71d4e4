//! A connection that speaks Kafka's protocol: a request out, its answer in. It asks every broker in
//! the same version, which the caller names, so that all answer the same question.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use factum_wire::messages::ApiVersionsRequest;
use factum_wire::{Message, Request, frame};

use crate::step::Failure;

/// A broker that says nothing for so long says nothing; creating topics may take a while.
const PATIENCE: Duration = Duration::from_secs(90);
const API_VERSIONS: i16 = 3;

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects, and asks what the broker speaks, as every client does first.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = connect(address)
            .map_err(|error| Failure::Found(format!("no connection to {address}: {error}")))?;
        let mut connection = Self { stream };
        connection.greet()?;
        Ok(connection)
    }

    /// Asks what the broker speaks.
    pub(crate) fn greet(&mut self) -> Result<(), Failure> {
        let request = ApiVersionsRequest {
            client_software_name: "bench".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        match self.call(&request, API_VERSIONS)?.error_code {
            0 => Ok(()),
            code => Err(Failure::Found(format!("ApiVersions was answered with error {code}"))),
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Failure> {
        let about = |error: String| Failure::Found(format!("{:?}: {error}", R::KEY));
        let sent = frame::write_request(request, version, 0, None)
            .map_err(|error| about(error.to_string()))?;
        let answer = self.exchange(&sent.concat()).map_err(|error| about(error.to_string()))?;
        let decoded = frame::read_response(answer.into(), R::KEY, version)
            .and_then(|(_, mut reader)| R::Response::decode(&mut reader, version));
        decoded.map_err(|error| about(error.to_string()))
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(request)?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let size = frame::size(prefix, frame::DEFAULT_LIMIT).map_err(io::Error::other)?;
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
