//! DescribeAcls (29): the rules of access that fit a filter, by what they are about.

use std::collections::BTreeMap;

use factum_event::access::{AccessControl, Acl, Operation, Pattern, ResourceType};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

use super::{Refusal, no_access_control, text};
use crate::kafka::acls;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeAclsRequest,
) -> DescribeAclsResponse {
    match describe(call, request) {
        Ok(resources) => DescribeAclsResponse { resources, ..Default::default() },
        Err((error, reason)) => DescribeAclsResponse {
            error_code: error.code(),
            error_message: Some(text(reason)),
            ..Default::default()
        },
    }
}

fn describe(
    call: &Call,
    request: DescribeAclsRequest,
) -> Result<Vec<DescribeAclsResource>, Refusal> {
    if let Some(refusal) = no_access_control(call, Operation::Describe) {
        return Err(refusal);
    }
    let filter = acls::filter(&acls::as_deletion(request));
    let filter = filter.map_err(|reason| (ErrorCode::InvalidRequest, reason))?;
    let mut resources = BTreeMap::<(ResourceType, String, Pattern), Vec<AclDescription>>::new();
    for Acl { resource_type, name, pattern, principal, host, operation, permission } in
        call.door.broker.acls(&filter)
    {
        let rule = AclDescription {
            principal: text(principal.as_str()),
            host: text(host),
            operation: operation.code(),
            permission_type: permission.code(),
        };
        resources.entry((resource_type, name, pattern)).or_default().push(rule);
    }
    let resource =
        |((resource_type, name, pattern), acls): ((ResourceType, String, Pattern), _)| {
            DescribeAclsResource {
                resource_type: resource_type.code(),
                resource_name: text(name),
                pattern_type: pattern.code(),
                acls,
            }
        };
    Ok(resources.into_iter().map(resource).collect())
}
