//! AlterClientQuotas, API 49 (KIP-546).

use super::QuotaEntityPart;
use crate::Str;
use crate::table::message;

message! {
    /// Asks to change quotas.
    pub struct AlterClientQuotasRequest {
        /// What is to change, one for each entity.
        entries: Vec<QuotaAlteration> [0..];
        /// Whether to check only.
        validate_only: bool [0..];
    }

    /// What is to change of an entity.
    pub struct QuotaAlteration {
        /// Whose.
        entity: Vec<QuotaEntityPart> [0..];
        /// What.
        ops: Vec<QuotaOperation> [0..];
    }

    /// A change of a quota.
    pub struct QuotaOperation {
        /// Its name, such as `producer_byte_rate`.
        key: Str [0..];
        /// How much.
        value: f64 [0..];
        /// Whether it is to go instead.
        remove: bool [0..];
    }

    /// Tells what became of it.
    pub struct AlterClientQuotasResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// One for each entity.
        entries: Vec<AlteredQuota> [0..];
    }

    /// What became of an entity.
    pub struct AlteredQuota {
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// Whose.
        entity: Vec<QuotaEntityPart> [0..];
    }
}
