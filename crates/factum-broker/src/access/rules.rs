//! Rules, found by what they are about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use factum_event::access::{
    Acl, CLUSTER_NAME, Client, Operation, Pattern, Permission, Resource, ResourceType,
};

/// Every name, in a literal rule.
const ANY: &str = "*";

/// All rules. Of those with one name, those that deny come first.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: BTreeSet<Acl>,
    by_name: HashMap<(ResourceType, Pattern), BTreeMap<String, Vec<Acl>>>,
}

impl Rules {
    pub(super) fn insert(&mut self, acl: Acl) {
        if !self.all.insert(acl.clone()) {
            return;
        }
        let names = self.by_name.entry((acl.resource_type, acl.pattern)).or_default();
        let rules = names.entry(acl.name.clone()).or_default();
        let at = match acl.permission {
            Permission::Deny => 0,
            Permission::Allow => rules.len(),
        };
        rules.insert(at, acl);
    }

    pub(super) fn remove(&mut self, acl: &Acl) {
        if !self.all.remove(acl) {
            return;
        }
        let Some(names) = self.by_name.get_mut(&(acl.resource_type, acl.pattern)) else { return };
        if let Some(rules) = names.get_mut(&acl.name) {
            rules.retain(|rule| rule != acl);
            if rules.is_empty() {
                names.remove(&acl.name);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, acl: &Acl) -> bool {
        self.all.contains(acl)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Acl> {
        self.all.iter()
    }

    /// The rule that decides: the first that denies, or else the first that allows.
    pub(super) fn about(
        &self,
        client: &Client,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Option<&Acl> {
        let mut allowing = None;
        for acl in self.named_like(resource).into_iter().flatten() {
            if !acl.is_about(resource) || !acl.is_about_client(client, operation) {
                continue;
            }
            match acl.permission {
                Permission::Deny => return Some(acl),
                Permission::Allow => allowing = allowing.or(Some(acl)),
            }
        }
        allowing
    }

    /// Whether any rule is about a resource, of whomever it speaks.
    pub(super) fn have_any_about(&self, resource: Resource<'_>) -> bool {
        !self.named_like(resource).is_empty()
    }

    /// Whether there can be a resource of a type that no rule is about. Kafka tries the name
    /// `hardcode`; here any name will do.
    pub(super) fn leave_some_open(&self, resource_type: ResourceType) -> bool {
        let everything = if resource_type == ResourceType::Cluster { CLUSTER_NAME } else { ANY };
        let names = self.by_name.get(&(resource_type, Pattern::Literal));
        !names.is_some_and(|names| names.contains_key(everything) || names.contains_key(ANY))
    }

    /// The rules whose names may be about a resource, by name.
    fn named_like(&self, resource: Resource<'_>) -> Vec<&Vec<Acl>> {
        let Resource { resource_type, name } = resource;
        let mut found = Vec::new();
        if let Some(names) = self.by_name.get(&(resource_type, Pattern::Literal)) {
            found.extend([name, ANY].iter().filter_map(|name| names.get(*name)));
        }
        let prefixed = self.by_name.get(&(resource_type, Pattern::Prefixed));
        if let Some(names) = prefixed.filter(|names| !names.is_empty()) {
            let prefixes = name.char_indices().map(|(at, char)| &name[..at + char.len_utf8()]);
            found.extend(prefixes.filter_map(|prefix| names.get(prefix)));
        }
        found
    }

    /// Whether there can be a resource of a type with which a client may do something: a rule
    /// allows it that no other makes void.
    pub(super) fn allow_any(
        &self,
        client: &Client,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        let theirs = |acl: &&Acl| {
            acl.resource_type == resource_type && acl.is_about_client(client, operation)
        };
        let (allowing, denying): (Vec<_>, Vec<_>) =
            self.all.iter().filter(theirs).partition(|acl| acl.permission == Permission::Allow);
        allowing.iter().any(|acl| !denying.iter().any(|deny| makes_void(deny, acl)))
    }
}

/// Whether everything that `allow` is about is denied by `deny`.
fn makes_void(deny: &Acl, allow: &Acl) -> bool {
    match (deny.pattern, allow.pattern) {
        (Pattern::Literal, _) if deny.name == ANY => true,
        (Pattern::Literal, Pattern::Literal) => deny.name == allow.name,
        (Pattern::Prefixed, _) if allow.name != ANY || allow.pattern == Pattern::Prefixed => {
            allow.name.starts_with(&deny.name)
        }
        _ => false,
    }
}
