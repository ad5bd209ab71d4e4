//! DescribeTopicPartitions (75): the partitions of topics, some at a time (KIP-966).
//!
//! * Topics come in the order of their names, each once; an empty list asks for all. A topic that
//!   is asked for by name and missing is an error of its own, and is not counted.
//! * What the client may do with a topic (KIP-430) is always told, also of one that is missing; not
//!   of one that it may not know of.
//! * The answer holds as many partitions as the request allows, at least 1 and at most 2000
//!   (Kafka's `max.request.partition.size.limit`); where there are more, it says where to go on.
//! * A cursor names the topic and partition to begin with. If the list of topics does not hold
//!   that topic, or the partition is negative, every topic of the list is an `INVALID_REQUEST`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use factum_broker::Topic;
use factum_event::access::{Operation, Resource};
use factum_event::batch::LEADER_EPOCH;
use factum_event::{Partition, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

/// The most partitions in one answer.
const MAX_PARTITIONS: usize = 2000;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    // One by one: a name that is repeated takes no room.
    let mut asked = BTreeSet::<&str>::new();
    asked.extend(request.topics.iter().map(|topic| &*topic.name));
    let cursor = request.cursor.as_ref().map(|at| (&*at.topic_name, at.partition_index));
    let Some((from, first)) = begin(cursor, &asked) else {
        let refuse = |name| failed(name, ErrorCode::InvalidRequest);
        let topics = asked.into_iter().map(refuse).collect();
        return DescribeTopicPartitionsResponse { topics, ..Default::default() };
    };
    let mut page = Page::new(call, request.response_partition_limit);
    let broker = &call.door.broker;
    let skip = |topic: &str| if topic == from { first } else { 0 };
    // The page itself says where it ends.
    let _ = if asked.is_empty() {
        let topics = broker.all_topics();
        let mut topics = topics.iter().filter(|topic| {
            let name = topic.name.as_str();
            name >= from && call.may(Operation::Describe, Resource::topic(name))
        });
        topics.try_for_each(|topic| page.add(topic, skip(topic.name.as_str())))
    } else {
        let mut names = asked.into_iter().filter(|name| *name >= from);
        names.try_for_each(|name| match call.topic_named(Operation::Describe, name) {
            Ok(topic) => page.add(&topic, skip(name)),
            Err(error) => page.add_failed(name, error),
        })
    };
    page.response
}

/// The topic and the partition to begin with; none if the cursor is wrong.
fn begin<'a>(cursor: Option<(&'a str, i32)>, asked: &BTreeSet<&str>) -> Option<(&'a str, usize)> {
    let Some((topic, partition)) = cursor else { return Some(("", 0)) };
    let listed = asked.is_empty() || asked.contains(topic);
    let partition = usize::try_from(partition).ok()?;
    listed.then_some((topic, partition))
}

/// An answer that is being filled.
struct Page<'a> {
    call: &'a Call,
    response: DescribeTopicPartitionsResponse,
    /// How many partitions it still takes.
    room: usize,
}

impl<'a> Page<'a> {
    fn new(call: &'a Call, limit: i32) -> Self {
        let room = usize::try_from(limit).unwrap_or(0).clamp(1, MAX_PARTITIONS);
        Self { call, response: DescribeTopicPartitionsResponse::default(), room }
    }

    /// Adds the partitions of a topic from `first` on, and breaks where the page is full.
    fn add(&mut self, topic: &Topic, first: usize) -> ControlFlow<()> {
        let name = topic.name.as_str();
        self.expect_room(name)?;
        let mut numbers = topic.partition_numbers().skip(first).map(Partition::get);
        let partitions: Vec<_> = numbers.by_ref().take(self.room).map(partition).collect();
        self.room -= partitions.len();
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            topic_id: topic.id.0,
            partitions,
            topic_authorized_operations: self.call.operations(true, Resource::topic(name)),
            ..named(name)
        });
        numbers.next().map_or(ControlFlow::Continue(()), |next| self.end_before(name, next))
    }

    fn add_failed(&mut self, name: &str, error: ErrorCode) -> ControlFlow<()> {
        self.expect_room(name)?;
        let error = TopicName::new(name).map_or(ErrorCode::InvalidTopicException, |_| error);
        let mut topic = failed(name, error);
        if error != ErrorCode::TopicAuthorizationFailed {
            topic.topic_authorized_operations = self.call.operations(true, Resource::topic(name));
        }
        self.response.topics.push(topic);
        ControlFlow::Continue(())
    }

    fn expect_room(&mut self, name: &str) -> ControlFlow<()> {
        if self.room > 0 { ControlFlow::Continue(()) } else { self.end_before(name, 0) }
    }

    /// Says where the next page begins.
    fn end_before(&mut self, topic: &str, partition_index: i32) -> ControlFlow<()> {
        self.response.next_cursor = Some(Cursor { topic_name: text(topic), partition_index });
        ControlFlow::Break(())
    }
}

fn partition(partition_index: i32) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        partition_index,
        leader_id: NODE_ID,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        ..Default::default()
    }
}

fn named(name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        name: Some(text(name)),
        is_internal: TopicName::new(name).is_ok_and(|name| name.is_internal()),
        ..Default::default()
    }
}

fn failed(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic { error_code: error.code(), ..named(name) }
}
