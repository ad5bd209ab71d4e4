//! DescribeClientQuotas (48): who may have how much (KIP-546).
//!
//! * An entity is told if it fits all components; with `strict`, if it has nothing besides.
//! * Kinds of entities that nobody knows are an unsupported version, as in Kafka: a newer one may
//!   know them.
//! * Quotas of addresses (`ip`) can be asked for; there are none.

use std::collections::HashMap;

use factum_event::access::{AccessControl, Operation, Quota, QuotaKey, QuotaLimit, QuotaName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribedQuota,
    QuotaFilterComponent, QuotaValue,
};

use super::{Refusal, text};
use crate::kafka::dispatch::Call;
use crate::kafka::quota_entity::{EntityType, parts};

/// What of an entity is wanted.
enum Wanted {
    Name(QuotaName),
    Any,
}

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let refused = |(error, reason): Refusal| DescribeClientQuotasResponse {
        error_code: error.code(),
        error_message: Some(text(reason)),
        entries: None,
        ..Default::default()
    };
    if let Err(error) = call.may_with_cluster(Operation::DescribeConfigs) {
        let reason = "DESCRIBE_CONFIGS of the cluster is not allowed".to_owned();
        return refused((error, reason));
    }
    let wanted = match components(&request.components) {
        Ok(wanted) => wanted,
        Err(refusal) => return refused(refusal),
    };
    let quotas = call.door.broker.quotas().into_iter();
    let fitting = quotas.filter(|quota| fits(quota, &wanted, request.strict));
    let entries = fitting.map(|quota| described(&quota)).collect();
    DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() }
}

fn components(asked: &[QuotaFilterComponent]) -> Result<HashMap<EntityType, Wanted>, Refusal> {
    let invalid = |reason: String| (ErrorCode::InvalidRequest, reason);
    let mut wanted = HashMap::new();
    for component in asked {
        let entity_type = EntityType::parse(&component.entity_type)?;
        let name = match (component.match_type, &component.name) {
            (0, Some(name)) => Wanted::Name(QuotaName::Name((**name).to_owned())),
            (0, None) => return Err(invalid("match type 0 (exact) needs a name".to_owned())),
            (1 | 2, Some(_)) => {
                let reason = "match types 1 (default) and 2 (any) are of no name";
                return Err(invalid(reason.to_owned()));
            }
            (1, None) => Wanted::Name(QuotaName::Default),
            (2, None) => Wanted::Any,
            (other, _) => {
                let expected = "expected 0 (exact), 1 (default) or 2 (any)";
                return Err(invalid(format!("{other} is no match type; {expected}")));
            }
        };
        if wanted.insert(entity_type, name).is_some() {
            return Err(invalid(format!("{entity_type} is asked for twice")));
        }
    }
    if wanted.contains_key(&EntityType::Ip) && wanted.len() > 1 {
        return Err(invalid("quotas of an ip are of nothing else".to_owned()));
    }
    Ok(wanted)
}

fn fits(quota: &Quota, wanted: &HashMap<EntityType, Wanted>, strict: bool) -> bool {
    let has = |entity_type: &EntityType| match entity_type {
        EntityType::User => quota.entity.user(),
        EntityType::ClientId => quota.entity.client_id(),
        EntityType::Ip => None,
    };
    let fitting = wanted.iter().all(|(entity_type, wanted)| match (has(entity_type), wanted) {
        (Some(name), Wanted::Name(wanted)) => name == wanted,
        (Some(_), Wanted::Any) => true,
        (None, _) => false,
    });
    let besides = [EntityType::User, EntityType::ClientId]
        .iter()
        .any(|entity_type| has(entity_type).is_some() && !wanted.contains_key(entity_type));
    fitting && !(strict && besides)
}

fn described(quota: &Quota) -> DescribedQuota {
    let value = |(key, limit): (&QuotaKey, &QuotaLimit)| QuotaValue {
        key: text(key.as_str()),
        value: limit.get(),
    };
    DescribedQuota {
        entity: parts(&quota.entity),
        values: quota.limits.iter().map(value).collect(),
    }
}
