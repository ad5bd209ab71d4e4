//! One copy of bytes between a socket and a file, and what it takes of the processor.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

const BLOCK_BYTES: usize = 256 << 10;
/// The kernel tells processor time in these, on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a copy took.
#[derive(Debug)]
pub(crate) struct Copied {
    bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Copied {
    /// For the one who started the copy.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "bytes": self.bytes, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds })
    }
}

/// Reads one connection to its end into a file, and flushes it.
///
/// # Errors
/// If the socket or the file fails.
pub(crate) fn receive(listener: &TcpListener, path: &Path) -> io::Result<Copied> {
    let (mut stream, _) = listener.accept()?;
    measured(|| {
        let mut file = File::create(path)?;
        let mut block = vec![0; BLOCK_BYTES];
        let mut bytes = 0;
        loop {
            let read = stream.read(&mut block)?;
            if read == 0 {
                break;
            }
            file.write_all(&block[..read])?;
            bytes += read as u64;
        }
        file.sync_data()?;
        Ok(bytes)
    })
}

/// Sends a file to one connection, from file to socket without a copy in between (`sendfile`).
///
/// # Errors
/// If the socket or the file fails.
pub(crate) fn send(listener: &TcpListener, path: &Path) -> io::Result<Copied> {
    let (mut stream, _) = listener.accept()?;
    measured(|| io::copy(&mut File::open(path)?, &mut stream))
}

fn measured(copy: impl FnOnce() -> io::Result<u64>) -> io::Result<Copied> {
    let (begin, cpu_before) = (Instant::now(), cpu_seconds()?);
    let bytes = copy()?;
    let cpu_seconds = cpu_seconds()? - cpu_before;
    Ok(Copied { bytes, seconds: begin.elapsed().as_secs_f64(), cpu_seconds })
}

/// Of this process until now, in itself and in the kernel.
fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .ok_or_else(|| io::Error::other("/proc/self/stat has no utime and stime"))
}

fn ticks(stat: &str) -> Option<f64> {
    // The name of the program, in parentheses, may hold spaces.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::thread;

    use super::*;

    #[test]
    fn what_was_received_into_a_file_is_sent_again() {
        let path = std::env::temp_dir().join(format!("null-broker-{}", std::process::id()));
        let sent: Vec<u8> = (0..=255).cycle().take(3 * BLOCK_BYTES + 5).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = sent.clone();
        let sender = thread::spawn(move || {
            TcpStream::connect(address).unwrap().write_all(&bytes).unwrap();
        });
        assert_eq!(receive(&listener, &path).unwrap().bytes, sent.len() as u64);
        sender.join().unwrap();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            TcpStream::connect(address).unwrap().read_to_end(&mut received).unwrap();
            received
        });
        assert_eq!(send(&listener, &path).unwrap().bytes, sent.len() as u64);
        assert!(reader.join().unwrap() == sent);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn processor_time_is_that_of_the_process_and_of_the_kernel_for_it() {
        let stat = "42 (a name) with) R 1 1 1 0 -1 4194304 90 0 0 0 120 30 7 8 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(150.0));
        assert_eq!(ticks("42"), None);
    }
}
