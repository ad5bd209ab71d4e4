//! AlterUserScramCredentials (51): gives users passwords, and takes them away (KIP-554).
//!
//! * The client hashes the password; what is kept comes from that.
//! * What is wrong with one change of a user refuses all changes of that user, and no other's.

use std::collections::BTreeMap;

use factum_event::access::{AccessControl, Credential, Operation, ScramMechanism, UserName};
use factum_wire::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, ScramCredentialUpsertion,
};
use factum_wire::{ErrorCode, Str};

use super::{Refusal, access_error, text, to_its_end};
use crate::kafka::dispatch::Call;
use crate::password;

/// How often a password may be hashed, as in Kafka.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=16384;

/// The longest salt that is kept.
const MAX_SALT_BYTES: usize = 1024;

/// What is to be changed of a user, by mechanism; none is to go.
type Changes = BTreeMap<ScramMechanism, Option<Credential>>;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let may = call.may_with_cluster(Operation::Alter);
    let mut results = Vec::new();
    for (name, changes) in by_user(request) {
        let altered = match changes {
            _ if may.is_err() => {
                let reason = "ALTER of the cluster is not allowed".to_owned();
                Err((ErrorCode::ClusterAuthorizationFailed, reason))
            }
            Ok(changes) => alter(call, &name, changes).await,
            Err(refusal) => Err(refusal),
        };
        results.push(result(name, altered));
    }
    AlterUserScramCredentialsResponse { results, ..Default::default() }
}

fn by_user(request: AlterUserScramCredentialsRequest) -> BTreeMap<Str, Result<Changes, Refusal>> {
    let mut users: BTreeMap<Str, Result<Changes, Refusal>> = BTreeMap::new();
    let gone = request.deletions.into_iter().map(|gone| {
        let change = mechanism(gone.mechanism).map(|mechanism| (mechanism, None));
        (gone.name, change)
    });
    let new = request.upsertions.into_iter().map(|new| {
        let change = credential(&new).map(|(mechanism, credential)| (mechanism, Some(credential)));
        (new.name, change)
    });
    for (name, change) in gone.chain(new) {
        let changes = users.entry(name).or_insert_with(|| Ok(Changes::new()));
        let Ok(known) = changes else { continue };
        match change {
            Err(refusal) => *changes = Err(refusal),
            Ok((mechanism, _)) if known.contains_key(&mechanism) => {
                let reason = format!("{mechanism} of this user is changed twice");
                *changes = Err((ErrorCode::DuplicateResource, reason));
            }
            Ok((mechanism, credential)) => drop(known.insert(mechanism, credential)),
        }
    }
    users
}

fn mechanism(code: i8) -> Result<ScramMechanism, Refusal> {
    let unknown = || {
        let reason = format!("{code} is no mechanism; expected 1 (SHA-256) or 2 (SHA-512)");
        (ErrorCode::UnsupportedSaslMechanism, reason)
    };
    ScramMechanism::from_code(code).ok_or_else(unknown)
}

fn credential(new: &ScramCredentialUpsertion) -> Result<(ScramMechanism, Credential), Refusal> {
    let mechanism = mechanism(new.mechanism)?;
    let unacceptable = |reason: String| (ErrorCode::UnacceptableCredential, reason);
    let iterations = u32::try_from(new.iterations).unwrap_or(0);
    if !ITERATIONS.contains(&iterations) {
        let (from, to) = ITERATIONS.into_inner();
        let reason = format!("{} iterations; expected {from} to {to}", new.iterations);
        return Err(unacceptable(reason));
    }
    if new.salt.is_empty() || new.salt.len() > MAX_SALT_BYTES {
        let reason = format!("a salt of {} bytes; expected 1 to {MAX_SALT_BYTES}", new.salt.len());
        return Err(unacceptable(reason));
    }
    let (came, expected) = (new.salted_password.len(), password::hash_bytes(mechanism));
    if came != expected {
        let reason = format!("a salted password of {came} bytes; {mechanism} makes {expected}");
        return Err(unacceptable(reason));
    }
    let salt = new.salt.to_vec();
    Ok((mechanism, password::of_salted(mechanism, &new.salted_password, salt, iterations)))
}

async fn alter(call: &Call, name: &str, changes: Changes) -> Result<(), Refusal> {
    let user: UserName = name.parse().map_err(|error: factum_event::access::InvalidUserName| {
        (ErrorCode::UnacceptableCredential, error.to_string())
    })?;
    let broker = call.door.broker.clone();
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for (mechanism, credential) in changes {
        match credential {
            Some(credential) => set.push((mechanism, credential)),
            None if broker.credential(name, mechanism).is_some() => unset.push(mechanism),
            None => {
                let reason = format!("the user has no {mechanism} to delete");
                return Err((ErrorCode::ResourceNotFound, reason));
            }
        }
    }
    let author = call.caller.author();
    let altered = async move { broker.alter_user(&author, user, set, unset).await };
    to_its_end(altered).await.map_err(access_error)
}

fn result(user: Str, altered: Result<(), Refusal>) -> AlterUserScramCredentialsResult {
    let (error_code, error_message) = match altered {
        Ok(()) => (0, None),
        Err((error, reason)) => (error.code(), Some(text(reason))),
    };
    // The name is shared with the request; the answer must not keep all of it alive.
    AlterUserScramCredentialsResult { user: text(&*user), error_code, error_message }
}
