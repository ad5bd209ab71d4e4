//! FindCoordinator (10): who coordinates a group or a transactional id. It is always this broker.
//!
//! * 1: the type of the key: 0 group, 1 transaction, 2 share group, which there is none of.
//! * 4: several keys in one request (KIP-699).

use factum_event::access::Operation;
use factum_wire::ErrorCode::{self, GroupAuthorizationFailed, TransactionalIdAuthorizationFailed};
use factum_wire::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

/// The first version with several keys.
const KEYS_SINCE: i16 = 4;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if call.version() >= KEYS_SINCE {
        let keys = request.coordinator_keys.iter();
        let coordinators = keys.map(|key| coordinator(call, key, request.key_type)).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let found = coordinator(call, &request.key, request.key_type);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn coordinator(call: &Call, key: &str, key_type: i8) -> Coordinator {
    let refused = match key_type {
        0 | 1 => None,
        2 => Some("there are no share groups; use a consumer group"),
        _ => Some("unknown type of coordinator; expected 0, a group, or 1, a transactional id"),
    };
    if let Some(reason) = refused {
        return Coordinator {
            key: text(key),
            node_id: -1,
            port: -1,
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some(text(reason)),
            ..Default::default()
        };
    }
    let may = match key_type {
        0 => call.group(Operation::Describe, key).map(drop),
        _ => call.transactional_id(Operation::Describe, key).map(drop),
    };
    // A name that nothing can have is refused by what comes next, as before.
    if let Err(error @ (GroupAuthorizationFailed | TransactionalIdAuthorizationFailed)) = may {
        return Coordinator {
            key: text(key),
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(text("DESCRIBE is not allowed")),
            ..Default::default()
        };
    }
    Coordinator {
        key: text(key),
        node_id: NODE_ID,
        host: text(&call.caller.host),
        port: call.caller.port.into(),
        ..Default::default()
    }
}
