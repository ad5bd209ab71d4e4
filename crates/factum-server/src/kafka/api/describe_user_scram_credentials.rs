//! DescribeUserScramCredentials (50): how users log in, without secrets (KIP-554).
//!
//! * Without a list, or with an empty one, all users.

use std::collections::{BTreeMap, HashMap};

use factum_event::access::{AccessControl, Operation, UserInfo};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, UserName,
};

use super::{text, times};
use crate::kafka::dispatch::Call;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    if let Err(refused) = call.may_with_cluster(Operation::Describe) {
        let error_code = refused.code();
        return DescribeUserScramCredentialsResponse { error_code, ..Default::default() };
    }
    let users = call.door.broker.users();
    let results = match request.users.filter(|asked| !asked.is_empty()) {
        None => users.iter().map(describe).collect(),
        Some(asked) => describe_named(&users, &asked),
    };
    DescribeUserScramCredentialsResponse { results, ..Default::default() }
}

fn describe_named(
    users: &[UserInfo],
    asked: &[UserName],
) -> Vec<DescribeUserScramCredentialsResult> {
    let known: HashMap<&str, &UserInfo> =
        users.iter().map(|user| (user.name.as_str(), user)).collect();
    let times: BTreeMap<&str, usize> =
        times(asked.iter().map(|user| &*user.name)).into_iter().collect();
    let result = |(name, times): (&str, usize)| match known.get(name) {
        _ if times > 1 => failed(name, ErrorCode::DuplicateResource, "asked twice"),
        Some(user) => describe(user),
        None => failed(name, ErrorCode::ResourceNotFound, "there is no such user"),
    };
    times.into_iter().map(result).collect()
}

fn describe(user: &UserInfo) -> DescribeUserScramCredentialsResult {
    let infos = user.mechanisms.iter().map(|(mechanism, iterations)| CredentialInfo {
        mechanism: mechanism.code(),
        iterations: i32::try_from(*iterations).unwrap_or(i32::MAX),
    });
    DescribeUserScramCredentialsResult {
        user: text(user.name.as_str()),
        credential_infos: infos.collect(),
        ..Default::default()
    }
}

fn failed(name: &str, error: ErrorCode, reason: &str) -> DescribeUserScramCredentialsResult {
    DescribeUserScramCredentialsResult {
        user: text(name),
        error_code: error.code(),
        error_message: Some(text(reason)),
        ..Default::default()
    }
}
