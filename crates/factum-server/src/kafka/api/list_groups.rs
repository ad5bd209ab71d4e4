//! ListGroups (16): all groups, those that only have committed offsets included.
//!
//! * 4: filter by state (KIP-518). 5: filter by type (KIP-848); all groups are classic.

use std::collections::BTreeMap;

use factum_event::GroupName;
use factum_event::log::GroupState;
use factum_wire::Str;
use factum_wire::messages::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::text;
use crate::kafka::dispatch::Call;

/// The type of every group.
const CLASSIC: &str = "classic";

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let broker = &call.door.broker;
    let only_offsets = |group: GroupName| (group, (GroupState::Empty, String::new()));
    let mut groups: BTreeMap<_, _> =
        broker.groups_with_offsets().into_iter().map(only_offsets).collect();
    for listed in broker.groups().list() {
        groups.insert(listed.group, (listed.state, listed.protocol_type));
    }
    let wanted = |filter: &[Str], value: &str| {
        filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(value))
    };
    let groups = groups
        .into_iter()
        .filter(|(_, (state, _))| wanted(&request.states_filter, state.as_str()))
        .filter(|_| wanted(&request.types_filter, CLASSIC))
        .map(|(group, (state, protocol_type))| ListedGroup {
            group_id: text(group),
            protocol_type: text(protocol_type),
            group_state: text(state.as_str()),
            group_type: text(CLASSIC),
        });
    ListGroupsResponse { groups: groups.collect(), ..Default::default() }
}
