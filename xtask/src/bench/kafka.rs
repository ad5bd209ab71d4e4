//! Apache Kafka as it ships, from Maven: broker and controller in one process, with the settings of
//! its own `config/server.properties` and the heap and collector of its own start script. Only its
//! logging is left out.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::broker::address_from;
use super::failed;
use crate::step::{self, Failure, program};

/// Which version, is told there alone.
const PROJECT: &str = "tests/compat/reference/pom.xml";
/// Where a port for the controller is looked for, apart from those of the brokers.
const CONTROLLER_PORT: u16 = 22_000;
/// Any will do, for a cluster of one.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";
/// What `bin/kafka-server-start.sh` gives to Java.
const JAVA_OPTIONS: [&str; 8] = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// What `config/server.properties` has that is not the default of the code.
const SETTINGS: &str = "process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
";
/// Every batch is on the disk before it is acknowledged.
const FLUSHING: &str = "log.flush.interval.messages=1\n";

/// The libraries of Apache Kafka on this machine.
#[derive(Debug)]
pub(crate) struct Kafka {
    classpath: String,
}

/// How both are started, as a person would type it.
pub(crate) fn shown() -> Vec<String> {
    let java = format!("java {} -cp $CLASSPATH", JAVA_OPTIONS.join(" "));
    vec![
        format!("mvn -f {PROJECT} dependency:build-classpath"),
        format!("{java} kafka.Kafka server.properties"),
        format!("{java} kafka.Kafka server.properties  # with {}", FLUSHING.trim()),
    ]
}

/// What a part that starts Kafka asks for; `run` has installed it for such a part.
pub(crate) fn required(kafka: Option<&Kafka>) -> Result<&Kafka, Failure> {
    kafka.ok_or_else(|| Failure::Found("Apache Kafka was not installed".to_owned()))
}

impl Kafka {
    /// Has Maven bring the libraries, unless it has them; `directory` is for what Maven writes.
    pub(crate) fn install(directory: &Path) -> Result<Self, Failure> {
        for (tool, version) in [("java", "-version"), ("mvn", "-version")] {
            let mut command = program(tool);
            command.arg(version);
            if !step::answers(command) {
                return Err(Failure::Found(format!(
                    "Apache Kafka runs beside Factum, and {tool} is missing: \
                     apt-get install openjdk-17-jre-headless maven, or brew install openjdk maven"
                )));
            }
        }
        let list = directory.join("classpath");
        let mut maven = program("mvn");
        maven.args(["-q", "-B", "-f", PROJECT, "dependency:build-classpath"]);
        maven.arg(format!("-Dcompat.build={}", directory.join("maven").display()));
        maven.arg(format!("-Dmdep.outputFile={}", list.display()));
        // What it prints is no part of the document.
        step::output(&mut maven)?;
        let classpath = fs::read_to_string(&list).map_err(|source| failed(&list, source))?;
        Ok(Self { classpath: classpath.trim().to_owned() })
    }

    /// Formats a data directory below `directory`, and returns the command that serves it.
    pub(crate) fn prepare(
        &self,
        directory: &Path,
        address: SocketAddr,
        flushing: bool,
    ) -> Result<Command, Failure> {
        let controller = address_from(CONTROLLER_PORT)?;
        let data = directory.join("data");
        let mut settings = SETTINGS.to_owned();
        settings.push_str(&format!("controller.quorum.voters=1@{controller}\n"));
        settings.push_str(&format!("listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n"));
        settings.push_str(&format!("log.dirs={}\n", data.display()));
        settings.push_str(if flushing { FLUSHING } else { "" });
        let path = directory.join("server.properties");
        fs::write(&path, settings).map_err(|source| failed(&path, source))?;
        let mut format = self.java();
        format.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "-c"]);
        step::output(format.arg(&path))?;
        let mut serve = self.java();
        serve.arg("kafka.Kafka").arg(&path);
        Ok(serve)
    }

    fn java(&self) -> Command {
        let mut command = program("java");
        command.args(JAVA_OPTIONS).args(["-cp", &self.classpath]);
        command
    }
}
