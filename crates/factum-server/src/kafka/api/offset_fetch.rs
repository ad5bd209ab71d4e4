//! OffsetFetch (9): how far groups have come.
//!
//! * 2: null asks for all partitions. 7: stable offsets: what a transaction under way may commit is
//!   an error, to be asked for again. 8: several groups. 9: a member of the consumer protocol says
//!   its epoch (KIP-848). 10: topics by id.
//! * What was never committed has offset -1 and no error, also where the topic does not exist.

use factum_broker::Committed;
use factum_event::access::{Operation, Resource};
use factum_event::{GroupName, Partition, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version with several groups.
const GROUPS_SINCE: i16 = 8;

/// The first version that names topics by id.
const IDS_SINCE: i16 = 10;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if call.version() >= GROUPS_SINCE {
        let mut groups = Vec::with_capacity(request.groups.len());
        for asked in request.groups {
            groups.push(group(call, asked, stable).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let topics = request.topics.map(|topics| {
        let as_new = |topic: factum_wire::messages::OffsetFetchRequestTopic| {
            let partition_indexes = topic.partition_indexes;
            OffsetFetchRequestTopics { name: topic.name, partition_indexes, ..Default::default() }
        };
        topics.into_iter().map(as_new).collect()
    });
    let asked =
        OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() };
    let answer = group(call, asked, stable).await;
    let topics = answer.topics.into_iter().map(as_old).collect();
    OffsetFetchResponse { error_code: answer.error_code, topics, ..Default::default() }
}

fn as_old(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|of| OffsetFetchResponsePartition {
        partition_index: of.partition_index,
        committed_offset: of.committed_offset,
        committed_leader_epoch: of.committed_leader_epoch,
        metadata: of.metadata,
        error_code: of.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}

/// What is answered of a topic, and its name, which an answer by id does not have.
struct Answered {
    name: Option<TopicName>,
    answer: OffsetFetchResponseTopics,
}

impl Answered {
    /// The answer, with an error for what a transaction under way may commit.
    fn without(mut self, unstable: &[(TopicName, Partition)]) -> OffsetFetchResponseTopics {
        let Some(name) = self.name else { return self.answer };
        for partition in &mut self.answer.partitions {
            let is_same = |(topic, of): &(TopicName, Partition)| {
                *topic == name && of.get() == partition.partition_index
            };
            if unstable.iter().any(is_same) {
                let error_code = ErrorCode::UnstableOffsetCommit.code();
                let none = response(partition.partition_index, None);
                *partition = OffsetFetchResponsePartitions { error_code, ..none };
            }
        }
        self.answer
    }
}

/// How far a group has come; `stable`: not where a transaction under way may say so soon.
async fn group(
    call: &Call,
    asked: OffsetFetchRequestGroup,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let group_id = text(&*asked.group_id);
    let group = match call.group(Operation::Describe, &asked.group_id) {
        Ok(group) => group,
        Err(error) => {
            let error_code = error.code();
            return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
        }
    };
    let member_id = asked.member_id.as_deref().unwrap_or_default();
    if !member_id.is_empty() || asked.member_epoch >= 0 {
        let groups = call.door.broker.groups();
        if let Err(error) = groups.validate_fetch(&group, member_id, asked.member_epoch) {
            let error_code = errors::group(&error).code();
            return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
        }
    }
    // Asked first: what is stable then is known once the fold has caught up.
    let unstable = if stable { call.door.broker.unstable_offsets(&group) } else { Vec::new() };
    if let Err(error) = call.door.broker.refresh_offsets().await {
        tracing::error!(%error, "committed offsets cannot be read");
        let error_code = ErrorCode::KafkaStorageError.code();
        return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
    }
    let topics = match asked.topics {
        None => all(call, &group),
        Some(topics) => topics.into_iter().map(|asked| topic(call, &group, asked)).collect(),
    };
    let topics = topics.into_iter().map(|topic| topic.without(&unstable)).collect();
    OffsetFetchResponseGroup { group_id, topics, ..Default::default() }
}

fn all(call: &Call, group: &GroupName) -> Vec<Answered> {
    let mut topics: Vec<Answered> = Vec::new();
    let may = |name: &TopicName| call.may(Operation::Describe, Resource::topic(name.as_str()));
    let committed = call.door.broker.all_committed(group).into_iter();
    for (name, partition, committed) in committed.filter(|(name, ..)| may(name)) {
        let topic_id = committed.topic_id.0;
        let partition = response(partition.get(), Some(committed));
        match topics.last_mut().filter(|topic| topic.name.as_ref() == Some(&name)) {
            Some(topic) => topic.answer.partitions.push(partition),
            None => {
                let partitions = vec![partition];
                let answer = OffsetFetchResponseTopics { name: text(&name), topic_id, partitions };
                topics.push(Answered { name: Some(name), answer });
            }
        }
    }
    topics
}

fn topic(call: &Call, group: &GroupName, asked: OffsetFetchRequestTopics) -> Answered {
    let name = name_of(call, &asked);
    let known = name.as_ref().ok().and_then(Option::as_ref);
    let committed = |index: i32| call.door.broker.committed(group, known?, Partition::new(index)?);
    let indexes = asked.partition_indexes.iter();
    let partitions = indexes.map(|&index| match &name {
        Ok(_) => response(index, committed(index)),
        Err(error) => {
            OffsetFetchResponsePartitions { error_code: error.code(), ..response(index, None) }
        }
    });
    let answer = OffsetFetchResponseTopics {
        partitions: partitions.collect(),
        name: text(&*asked.name),
        topic_id: asked.topic_id,
    };
    Answered { name: name.ok().flatten(), answer }
}

/// The name of a topic; none where no topic can have it, and so nothing was committed.
fn name_of(call: &Call, asked: &OffsetFetchRequestTopics) -> Result<Option<TopicName>, ErrorCode> {
    if call.version() >= IDS_SINCE {
        let topic = call.find_topic(Operation::Describe, ("", asked.topic_id), true);
        return topic.map(|topic| Some(topic.name.clone()));
    }
    call.may_with_topic(Operation::Describe, &asked.name)?;
    Ok(TopicName::new(&asked.name).ok())
}

fn response(partition_index: i32, committed: Option<Committed>) -> OffsetFetchResponsePartitions {
    match committed {
        Some(committed) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: committed.offset.get(),
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(text(committed.metadata)),
            ..Default::default()
        },
        None => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            metadata: Some(factum_wire::Str::default()),
            ..Default::default()
        },
    }
}
