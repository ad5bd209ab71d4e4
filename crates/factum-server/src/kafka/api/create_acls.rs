//! CreateAcls (30): adds rules of access; each is answered by itself, once all are durable.
//!
//! * One that is there already is no error. Without access control nothing is added, as in Kafka
//!   without an authorizer: rules that nobody asks would be believed in.

use factum_event::access::{AccessControl, Operation};
use factum_wire::ErrorCode;
use factum_wire::messages::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use super::{Refusal, access_error, no_access_control, text, to_its_end};
use crate::kafka::acls;
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: CreateAclsRequest,
) -> CreateAclsResponse {
    let invalid = |reason: String| (ErrorCode::InvalidRequest, reason);
    let asked: Vec<_> =
        request.creations.iter().map(|asked| acls::created(asked).map_err(invalid)).collect();
    let created = match no_access_control(call, Operation::Alter) {
        None => create(call, asked.iter().flatten().cloned().collect()).await,
        Some(refusal) => Err(refusal),
    };
    let result = |asked: Result<_, Refusal>| {
        let outcome = match &created {
            Ok(()) => asked.map(drop),
            Err(refusal) => Err(refusal.clone()),
        };
        let (error_code, error_message) = match outcome {
            Ok(()) => (0, None),
            Err((error, reason)) => (error.code(), Some(text(reason))),
        };
        AclCreationResult { error_code, error_message }
    };
    let results = asked.into_iter().map(result).collect();
    CreateAclsResponse { results, ..Default::default() }
}

async fn create(call: &Call, acls: Vec<factum_event::access::Acl>) -> Result<(), Refusal> {
    let (broker, author) = (call.door.broker.clone(), call.caller.author());
    let create = async move { broker.create_acls(&author, acls).await };
    to_its_end(create).await.map_err(access_error)
}
