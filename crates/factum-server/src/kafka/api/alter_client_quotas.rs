//! AlterClientQuotas (49): says who may have how much (KIP-546).
//!
//! * What is wrong with an entity refuses its changes, and no other's; so does a second list of
//!   changes of it.
//! * Taking away what is not there, or what nobody knows, changes nothing and is no error.
//! * What is not limited here (connections of an address, changes of topics) is refused: a quota
//!   that nobody keeps is worse than none.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use factum_event::access::{AccessControl, Operation, QuotaEntity, QuotaKey, QuotaLimit};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlteredQuota, QuotaAlteration,
    QuotaEntityPart, QuotaOperation,
};

use super::{Refusal, access_error, text, to_its_end};
use crate::kafka::dispatch::Call;
use crate::kafka::quota_entity::entity;

/// What is to change of an entity.
struct Change {
    entity: QuotaEntity,
    set: BTreeMap<QuotaKey, QuotaLimit>,
    unset: BTreeSet<QuotaKey>,
}

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let may = call.may_with_cluster(Operation::AlterConfigs);
    let mut entries = Vec::with_capacity(request.entries.len());
    let mut seen = HashSet::new();
    for QuotaAlteration { entity, ops } in request.entries {
        let changed = change(&entity, &ops).and_then(|change| {
            let twice = || (ErrorCode::InvalidRequest, "it is to be changed twice".to_owned());
            if seen.insert(change.entity.clone()) { Ok(change) } else { Err(twice()) }
        });
        let altered = match (may, changed) {
            (Err(error), _) => {
                Err((error, "ALTER_CONFIGS of the cluster is not allowed".to_owned()))
            }
            (Ok(()), Ok(_)) if request.validate_only => Ok(()),
            (Ok(()), Ok(change)) => alter(call, change).await,
            (Ok(()), Err(refusal)) => Err(refusal),
        };
        entries.push(told(entity, altered));
    }
    AlterClientQuotasResponse { entries, ..Default::default() }
}

fn change(of: &[QuotaEntityPart], operations: &[QuotaOperation]) -> Result<Change, Refusal> {
    let mut change = Change { entity: entity(of)?, set: BTreeMap::new(), unset: BTreeSet::new() };
    let invalid =
        |error: factum_event::access::InvalidQuota| (ErrorCode::InvalidRequest, error.to_string());
    for QuotaOperation { key, value, remove } in operations {
        let key: QuotaKey = match key.parse() {
            Err(_) if *remove => continue,
            key => key.map_err(invalid)?,
        };
        let limit = if *remove { None } else { Some(key.limit(*value).map_err(invalid)?) };
        let is_new = match limit {
            Some(limit) => change.set.insert(key, limit).is_none() && !change.unset.contains(&key),
            None => change.unset.insert(key) && !change.set.contains_key(&key),
        };
        if !is_new {
            return Err((ErrorCode::InvalidRequest, format!("{key} is changed twice")));
        }
    }
    Ok(change)
}

async fn alter(call: &Call, change: Change) -> Result<(), Refusal> {
    let (broker, author) = (call.door.broker.clone(), call.caller.author());
    let Change { entity, set, unset } = change;
    if set.is_empty() && unset.is_empty() {
        return Ok(());
    }
    let altered = async move { broker.alter_quota(&author, entity, set, unset).await };
    to_its_end(altered).await.map_err(access_error)
}

fn told(entity: Vec<QuotaEntityPart>, altered: Result<(), Refusal>) -> AlteredQuota {
    let (error_code, error_message) = match altered {
        Ok(()) => (0, None),
        Err((error, reason)) => (error.code(), Some(text(reason))),
    };
    // Names are shared with the request; the answer must not keep all of it alive.
    let own = |part: QuotaEntityPart| QuotaEntityPart {
        entity_type: text(&*part.entity_type),
        entity_name: part.entity_name.map(|name| text(&*name)),
    };
    let entity = entity.into_iter().map(own).collect();
    AlteredQuota { error_code, error_message, entity }
}
