//! IncrementalAlterConfigs, API 44.
//!
//! KIP-339. 1: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to change some of the configuration of resources.
    pub struct IncrementalAlterConfigsRequest {
        /// What to configure.
        resources: Vec<IncrementalAlterConfigsResource> [0..];
        /// Whether to check only, and change nothing.
        validate_only: bool [0..];
    }

    /// A topic or broker to configure.
    pub struct IncrementalAlterConfigsResource {
        /// What is configured: 2 a topic, 4 a broker.
        resource_type: i8 [0..];
        /// The topic's name, or the broker's number as text.
        resource_name: Str [0..];
        /// The changes.
        configs: Vec<IncrementalAlterableConfig> [0..];
    }

    /// A change of one configuration.
    pub struct IncrementalAlterableConfig {
        /// The configuration's name.
        name: Str [0..];
        /// How: 0 set, 1 delete, 2 append to a list, 3 subtract from a list.
        config_operation: i8 [0..];
        /// The value; null where it is deleted.
        value: Option<Str> [0..];
    }

    /// Tells what became of each resource.
    pub struct IncrementalAlterConfigsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The resources.
        responses: Vec<IncrementalAlterConfigsResourceResponse> [0..];
    }

    /// What became of one resource.
    pub struct IncrementalAlterConfigsResourceResponse {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// What was configured: 2 a topic, 4 a broker.
        resource_type: i8 [0..];
        /// The topic's name, or the broker's number as text.
        resource_name: Str [0..];
    }
}
