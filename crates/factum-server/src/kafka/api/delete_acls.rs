//! DeleteAcls (31): removes the rules of access that fit filters, and answers which these were.

use factum_event::access::{AccessControl, Acl, Operation};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest,
    DeleteAclsResponse,
};

use super::{Refusal, access_error, no_access_control, text, to_its_end};
use crate::kafka::acls;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DeleteAclsRequest,
) -> DeleteAclsResponse {
    let mut filter_results = Vec::with_capacity(request.filters.len());
    for filter in &request.filters {
        let deleted = match no_access_control(call, Operation::Alter) {
            None => delete(call, filter).await,
            Some(refusal) => Err(refusal),
        };
        filter_results.push(match deleted {
            Ok(acls) => DeleteAclsFilterResult {
                matching_acls: acls.iter().map(matching).collect(),
                ..Default::default()
            },
            Err((error, reason)) => DeleteAclsFilterResult {
                error_code: error.code(),
                error_message: Some(text(reason)),
                ..Default::default()
            },
        });
    }
    DeleteAclsResponse { filter_results, ..Default::default() }
}

async fn delete(call: &Call, filter: &DeleteAclsFilter) -> Result<Vec<Acl>, Refusal> {
    let filter = acls::filter(filter).map_err(|reason| (ErrorCode::InvalidRequest, reason))?;
    let (broker, author) = (call.door.broker.clone(), call.caller.author());
    let delete = async move { broker.delete_acls(&author, filter).await };
    to_its_end(delete).await.map_err(access_error)
}

fn matching(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        resource_type: acl.resource_type.code(),
        resource_name: text(&acl.name),
        pattern_type: acl.pattern.code(),
        principal: text(acl.principal.as_str()),
        host: text(&acl.host),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
        ..Default::default()
    }
}
