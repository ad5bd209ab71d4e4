//! DeleteAcls (31): there is no access control, so that there are no rules to remove.

use factum_wire::messages::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};

use super::no_authorizer;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(_: &Call, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let (error_code, error_message) = no_authorizer();
    let refused = DeleteAclsFilterResult { error_code, error_message, ..Default::default() };
    let filter_results = vec![refused; request.filters.len()];
    DeleteAclsResponse { filter_results, ..Default::default() }
}
