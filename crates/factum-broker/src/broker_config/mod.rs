//! Settings of the broker that are changed while it runs, by Kafka's names: a fold over control
//! events.
//!
//! They are set for the cluster, or for this broker, which beats that. Those that topics have too
//! hold for every topic that does not set its own, but never for Factum's own topics. What cannot
//! be changed while the broker runs is refused, and so is what would promise something that is
//! given when it starts (listeners, certificates, logins, limits of connections).

mod keys;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use factum_event::TopicName;

use crate::control::Change;
use crate::topic::Topic;
use crate::topic_config::{
    ConfigKey, Configs, Configure, Edit, InvalidConfig, TopicSettings, difference, over,
};
use crate::{AdminError, Broker};

pub use keys::{BrokerConfigKey, broker_synonym};

/// The longest value, in bytes. There are no more values than settings in the table.
const MAX_VALUE_BYTES: usize = 1024;

/// For whom a setting of the broker is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerScope {
    /// For all brokers of the cluster.
    Cluster,
    /// For this broker.
    Broker,
}

/// Settings of the broker that were changed while it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DynamicConfigs {
    /// For all brokers of the cluster.
    pub cluster: Configs,
    /// For this broker.
    pub broker: Configs,
}

/// Where a value comes from, the one that beats the others first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueSource {
    /// The topic sets it.
    Topic,
    /// It was set for this broker while it ran.
    Broker,
    /// It was set for all brokers of the cluster while they ran.
    Cluster,
    /// Nobody has set it.
    Default,
}

/// A value of a setting, with the name under which it is given there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenValue {
    /// Where.
    pub source: ValueSource,
    /// The name of the setting there.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

/// A change of the broker's settings that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidBrokerConfig {
    /// They are given when the broker starts, or there are none of these names.
    #[error(
        "Cannot update these configs dynamically: Set({}); they are given when the server starts, \
         or are none of its settings", .0.join(", ")
    )]
    NotDynamic(Vec<String>),
    /// They belong to one broker.
    #[error(
        "Cannot update these configs at default cluster level, broker id must be specified: Set({})",
        .0.join(", ")
    )]
    OfOneBroker(Vec<String>),
    /// A value that the setting does not take.
    #[error("Invalid value for configuration: {0}")]
    Value(InvalidConfig),
    /// A value that is too long.
    #[error("{name} has {came} bytes; expected {MAX_VALUE_BYTES} at most")]
    TooLong {
        /// The setting.
        name: &'static str,
        /// How many came.
        came: usize,
    },
    /// A list was to be edited that is none.
    #[error(transparent)]
    Edit(InvalidConfig),
    /// A topic could not have them as its defaults.
    #[error("{topic} cannot have them as its defaults: {source}; change its settings first")]
    Topic {
        /// The topic.
        topic: TopicName,
        /// Why.
        source: InvalidConfig,
    },
}

impl DynamicConfigs {
    /// What topics have that do not set it themselves, by the names of topics' settings. What
    /// another version wrote and this one does not understand is as if it was not set.
    #[must_use]
    pub fn topic_defaults(&self) -> Configs {
        let mut defaults = self.taken_defaults();
        // Topics that it is the default of would fall back to keeping everything.
        if let Err(error) = TopicSettings::parse(&defaults) {
            tracing::warn!("{error}: topics have neither of the broker's settings");
            if let InvalidConfig::Order { smaller, larger, .. } = error {
                defaults.retain(|name, _| name != smaller && name != larger);
            }
        }
        defaults
    }

    /// As [`topic_defaults`](Self::topic_defaults), also where two of them contradict each other.
    fn taken_defaults(&self) -> Configs {
        let taken = |configs: &Configs| -> Configs {
            let of_topics = configs.iter().filter_map(|(name, value)| {
                let BrokerConfigKey { key, topic, .. } = BrokerConfigKey::find(name)?;
                let topic = topic?.to_owned();
                match key.check(value) {
                    Ok(()) => Some((topic, value.clone())),
                    Err(error) => {
                        tracing::warn!("{error}: topics do not have this setting of the broker");
                        None
                    }
                }
            });
            of_topics.collect()
        };
        over(&taken(&self.cluster), &taken(&self.broker))
    }

    /// All values of a setting of the broker; the first one holds.
    #[must_use]
    pub fn values(&self, key: &ConfigKey) -> Vec<GivenValue> {
        let given =
            |source, value: &str| GivenValue { source, name: key.name, value: value.to_owned() };
        let set = [(ValueSource::Broker, &self.broker), (ValueSource::Cluster, &self.cluster)];
        let mut values: Vec<_> = set
            .iter()
            .filter_map(|(source, configs)| Some(given(*source, configs.get(key.name)?)))
            .collect();
        values.push(given(ValueSource::Default, key.default));
        values
    }

    /// All values of a setting of a topic; the first one holds.
    #[must_use]
    pub fn values_of_topic(&self, topic: &Topic, key: &ConfigKey) -> Vec<GivenValue> {
        let own = topic.configs.get(key.name).map(|value| GivenValue {
            source: ValueSource::Topic,
            name: key.name,
            value: value.clone(),
        });
        let name = broker_synonym(key.name).unwrap_or(key.name);
        let at_broker = ConfigKey { name, ..*key };
        let none = Self::default();
        let below = if topic.name.is_internal() { &none } else { self }.values(&at_broker);
        let taken = |given: &GivenValue| key.check(&given.value).is_ok();
        own.into_iter().chain(below.into_iter().filter(taken)).collect()
    }

    fn of(&self, scope: BrokerScope) -> &Configs {
        match scope {
            BrokerScope::Cluster => &self.cluster,
            BrokerScope::Broker => &self.broker,
        }
    }

    fn of_mut(&mut self, scope: BrokerScope) -> &mut Configs {
        match scope {
            BrokerScope::Cluster => &mut self.cluster,
            BrokerScope::Broker => &mut self.broker,
        }
    }
}

/// What control events say about the broker's settings.
#[derive(Debug, Default)]
pub(crate) struct BrokerConfigs(RwLock<DynamicConfigs>);

impl BrokerConfigs {
    pub(crate) fn current(&self) -> DynamicConfigs {
        self.0.read().clone()
    }

    pub(crate) fn configured(
        &self,
        scope: BrokerScope,
        set: Configs,
        unset: &BTreeSet<String>,
    ) -> DynamicConfigs {
        let mut all = self.0.write();
        let configs = all.of_mut(scope);
        configs.retain(|name, _| !unset.contains(name));
        configs.extend(set);
        all.clone()
    }

    /// The fewest changes that lead to this state.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let all = self.0.read();
        let changes = [BrokerScope::Cluster, BrokerScope::Broker].into_iter().map(|scope| {
            let set = all.of(scope).clone();
            Change::BrokerConfigured { scope, set, unset: BTreeSet::new() }
        });
        let is_any = |change: &Change| matches!(change, Change::BrokerConfigured { set, .. } if !set.is_empty());
        changes.filter(is_any).collect()
    }
}

impl Broker {
    /// Settings of the broker that were changed while it ran.
    #[must_use]
    pub fn dynamic_configs(&self) -> DynamicConfigs {
        self.broker_configs().current()
    }

    /// Changes settings of the broker, from now on; with `dry_run` only says what would come of
    /// it.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn configure_broker(
        &self,
        principal: &str,
        scope: BrokerScope,
        configure: Configure,
        dry_run: bool,
    ) -> Result<(), AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let held = self.dynamic_configs();
        let before = held.of(scope);
        let configs = applied(scope, configure, before)?;
        let (set, unset) = difference(before, &configs);
        let mut after = held.clone();
        *after.of_mut(scope) = configs;
        agree(&held, &after)?;
        self.fits_all_topics(&after.topic_defaults())?;
        if dry_run || set.is_empty() && unset.is_empty() {
            return Ok(());
        }
        self.change(principal, &Change::BrokerConfigured { scope, set, unset }).await
    }

    /// Whether every topic can have these defaults.
    fn fits_all_topics(&self, defaults: &Configs) -> Result<(), InvalidBrokerConfig> {
        for topic in self.all_topics().iter().filter(|topic| !topic.name.is_internal()) {
            // What another version wrote is not for this one to judge.
            let was_understood =
                TopicSettings::parse(&over(&self.topics().defaults(), &topic.configs));
            if let Err(source) = TopicSettings::parse(&over(defaults, &topic.configs))
                && was_understood.is_ok()
            {
                let topic = topic.name.clone();
                return Err(InvalidBrokerConfig::Topic { topic, source });
            }
        }
        Ok(())
    }
}

/// Whether the defaults of topics contradict each other no more than they did before.
fn agree(held: &DynamicConfigs, after: &DynamicConfigs) -> Result<(), InvalidBrokerConfig> {
    let contradiction = |of: &DynamicConfigs| TopicSettings::parse(&of.taken_defaults()).err();
    match contradiction(after) {
        // What another version wrote must not keep all else from being changed.
        Some(error) if contradiction(held).as_ref() != Some(&error) => {
            Err(InvalidBrokerConfig::Value(error))
        }
        _ => Ok(()),
    }
}

/// What is set after a change, with all of it checked that is new: another version may have known
/// other settings, and taken other values.
fn applied(
    scope: BrokerScope,
    mut configure: Configure,
    before: &Configs,
) -> Result<Configs, InvalidBrokerConfig> {
    let mut kept = before.clone();
    if let Configure::Edit(edits) = &mut configure {
        edits.retain(|name, edit| *edit != Edit::Unset || kept.remove(name).is_none());
    }
    may_be_changed(scope, &configure, before)?;
    let find = |name: &str| {
        let unknown = || InvalidConfig::Unknown { name: name.to_owned() };
        BrokerConfigKey::find(name).map(|of| of.key).ok_or_else(unknown)
    };
    let configs = configure.applied_by(&kept, find).map_err(InvalidBrokerConfig::Edit)?;
    for (name, value) in &difference(before, &configs).0 {
        let key = find(name).map_err(InvalidBrokerConfig::Edit)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(InvalidBrokerConfig::TooLong { name: key.name, came: value.len() });
        }
        key.check(value).map_err(InvalidBrokerConfig::Value)?;
    }
    Ok(configs)
}

/// Whether settings that are named can be changed while the broker runs, and for whom they are.
fn may_be_changed(
    scope: BrokerScope,
    configure: &Configure,
    before: &Configs,
) -> Result<(), InvalidBrokerConfig> {
    let stays = |name: &str| match configure {
        Configure::Replace(configs) => configs.get(name) == before.get(name),
        Configure::Edit(_) => false,
    };
    let named = configure.names().into_iter().filter(|name| !stays(name));
    let named: Vec<_> = named.map(|name| (name, BrokerConfigKey::find(name))).collect();
    let those = |wanted: fn(&Option<BrokerConfigKey>) -> bool| -> Vec<String> {
        let found = named.iter().filter(|(_, key)| wanted(key));
        found.map(|(name, _)| (*name).to_owned()).collect()
    };
    let fixed = those(Option::is_none);
    if !fixed.is_empty() {
        return Err(InvalidBrokerConfig::NotDynamic(fixed));
    }
    let of_one = those(|key| key.is_some_and(|key| key.is_per_broker));
    if scope == BrokerScope::Cluster && !of_one.is_empty() {
        return Err(InvalidBrokerConfig::OfOneBroker(of_one));
    }
    Ok(())
}
