//! DescribeAcls (29): there is no access control, so that there are no rules to tell of.

use factum_wire::messages::{DescribeAclsRequest, DescribeAclsResponse};

use super::no_authorizer;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(_: &Call, _: DescribeAclsRequest) -> DescribeAclsResponse {
    let (error_code, error_message) = no_authorizer();
    DescribeAclsResponse { error_code, error_message, ..Default::default() }
}
