//! The assignors of the coordinator: who is to have which partitions.

mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factum_event::TopicId;

use super::Assignment;
use crate::groups::GroupError;

/// Topics that a member subscribes to; members that subscribe to the same share them.
pub(super) type Topics = Arc<BTreeSet<TopicId>>;

/// How many partitions each topic has.
pub(super) type Counts = BTreeMap<TopicId, i32>;

/// A way to assign partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) enum Assignor {
    /// As many partitions for each, and as few moves as possible.
    #[default]
    Uniform,
    /// Of each topic a range for each.
    Range,
}

/// A member that is to get partitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) member_id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    pub(super) topics: &'a Topics,
    /// What it was to have until now.
    pub(super) has: &'a Assignment,
}

impl Assignor {
    pub(super) fn by_name(name: &str) -> Result<Self, GroupError> {
        let known = [Self::Uniform, Self::Range].into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| GroupError::UnsupportedAssignor(name.to_owned()))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member is to have, in the order of the members. Every partition that somebody
    /// subscribes to has exactly one owner, who subscribes to it.
    pub(super) fn assign(self, members: &[Candidate<'_>], counts: &Counts) -> Vec<Assignment> {
        match self {
            Self::Uniform => uniform::assign(members, counts),
            Self::Range => range::assign(members, counts),
        }
    }
}

/// The members that subscribe to each topic, by their places.
fn subscribers(members: &[Candidate<'_>]) -> BTreeMap<TopicId, Vec<usize>> {
    let mut subscribers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        for topic in member.topics.iter() {
            subscribers.entry(*topic).or_default().push(place);
        }
    }
    subscribers
}
