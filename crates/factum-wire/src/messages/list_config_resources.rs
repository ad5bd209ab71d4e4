//! ListConfigResources, API 74.
//!
//! * 0: only subscriptions to client metrics; it was called ListClientMetricsResources then.
//! * 1: any kind of resource (KIP-1142).

use crate::Str;
use crate::table::message;

message! {
    /// Asks what can be configured.
    pub struct ListConfigResourcesRequest {
        /// Only resources of these types; all if empty.
        resource_types: Vec<i8> [1..];
    }

    /// Lists what can be configured.
    pub struct ListConfigResourcesResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The resources.
        config_resources: Vec<ConfigResource> [0..];
    }

    /// Something that can be configured.
    pub struct ConfigResource {
        /// The topic's name, the broker's number as text, …
        resource_name: Str [0..];
        /// What it is: 2 a topic, 4 a broker, 8 a broker's own log, 16 client metrics, 32 a group.
        resource_type: i8 [1..] = 16;
    }
}
