//! Rules of access: list, add, remove, and why somebody may or may not.

use std::net::IpAddr;

use axum::Json;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use factum_event::access::{
    Acl, AclFilter, Client, Operation, Pattern, PatternFilter, Permission, Principal, Resource,
    ResourceType, Verdict,
};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::publish::body;
use super::query;
use super::session::Session;
use super::topics::read;

const ACLS: &str = "{\"acls\":[{\"resource_type\":\"TOPIC\",\"name\":\"orders\",\
                    \"pattern\":\"LITERAL\",\"principal\":\"User:alice\",\"host\":\"*\",\
                    \"operation\":\"READ\",\"permission\":\"ALLOW\"}]}";

const FILTERS: &str = "resource_type, name, pattern (LITERAL, PREFIXED or MATCH), principal, host, operation or \
     permission";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acls {
    acls: Vec<Acl>,
}

#[derive(Serialize)]
pub(super) struct Explained {
    allowed: bool,
    #[serde(flatten)]
    verdict: Verdict,
    text: String,
}

/// `GET /acls`: those that fit the parameters.
pub(super) async fn list(session: Session, uri: Uri) -> Result<Json<Acls>, Problem> {
    session.expect(Operation::Describe)?;
    let filter = filter(&query::pairs(&uri)?)?;
    Ok(Json(Acls { acls: session.door.login.access().acls(&filter) }))
}

/// `POST /acls`
pub(super) async fn create(session: Session, request: Request) -> Result<Json<Acls>, Problem> {
    session.expect(Operation::Alter)?;
    expect_on(&session)?;
    let body = body(&session, request).await?;
    let Acls { acls } = read(&body, ACLS)?;
    let author = session.client.principal.to_string();
    session.door.login.access().create_acls(&author, acls.clone()).await?;
    Ok(Json(Acls { acls }))
}

/// `DELETE /acls`: those that fit the parameters, of which one at least is there.
pub(super) async fn delete(session: Session, uri: Uri) -> Result<Json<Acls>, Problem> {
    session.expect(Operation::Alter)?;
    let pairs = query::pairs(&uri)?;
    if pairs.is_empty() {
        return Err(Problem::parameter("query", "", format!("at least one of {FILTERS}")));
    }
    let filter = filter(&pairs)?;
    let author = session.client.principal.to_string();
    let acls = session.door.login.access().delete_acls(&author, filter).await?;
    Ok(Json(Acls { acls }))
}

/// `GET /acls/explain`: whether somebody may do something, and by which rule.
pub(super) async fn explain(session: Session, uri: Uri) -> Result<Json<Explained>, Problem> {
    session.expect(Operation::Describe)?;
    let (mut principal, mut host, mut operation) = (None, None, None);
    let (mut resource_type, mut resource_name) = (None, None);
    for (name, value) in query::pairs(&uri)? {
        match name.as_str() {
            "principal" => principal = Some(parse::<Principal>(&name, &value)?),
            "host" => host = Some(parse::<IpAddr>(&name, &value)?),
            "operation" => operation = Some(parse::<Operation>(&name, &value)?),
            "resource_type" => resource_type = Some(parse::<ResourceType>(&name, &value)?),
            "name" => resource_name = Some(value),
            _ => {
                let expected = "principal, host, operation, resource_type and name";
                return Err(Problem::parameter(&name, &value, expected));
            }
        }
    }
    let missing = |name: &'static str| move || Problem::parameter(name, "", "a value");
    let host = host.unwrap_or(session.client.host);
    let client = Client { principal: principal.ok_or_else(missing("principal"))?, host };
    let resource = Resource {
        resource_type: resource_type.ok_or_else(missing("resource_type"))?,
        name: resource_name.as_deref().ok_or_else(missing("name"))?,
    };
    let operation = operation.ok_or_else(missing("operation"))?;
    let verdict = session.door.login.access().decide(&client, operation, resource);
    let allowed = verdict.is_allowed();
    Ok(Json(Explained { allowed, text: verdict.to_string(), verdict }))
}

/// Refuses rules that nobody would ask.
fn expect_on(session: &Session) -> Result<(), Problem> {
    let everything = Resource::CLUSTER;
    let verdict = session.door.login.access().decide(&session.client, Operation::Alter, everything);
    if verdict != Verdict::Off {
        return Ok(());
    }
    let detail = "access control is off, so that rules would change nothing; start the server \
                  with --access-control";
    Err(Problem::new(StatusCode::CONFLICT, "access-control-off", "Access control is off", detail))
}

fn filter(pairs: &[(String, String)]) -> Result<AclFilter, Problem> {
    let mut filter = AclFilter::default();
    for (name, value) in pairs {
        match name.as_str() {
            "resource_type" => filter.resource_type = Some(parse::<ResourceType>(name, value)?),
            "name" => filter.name = Some(value.clone()),
            "pattern" if value.eq_ignore_ascii_case("match") => {
                filter.pattern = PatternFilter::Match;
            }
            "pattern" => filter.pattern = PatternFilter::Of(parse::<Pattern>(name, value)?),
            "principal" => filter.principal = Some(parse::<Principal>(name, value)?),
            "host" => filter.host = Some(value.clone()),
            "operation" => filter.operation = Some(parse::<Operation>(name, value)?),
            "permission" => filter.permission = Some(parse::<Permission>(name, value)?),
            _ => return Err(Problem::parameter(name, value, format!("only {FILTERS}"))),
        }
    }
    Ok(filter)
}

fn parse<T>(name: &str, value: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    value.parse().map_err(|error: T::Err| Problem::parameter(name, value, error))
}
