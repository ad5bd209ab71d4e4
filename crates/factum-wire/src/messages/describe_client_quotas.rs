//! DescribeClientQuotas, API 48 (KIP-546).

use crate::Str;
use crate::table::message;

message! {
    /// Asks for quotas.
    pub struct DescribeClientQuotasRequest {
        /// What the entities have; all of it.
        components: Vec<QuotaFilterComponent> [0..];
        /// Whether the entities have nothing else.
        strict: bool [0..];
    }

    /// What an entity has.
    pub struct QuotaFilterComponent {
        /// Of what kind: `user`, `client-id` or `ip`.
        entity_type: Str [0..];
        /// 0 the name given, 1 the default, 2 any name.
        match_type: i8 [0..];
        /// The name, if one is given.
        name: Option<Str> [0..];
    }

    /// Tells quotas.
    pub struct DescribeClientQuotasResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [0..];
        /// One for each entity; the Java client does not bear null here without an error.
        entries: Option<Vec<DescribedQuota>> [0..] = Some(Vec::new());
    }

    /// The quotas of an entity.
    pub struct DescribedQuota {
        /// Whose.
        entity: Vec<QuotaEntityPart> [0..];
        /// What they are.
        values: Vec<QuotaValue> [0..];
    }

    /// A part of what a quota is about.
    pub struct QuotaEntityPart {
        /// `user`, `client-id` or `ip`.
        entity_type: Str [0..];
        /// Its name; none is the default.
        entity_name: Option<Str> [0..];
    }

    /// A quota.
    pub struct QuotaValue {
        /// Its name, such as `producer_byte_rate`.
        key: Str [0..];
        /// How much.
        value: f64 [0..];
    }
}
