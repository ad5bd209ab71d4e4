//! Who leads a partition now, and where to reach it: what Produce and Fetch answer to a client
//! that asked the wrong broker (KIP-951), so that it need not ask for metadata first.

use crate::Str;
use crate::table::message;

message! {
    /// Who leads a partition now.
    pub struct LeaderIdAndEpoch {
        /// The leader's number, or -1 if nobody leads.
        leader_id: i32 [0..] = -1;
        /// The leader's epoch, or -1.
        leader_epoch: i32 [0..] = -1;
    }

    /// Where to reach a leader.
    pub struct NodeEndpoint {
        /// The broker's number.
        node_id: i32 [0..];
        /// Where to connect.
        host: Str [0..];
        /// The port there.
        port: i32 [0..];
        /// The rack that the broker stands in.
        rack: Option<Str> [0..];
    }
}
