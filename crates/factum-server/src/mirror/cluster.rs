//! What a cluster is asked: who leads which partition, where partitions begin and end, settings.
//!
//! Connections are kept between questions; after a failure all of them are opened anew.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use factum_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsTopic, MetadataRequest, MetadataResponse,
};
use factum_wire::{ErrorCode, Request, Str};
use uuid::Uuid;

use super::bootstrap::Bootstrap;
use crate::kafka_client::{ClientError, Connection, address, code_name};

/// What brokers see that are asked.
pub const CLIENT_ID: &str = "factum-mirror";

/// Resources of DescribeConfigs.
pub const TOPIC_RESOURCE: i8 = 2;

/// The most partitions in one question for offsets.
const PARTITIONS_AT_ONCE: usize = 2_000;
/// The most topics in one question for settings.
const TOPICS_AT_ONCE: usize = 200;

/// A partition, by its topic's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.topic, self.partition)
    }
}

/// Offsets of partitions, or why a broker did not say one.
pub type Offsets = BTreeMap<Place, Result<i64, ErrorCode>>;

/// The offset of a partition.
pub fn offset(of: &Offsets, place: &Place) -> Result<i64, ErrorCode> {
    of.get(place).copied().unwrap_or(Err(ErrorCode::UnknownTopicOrPartition))
}

/// The cluster as it is now.
#[derive(Debug, Default)]
pub struct View {
    /// Its id.
    pub id: Option<String>,
    /// The addresses of its brokers.
    pub brokers: BTreeSet<String>,
    /// Its topics, by name.
    pub topics: BTreeMap<String, TopicView>,
    /// Topics of which it says an error instead, by name.
    pub unsaid: BTreeMap<String, String>,
}

/// A topic as it is now.
#[derive(Debug, Default, Clone)]
pub struct TopicView {
    /// Its id; nil where the cluster gives none.
    pub id: Uuid,
    /// Whether it is the cluster's own.
    pub is_internal: bool,
    /// The address of each partition's leader; none while there is none.
    pub leaders: BTreeMap<i32, Option<String>>,
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value.
    pub value: String,
    /// Whether the topic sets it itself.
    pub own: bool,
    /// Whether it cannot be set.
    pub fixed: bool,
}

/// The settings of a topic, by name.
pub type Settings = BTreeMap<String, Setting>;

/// Which offset.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// [`EARLIEST`](crate::kafka_client::EARLIEST) or [`LATEST`](crate::kafka_client::LATEST).
    pub timestamp: i64,
    /// Whether only what is committed counts.
    pub committed: bool,
}

/// A cluster and the connections to it.
pub struct Cluster {
    bootstrap: Bootstrap,
    connections: HashMap<String, Connection>,
}

impl Cluster {
    /// A cluster that nobody has connected to yet.
    pub fn new(bootstrap: Bootstrap) -> Self {
        Self { bootstrap, connections: HashMap::new() }
    }

    /// How it is found.
    pub const fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    /// Asks the broker at an address.
    pub fn ask<R: Request>(&mut self, at: &str, request: &R) -> Result<R::Response, ClientError> {
        let connection = match self.connections.entry(at.to_owned()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(Connection::open(at, CLIENT_ID)?),
        };
        let answer = connection.call(request);
        if answer.is_err() {
            self.connections.clear();
        }
        answer
    }

    /// Asks whichever of its first brokers answers: the one that did so last, then the others.
    pub fn ask_any<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let first = self.bootstrap.first().to_owned();
        let others: Vec<String> = self.bootstrap.brokers().skip(1).map(str::to_owned).collect();
        let mut answer = self.ask(&first, request);
        for at in others {
            if answer.is_ok() {
                break;
            }
            answer = self.ask(&at, request);
            if answer.is_ok() {
                self.bootstrap.prefer(&at);
            }
        }
        answer
    }

    /// Everything that there is.
    pub fn view(&mut self) -> Result<View, ClientError> {
        let request = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        Ok(view(&self.ask_any(&request)?))
    }

    /// Offsets of partitions, each from its leader; those without one are left out.
    pub fn offsets(
        &mut self,
        leaders: &BTreeMap<String, Vec<Place>>,
        asked: Asked,
    ) -> Result<Offsets, ClientError> {
        let mut offsets = Offsets::new();
        for (leader, places) in leaders {
            for some in places.chunks(PARTITIONS_AT_ONCE) {
                let answer = self.ask(leader, &list_offsets(some, asked))?;
                for topic in answer.topics {
                    for partition in topic.partitions {
                        let place = Place {
                            topic: topic.name.to_string(),
                            partition: partition.partition_index,
                        };
                        let offset = match ErrorCode::try_from(partition.error_code) {
                            Ok(ErrorCode::None) => Ok(partition.offset),
                            code => Err(code.unwrap_or(ErrorCode::UnknownServerError)),
                        };
                        offsets.insert(place, offset);
                    }
                }
            }
        }
        Ok(offsets)
    }

    /// Settings of topics, or those of these names; of topics that are gone, none.
    pub fn settings(
        &mut self,
        topics: &[String],
        names: Option<&[&'static str]>,
    ) -> Result<BTreeMap<String, Settings>, ClientError> {
        let keys = names.map(|names| names.iter().map(|name| Str::from_static(name)).collect());
        let mut all = BTreeMap::new();
        for some in topics.chunks(TOPICS_AT_ONCE) {
            let resources = some.iter().map(|topic| DescribeConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: Str::from(topic.as_str()),
                configuration_keys: Option::clone(&keys),
            });
            let request = DescribeConfigsRequest {
                resources: resources.collect(),
                ..DescribeConfigsRequest::default()
            };
            for result in self.ask_any(&request)?.results {
                if result.error_code != 0 {
                    continue;
                }
                let settings = result.configs.iter().filter_map(|config| {
                    let value = config.value.as_ref()?.to_string();
                    let own = config.config_source == OWN;
                    let setting = Setting { value, own, fixed: config.read_only };
                    Some((config.name.to_string(), setting))
                });
                all.insert(result.resource_name.to_string(), settings.collect());
            }
        }
        Ok(all)
    }
}

/// Where a topic's own settings come from, by the protocol's numbers.
const OWN: i8 = 1;

fn view(answer: &MetadataResponse) -> View {
    let addresses: HashMap<i32, String> = answer
        .brokers
        .iter()
        .map(|broker| (broker.node_id, address(&broker.host, broker.port)))
        .collect();
    let (mut topics, mut unsaid) = (BTreeMap::new(), BTreeMap::new());
    for topic in &answer.topics {
        let Some(name) = topic.name.as_ref().map(ToString::to_string) else { continue };
        if topic.error_code != 0 {
            unsaid.insert(name, code_name(topic.error_code));
            continue;
        }
        let leader = |id: i32| addresses.get(&id).cloned();
        let leaders = topic.partitions.iter();
        let leaders = leaders.map(|one| (one.partition_index, leader(one.leader_id))).collect();
        let view = TopicView { id: topic.topic_id, is_internal: topic.is_internal, leaders };
        topics.insert(name, view);
    }
    View {
        id: answer.cluster_id.as_ref().map(ToString::to_string).filter(|id| !id.is_empty()),
        topics,
        unsaid,
        brokers: addresses.into_values().collect(),
    }
}

fn list_offsets(places: &[Place], asked: Asked) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for place in places {
        topics.entry(&place.topic).or_default().push(ListOffsetsPartition {
            partition_index: place.partition,
            timestamp: asked.timestamp,
            ..ListOffsetsPartition::default()
        });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ListOffsetsTopic { name: Str::from(name), partitions });
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: i8::from(asked.committed),
        topics: topics.collect(),
        ..ListOffsetsRequest::default()
    }
}
