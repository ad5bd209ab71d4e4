//! Heartbeat (12): a member's sign of life; the answer tells it of a rebalance.
//!
//! * 3: static members.

use factum_broker::groups::MemberRef;
use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let error = beat(call, &request).err().unwrap_or(ErrorCode::None);
    HeartbeatResponse { error_code: error.code(), ..Default::default() }
}

fn beat(call: &Call, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    let group = call.group(Operation::Read, &request.group_id)?;
    let member = MemberRef {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let broker = &call.door.broker;
    let beaten = broker.groups().heartbeat(broker.clock().monotonic(), &group, &member);
    beaten.map_err(|error| errors::group(&error))
}
