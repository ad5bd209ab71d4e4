//! DescribeCluster (60): the cluster of one broker.
//!
//! * 1: the type of endpoint; only brokers (1) are there. 2: fenced brokers; there are none.

use factum_event::access::Resource;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

const BROKERS: i8 = 1;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    if call.version() >= 1 && request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::UnsupportedEndpointType.code(),
            error_message: Some(text("this is a broker; ask for endpoints of type 1")),
            ..Default::default()
        };
    }
    DescribeClusterResponse {
        cluster_id: text(call.door.broker.cluster_id()),
        controller_id: NODE_ID,
        brokers: vec![DescribeClusterBroker {
            broker_id: NODE_ID,
            host: text(&call.caller.host),
            port: call.caller.port.into(),
            ..Default::default()
        }],
        cluster_authorized_operations: call
            .operations(request.include_cluster_authorized_operations, Resource::CLUSTER),
        ..Default::default()
    }
}
