//! ListGroups (16): all groups, those that only have committed offsets included.
//!
//! * 4: filter by state (KIP-518). 5: filter by type (KIP-848); what has only offsets
//!   is classic.

use std::collections::BTreeMap;

use factum_broker::groups::GroupKind;
use factum_event::GroupName;
use factum_event::access::{Operation, Resource};
use factum_event::log::GroupState;
use factum_wire::Str;
use factum_wire::messages::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::text;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let broker = &call.door.broker;
    let only_offsets =
        |group: GroupName| (group, (GroupKind::Classic, GroupState::Empty, String::new()));
    let mut groups: BTreeMap<_, _> =
        broker.groups_with_offsets().into_iter().map(only_offsets).collect();
    for listed in broker.groups().list() {
        groups.insert(listed.group, (listed.kind, listed.state, listed.protocol_type));
    }
    let wanted = |filter: &[Str], value: &str| {
        filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(value))
    };
    let may_all = call.may(Operation::Describe, Resource::CLUSTER);
    let may = |group: &str| may_all || call.may(Operation::Describe, Resource::group(group));
    let groups = groups
        .into_iter()
        .filter(|(group, _)| may(group.as_str()))
        .filter(|(_, (_, state, _))| wanted(&request.states_filter, state.as_str()))
        .filter(|(_, (kind, ..))| wanted(&request.types_filter, kind.as_str()))
        .map(|(group, (kind, state, protocol_type))| ListedGroup {
            group_id: text(group),
            protocol_type: text(protocol_type),
            group_state: text(state.as_str()),
            group_type: text(kind.as_str()),
        });
    ListGroupsResponse { groups: groups.collect(), ..Default::default() }
}
