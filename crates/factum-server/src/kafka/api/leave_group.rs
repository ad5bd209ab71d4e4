//! LeaveGroup (13): members leave, so that others take over at once.
//!
//! * 3: several members, by id or instance id (KIP-345); an admin removes members with it.
//!   5: a reason (KIP-800).

use factum_broker::groups::Leaving;
use factum_event::access::Operation;
use factum_wire::messages::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use factum_wire::{ErrorCode, Str};

use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// The first version with several members.
const MEMBERS_SINCE: i16 = 3;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let several = call.version() >= MEMBERS_SINCE;
    let LeaveGroupRequest { group_id, member_id, members } = request;
    let members =
        if several { members } else { vec![MemberIdentity { member_id, ..Default::default() }] };
    let group = match call.group(Operation::Read, &group_id) {
        Ok(group) => group,
        Err(error) => {
            let error_code = error.code();
            return LeaveGroupResponse { error_code, ..Default::default() };
        }
    };
    let leaving: Vec<_> = members.iter().map(leaving).collect();
    let broker = &call.door.broker;
    let left = broker.groups().leave(broker.clock().monotonic(), &group, &leaving);
    let codes = left.into_iter().map(|left| match left {
        Ok(()) => ErrorCode::None,
        Err(error) => errors::group(&error),
    });
    if !several {
        let error = codes.into_iter().next().unwrap_or(ErrorCode::None);
        return LeaveGroupResponse { error_code: error.code(), ..Default::default() };
    }
    let response = |(member, code): (MemberIdentity, ErrorCode)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code.code(),
    };
    let members = members.into_iter().zip(codes).map(response).collect();
    LeaveGroupResponse { members, ..Default::default() }
}

fn leaving(member: &MemberIdentity) -> Leaving {
    let owned = |text: &Option<Str>| text.as_ref().map(|text| String::from(&**text));
    Leaving {
        member_id: String::from(&*member.member_id),
        instance_id: owned(&member.group_instance_id),
        reason: owned(&member.reason),
    }
}
