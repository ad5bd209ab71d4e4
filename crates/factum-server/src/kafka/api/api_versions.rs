//! ApiVersions (18): what this broker speaks. The first request of every client.
//!
//! * An unknown version is answered by `dispatch`, in version 0, without reading its body (KIP-511).
//! * 3: client software name and version, which must be plain words; features (none here).
//! * 5: the cluster and node that the client believes it has reached (KIP-1242); if it is wrong,
//!   it is told to start again from its bootstrap servers.

use factum_wire::ErrorCode;
use factum_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let error = check(call, &request);
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: factum_wire::api::advertised(),
        ..Default::default()
    }
}

fn check(call: &Call, request: &ApiVersionsRequest) -> ErrorCode {
    if !request.is_valid(call.version()) {
        return ErrorCode::InvalidRequest;
    }
    let cluster = call.door.broker.cluster_id();
    let other_cluster = request.cluster_id.as_ref().is_some_and(|id| **id != *cluster);
    let other_node = request.node_id >= 0 && request.node_id != NODE_ID;
    if other_cluster || other_node {
        return ErrorCode::RebootstrapRequired;
    }
    ErrorCode::None
}
