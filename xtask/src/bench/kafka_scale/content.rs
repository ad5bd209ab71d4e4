//! Topics and committed offsets: made, and found again after a start.

use std::collections::HashMap;
use std::time::Instant;

use factum_wire::messages::{
    CreatableTopic, CreateTopicsRequest, FindCoordinatorRequest, MetadataRequest, MetadataResponse,
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse,
};

use super::Scale;
use crate::bench::broker::Broker;
use crate::bench::connection::Connection;
use crate::step::Failure;

/// The last topic may have fewer.
pub(super) const TOPIC_PARTITIONS: u32 = 100;
const CREATE_TOPICS: i16 = 7;
const METADATA: i16 = 12;
const FIND_COORDINATOR: i16 = 4;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 8;
/// How long a broker may take for one topic.
const TIMEOUT_MS: i32 = 60_000;
/// What every group has committed.
const OFFSET: i64 = 1;
/// The broker is not ready to look after this group: loading, not available, not the coordinator.
const NOT_YET: [i16; 3] = [14, 15, 16];

/// Names of the topics, with their partitions.
fn topics(partitions: u32) -> impl Iterator<Item = (String, u32)> {
    (0..partitions.div_ceil(TOPIC_PARTITIONS)).map(move |topic| {
        let rest = partitions - topic * TOPIC_PARTITIONS;
        (format!("scale-{topic}"), rest.min(TOPIC_PARTITIONS))
    })
}

fn group(number: u32) -> String {
    format!("scale-group-{number}")
}

/// Creates topics, one after the other.
pub(super) fn create(connection: &mut Connection, partitions: u32) -> Result<(), Failure> {
    for (name, count) in topics(partitions) {
        let topic = CreatableTopic {
            name: name.as_str().into(),
            num_partitions: i32::try_from(count).unwrap_or(i32::MAX),
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let answer = connection.call(&request, CREATE_TOPICS)?;
        if let Some(failed) = answer.topics.iter().find(|topic| topic.error_code != 0) {
            return Err(Failure::Found(format!("creating {name}: {failed:?}")));
        }
    }
    Ok(())
}

/// Asks until every partition of every topic has a leader.
pub(super) fn await_partitions(
    broker: &mut Broker,
    connection: &mut Connection,
    begin: Instant,
    partitions: u32,
) -> Result<(), Failure> {
    let request =
        MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() };
    loop {
        let led = led(&connection.call(&request, METADATA)?);
        let missing = topics(partitions).find(|(name, count)| led.get(name) != Some(count));
        let Some((name, count)) = missing else { return Ok(()) };
        let found = led.get(&name).copied().unwrap_or(0);
        broker.wait(begin, &format!("{found} of {count} partitions of {name} have a leader"))?;
    }
}

/// How many partitions of each topic have a leader.
fn led(metadata: &MetadataResponse) -> HashMap<String, u32> {
    let named = metadata.topics.iter().filter_map(|topic| Some((topic.name.as_ref()?, topic)));
    let count = named.map(|(name, topic)| {
        let led = topic.partitions.iter().filter(|one| one.error_code == 0 && one.leader_id >= 0);
        (name.to_string(), u32::try_from(led.count()).unwrap_or(u32::MAX))
    });
    count.collect()
}

/// Commits an offset in each group, as a tool does: without being a member.
pub(super) fn commit(
    broker: &mut Broker,
    connection: &mut Connection,
    scale: Scale,
) -> Result<(), Failure> {
    let names: Vec<String> = topics(scale.partitions).map(|(name, _)| name).collect();
    for (number, name) in (0..scale.groups).zip(names.iter().cycle()) {
        let partition = OffsetCommitRequestPartition {
            committed_offset: OFFSET,
            committed_metadata: Some("".into()),
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: name.as_str().into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: group(number).into(),
            topics: vec![topic],
            ..Default::default()
        };
        commit_one(broker, connection, &request)?;
    }
    Ok(())
}

fn commit_one(
    broker: &mut Broker,
    connection: &mut Connection,
    request: &OffsetCommitRequest,
) -> Result<(), Failure> {
    let begin = Instant::now();
    loop {
        let answer = connection.call(request, OFFSET_COMMIT)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        match partition.map(|partition| partition.error_code) {
            Some(0) => return Ok(()),
            Some(code) if NOT_YET.contains(&code) => {
                // Kafka makes its topic of offsets when someone asks for a coordinator.
                let coordinator_keys = vec![request.group_id.clone()];
                let find = FindCoordinatorRequest { coordinator_keys, ..Default::default() };
                connection.call(&find, FIND_COORDINATOR)?;
                broker.wait(begin, &format!("OffsetCommit is answered with error {code}"))?;
            }
            _ => return Err(Failure::Found(format!("committing: {answer:?}"))),
        }
    }
}

/// Asks for all groups in one request, until every one has what it has committed.
pub(super) fn await_groups(
    broker: &mut Broker,
    connection: &mut Connection,
    begin: Instant,
    groups: u32,
) -> Result<(), Failure> {
    let named = |number| OffsetFetchRequestGroup {
        group_id: group(number).into(),
        topics: None,
        ..Default::default()
    };
    let request =
        OffsetFetchRequest { groups: (0..groups).map(named).collect(), ..Default::default() };
    loop {
        let answer = connection.call(&request, OFFSET_FETCH)?;
        let found = committed(&answer)?;
        if found == groups as usize {
            return Ok(());
        }
        broker.wait(begin, &format!("{found} of {groups} groups have their offset"))?;
    }
}

/// Of how many groups the offset was told; a group without it, or with another, is lost data.
fn committed(answer: &OffsetFetchResponse) -> Result<usize, Failure> {
    let mut found = 0;
    for group in &answer.groups {
        let partition = group.topics.first().and_then(|topic| topic.partitions.first());
        match (group.error_code, partition.map(|one| (one.error_code, one.committed_offset))) {
            (0, Some((0, OFFSET))) => found += 1,
            (code, _) if NOT_YET.contains(&code) => {}
            _ => return Err(Failure::Found(format!("a committed offset is gone: {group:?}"))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_shared_out_to_topics() {
        let counts = |partitions| topics(partitions).map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(counts(250), [100, 100, 50]);
        assert_eq!(counts(10_000).len(), 100);
        assert_eq!(counts(20), [20]);
    }
}
