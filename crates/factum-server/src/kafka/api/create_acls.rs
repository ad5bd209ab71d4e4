//! CreateAcls (30): there is no access control; rules that nobody keeps are refused.

use factum_wire::messages::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use super::no_authorizer;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(_: &Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let (error_code, error_message) = no_authorizer();
    let refused = AclCreationResult { error_code, error_message };
    CreateAclsResponse { results: vec![refused; request.creations.len()], ..Default::default() }
}
