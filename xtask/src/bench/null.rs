//! The reference, `bench/null-broker`: a broker without a log, and one copy of bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use super::server::spawn;
use crate::step::{Failure, program};
use crate::tree;

const BLOCK_BYTES: usize = 256 << 10;

/// A process of the null broker; killed when dropped.
pub(crate) struct NullBroker {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl NullBroker {
    /// A broker, with what else it is told.
    pub(crate) fn serve(arguments: &[&str]) -> Result<Self, Failure> {
        Self::start(&[&["serve"], arguments].concat())
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = program(&binary().to_string_lossy());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Failure::Found("null-broker has no standard output".to_owned()));
        };
        let mut output = BufReader::new(stdout);
        let said = line(&mut output)?;
        let address = said["address"].as_str().and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { child, output, address }),
            None => Err(Failure::Found(format!("null-broker said {said}, and no address"))),
        }
    }
}

impl Drop for NullBroker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor seconds per GiB of one copy from a socket into a file, flushed at the end.
pub(crate) fn receive(file: &Path, bytes: u64) -> Result<f64, Failure> {
    copy("receive", file, |stream| {
        let block = vec![7; BLOCK_BYTES];
        let mut rest = bytes;
        while rest > 0 {
            let part = usize::try_from(rest).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            stream.write_all(&block[..part])?;
            rest -= part as u64;
        }
        Ok(())
    })
}

/// Processor seconds per GiB of sending a file to a socket.
pub(crate) fn send(file: &Path) -> Result<f64, Failure> {
    copy("send", file, |stream| {
        let mut block = vec![0; BLOCK_BYTES];
        while stream.read(&mut block)? > 0 {}
        Ok(())
    })
}

fn copy(
    verb: &str,
    file: &Path,
    other_end: impl FnOnce(&mut TcpStream) -> std::io::Result<()>,
) -> Result<f64, Failure> {
    let mut copier = NullBroker::start(&[verb, "--file", &file.to_string_lossy()])?;
    let transfer = TcpStream::connect(copier.address).and_then(|mut stream| other_end(&mut stream));
    transfer.map_err(|error| Failure::Found(format!("null-broker {verb}: {error}")))?;
    let said = line(&mut copier.output)?;
    match (said["bytes"].as_f64(), said["cpu_seconds"].as_f64()) {
        (Some(bytes), Some(seconds)) if bytes > 0.0 => Ok(seconds / (bytes / super::GIB)),
        _ => Err(Failure::Found(format!("null-broker {verb} said {said}"))),
    }
}

fn line(output: &mut impl BufRead) -> Result<Value, Failure> {
    let mut line = String::new();
    let read = output.read_line(&mut line).map_err(|error| error.to_string());
    let parsed = read.and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()));
    parsed.map_err(|error| Failure::Found(format!("null-broker said {line:?}: {error}")))
}

/// `target/release/null-broker`.
fn binary() -> PathBuf {
    tree::root().join("target").join("release").join("null-broker")
}
