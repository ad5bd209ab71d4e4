//! What a cluster says of itself: brokers, a topic's partitions and their leaders, offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use factum_wire::messages::{
    CreatableTopic, CreateTopicsRequest, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsTopic, MetadataRequest, MetadataRequestTopic, MetadataResponse,
};
use factum_wire::{ErrorCode, Str};

use super::CLIENT_ID;
use crate::kafka_client::{ClientError, Connection, address, check};

/// How long a new topic may take until every partition has a leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// A topic with its partitions by the address of their leader.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Partitions by their leader's address.
    pub leaders: BTreeMap<String, Vec<i32>>,
}

impl Topic {
    /// How many partitions it has.
    pub fn partitions(&self) -> usize {
        self.leaders.values().map(Vec::len).sum()
    }

    /// Shares the partitions out to `connections`, at least one for each leader.
    ///
    /// Where a leader has more connections than partitions, they share.
    pub fn lanes(&self, connections: usize) -> Vec<Lane> {
        let leaders = self.leaders.len().max(1);
        let mut lanes = Vec::new();
        for (index, (address, partitions)) in self.leaders.iter().enumerate() {
            let share = (connections / leaders + usize::from(index < connections % leaders)).max(1);
            for lane in 0..share {
                let own: Vec<i32> = if partitions.len() >= share {
                    partitions.iter().copied().skip(lane).step_by(share).collect()
                } else {
                    vec![partitions[lane % partitions.len()]]
                };
                lanes.push(Lane { address: address.clone(), partitions: own });
            }
        }
        lanes
    }
}

/// What one connection works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The leader.
    pub address: String,
    /// Partitions that it leads.
    pub partitions: Vec<i32>,
}

/// Finds a topic, and creates it with `partitions` if it is missing and a number is given.
pub fn find_topic(
    bootstrap: &str,
    name: &str,
    create: Option<(i32, i16)>,
) -> Result<Topic, ClientError> {
    let mut connection = Connection::open(bootstrap, CLIENT_ID)?;
    let name = Str::from(name);
    let deadline = Instant::now() + LEADER_TIMEOUT;
    let mut created = false;
    loop {
        let answer = connection.call(&MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name.clone()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        })?;
        let code = answer.topics.first().map_or(0, |topic| topic.error_code);
        let unknown = code == i16::from(ErrorCode::UnknownTopicOrPartition);
        match create {
            Some((partitions, replication)) if unknown && !created => {
                create_topic(&mut connection, &name, partitions, replication)?;
                created = true;
            }
            _ => match leaders(&name, &answer) {
                Ok(leaders) => return Ok(Topic { name, leaders }),
                // A cluster needs a moment to elect leaders.
                Err(_) if created && Instant::now() < deadline => {
                    std::thread::park_timeout(LEADER_PAUSE);
                }
                Err(error) => return Err(error),
            },
        }
    }
}

fn create_topic(
    connection: &mut Connection,
    name: &Str,
    partitions: i32,
    replication: i16,
) -> Result<(), ClientError> {
    let answer = connection.call(&CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.clone(),
            num_partitions: partitions,
            replication_factor: replication,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        ..CreateTopicsRequest::default()
    })?;
    for topic in &answer.topics {
        if topic.error_code != i16::from(ErrorCode::TopicAlreadyExists) {
            check(&format!("to create {name}"), topic.error_code, topic.error_message.as_deref())?;
        }
    }
    Ok(())
}

fn leaders(
    name: &Str,
    answer: &MetadataResponse,
) -> Result<BTreeMap<String, Vec<i32>>, ClientError> {
    let topic = answer.topics.first().ok_or_else(|| ClientError::Refused {
        what: format!("metadata of {name}"),
        code: ErrorCode::UnknownTopicOrPartition.code(),
        detail: None,
    })?;
    check(&format!("metadata of {name}"), topic.error_code, None)?;
    let mut leaders: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in &topic.partitions {
        let leader = answer.brokers.iter().find(|broker| broker.node_id == partition.leader_id);
        let none = || ClientError::NoLeader {
            topic: name.to_string(),
            partition: partition.partition_index,
        };
        let leader = leader.ok_or_else(none)?;
        let address = address(&leader.host, leader.port);
        leaders.entry(address).or_default().push(partition.partition_index);
    }
    leaders.values_mut().for_each(|partitions| partitions.sort_unstable());
    Ok(leaders)
}

/// The earliest or latest offsets of partitions, from their leader.
pub fn offsets(
    connection: &mut Connection,
    topic: &Str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let partitions = partitions
        .iter()
        .map(|index| ListOffsetsPartition {
            partition_index: *index,
            timestamp,
            ..ListOffsetsPartition::default()
        })
        .collect();
    let answer = connection.call(&ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name: topic.clone(), partitions }],
        ..ListOffsetsRequest::default()
    })?;
    let mut offsets = BTreeMap::new();
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        check("to list offsets", partition.error_code, None)?;
        offsets.insert(partition.partition_index, partition.offset);
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(leaders: &[(&str, &[i32])]) -> Topic {
        let leaders = leaders.iter().map(|(at, own)| ((*at).to_owned(), own.to_vec())).collect();
        Topic { name: Str::from_static("t"), leaders }
    }

    fn shares(topic: &Topic, connections: usize) -> Vec<(String, Vec<i32>)> {
        let lanes = topic.lanes(connections);
        lanes.into_iter().map(|lane| (lane.address, lane.partitions)).collect()
    }

    #[test]
    fn partitions_are_shared_out_to_connections_by_leader() {
        let one = topic(&[("a", &[0, 1, 2])]);
        assert_eq!(shares(&one, 2), [("a".into(), vec![0, 2]), ("a".into(), vec![1])]);
        let two = topic(&[("a", &[0, 2]), ("b", &[1])]);
        assert_eq!(shares(&two, 1), [("a".into(), vec![0, 2]), ("b".into(), vec![1])]);
        assert_eq!(shares(&two, 4).len(), 4);
    }

    #[test]
    fn more_connections_than_partitions_share_them() {
        let one = topic(&[("a", &[5])]);
        assert_eq!(shares(&one, 2), [("a".into(), vec![5]), ("a".into(), vec![5])]);
    }
}
