//! SyncGroup (14): the leader brings the assignments, every member waits for its own.
//!
//! * 3: static members. 5: the protocol's type and name come back, and must be given: without one
//!   of them it is an `INCONSISTENT_GROUP_PROTOCOL`, before anything else is looked at.

use std::future::Future;

use factum_broker::groups::SyncRequest;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{SyncGroupRequest, SyncGroupResponse};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version in which the protocol's type and name must be given (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

/// Brings the assignments now; what it returns waits for the leader's.
pub(in crate::kafka) fn start(
    call: &Call,
    request: SyncGroupRequest,
) -> impl Future<Output = SyncGroupResponse> + Send + use<> {
    let broker = &call.door.broker;
    let syncing = sync_request(call, request)
        .map(|request| broker.groups().sync(broker.clock().monotonic(), request));
    async move {
        let synced = match syncing {
            Ok(syncing) => syncing.await.map_err(|error| errors::group(&error)),
            Err(error) => Err(error),
        };
        match synced {
            Ok(synced) => SyncGroupResponse {
                protocol_type: Some(text(synced.protocol_type)),
                protocol_name: Some(text(synced.protocol)),
                assignment: synced.assignment,
                ..Default::default()
            },
            Err(error) => SyncGroupResponse { error_code: error.code(), ..Default::default() },
        }
    }
}

fn sync_request(call: &Call, request: SyncGroupRequest) -> Result<SyncRequest, ErrorCode> {
    let has_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version() >= PROTOCOL_SINCE && !has_protocol {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let owned = |text: factum_wire::Str| String::from(&*text);
    let assignments = request.assignments.into_iter();
    Ok(SyncRequest {
        group: call.group(Operation::Read, &request.group_id)?,
        generation: request.generation_id,
        member_id: owned(request.member_id),
        instance_id: request.group_instance_id.map(owned),
        protocol_type: request.protocol_type.map(owned),
        protocol: request.protocol_name.map(owned),
        assignments: assignments
            .map(|one| (owned(one.member_id), one.assignment.to_vec().into()))
            .collect(),
    })
}
