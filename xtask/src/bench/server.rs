//! A `factum serve` that is started, measured and stopped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{failed, process, quantile};
use crate::step::{Failure, program};
use crate::tree;

/// A server that takes longer than this to start does not start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Starts that are measured; the one in the middle counts.
const STARTS: usize = 11;
/// What a fresh process does by itself is over by then.
const SETTLING: Duration = Duration::from_secs(2);

/// A running server; killed when dropped, as by `kill -9`.
pub(crate) struct Server {
    child: Child,
    /// Where Kafka clients connect.
    pub kafka: SocketAddr,
    /// Removed when the server ends; none: the data stays.
    data: Option<PathBuf>,
}

impl Server {
    /// Starts on free ports with an empty data directory, and waits until it is ready.
    pub(crate) fn start(directory: &Path) -> Result<Self, Failure> {
        let data = directory.join("data");
        let mut command = serve(&data, "127.0.0.1:0", "127.0.0.1:0");
        let mut child = spawn(command.args(["--output", "json"]).stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(&data, error))?;
        }
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        let kafka = ready.as_ref().and_then(|ready| ready["kafka"].as_str()?.parse().ok());
        match kafka {
            Some(kafka) => Ok(Self { child, kafka, data: Some(data) }),
            None => {
                let _ = child.kill();
                Err(Failure::Found(format!("factum serve said {line:?}, and not where it listens")))
            }
        }
    }

    /// Starts on data that is there, or that is to stay, without waiting for anything.
    pub(super) fn begin(data: &Path) -> Result<Self, Failure> {
        let kafka = free_address()?;
        let mut command = serve(data, &kafka.to_string(), "127.0.0.1:0");
        let child = spawn(command.stdout(Stdio::null()))?;
        Ok(Self { child, kafka, data: None })
    }

    /// The number of its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Everything is thrown away; a clean end would only take longer.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(data) = &self.data {
            let _ = fs::remove_dir_all(data);
        }
    }
}

/// What a server costs that does nothing.
#[derive(Debug)]
pub(crate) struct Footprint {
    /// From starting the process to the first TCP connection.
    pub connection: Duration,
    /// From starting the process to the first answer to a request.
    pub answer: Duration,
    /// Resident memory without a client.
    pub idle_bytes: u64,
    /// Of the release binary.
    pub binary_bytes: u64,
}

/// Starts servers with empty data directories, one after the other, and looks at them.
pub(crate) fn footprint(directory: &Path) -> Result<Footprint, Failure> {
    let binary = binary();
    let metadata = fs::metadata(&binary).map_err(|source| failed(&binary, source))?;
    let (mut connections, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (connection, answer) = timed_start(directory)?;
        connections.push(connection);
        answers.push(answer);
    }
    connections.sort();
    answers.sort();
    let server = Server::start(directory)?;
    #[expect(clippy::disallowed_methods, reason = "idle is what nothing happens in")]
    std::thread::sleep(SETTLING);
    Ok(Footprint {
        connection: quantile(&connections, 0.5),
        answer: quantile(&answers, 0.5),
        idle_bytes: process::resident_bytes(server.process())?,
        binary_bytes: metadata.len(),
    })
}

fn timed_start(directory: &Path) -> Result<(Duration, Duration), Failure> {
    let data = directory.join("data");
    let (kafka, http) = (free_address()?, free_address()?);
    let begin = Instant::now();
    let child = spawn(serve(&data, &kafka.to_string(), &http.to_string()).stdout(Stdio::null()))?;
    let server = Server { child, kafka, data: Some(data) };
    connect(server.kafka, begin)?;
    let connection = begin.elapsed();
    let mut stream = connect(http, begin)?;
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes());
    let status = asked.and_then(|()| stream.read_to_string(&mut answer));
    let answered = begin.elapsed();
    if status.is_err() || !answer.starts_with("HTTP/1.1 200") {
        return Err(Failure::Found(format!("/readyz answered {answer:?}; expected status 200")));
    }
    Ok((connection, answered))
}

/// Connects as soon as somebody listens.
pub(super) fn connect(address: SocketAddr, begin: Instant) -> Result<TcpStream, Failure> {
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(_) if begin.elapsed() < PATIENCE => std::thread::yield_now(),
            Err(error) => {
                return Err(Failure::Found(format!("nobody listens on {address}: {error}")));
            }
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr, Failure> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(|error| Failure::Found(format!("no free port on 127.0.0.1: {error}")))
}

/// `target/release/factum`.
pub(crate) fn binary() -> PathBuf {
    tree::root().join("target").join("release").join("factum")
}

pub(super) fn serve(data: &Path, kafka: &str, http: &str) -> Command {
    let mut command = program(&binary().to_string_lossy());
    command.arg("serve").arg("--data").arg(data).args(["--kafka", kafka, "--http", http]);
    command.env("FACTUM_LOG", "warn").stdin(Stdio::null());
    command
}

pub(super) fn spawn(command: &mut Command) -> Result<Child, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|source| Failure::Start { program, source })
}
