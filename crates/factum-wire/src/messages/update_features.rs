//! UpdateFeatures, API 57 (KIP-584).
//!
//! * 1: three kinds of changes instead of two, and checking only (KIP-778).
//! * 2: the answer has no results by feature.

use crate::Str;
use crate::table::message;

message! {
    /// Asks to change the features in use.
    pub struct UpdateFeaturesRequest {
        /// How long the broker may take.
        timeout_ms: i32 [0..] = 60000;
        /// The changes.
        feature_updates: Vec<FeatureUpdateKey> [0..];
        /// Whether to check only, and change nothing.
        validate_only: bool [1..];
    }

    /// The change of one feature.
    pub struct FeatureUpdateKey {
        /// The feature's name.
        feature: Str [0..];
        /// The highest level to use; below 1 to use the feature no longer.
        max_version_level: i16 [0..];
        /// Whether the level may be lowered.
        allow_downgrade: bool [0..=0];
        /// 1: only raise it; 2: lower it if nothing is lost; 3: lower it.
        upgrade_type: i8 [1..] = 1;
    }

    /// Tells whether the features have changed.
    pub struct UpdateFeaturesResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// What became of each change.
        results: Vec<UpdatableFeatureResult> [0..=1];
    }

    /// What became of one change.
    pub struct UpdatableFeatureResult {
        /// The feature's name.
        feature: Str [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
    }
}
