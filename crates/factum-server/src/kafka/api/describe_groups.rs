//! DescribeGroups (15): groups of the classic protocol with their members.
//!
//! * 3: what the client may do with the group (KIP-430), if it asks.
//! * One of the consumer protocol is not known here: ConsumerGroupDescribe has it (KIP-848).
//! * A group that only has committed offsets is Empty; one that is not known is Dead, from 6 on
//!   with `GROUP_ID_NOT_FOUND` (KIP-1043).

use factum_broker::groups::{DescribedMember, Description, GroupKind};
use factum_event::access::{Operation, Resource};
use factum_event::log::GroupState;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::{text, told};
use crate::kafka::dispatch::Call;

/// The first version in which an unknown group is an error.
const NOT_FOUND_SINCE: i16 = 6;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut groups: Vec<_> = request.groups.iter().map(|group| describe(call, group)).collect();
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = call.operations(true, Resource::group(&group.group_id));
        }
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

fn describe(call: &Call, asked: &str) -> DescribedGroup {
    let broker = &call.door.broker;
    let group = match call.group(Operation::Describe, asked) {
        Ok(group) => group,
        Err(error) => {
            let error_code = error.code();
            return DescribedGroup { error_code, group_id: text(asked), ..Default::default() };
        }
    };
    if let Some(described) = broker.groups().describe(&group) {
        return known(described);
    }
    let consumer = broker.groups().kind(&group) == Some(GroupKind::Consumer);
    let empty = !consumer && !broker.all_committed(&group).is_empty();
    let state = if empty { GroupState::Empty } else { GroupState::Dead };
    let mut answer = DescribedGroup {
        group_id: text(asked),
        group_state: text(state.as_str()),
        ..Default::default()
    };
    if !empty && call.version() >= NOT_FOUND_SINCE {
        answer.error_code = ErrorCode::GroupIdNotFound.code();
        let kind = if consumer { " of the classic protocol" } else { "" };
        answer.error_message = Some(told(&format!("there is no group {asked}{kind}")));
    }
    answer
}

fn known(described: Description) -> DescribedGroup {
    let member = |member: DescribedMember| DescribedGroupMember {
        member_id: text(member.member_id),
        group_instance_id: member.instance_id.map(text),
        client_id: text(member.client_id),
        client_host: text(member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        group_id: text(described.group),
        group_state: text(described.state.as_str()),
        protocol_type: text(described.protocol_type),
        protocol_data: text(described.protocol),
        members: described.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}
