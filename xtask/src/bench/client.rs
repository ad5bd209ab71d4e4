//! The client on librdkafka, `bench/client/client.c`: compiled, and run against any broker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::server::spawn;
use crate::step::{self, Failure, program};

const SOURCE: &str = "bench/client/client.c";

/// The compiled client.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
}

/// What one run of the client printed.
#[derive(Debug)]
pub(crate) struct Ran(Value);

impl Client {
    /// Compiles it into a directory.
    pub(crate) fn build(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("bench-client");
        let mut compile = program("cc");
        compile.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"]).arg(&path);
        compile.args([SOURCE, "-lrdkafka", "-lpthread"]);
        step::run("client on librdkafka", &mut compile).map_err(|error| {
            let advice = "its development files are needed: apt-get install librdkafka-dev, \
                          or brew install librdkafka";
            Failure::Found(format!("{error}; {advice}"))
        })?;
        Ok(Self { path })
    }

    /// Runs to the end.
    pub(crate) fn run(&self, broker: SocketAddr, arguments: &[&str]) -> Result<Ran, Failure> {
        let printed = step::output(&mut self.command(broker, arguments))?;
        serde_json::from_str(&printed).map(Ran).map_err(|error| {
            Failure::Found(format!("{} printed no JSON: {error}", shown(arguments)))
        })
    }

    /// Starts a load that goes on meanwhile.
    pub(crate) fn start(&self, broker: SocketAddr, arguments: &[&str]) -> Result<Load, Failure> {
        let mut command = self.command(broker, arguments);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        spawn(quiet).map(Load)
    }

    fn command(&self, broker: SocketAddr, arguments: &[&str]) -> Command {
        let mut command = program(&self.path.to_string_lossy());
        command.args(arguments).arg("--bootstrap").arg(broker.to_string());
        command
    }
}

impl Ran {
    /// A number of the output.
    pub(crate) fn number(&self, name: &str) -> Result<f64, Failure> {
        self.0[name].as_f64().ok_or_else(|| {
            Failure::Found(format!("the client printed {}, without a number {name}", self.0))
        })
    }
}

/// The command, as a person would type it.
pub(crate) fn shown(arguments: &[&str]) -> String {
    format!("bench-client {}", arguments.join(" "))
}

/// A client that writes in the background; killed when dropped.
pub(crate) struct Load(Child);

impl Load {
    /// Whether it still runs: who fails early, has told nobody.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
