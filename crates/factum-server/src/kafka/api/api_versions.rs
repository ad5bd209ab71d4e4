//! ApiVersions (18): what this broker speaks. The first request of every client.
//!
//! * An unknown version is answered by `dispatch`, in version 0, without reading its body (KIP-511).
//! * 3: client software name and version, which must be plain words; features: transactions of
//!   KIP-890, which clients use only where they are told of them.
//! * 5: the cluster and node that the client believes it has reached (KIP-1242); if it is wrong,
//!   it is told to start again from its bootstrap servers.

use factum_wire::ErrorCode;
use factum_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;
use crate::kafka::features::{FINALIZED, Finalized};

/// Features never change here.
const FEATURES_EPOCH: i64 = 0;

/// The first version in which a feature's lowest level may be 0.
const ZERO_LEVELS_SINCE: i16 = 4;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let error = check(call, &request);
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: factum_wire::api::advertised(),
        supported_features: supported(call.version()),
        finalized_features_epoch: FEATURES_EPOCH,
        finalized_features: FINALIZED.iter().map(finalized).collect(),
        ..Default::default()
    }
}

/// The features that this broker could use; before version 4, clients do not understand a lowest
/// level of 0 (KAFKA-17492).
fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    if version < ZERO_LEVELS_SINCE {
        return Vec::new();
    }
    let key = |of: &Finalized| SupportedFeatureKey {
        name: text(of.name),
        min_version: 0,
        max_version: of.level,
    };
    FINALIZED.iter().map(key).collect()
}

fn finalized(of: &Finalized) -> FinalizedFeatureKey {
    let (max_version_level, min_version_level) = (of.level, of.level);
    FinalizedFeatureKey { name: text(of.name), max_version_level, min_version_level }
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
