//! ListPartitionReassignments (46): no partition ever moves (KIP-455); those that do not exist
//! are left out too.

use factum_wire::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    _call: &Call,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
