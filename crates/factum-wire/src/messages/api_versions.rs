//! ApiVersions, API 18.
//!
//! * 3: flexible, the client's software (KIP-511). The response header never is: [`crate::frame`].
//! * 4: supported features with a minimum of 0 may be listed (KAFKA-17492).
//! * 5: whom the client believes to speak to (KIP-1242); both fields are set, or neither is.
//!   The answer to 5 is that of 4.
//!
//! A version that is not served is answered in version 0 with error 35, without reading the request.
//! Tagged fields with their default are left out: librdkafka up to 2.0.2 misreads tags that it must
//! skip.

use crate::Str;
use crate::table::message;

message! {
    /// Asks for the APIs that are served.
    pub struct ApiVersionsRequest {
        /// The client library's name: letters, digits, dots and dashes.
        client_software_name: Str [3..];
        /// The client library's version, of the same letters as its name.
        client_software_version: Str [3..];
        /// The cluster that the client believes to speak to, together with `node_id`, or null.
        cluster_id: Option<Str> [5..];
        /// The broker that the client believes to speak to, together with `cluster_id`, or -1.
        node_id: i32 [5..] = -1;
    }

    /// Lists the APIs that are served.
    pub struct ApiVersionsResponse {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// The served APIs, by number.
        api_keys: Vec<ApiVersion> [0..];
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [1..];
        /// Features that the broker could use; below version 4 only those with a minimum above 0
        /// (KAFKA-17492).
        supported_features: Vec<SupportedFeatureKey> [3..] tag 0;
        /// Rises with every change of the finalized features; -1 if unknown.
        finalized_features_epoch: i64 [3..] tag 1 = -1;
        /// Features in use; counts only with an epoch of 0 or more.
        finalized_features: Vec<FinalizedFeatureKey> [3..] tag 2;
        /// Whether a controller is ready to leave ZooKeeper behind.
        zk_migration_ready: bool [3..] tag 3;
    }

    /// The served versions of one API.
    pub struct ApiVersion {
        /// The API's number.
        api_key: i16 [0..];
        /// The lowest version.
        min_version: i16 [0..];
        /// The highest version.
        max_version: i16 [0..];
    }

    /// A feature that the broker could use.
    pub struct SupportedFeatureKey {
        /// The feature's name.
        name: Str [3..];
        /// The lowest version.
        min_version: i16 [3..];
        /// The highest version.
        max_version: i16 [3..];
    }

    /// A feature in use.
    pub struct FinalizedFeatureKey {
        /// The feature's name.
        name: Str [3..];
        /// The highest level in use.
        max_version_level: i16 [3..];
        /// The lowest level in use.
        min_version_level: i16 [3..];
    }
}

impl ApiVersionsRequest {
    /// Whether the fields of `version` are as Kafka demands; if not, answer INVALID_REQUEST.
    #[must_use]
    pub fn is_valid(&self, version: i16) -> bool {
        let named = version < 3
            || is_software_word(&self.client_software_name)
                && is_software_word(&self.client_software_version);
        let addressed = version < 5 || self.cluster_id.is_some() == (self.node_id != -1);
        named && addressed
    }
}

/// Letters and digits, with dots and dashes between them.
fn is_software_word(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
}
