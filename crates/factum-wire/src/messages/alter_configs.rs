//! AlterConfigs, API 33.
//!
//! Replaces all that is set; [`IncrementalAlterConfigsRequest`](super::IncrementalAlterConfigsRequest)
//! is its successor. 2: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to replace the configuration of resources.
    pub struct AlterConfigsRequest {
        /// What to configure.
        resources: Vec<AlterConfigsResource> [0..];
        /// Whether to check only, and change nothing.
        validate_only: bool [0..];
    }

    /// A topic or broker to configure.
    pub struct AlterConfigsResource {
        /// What is configured: 2 a topic, 4 a broker.
        resource_type: i8 [0..];
        /// The topic's name, or the broker's number as text.
        resource_name: Str [0..];
        /// All that shall be set.
        configs: Vec<AlterableConfig> [0..];
    }

    /// A configuration to set.
    pub struct AlterableConfig {
        /// The configuration's name.
        name: Str [0..];
        /// The value.
        value: Option<Str> [0..];
    }

    /// Tells what became of each resource.
    pub struct AlterConfigsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The resources.
        responses: Vec<AlterConfigsResourceResponse> [0..];
    }

    /// What became of one resource.
    pub struct AlterConfigsResourceResponse {
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
