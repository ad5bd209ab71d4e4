//! DescribeUserScramCredentials (50): how users log in, without secrets (KIP-554).
//!
//! * Without a list, or with an empty one, all users.

use std::collections::BTreeMap;

use factum_event::access::{AccessControl, Operation, UserInfo};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

use super::text;
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
    let asked = request.users.filter(|asked| !asked.is_empty());
    let results = match asked {
        None => users.iter().map(describe).collect(),
        Some(asked) => {
            let mut times: BTreeMap<&str, usize> = BTreeMap::new();
            asked.iter().for_each(|user| *times.entry(&user.name).or_default() += 1);
            let result = |(name, times): (&str, usize)| {
                let known = users.iter().find(|user| user.name.as_str() == name);
                match known {
                    _ if times > 1 => failed(name, ErrorCode::DuplicateResource, "asked twice"),
                    Some(user) => describe(user),
                    None => failed(name, ErrorCode::ResourceNotFound, "there is no such user"),
                }
            };
            times.into_iter().map(result).collect()
        }
    };
    DescribeUserScramCredentialsResponse { results, ..Default::default() }
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
