//! The brokers that are compared with each other: started, stopped, killed and started again on the
//! same data and address.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::connection::Connection;
use super::failed;
use super::kafka::Kafka;
use super::server::{serve, spawn};
use crate::step::Failure;

/// A broker that takes longer than this to start or to stop does neither. Kafka with 10,000 partitions
/// takes minutes after `kill -9`.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two questions to a broker that does not answer yet; it needs the processor as well.
pub(crate) const AGAIN: Duration = Duration::from_millis(5);
/// Where a free port is looked for.
const FIRST_PORT: u16 = 21_000;
/// How many ports are tried.
const PORTS: u16 = 500;
/// Bytes of the log that are shown where a broker fails.
const TAIL_BYTES: usize = 1500;

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours; what is acknowledged is on the disk.
    Factum,
    /// Apache Kafka as it ships; what is acknowledged is in the page cache.
    Kafka,
    /// Apache Kafka, told to promise what Factum promises.
    FlushingKafka,
}

impl Kind {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Factum, Self::Kafka, Self::FlushingKafka];

    /// What it is called in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Factum => "Factum",
            Self::Kafka => "Kafka",
            Self::FlushingKafka => "Kafka, flush.messages=1",
        }
    }
}

/// A broker and its data; killed and removed when dropped.
pub(crate) struct Broker {
    /// Where clients connect.
    pub address: SocketAddr,
    directory: PathBuf,
    command: Command,
    child: Option<Child>,
}

impl Broker {
    /// Prepares an empty data directory; nothing runs yet.
    pub(crate) fn new(kind: Kind, parent: &Path, kafka: &Kafka) -> Result<Self, Failure> {
        let directory = parent.join("broker");
        fs::create_dir_all(&directory).map_err(|source| failed(&directory, source))?;
        let address = address_from(FIRST_PORT)?;
        let command = match kind {
            Kind::Factum => serve(&directory.join("data"), &address.to_string(), "127.0.0.1:0"),
            Kind::Kafka => kafka.prepare(&directory, address, false)?,
            Kind::FlushingKafka => kafka.prepare(&directory, address, true)?,
        };
        Ok(Self { address, directory, command, child: None })
    }

    /// Starts the process, and returns when; it does not wait for anything.
    pub(crate) fn start(&mut self) -> Result<Instant, Failure> {
        let path = self.log_path();
        let log = File::options().create(true).append(true).open(&path);
        let (log, errors) = log
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(|source| failed(&path, source))?;
        self.command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let begin = Instant::now();
        self.child = Some(spawn(&mut self.command)?);
        Ok(begin)
    }

    /// A connection, as soon as ApiVersions is answered on it.
    pub(crate) fn connect(&mut self, begin: Instant) -> Result<Connection, Failure> {
        loop {
            match Connection::open(self.address) {
                Ok(connection) => return Ok(connection),
                Err(error) => self.wait(begin, &error.to_string())?,
            }
        }
    }

    /// Waits a moment, unless the broker is gone, or had time enough.
    pub(crate) fn wait(&mut self, begin: Instant, reason: &str) -> Result<(), Failure> {
        let running = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        if running && begin.elapsed() < PATIENCE {
            pause(AGAIN);
            return Ok(());
        }
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(TAIL_BYTES)..).unwrap_or(&log);
        let state = if running { "is not ready" } else { "ended" };
        Err(Failure::Found(format!("the broker {state}: {reason}; the end of its log:\n{tail}")))
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Asks it to end (SIGTERM), and returns how long it took.
    pub(crate) fn stop(&mut self) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let pid = i32::try_from(self.process()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked {
            return Err(Failure::Found("the broker is gone before it was told to end".to_owned()));
        }
        while let Some(Ok(None)) = self.child.as_mut().map(Child::try_wait) {
            if begin.elapsed() > PATIENCE {
                return Err(Failure::Found(format!("the broker did not end within {PATIENCE:?}")));
            }
            pause(AGAIN);
        }
        self.child = None;
        Ok(begin.elapsed())
    }

    /// Ends it as by `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The first free address from a port on. Below the ports that the kernel gives to clients: a client
/// that knocks again and again at such a port, while nobody listens, in the end connects to itself.
pub(crate) fn address_from(first: u16) -> Result<SocketAddr, Failure> {
    let addresses =
        (first..first + PORTS).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    let last = first + PORTS - 1;
    free.next()
        .ok_or_else(|| Failure::Found(format!("no free port of 127.0.0.1 in {first} to {last}")))
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "idle is what nothing happens in")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}
