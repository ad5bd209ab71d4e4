//! DescribeProducers (61): who writes to a partition, and what is open there (KIP-664).

use factum_event::access::Operation;
use factum_event::{Partition, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    ActiveProducer, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersResponsePartition, DescribeProducersResponseTopic,
};

use super::text;
use crate::kafka::dispatch::Call;

/// An offset, sequence or epoch that there is none of.
const NONE: i32 = -1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topic = |topic: factum_wire::messages::DescribeProducersRequestTopic| {
        let partitions = topic.partition_indexes.iter();
        DescribeProducersResponseTopic {
            partitions: partitions.map(|&index| partition(call, &topic.name, index)).collect(),
            name: text(&*topic.name),
        }
    };
    let topics = request.topics.into_iter().map(topic).collect();
    DescribeProducersResponse { topics, ..Default::default() }
}

fn partition(call: &Call, topic: &str, partition_index: i32) -> DescribeProducersResponsePartition {
    let failed = |error: ErrorCode, message: Option<&str>| DescribeProducersResponsePartition {
        partition_index,
        error_code: error.code(),
        error_message: message.map(text),
        ..Default::default()
    };
    if TopicName::new(topic).is_err() {
        return failed(ErrorCode::InvalidTopicException, Some("that is no name of a topic"));
    }
    let broker = &call.door.broker;
    let found = call.topic_named(Operation::Read, topic);
    let producers = match (found, Partition::new(partition_index)) {
        (Ok(topic), Some(partition)) => broker.producers(&topic, partition),
        (Ok(_), None) => None,
        (Err(error), _) => return failed(error, None),
    };
    let Some(producers) = producers else {
        return failed(ErrorCode::UnknownTopicOrPartition, None);
    };
    let active = |producer: factum_broker::ActiveProducer| ActiveProducer {
        producer_id: producer.id,
        producer_epoch: producer.epoch.into(),
        last_sequence: producer.last_sequence.unwrap_or(NONE),
        last_timestamp: producer.last_seen.as_millis(),
        coordinator_epoch: NONE,
        current_txn_start_offset: producer.transaction.map_or(NONE.into(), |first| first.get()),
    };
    let active_producers = producers.into_iter().map(active).collect();
    DescribeProducersResponsePartition { partition_index, active_producers, ..Default::default() }
}
