//! Two servers, the command between them, and what a source is given.

use std::process::{Child, Command, Output, Stdio};

use bytes::Bytes;
use factum_event::batch::{BatchBuilder, BatchRecord, Codec, ProducerState};
use factum_wire::messages::*;
use serde_json::Value;

use crate::common::client::Client;
use crate::common::server::{Home, Server};
use crate::common::work::*;

pub const TOPIC_RESOURCE: i8 = 2;
pub const EARLIEST: i64 = -2;
/// It looks after things all the time.
const EAGER: [&str; 6] = [
    "--upkeep-interval-ms",
    "20",
    "--seal-interval-ms",
    "50",
    "--group-initial-rebalance-delay-ms",
    "0",
];

/// A source and a target.
pub struct World {
    /// Their data goes with them.
    _homes: [Home; 2],
    pub source: Server,
    pub target: Server,
}

impl World {
    pub fn new() -> Self {
        let homes = [Home::new(), Home::new()];
        let [source, target] = homes.each_ref().map(|home| home.serve_with(&EAGER));
        Self { _homes: homes, source, target }
    }

    pub fn clients(&self) -> [Client; 2] {
        [Client::connect(self.source.kafka), Client::connect(self.target.kafka)]
    }

    pub fn command(&self, flags: &[&str]) -> Command {
        mirror(&format!("kafka://{}", self.source.kafka), &self.target.kafka.to_string(), flags)
    }

    /// Runs to the end: whether it was a success, what it says, and its errors.
    pub fn mirror(&self, flags: &[&str]) -> (bool, Value, String) {
        result(&self.command(flags).output().unwrap())
    }

    /// Runs to an end that must be a success.
    pub fn mirror_well(&self, flags: &[&str]) -> Value {
        let (good, said, errors) = self.mirror(flags);
        assert!(good, "{said}\n{errors}");
        said
    }
}

pub fn mirror(from: &str, to: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum"));
    command.env_remove("FACTUM_BOOTSTRAP").env_remove("FACTUM_OUTPUT");
    command.args(["mirror", "--output", "json", "--from", from, "--to", to]).args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn result(output: &Output) -> (bool, Value, String) {
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
    (output.status.success(), said, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A mirror that goes on; killed when it is dropped.
pub struct Running(pub Child);

impl Running {
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop, as Ctrl-C does: what it said.
    pub fn interrupt(self) -> (bool, Value, String) {
        let kill = format!("kill -INT {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut child = std::mem::ManuallyDrop::new(self);
        let stdout = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
        let stderr = std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap();
        let good = child.0.wait().unwrap().success();
        let said = stdout.lines().last().map(|line| serde_json::from_str(line).unwrap());
        (good, said.unwrap_or(Value::Null), stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many partitions a topic has; none while it is not there.
pub fn partitions(client: &mut Client, topic: &str) -> usize {
    let asked = MetadataRequestTopic { name: Some(name(topic)), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
    let request = MetadataRequest { allow_auto_topic_creation: false, ..request };
    client.ask(&request).topics.remove(0).partitions.len()
}

pub fn create_with(client: &mut Client, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let mut new = new_topic(topic, partitions);
    for (key, value) in configs {
        new.configs.retain(|config| *config.name != **key);
        new.configs.push(CreatableTopicConfig { name: name(key), value: Some(name(value)) });
    }
    let answer = client.ask(&CreateTopicsRequest { topics: vec![new], ..Default::default() });
    ok(&format!("create {topic}"), answer.topics[0].error_code);
}

/// The settings of a topic that it has itself, in order.
pub fn own_settings(client: &mut Client, topic: &str) -> Vec<(String, String)> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name(topic),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let result = client.ask(&request).results.remove(0);
    ok("describe", result.error_code);
    let own = result.configs.into_iter().filter(|config| config.config_source == 1);
    own.map(|config| (config.name.to_string(), config.value.unwrap().to_string())).collect()
}

pub fn set(client: &mut Client, topic: &str, key: &str, value: &str) {
    let config = IncrementalAlterableConfig {
        name: name(key),
        config_operation: 0,
        value: Some(name(value)),
    };
    let resources = vec![IncrementalAlterConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name(topic),
        configs: vec![config],
    }];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    ok("alter configs", client.ask(&request).responses[0].error_code);
}

pub fn delete_before(client: &mut Client, topic: &str, partition: i32, offset: i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
    let topics = vec![DeleteRecordsTopic { name: name(topic), partitions }];
    let answer = client.ask(&DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    ok("delete records", answer.topics[0].partitions[0].error_code);
}

pub fn commit(client: &mut Client, group: &str, topic: &str, at: (i32, i64)) {
    let answer = client.ask(&commit_request(group, topic, at, "noted"));
    ok("commit", answer.topics[0].partitions[0].error_code);
}

/// What a reader of committed records sees of a partition from where it begins.
pub fn seen(client: &mut Client, topic: &str, partition: i32) -> (Vec<BatchRecord>, i64) {
    let start = list_offset(client, topic, partition, EARLIEST).0;
    committed_from(client, topic, partition, start).unwrap()
}

/// A transactional producer by the rules of KIP-890.
pub struct Transactions {
    id: &'static str,
    producer: i64,
    epoch: i16,
    sequence: i32,
}

impl Transactions {
    pub fn new(client: &mut Client, id: &'static str) -> Self {
        let request = InitProducerIdRequest {
            transactional_id: Some(name(id)),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        };
        let answer = client.ask(&request);
        ok("init", answer.error_code);
        Self { id, producer: answer.producer_id, epoch: answer.producer_epoch, sequence: 0 }
    }

    /// Writes these records in the transaction under way.
    pub fn write(&mut self, client: &mut Client, topic: &str, numbers: std::ops::Range<i64>) {
        let state =
            ProducerState { id: self.producer, epoch: self.epoch, base_sequence: self.sequence };
        let mut builder = BatchBuilder::new(Codec::Lz4, Some(state)).transactional();
        records(numbers.clone()).iter().for_each(|record| builder.push(record));
        let batch: Bytes = builder.build().unwrap().bytes().clone();
        let request = ProduceRequest {
            transactional_id: Some(name(self.id)),
            ..produce_request(topic, 0, Some(batch))
        };
        ok("produce", of_partition(client.call(&request, 12)).error_code);
        self.sequence += (numbers.end - numbers.start) as i32;
    }

    pub fn end(&mut self, client: &mut Client, committed: bool) {
        let request = EndTxnRequest {
            transactional_id: name(self.id),
            producer_id: self.producer,
            producer_epoch: self.epoch,
            committed,
        };
        let answer = client.call(&request, 5);
        ok("end", answer.error_code);
        (self.epoch, self.sequence) = (answer.producer_epoch, 0);
    }
}
