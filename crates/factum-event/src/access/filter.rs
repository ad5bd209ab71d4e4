//! Which rules somebody asks for.

use super::acl::ANY;
use super::{Acl, Operation, Pattern, Permission, Principal, ResourceType};

/// How the name in a filter is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFilter {
    /// The name of the rule, however that is meant.
    Any,
    /// The name of a resource: all rules that are about it.
    Match,
    /// The name of rules of this kind.
    Of(Pattern),
}

/// Which rules; what is none is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    /// The type of the resources.
    pub resource_type: Option<ResourceType>,
    /// A name.
    pub name: Option<String>,
    /// How it is meant.
    pub pattern: PatternFilter,
    /// Whom they are about, exactly.
    pub principal: Option<Principal>,
    /// From where, exactly.
    pub host: Option<String>,
    /// What may be done or not, exactly.
    pub operation: Option<Operation>,
    /// Which of it.
    pub permission: Option<Permission>,
}

impl Default for AclFilter {
    /// All rules.
    fn default() -> Self {
        Self {
            resource_type: None,
            name: None,
            pattern: PatternFilter::Any,
            principal: None,
            host: None,
            operation: None,
            permission: None,
        }
    }
}

impl AclFilter {
    /// The rules that are exactly this one.
    #[must_use]
    pub fn exactly(acl: &Acl) -> Self {
        Self {
            resource_type: Some(acl.resource_type),
            name: Some(acl.name.clone()),
            pattern: PatternFilter::Of(acl.pattern),
            principal: Some(acl.principal.clone()),
            host: Some(acl.host.clone()),
            operation: Some(acl.operation),
            permission: Some(acl.permission),
        }
    }

    /// Whether a rule fits.
    #[must_use]
    pub fn fits(&self, acl: &Acl) -> bool {
        fn is<T: PartialEq>(asked: Option<&T>, of: &T) -> bool {
            asked.is_none_or(|asked| asked == of)
        }
        is(self.resource_type.as_ref(), &acl.resource_type)
            && is(self.principal.as_ref(), &acl.principal)
            && is(self.host.as_ref(), &acl.host)
            && is(self.operation.as_ref(), &acl.operation)
            && is(self.permission.as_ref(), &acl.permission)
            && self.fits_name(acl)
    }

    fn fits_name(&self, acl: &Acl) -> bool {
        let is_kind = match self.pattern {
            PatternFilter::Any | PatternFilter::Match => true,
            PatternFilter::Of(pattern) => pattern == acl.pattern,
        };
        is_kind
            && self.name.as_ref().is_none_or(|name| match (self.pattern, acl.pattern) {
                (PatternFilter::Match, Pattern::Literal) => acl.name == *name || acl.name == ANY,
                (PatternFilter::Match, Pattern::Prefixed) => name.starts_with(&acl.name),
                _ => acl.name == *name,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_finds_by_name_by_kind_and_by_match() {
        let acl = |pattern, name: &str| Acl {
            resource_type: ResourceType::Topic,
            name: name.to_owned(),
            pattern,
            principal: Principal::user("alice"),
            host: ANY.to_owned(),
            operation: Operation::Read,
            permission: Permission::Allow,
        };
        let rules = [
            acl(Pattern::Literal, "foo"),
            acl(Pattern::Prefixed, "fo"),
            acl(Pattern::Literal, "*"),
            acl(Pattern::Prefixed, "foo"),
        ];
        let found = |name: Option<&str>, pattern| {
            let filter =
                AclFilter { name: name.map(str::to_owned), pattern, ..AclFilter::default() };
            rules.each_ref().map(|rule| filter.fits(rule))
        };
        assert_eq!(found(Some("foo"), PatternFilter::Any), [true, false, false, true]);
        assert_eq!(found(Some("foo"), PatternFilter::Match), [true; 4]);
        assert_eq!(
            found(Some("foo"), PatternFilter::Of(Pattern::Literal)),
            [true, false, false, false]
        );
        assert_eq!(found(None, PatternFilter::Of(Pattern::Prefixed)), [false, true, false, true]);
        for rule in &rules {
            let exactly = AclFilter::exactly(rule);
            assert_eq!(rules.iter().filter(|other| exactly.fits(other)).count(), 1);
        }
    }
}
