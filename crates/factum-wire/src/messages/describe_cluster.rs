//! DescribeCluster, API 60.
//!
//! KIP-700; flexible from the start.
//!
//! * 1: brokers or controllers (KIP-919). 2: brokers that may not serve at present (KIP-1073).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for the brokers of the cluster.
    pub struct DescribeClusterRequest {
        /// Whether to tell what the caller may do to the cluster.
        include_cluster_authorized_operations: bool [0..];
        /// Whose addresses: 1 brokers, 2 controllers.
        endpoint_type: i8 [1..] = 1;
        /// Whether to list brokers that may not serve at present.
        include_fenced_brokers: bool [2..];
    }

    /// Lists the brokers of the cluster.
    pub struct DescribeClusterResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// Whose addresses: 1 brokers, 2 controllers.
        endpoint_type: i8 [1..] = 1;
        /// The cluster's id.
        cluster_id: Str [0..];
        /// The broker that administers the cluster.
        controller_id: i32 [0..] = -1;
        /// The brokers that are alive.
        brokers: Vec<DescribeClusterBroker> [0..];
        /// What the caller may do to the cluster, as bits; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [0..] = i32::MIN;
    }

    /// A broker and where to reach it.
    pub struct DescribeClusterBroker {
        /// The broker's number.
        broker_id: i32 [0..];
        /// Where to connect.
        host: Str [0..];
        /// The port there.
        port: i32 [0..];
        /// The rack that the broker stands in.
        rack: Option<Str> [0..];
        /// Whether the broker may not serve at present.
        is_fenced: bool [2..];
    }
}
