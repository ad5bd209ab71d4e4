//! DeleteGroups (42): forgets groups that have no members, with their offsets.

use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::text;
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group in &request.groups_names {
        let error = delete(call, group).await.err().unwrap_or(ErrorCode::None);
        let group_id = text(&**group);
        results.push(DeletableGroupResult { group_id, error_code: error.code() });
    }
    DeleteGroupsResponse { results, ..Default::default() }
}

async fn delete(call: &Call, group: &str) -> Result<(), ErrorCode> {
    let group = call.group(Operation::Delete, group)?;
    call.door.broker.delete_group(&group).await.map_err(|error| errors::commit(&error))
}
