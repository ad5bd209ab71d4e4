//! JoinGroup (11): joins a consumer group, and waits for the others.
//!
//! * 0: the session timeout is the rebalance timeout too. 4: a new member first gets an id and
//!   joins again with it (KIP-394). 5: static members (KIP-345). 7: the protocol's type and name
//!   come back. 8: the client's reason. 9: a static leader may skip assigning.

use std::future::Future;
use std::time::Duration;

use factum_broker::groups::{GroupError, JoinRequest, Joined, Protocol};
use factum_event::access::Operation;
use factum_wire::messages::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use factum_wire::{ErrorCode, Str};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// Enters the group now; what it returns waits for the rebalance.
pub(in crate::kafka) fn start(
    call: &Call,
    request: JoinGroupRequest,
) -> impl Future<Output = JoinGroupResponse> + Send + use<> {
    let version = call.version();
    let member_id = request.member_id.clone();
    let broker = &call.door.broker;
    let joining = join_request(call, request)
        .map(|request| broker.groups().join(broker.clock().monotonic(), request, broker));
    async move {
        let joined = match joining {
            Ok(joining) => joining.await.map_err(Refusal::from),
            Err(code) => Err(Refusal { code, member_id: None }),
        };
        match joined {
            Ok(joined) => accepted(version, joined),
            Err(refusal) => JoinGroupResponse {
                error_code: refusal.code.code(),
                member_id: refusal.member_id.map_or(member_id, Str::from),
                protocol_name: (version < 7).then(Str::default),
                ..Default::default()
            },
        }
    }
}

struct Refusal {
    code: ErrorCode,
    /// The id that a new member is to join with; otherwise its own comes back.
    member_id: Option<String>,
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        let code = errors::group(&error);
        let member_id = match error {
            GroupError::MemberIdRequired { member_id } => Some(member_id),
            _ => None,
        };
        Self { code, member_id }
    }
}

fn join_request(call: &Call, request: JoinGroupRequest) -> Result<JoinRequest, ErrorCode> {
    let group = call.group(Operation::Read, &request.group_id)?;
    let millis = |millis: i32| u64::try_from(millis).map(Duration::from_millis);
    let session = millis(request.session_timeout_ms);
    let session = session.map_err(|_| ErrorCode::InvalidSessionTimeout)?;
    let rebalance = if call.version() == 0 {
        session
    } else {
        millis(request.rebalance_timeout_ms).unwrap_or(session)
    };
    let protocols = request.protocols.into_iter();
    Ok(JoinRequest {
        group,
        member_id: String::from(&*request.member_id),
        instance_id: request.group_instance_id.map(|id| String::from(&*id)),
        client_id: call.caller.client_id.clone(),
        client_host: format!("/{}", call.caller.client.host),
        session_timeout: Some(session),
        rebalance_timeout: rebalance,
        protocol_type: String::from(&*request.protocol_type),
        protocols: protocols
            .map(|protocol| Protocol {
                name: String::from(&*protocol.name),
                // Kept for long: not as a part of the whole request.
                metadata: protocol.metadata.to_vec().into(),
            })
            .collect(),
        require_member_id: call.version() >= 4,
        skip_assignment: call.version() >= 9,
        reason: request.reason.map(|reason| String::from(&*reason)),
    })
}

fn accepted(version: i16, joined: Joined) -> JoinGroupResponse {
    let member = |member: factum_broker::groups::JoinedMember| JoinGroupResponseMember {
        member_id: text(member.member_id),
        group_instance_id: member.instance_id.map(text),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: (version >= 7).then(|| text(&joined.protocol_type)),
        protocol_name: Some(text(&joined.protocol)),
        leader: text(&joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: text(&joined.member_id),
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}
