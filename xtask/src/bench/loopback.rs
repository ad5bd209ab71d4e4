//! What TCP over the loopback gives between two threads: throughput, and round trips.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::quantile;
use crate::step::Failure;

const BLOCK_BYTES: usize = 64 << 10;
const ROUND_TRIPS: usize = 20_000;
const MESSAGE_BYTES: usize = 100;

/// What the loopback gave.
#[derive(Debug)]
pub(crate) struct Loopback {
    /// In one direction, in blocks of 64 KiB.
    pub bytes_per_second: f64,
    /// Time of a round trip of 100 B: half are shorter.
    pub round_trip_p50: Duration,
    /// 99 of 100 are shorter.
    pub round_trip_p99: Duration,
}

/// Sends for `span`, then forth and back.
pub(crate) fn measure(span: Duration) -> Result<Loopback, Failure> {
    let bytes_per_second = throughput(span).map_err(failed)?;
    let (round_trip_p50, round_trip_p99) = round_trip()?;
    Ok(Loopback { bytes_per_second, round_trip_p50, round_trip_p99 })
}

/// p50 and p99 of a round trip of 100 B.
pub(super) fn round_trip() -> Result<(Duration, Duration), Failure> {
    let mut trips = round_trips().map_err(failed)?;
    trips.sort();
    Ok((quantile(&trips, 0.5), quantile(&trips, 0.99)))
}

fn failed(error: io::Error) -> Failure {
    Failure::Found(format!("the loopback does not work: {error}"))
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((one, other))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn throughput(span: Duration) -> io::Result<f64> {
    let (mut from, mut to) = pair()?;
    let begin = Instant::now();
    let sender = thread::spawn(move || -> io::Result<()> {
        let block = vec![7; BLOCK_BYTES];
        while begin.elapsed() < span {
            from.write_all(&block)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut received = 0_u64;
    loop {
        match to.read(&mut buffer)? {
            0 => break,
            bytes => received += bytes as u64,
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    sender.join().map_err(|_| io::Error::other("the sender panicked"))??;
    Ok(received as f64 / seconds)
}

fn round_trips() -> io::Result<Vec<Duration>> {
    let (mut one, mut other) = pair()?;
    let echo = thread::spawn(move || -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..ROUND_TRIPS {
            other.read_exact(&mut message)?;
            other.write_all(&message)?;
        }
        Ok(())
    });
    let mut message = [7; MESSAGE_BYTES];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        one.write_all(&message)?;
        one.read_exact(&mut message)?;
        times.push(begin.elapsed());
    }
    echo.join().map_err(|_| io::Error::other("the echo panicked"))??;
    Ok(times)
}
