//! What the log promises, each measured beside its reference in the same run.
//!
//! One file for each promise. All but `opening` alternate between the two sides, so that whatever
//! else the machine does falls on both.

mod catch_up;
mod kafka_loads;
mod latency;
mod maintenance;
mod opening;
mod partitions;
mod processor;
mod produce;
mod readers;

use std::net::SocketAddr;
use std::path::Path;

pub(crate) use catch_up::catch_up;
pub(crate) use kafka_loads::kafka_loads;
pub(crate) use latency::latency;
pub(crate) use maintenance::maintenance;
pub(crate) use opening::opening;
pub(crate) use partitions::partitions;
pub(crate) use processor::processor;
pub(crate) use produce::produce;
pub(crate) use readers::readers;

use super::client::Client;
use super::kafka::Kafka;
use super::null::NullBroker;
use super::server::Server;
use crate::step::Failure;

/// Bytes of a record of the data that is read.
const RECORD_BYTES: u64 = 1024;

/// What a measurement stands on.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    /// An empty directory on the disk that is measured.
    pub directory: &'a Path,
    /// The client.
    pub client: &'a Client,
    /// Seconds of each run that count.
    pub seconds: u64,
    /// Runs of each side.
    pub rounds: u32,
    /// GiB of the topic that is read.
    pub read_gib: u64,
    /// GiB of the larger log that is opened.
    pub large_gib: u64,
    /// Apache Kafka, where a part starts it.
    pub kafka: Option<&'a Kafka>,
}

impl Ground<'_> {
    /// Number `name` of a run of the client against a null broker of its own.
    fn null(&self, arguments: &[&str], name: &str) -> Result<f64, Failure> {
        let broker = NullBroker::serve(&[])?;
        self.client.run(broker.address, arguments)?.number(name)
    }

    /// Number `name` of a run of the client against a server with a data directory of its own.
    fn factum(&self, arguments: &[&str], name: &str) -> Result<f64, Failure> {
        let server = Server::start(self.directory)?;
        self.client.run(server.kafka, arguments)?.number(name)
    }

    /// Writes so many records, as the topic `bench` with one partition.
    fn fill(&self, broker: SocketAddr, records: u64) -> Result<String, Failure> {
        eprintln!("   filling with {} MiB", (records * RECORD_BYTES) >> 20);
        let (size, records) = (RECORD_BYTES.to_string(), records.to_string());
        let arguments = ["produce", "--record-size", &size, "--records", &records];
        self.client.run(broker, &arguments)?;
        Ok(super::client::shown(&arguments))
    }

    /// Records of the topic that is read.
    fn read_records(&self) -> u64 {
        (self.read_gib << 30) / RECORD_BYTES
    }
}
