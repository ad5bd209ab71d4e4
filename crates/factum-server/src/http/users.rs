//! Users that log in with a password: list, set a password, delete.

use axum::Json;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use factum_event::LogError;
use factum_event::access::{Operation, ScramMechanism, UserInfo, UserName};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::publish::body;
use super::session::Session;
use super::topics::read;
use crate::password;

const PASSWORD: &str = "{\"password\":\"…\"}, not empty and of at most 1024 bytes";

#[derive(Serialize)]
pub(super) struct Users {
    users: Vec<User>,
}

#[derive(Serialize)]
pub(super) struct User {
    name: UserName,
    mechanisms: Vec<ScramMechanism>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    password: String,
}

/// `GET /users`
pub(super) async fn list(session: Session) -> Result<Json<Users>, Problem> {
    session.expect(Operation::Describe)?;
    let user = |UserInfo { name, mechanisms }: UserInfo| User {
        name,
        mechanisms: mechanisms.into_iter().map(|(mechanism, _)| mechanism).collect(),
    };
    let users = session.door.login.access().users().into_iter().map(user).collect();
    Ok(Json(Users { users }))
}

/// `PUT /users/{user}`: creates the user, or gives it another password.
pub(super) async fn put(
    session: Session,
    Path(user): Path<String>,
    request: Request,
) -> Result<Json<User>, Problem> {
    session.expect(Operation::Alter)?;
    let name = name(&user)?;
    let body = body(&session, request).await?;
    let Password { password } = read(&body, PASSWORD)?;
    if password.is_empty() || password.len() > password::MAX_BYTES {
        let detail = format!("the password has {} bytes; expected {PASSWORD}", password.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-body", "Invalid body", detail));
    }
    let hash = move || password::of_all_mechanisms(&password);
    let no_randomness = || LogError::Storage("the system has no random bytes".to_owned());
    let set = tokio::task::spawn_blocking(hash).await;
    let set = set.ok().and_then(Result::ok).ok_or_else(no_randomness)?;
    let author = session.client.principal.to_string();
    session.door.login.access().alter_user(&author, name.clone(), set, Vec::new()).await?;
    Ok(Json(User { name, mechanisms: ScramMechanism::ALL.to_vec() }))
}

/// `DELETE /users/{user}`
pub(super) async fn delete(
    session: Session,
    Path(user): Path<String>,
) -> Result<StatusCode, Problem> {
    session.expect(Operation::Alter)?;
    let name = name(&user)?;
    let access = session.door.login.access();
    if !access.users().iter().any(|known| known.name == name) {
        let detail = format!("there is no user {name}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-user", "Unknown user", detail));
    }
    let author = session.client.principal.to_string();
    access.alter_user(&author, name, Vec::new(), ScramMechanism::ALL.to_vec()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(text: &str) -> Result<UserName, Problem> {
    text.parse().map_err(|error: factum_event::access::InvalidUserName| {
        let status = StatusCode::BAD_REQUEST;
        Problem::new(status, "invalid-user-name", "Invalid user name", error.to_string())
    })
}
