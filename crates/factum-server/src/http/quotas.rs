//! Quotas of Kafka clients: list, set, take away.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use factum_event::access::{Operation, Quota, QuotaEntity, QuotaKey};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::publish::body;
use super::session::Session;
use super::topics::read;

const ALTERATION: &str = "{\"entity\":{\"user\":{\"name\":\"alice\"},\"client_id\":\"default\"},\
                          \"set\":{\"producer_byte_rate\":1048576},\
                          \"unset\":[\"request_percentage\"]}";

#[derive(Serialize)]
pub(super) struct Quotas {
    quotas: Vec<Quota>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alteration {
    entity: QuotaEntity,
    #[serde(default)]
    set: BTreeMap<QuotaKey, f64>,
    #[serde(default)]
    unset: BTreeSet<QuotaKey>,
}

/// `GET /quotas`
pub(super) async fn list(session: Session) -> Result<Json<Quotas>, Problem> {
    session.expect(Operation::DescribeConfigs)?;
    Ok(Json(Quotas { quotas: session.door.login.access().quotas() }))
}

/// `POST /quotas`: changes those of one entity; answers what it has then.
pub(super) async fn alter(session: Session, request: Request) -> Result<Json<Quota>, Problem> {
    session.expect(Operation::AlterConfigs)?;
    let body = body(&session, request).await?;
    let Alteration { entity, set, unset } = read(&body, ALTERATION)?;
    let limit = |(key, value): (QuotaKey, f64)| Ok((key, key.limit(value)?));
    let set = set.into_iter().map(limit).collect::<Result<BTreeMap<_, _>, _>>();
    let set =
        set.map_err(|error: factum_event::access::InvalidQuota| invalid(error.to_string()))?;
    if set.is_empty() && unset.is_empty() {
        return Err(invalid(format!("nothing is set or unset; expected {ALTERATION}")));
    }
    if let Some(twice) = unset.iter().find(|key| set.contains_key(key)) {
        return Err(invalid(format!("{twice} is set and unset")));
    }
    let author = session.client.principal.to_string();
    let access = session.door.login.access();
    access.alter_quota(&author, entity.clone(), set, unset).await?;
    let left = access.quotas().into_iter().find(|quota| quota.entity == entity);
    Ok(Json(left.unwrap_or(Quota { entity, limits: BTreeMap::new() })))
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-body", "Invalid body", detail)
}
