//! Which topics there may and must be, with which settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factum_broker::topic_config::Configs;
use factum_broker::{Topic, TopicSettings};
use factum_event::{Offset, Partition, TopicId, TopicName};

use super::policy::Policy;
use crate::Violation;

/// A topic that exists.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
    pub(crate) configs: Configs,
}

/// A change that somebody asked for.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create { partitions: u32, configs: Configs },
    Grow { partitions: u32 },
    Configure { configs: Configs },
    Delete,
}

/// What is known of a name.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) now: Option<Existing>,
    /// Asked for, and not answered, or not with certainty: the next opening tells.
    pub(crate) open: Option<Change>,
    pub(crate) policy: Policy,
    /// Cuts that somebody waits for: a request that is slow may be for the next topic of the name.
    pub(crate) cuts: Vec<(Partition, (Offset, Offset))>,
}

/// All names that topics get, and the identities of those that are gone.
pub(crate) struct TopicModels {
    pub(crate) named: BTreeMap<TopicName, Named>,
    pub(crate) gone: BTreeSet<TopicId>,
}

impl TopicModels {
    pub(crate) fn new(names: &[&str]) -> Self {
        let named = names.iter().filter_map(|name| TopicName::new(name).ok());
        Self { named: named.map(|name| (name, Named::default())).collect(), gone: BTreeSet::new() }
    }

    /// The name and what is known of a topic.
    pub(crate) fn by_id(&self, id: TopicId) -> Option<(&TopicName, &Named)> {
        let has = |named: &Named| named.now.as_ref().is_some_and(|topic| topic.id == id);
        self.named.iter().find(|(_, named)| has(named))
    }
}

impl Named {
    /// Somebody asks for a change.
    pub(crate) fn ask(&mut self, change: Change) {
        match &change {
            Change::Create { configs, .. } => {
                self.policy = Policy::default();
                self.note(configs);
            }
            Change::Configure { configs } => self.note(configs),
            Change::Grow { .. } | Change::Delete => {}
        }
        self.open = Some(change);
    }

    fn note(&mut self, configs: &Configs) {
        self.policy.note(&TopicSettings::of_existing(configs));
    }

    /// Whether a topic, or none, is what there is now, or what was asked for.
    pub(crate) fn check(&self, found: Option<&Arc<Topic>>) -> Result<(), Violation> {
        if is_same(self.now.as_ref(), found) || self.open.is_some() && self.is_changed(found) {
            return Ok(());
        }
        let (now, open) = (&self.now, &self.open);
        Err(format!("there is {found:?}, expected was {now:?}, perhaps changed by {open:?}"))
    }

    /// Whether a topic is what was asked for.
    fn is_changed(&self, found: Option<&Arc<Topic>>) -> bool {
        match (&self.open, &self.now, found) {
            (Some(Change::Create { partitions, configs }), None, Some(found)) => {
                found.partition_count() == *partitions && found.configs == *configs
            }
            (Some(Change::Grow { partitions }), Some(now), Some(_)) => {
                is_same(Some(&Existing { partitions: *partitions, ..now.clone() }), found)
            }
            (Some(Change::Configure { configs }), Some(now), Some(_)) => {
                is_same(Some(&Existing { configs: configs.clone(), ..now.clone() }), found)
            }
            (Some(Change::Delete), Some(_), None) => true,
            _ => false,
        }
    }
}

fn is_same(expected: Option<&Existing>, found: Option<&Arc<Topic>>) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some(expected), Some(found)) => {
            expected.id == found.id
                && expected.partitions == found.partition_count()
                && expected.configs == found.configs
        }
        _ => false,
    }
}

impl From<&Topic> for Existing {
    fn from(topic: &Topic) -> Self {
        let partitions = topic.partition_count();
        Self { id: topic.id, partitions, configs: topic.configs.clone() }
    }
}
