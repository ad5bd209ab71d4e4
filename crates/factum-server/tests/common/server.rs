//! `factum serve` as a process of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::DEADLINE;

const ANY_PORT: &str = "127.0.0.1:0";

/// A directory for a server's data, with a place for its log lines beside it.
pub struct Home {
    directory: TempDir,
    data: PathBuf,
    /// The program that runs the server, and its arguments; none: the server itself.
    under: Vec<String>,
    /// Settings that only the environment carries.
    environment: Vec<(&'static str, String)>,
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        Self { directory, data, under: Vec::new(), environment: Vec::new() }
    }

    /// A server whose data is in a directory of its own.
    pub fn at(data: PathBuf) -> Self {
        Self { data, ..Self::new() }
    }

    /// A server that another program runs, such as `prlimit`, which must become the server.
    pub fn under(self, program: &[&str]) -> Self {
        Self { under: program.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    /// A server with this in its environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// A directory beside the data, for other files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("stderr")
    }

    fn log_file(&self) -> File {
        let log = File::options().create(true).append(true).open(self.log());
        log.expect("a file for log lines")
    }

    /// Writes the configuration file that the server reads when it starts.
    pub fn configure(&self, toml: &str) {
        fs::write(self.directory.path().join("factum.toml"), toml).expect("a file");
    }

    /// Starts a server on free ports.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts a server on free ports, with more flags.
    pub fn serve_with(&self, flags: &[&str]) -> Server {
        self.serve_at([ANY_PORT, ANY_PORT], flags)
    }

    /// Starts a server at these addresses: Kafka, HTTP.
    pub fn serve_at(&self, [kafka, http]: [&str; 2], flags: &[&str]) -> Server {
        let mut command = self.command(&["--kafka", kafka, "--http", http]);
        command.args(flags).stderr(self.log_file());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("it is piped");
        let line = first_line(stdout);
        let mut server = Server {
            child,
            kafka: SocketAddr::from(([0; 4], 0)),
            http: SocketAddr::from(([0; 4], 0)),
            listeners: Vec::new(),
            recovery: Value::Null,
            log: self.log(),
        };
        let line = line.recv_timeout(DEADLINE).unwrap_or_default();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("no JSON when ready ({error}) but {line:?}; stderr: {}", server.log_lines())
        });
        let address = |door: &str| ready[door].as_str().and_then(|text| text.parse().ok());
        server.kafka = address("kafka").expect("the Kafka door's address");
        server.http = address("http").expect("the HTTP door's address");
        let listeners = ready["listeners"].as_array().into_iter().flatten();
        server.listeners = listeners.filter_map(|one| one.as_str().map(str::to_owned)).collect();
        server.recovery = ready["recovery"].clone();
        server
    }

    /// Starts a server at these addresses, and kills it when `patience` is over, be it ready or not.
    pub fn kill_while_opening(&self, [kafka, http]: [&str; 2], flags: &[&str], patience: Duration) {
        let mut command = self.command(&["--kafka", kafka, "--http", http]);
        let mut child = command.args(flags).stderr(self.log_file()).spawn().expect("it starts");
        let line = first_line(child.stdout.take().expect("it is piped"));
        // Ready or not, its time is over.
        let _ = line.recv_timeout(patience);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }

    /// Runs a server that is expected not to start: its exit status and what it says.
    pub fn serve_in_vain(&self, flags: &[&str]) -> (ExitStatus, String) {
        let mut command = self.command(&["--kafka", ANY_PORT, "--http", ANY_PORT]);
        command.args(flags);
        let output = command.stderr(Stdio::piped()).output().expect("the binary starts");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn command(&self, flags: &[&str]) -> Command {
        let words: Vec<&str> = self.under.iter().map(String::as_str).collect();
        let mut words = words.into_iter().chain([env!("CARGO_BIN_EXE_factum")]);
        let mut command = Command::new(words.next().expect("there is one"));
        command.args(words);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FACTUM_")) {
            command.env_remove(name);
        }
        command.current_dir(self.directory.path()).env("FACTUM_LOG", "warn");
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        // Opening looks through the whole of the last journal, which an unoptimised build does
        // slowly; small ones also let tests cross from one to the next.
        command.env("FACTUM_JOURNAL_BYTES", "4MiB");
        command.args(["serve", "--output", "json", "--data"]).arg(self.data()).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// The first line that comes; the rest is read and forgotten, so that the writer never waits.
fn first_line(stdout: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody waits for the second.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    pub kafka: SocketAddr,
    pub http: SocketAddr,
    /// All places of the Kafka door, as PROTOCOL://ADDRESS.
    listeners: Vec<String>,
    /// What opening the log found.
    pub recovery: Value,
    log: PathBuf,
}

impl Server {
    /// Kills it with SIGKILL: it has no moment left for anything.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.assert_no_panic();
    }

    /// Asks it with SIGTERM to stop, and waits until it has.
    pub fn stop(mut self) {
        // The shell's own command: a bare machine has no other.
        let kill = format!("kill -TERM {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(sent.success(), "it was gone already: {}", self.log_lines());
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "stopped with {status}: {}", self.log_lines());
        self.assert_no_panic();
    }

    /// Where the first listener of this protocol is.
    pub fn listener(&self, protocol: &str) -> SocketAddr {
        let of = |one: &String| one.strip_prefix(&format!("{protocol}://"))?.parse().ok();
        self.listeners.iter().find_map(of).expect("there is such a listener")
    }

    /// Sends it SIGHUP.
    pub fn hang_up(&self) {
        let kill = format!("kill -HUP {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(sent.success(), "it was gone already: {}", self.log_lines());
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.expect("memory is in the status") * 1024
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(Path::new("/proc").join(self.child.id().to_string()).join("fd"));
        files.expect("it runs").count()
    }

    /// What it says of itself: the number after this name, labels included.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.http).expect("the HTTP door");
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {name} in {text}"));
        value.parse().expect("a number")
    }

    pub fn log_lines(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails unless its log says something, soon: a connection closes a moment before it says why.
    pub fn assert_log_says(&self, text: &str) {
        until(&format!("its log says {text:?}"), || {
            self.metric("factum_partitions");
            self.log_lines().contains(text)
        });
    }

    /// A panic that tokio caught leaves the process alive, but not silent.
    pub fn assert_no_panic(&self) {
        let lines = self.log_lines();
        assert!(!lines.contains("panicked"), "the server panicked: {lines}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            self.assert_no_panic();
        }
    }
}

/// Calls `check` until it is true; each call must itself wait for something.
pub fn until(what: &str, mut check: impl FnMut() -> bool) {
    let started = Instant::now();
    while !check() {
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
    }
}

/// The command line of somebody who does not log in, whatever environment the tests run in.
pub fn nobody(server: &Server, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FACTUM_") {
            command.env_remove(name);
        }
    }
    command.args(line.split(' ')).env("FACTUM_SERVER", format!("http://{}", server.http));
    command
}
