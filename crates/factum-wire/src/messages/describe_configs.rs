//! DescribeConfigs, API 32.
//!
//! * 1: synonyms, and the source of each value (KIP-226).
//! * 3: documentation and type (KIP-569). 4: flexible.

use crate::Str;
use crate::table::message;

message! {
    /// Asks for configuration.
    pub struct DescribeConfigsRequest {
        /// What to describe.
        resources: Vec<DescribeConfigsResource> [0..];
        /// Whether to list where else each value could come from.
        include_synonyms: bool [0..];
        /// Whether to explain each configuration.
        include_documentation: bool [3..];
    }

    /// A topic or broker to describe.
    pub struct DescribeConfigsResource {
        /// What is described: 2 a topic, 4 a broker.
        resource_type: i8 [0..];
        /// The topic's name, or the broker's number as text.
        resource_name: Str [0..];
        /// The names to list; null for all.
        configuration_keys: Option<Vec<Str>> [0..];
    }

    /// Lists configuration.
    pub struct DescribeConfigsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// The configuration of each resource.
        results: Vec<DescribeConfigsResult> [0..];
    }

    /// The configuration of one topic or broker.
    pub struct DescribeConfigsResult {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// What is described: 2 a topic, 4 a broker.
        resource_type: i8 [0..];
        /// The topic's name, or the broker's number as text.
        resource_name: Str [0..];
        /// The configuration.
        configs: Vec<DescribeConfigsResourceResult> [0..];
    }

    /// One configuration.
    pub struct DescribeConfigsResourceResult {
        /// The configuration's name.
        name: Str [0..];
        /// The value; null if it is a secret, or the default is meant.
        value: Option<Str> [0..];
        /// Whether the value cannot be changed.
        read_only: bool [0..];
        /// Who set the value, as a number (KIP-226).
        config_source: i8 [0..] = -1;
        /// Whether the value is a secret, and therefore not shown.
        is_sensitive: bool [0..];
        /// Where the value could come from, what applies first.
        synonyms: Vec<DescribeConfigsSynonym> [0..];
        /// The value's type, as a number.
        config_type: i8 [3..];
        /// What the configuration is for.
        documentation: Option<Str> [3..];
    }

    /// Another place where a value may be set.
    pub struct DescribeConfigsSynonym {
        /// The configuration's name there.
        name: Str [0..];
        /// The value; null if it is a secret, or the default is meant.
        value: Option<Str> [0..];
        /// Who would set this value, as a number (KIP-226).
        source: i8 [0..];
    }
}
