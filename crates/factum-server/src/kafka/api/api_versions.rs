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
    let named =
        is_plain(&request.client_software_name) && is_plain(&request.client_software_version);
    if call.version() >= 3 && !named {
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

/// Kafka's rule: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_plain(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn software_names_are_plain_words() {
        for good in ["a", "librdkafka", "apache-kafka-java", "2.15.0", "1-rc.1"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", ".", "ä", "a\n"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
