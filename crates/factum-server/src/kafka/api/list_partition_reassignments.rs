//! ListPartitionReassignments (46): no partition ever moves (KIP-455); those that do not exist
//! are left out too.

use factum_event::access::Operation;
use factum_wire::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    if let Err(error) = call.may_with_cluster(Operation::Describe) {
        let error_code = error.code();
        return ListPartitionReassignmentsResponse { error_code, ..Default::default() };
    }
    ListPartitionReassignmentsResponse::default()
}
