//! Rules of access as Kafka's protocol has them.

use factum_event::access::{
    Acl, AclFilter, InvalidPrincipal, Operation, Pattern, PatternFilter, Permission, Principal,
    ResourceType,
};
use factum_wire::Str;
use factum_wire::messages::{AclCreation, DeleteAclsFilter, DescribeAclsRequest};

/// Any, in a filter, of whatever it stands for.
const ANY: i8 = 1;

/// The pattern type of a filter that finds all that is about a resource.
const MATCH: i8 = 2;

/// A rule that is to be.
///
/// # Errors
/// What was expected.
pub(super) fn created(asked: &AclCreation) -> Result<Acl, String> {
    let acl = Acl {
        resource_type: known("resource type", asked.resource_type, ResourceType::from_code)?,
        name: String::from(&*asked.resource_name),
        pattern: known("pattern type", asked.resource_pattern_type, Pattern::from_code)?,
        principal: principal(&asked.principal)?,
        host: String::from(&*asked.host),
        operation: known("operation", asked.operation, Operation::from_code)?,
        permission: known("permission type", asked.permission_type, Permission::from_code)?,
    };
    acl.check().map_err(|error| error.to_string())?;
    Ok(acl)
}

/// Which rules a filter means.
///
/// # Errors
/// What was expected.
pub(super) fn filter(asked: &DeleteAclsFilter) -> Result<AclFilter, String> {
    let owned = |text: &Option<Str>| text.as_ref().map(|text| String::from(&**text));
    let pattern = match asked.pattern_type_filter {
        ANY => PatternFilter::Any,
        MATCH => PatternFilter::Match,
        other => PatternFilter::Of(known("pattern type", other, Pattern::from_code)?),
    };
    Ok(AclFilter {
        resource_type: any_or(
            "resource type",
            asked.resource_type_filter,
            ResourceType::from_code,
        )?,
        name: owned(&asked.resource_name_filter),
        pattern,
        principal: asked.principal_filter.as_deref().map(principal).transpose()?,
        host: owned(&asked.host_filter),
        operation: any_or("operation", asked.operation, Operation::from_code)?,
        permission: any_or("permission type", asked.permission_type, Permission::from_code)?,
    })
}

/// What a description asks for is what a deletion does.
pub(super) fn as_deletion(asked: DescribeAclsRequest) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: asked.resource_type_filter,
        resource_name_filter: asked.resource_name_filter,
        pattern_type_filter: asked.pattern_type_filter,
        principal_filter: asked.principal_filter,
        host_filter: asked.host_filter,
        operation: asked.operation,
        permission_type: asked.permission_type,
    }
}

fn principal(text: &str) -> Result<Principal, String> {
    text.parse().map_err(|error: InvalidPrincipal| error.to_string())
}

fn known<T>(what: &str, code: i8, of: impl Fn(i8) -> Option<T>) -> Result<T, String> {
    of(code).ok_or_else(|| format!("{what} {code} is unknown"))
}

fn any_or<T>(what: &str, code: i8, of: impl Fn(i8) -> Option<T>) -> Result<Option<T>, String> {
    if code == ANY { Ok(None) } else { known(what, code, of).map(Some) }
}
