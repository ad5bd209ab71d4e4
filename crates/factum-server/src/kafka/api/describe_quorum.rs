//! DescribeQuorum (55): who keeps the metadata (KIP-595): the one broker.
//!
//! * The topic that clients name is Kafka's `__cluster_metadata`, with its partition 0. Here the
//!   control topic has what that has; the offsets are its own. Anything else is unknown.
//! * 1: when the voter was up to date (KIP-836): always. 2: the broker's address (KIP-853).

use factum_broker::CONTROL_TOPIC_ID;
use factum_event::Partition;
use factum_event::access::Operation;
use factum_event::batch::LEADER_EPOCH;
use factum_log::PartitionId;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DescribeQuorumListener, DescribeQuorumNode, DescribeQuorumRequest, DescribeQuorumRequestTopic,
    DescribeQuorumResponse, DescribeQuorumResponsePartition, DescribeQuorumResponseTopic,
    QuorumReplica,
};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if let Err(error) = call.may_with_cluster(Operation::Describe) {
        let error_code = error.code();
        return DescribeQuorumResponse { error_code, ..Default::default() };
    }
    if !asks_for_metadata(&request) {
        let topics = request.topics.iter().map(unknown).collect();
        return DescribeQuorumResponse { topics, ..Default::default() };
    }
    let topic = DescribeQuorumResponseTopic {
        topic_name: text(METADATA_TOPIC),
        partitions: vec![metadata(call)],
    };
    let listener = DescribeQuorumListener {
        name: text(call.caller.session.listener().protocol.to_string().to_uppercase()),
        host: text(&call.caller.host),
        port: call.caller.port,
    };
    let node = DescribeQuorumNode { node_id: NODE_ID, listeners: vec![listener] };
    DescribeQuorumResponse { topics: vec![topic], nodes: vec![node], ..Default::default() }
}

/// Whether exactly the one partition with metadata is asked for.
fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &request.topics[..] else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    &*topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

fn metadata(call: &Call) -> DescribeQuorumResponsePartition {
    let broker = &call.door.broker;
    let id = PartitionId { topic: CONTROL_TOPIC_ID, partition: Partition::ZERO };
    let end = broker.log().extent(id).end.get();
    let now = broker.clock().now().as_millis();
    let voter = QuorumReplica {
        replica_id: NODE_ID,
        log_end_offset: end,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
        ..Default::default()
    };
    DescribeQuorumResponsePartition {
        leader_id: NODE_ID,
        leader_epoch: LEADER_EPOCH,
        high_watermark: end,
        current_voters: vec![voter],
        ..Default::default()
    }
}

fn unknown(asked: &DescribeQuorumRequestTopic) -> DescribeQuorumResponseTopic {
    let partitions = asked.partitions.iter().map(|asked| DescribeQuorumResponsePartition {
        partition_index: asked.partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        leader_id: -1,
        ..Default::default()
    });
    DescribeQuorumResponseTopic {
        topic_name: text(&*asked.topic_name),
        partitions: partitions.collect(),
    }
}
