//! Settings of single groups (KIP-848), by Kafka's names: a fold over control events.
//!
//! A group need not exist to have them, and keeps them when it goes. They hold from the next
//! heartbeat of each member on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use factum_event::GroupName;
use parking_lot::RwLock;
use thiserror::Error;

use crate::control::{Change, GroupConfigured};
use crate::groups::{ConsumerTimes, GroupSettings};
use crate::topic_config::{
    ConfigKey, ConfigKind, Configs, Configure, Edit, InvalidConfig, difference,
};
use crate::{AdminError, Broker};

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// Settings of a group, by name; their defaults are the broker's.
const GROUP_CONFIGS: [ConfigKey; 2] = [
    ConfigKey {
        name: HEARTBEAT,
        default: "5000",
        kind: ConfigKind::Int { min: 1 },
        doc: "How long a member of the consumer protocol waits between heartbeats, in milliseconds.",
    },
    ConfigKey {
        name: SESSION,
        default: "45000",
        kind: ConfigKind::Int { min: 1 },
        doc: "How long a member of the consumer protocol may be silent, in milliseconds.",
    },
];

/// Kafka's defaults of `group.consumer.min.heartbeat.interval.ms` and `…max…`.
const HEARTBEAT_MS: (u64, u64) = (5_000, 15_000);

/// Kafka's defaults of `group.consumer.min.session.timeout.ms` and `…max…`.
const SESSION_MS: (u64, u64) = (45_000, 60_000);

/// The longest name, in bytes, of a group that can have settings: their number is bounded, and so
/// is with this what they take.
const MAX_NAME_BYTES: usize = 255;

/// A setting of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSetting {
    /// Its name, values and meaning; the default is that of Kafka.
    pub key: ConfigKey,
    /// What the group sets.
    pub own: Option<String>,
    /// What a group has that does not set it.
    pub default: String,
}

/// A change of a group's settings that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidGroupConfig {
    /// No such setting.
    #[error("Unknown group config name: {0}; known are {HEARTBEAT} and {SESSION}")]
    Unknown(String),
    /// Not a value of the setting, or not a list.
    #[error(transparent)]
    Value(#[from] InvalidConfig),
    /// Beyond what the broker allows.
    #[error("{name} is {came}; expected {min} to {max}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What came.
        came: u64,
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Nobody could stay a member.
    #[error("{SESSION} must be greater than {HEARTBEAT}, but they are {session} and {heartbeat}")]
    Order {
        /// The session timeout.
        session: u64,
        /// The heartbeat interval.
        heartbeat: u64,
    },
    /// A name that is too long.
    #[error(
        "the group's name has {came} bytes; groups with settings have {MAX_NAME_BYTES} at most"
    )]
    LongName {
        /// How many came.
        came: usize,
    },
    /// Too many groups have settings.
    #[error("{limit} groups have settings already; delete those of some first")]
    TooMany {
        /// Most groups that may.
        limit: usize,
    },
}

/// What control events say about the settings of groups.
#[derive(Debug, Default)]
pub(crate) struct GroupConfigs(RwLock<BTreeMap<GroupName, Configs>>);

impl GroupConfigs {
    /// What a group sets after a change of it.
    pub(crate) fn configured(&self, change: GroupConfigured) -> Configs {
        let GroupConfigured { group, set, unset } = change;
        let mut all = self.0.write();
        let configs = all.entry(group.clone()).or_default();
        configs.retain(|name, _| !unset.contains(name));
        configs.extend(set);
        let after = configs.clone();
        if after.is_empty() {
            all.remove(&group);
        }
        after
    }

    /// The fewest changes that lead to this state.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let all = self.0.read();
        let changes = all.iter().map(|(group, set)| {
            let (group, set) = (group.clone(), set.clone());
            Change::GroupConfigured(GroupConfigured { group, set, unset: BTreeSet::new() })
        });
        changes.collect()
    }

    fn of(&self, group: &GroupName) -> Configs {
        self.0.read().get(group).cloned().unwrap_or_default()
    }
}

impl Broker {
    /// The settings of a group, whether or not there is one of this name.
    #[must_use]
    pub fn group_settings(&self, group: &GroupName) -> Vec<GroupSetting> {
        let mut set = self.group_configs().of(group);
        let settings = &self.settings().groups;
        let setting = |key: &ConfigKey| GroupSetting {
            key: *key,
            own: set.remove(key.name),
            default: default_of(key.name, settings).as_millis().to_string(),
        };
        GROUP_CONFIGS.iter().map(setting).collect()
    }

    /// The groups that have settings of their own, by name.
    #[must_use]
    pub fn configured_groups(&self) -> Vec<GroupName> {
        self.group_configs().0.read().keys().cloned().collect()
    }

    /// Changes settings of a group, from now on; with `dry_run` only says what would come of it.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn configure_group(
        &self,
        principal: &str,
        group: &GroupName,
        configure: Configure,
        dry_run: bool,
    ) -> Result<(), AdminError> {
        let _one_at_a_time = self.changes().lock().await;
        let before = self.group_configs().of(group);
        let after = applied(configure, &before)?;
        let (set, unset) = difference(&before, &after);
        checked(&set, &after, &self.settings().groups)?;
        let came = group.as_str().len();
        if came > MAX_NAME_BYTES && !set.is_empty() {
            return Err(InvalidGroupConfig::LongName { came }.into());
        }
        let limit = self.settings().groups.max_groups;
        let is_full = self.group_configs().0.read().len() >= limit;
        if before.is_empty() && !after.is_empty() && is_full {
            return Err(InvalidGroupConfig::TooMany { limit }.into());
        }
        if dry_run || set.is_empty() && unset.is_empty() {
            return Ok(());
        }
        let configured = GroupConfigured { group: group.clone(), set, unset };
        self.change(principal, &Change::GroupConfigured(configured)).await
    }

    /// Applies a change of a group's settings that is durable.
    pub(crate) fn group_configured(&self, change: GroupConfigured) {
        let group = change.group.clone();
        let times = times(&self.group_configs().configured(change));
        self.groups().set_times(group, times);
    }
}

/// What is set after a change, with all of it known and of its type that is new: another version
/// may have known other settings, and taken other values.
fn applied(mut configure: Configure, before: &Configs) -> Result<Configs, InvalidGroupConfig> {
    let mut kept = before.clone();
    if let Configure::Edit(edits) = &mut configure {
        edits.retain(|name, edit| *edit != Edit::Unset || kept.remove(name).is_none());
    }
    let find = |name: &str| GROUP_CONFIGS.iter().find(|key| key.name == name).copied();
    let stays = |name: &str| match &configure {
        Configure::Replace(configs) => configs.get(name) == before.get(name),
        Configure::Edit(_) => false,
    };
    let unknown = |name: &&str| find(name).is_none() && !stays(name);
    if let Some(name) = configure.names().into_iter().find(unknown) {
        return Err(InvalidGroupConfig::Unknown(name.to_owned()));
    }
    let known =
        |name: &str| find(name).ok_or_else(|| InvalidConfig::Unknown { name: name.to_owned() });
    let configs = configure.applied_by(&kept, known)?;
    for (name, value) in &difference(before, &configs).0 {
        known(name)?.check(value)?;
    }
    // Of a number nothing is kept but its digits, however many spaces came with it.
    Ok(configs.into_iter().map(|(name, value)| (name, value.trim().to_owned())).collect())
}

/// Whether times that are new are within what the broker allows, and all together allow a member to
/// stay. What the broker allowed when it was set is no reason to keep it from being changed.
fn checked(
    new: &Configs,
    configs: &Configs,
    settings: &GroupSettings,
) -> Result<(), InvalidGroupConfig> {
    for (name, (min, max)) in [(HEARTBEAT, HEARTBEAT_MS), (SESSION, SESSION_MS)] {
        let Some(came) = value(new, name).map(millis) else { continue };
        // The broker's own value is always allowed, also where Kafka would not take it.
        let own = millis(default_of(name, settings));
        let (min, max) = (min.min(own), max.max(own));
        if !(min..=max).contains(&came) {
            return Err(InvalidGroupConfig::Range { name, came, min, max });
        }
    }
    let of = |name| millis(value(configs, name).unwrap_or_else(|| default_of(name, settings)));
    let (session, heartbeat) = (of(SESSION), of(HEARTBEAT));
    if !configs.is_empty() && session <= heartbeat {
        return Err(InvalidGroupConfig::Order { session, heartbeat });
    }
    Ok(())
}

fn default_of(name: &str, settings: &GroupSettings) -> Duration {
    if name == SESSION {
        settings.consumer_session_timeout
    } else {
        settings.consumer_heartbeat_interval
    }
}

fn times(configs: &Configs) -> ConsumerTimes {
    ConsumerTimes {
        session_timeout: value(configs, SESSION),
        heartbeat_interval: value(configs, HEARTBEAT),
    }
}

fn value(configs: &Configs, name: &str) -> Option<Duration> {
    let value = configs.get(name)?;
    // What another version wrote and this one does not understand is as if it was not set.
    value.parse().ok().map(Duration::from_millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use factum_event::SystemClock;
    use factum_log::disk::Disk;
    use factum_log::disk::sim::SimDisk;

    use super::*;
    use crate::BrokerSettings;
    use crate::groups::{Assignment, ConsumerHeartbeat};

    fn open(disk: &SimDisk) -> Broker {
        let clock = Arc::new(SystemClock::new());
        Broker::open(Arc::new(disk.clone()), clock, BrokerSettings::default()).unwrap().0
    }

    fn set(broker: &Broker, group: &str, pairs: &[(&str, &str)]) -> Result<(), AdminError> {
        let edit =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Edit::Set((*value).to_owned()));
        let edits = Configure::Edit(pairs.iter().map(edit).collect());
        let group = group.parse().unwrap();
        pollster::block_on(broker.configure_group("tester", &group, edits, false))
    }

    fn own(broker: &Broker, group: &str) -> Vec<Option<String>> {
        let settings = broker.group_settings(&group.parse().unwrap());
        settings.into_iter().map(|setting| setting.own).collect()
    }

    #[test]
    fn a_group_is_told_its_own_times_and_keeps_them_over_a_restart() {
        let disk = SimDisk::new(1);
        let broker = open(&disk);
        set(&broker, "billing", &[(HEARTBEAT, "6000"), (SESSION, " 50000 ")]).unwrap();
        set(&broker, "gone", &[(SESSION, "50000")]).unwrap();
        let none = Configure::Replace(Configs::new());
        let gone = "gone".parse().unwrap();
        pollster::block_on(broker.configure_group("tester", &gone, none, false)).unwrap();
        broker.close();
        drop(broker);
        for has_checkpoint in [true, false] {
            if !has_checkpoint {
                disk.remove("checkpoints/control").unwrap();
            }
            let broker = open(&disk);
            let both = [Some("6000".to_owned()), Some("50000".to_owned())];
            assert_eq!(own(&broker, "billing"), both, "checkpoint: {has_checkpoint}");
            assert_eq!(broker.configured_groups(), ["billing".parse().unwrap()]);
            assert_eq!(told(&broker, "billing"), Duration::from_secs(6));
            assert_eq!(told(&broker, "others"), Duration::from_secs(5));
            broker.close();
        }
    }

    /// How often a member that joins is told to be heard of.
    fn told(broker: &Broker, group: &str) -> Duration {
        beat(broker, group).heartbeat_interval
    }

    fn beat(broker: &Broker, group: &str) -> crate::groups::ConsumerBeat {
        let beat = ConsumerHeartbeat {
            member_id: "member".to_owned(),
            member_epoch: 0,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: Some(Duration::from_secs(60)),
            topic_names: Some(vec!["orders".to_owned()]),
            topic_regex: None,
            assignor: None,
            owned: Some(Assignment::default()),
            makes_its_id: true,
        };
        let group = group.parse().unwrap();
        broker.groups().consumer_heartbeat(Duration::ZERO, &group, beat, broker).unwrap()
    }

    #[test]
    fn a_member_may_be_silent_for_as_long_as_its_group_says_from_its_next_heartbeat_on() {
        let broker = open(&SimDisk::new(1));
        beat(&broker, "billing");
        assert_eq!(broker.groups().expire(Duration::ZERO), Some(Duration::from_secs(45)));
        set(&broker, "billing", &[(SESSION, "60000")]).unwrap();
        beat(&broker, "billing");
        let after = Duration::from_secs(45);
        assert_eq!(broker.groups().expire(after), Some(Duration::from_secs(60)));
        set(&broker, "billing", &[(SESSION, "50000")]).unwrap();
        beat(&broker, "billing");
        assert_eq!(broker.groups().next_deadline(), Some(Duration::from_secs(50)), "also earlier");
    }

    #[test]
    fn there_is_a_limit_to_groups_with_settings() {
        let groups = GroupSettings { max_groups: 1, ..Default::default() };
        let settings = BrokerSettings { groups, ..Default::default() };
        let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SystemClock::new()));
        let broker = Broker::open(disk, clock, settings).unwrap().0;
        set(&broker, "billing", &[(SESSION, "50000")]).unwrap();
        set(&broker, "billing", &[(SESSION, "51000")]).unwrap();
        let error = set(&broker, "others", &[(SESSION, "50000")]).unwrap_err().to_string();
        assert!(error.starts_with("1 groups have settings already"), "{error}");
    }

    #[test]
    fn names_of_any_characters_have_settings_and_none_that_is_too_long() {
        let broker = open(&SimDisk::new(1));
        set(&broker, "bil\u{1}ling\n", &[(SESSION, "50000")]).unwrap();
        assert_eq!(own(&broker, "bil\u{1}ling\n")[1].as_deref(), Some("50000"));
        let name = "x".repeat(MAX_NAME_BYTES);
        set(&broker, &name, &[(SESSION, "50000")]).unwrap();
        let error = set(&broker, &(name + "x"), &[(SESSION, "50000")]).unwrap_err().to_string();
        assert!(error.contains("has 256 bytes; groups with settings have 255 at most"), "{error}");
    }

    #[test]
    fn what_was_allowed_once_holds_up_no_other_change() {
        let disk = SimDisk::new(1);
        let groups = GroupSettings {
            consumer_session_timeout: Duration::from_secs(90),
            ..Default::default()
        };
        let settings = BrokerSettings { groups, ..Default::default() };
        let clock = Arc::new(SystemClock::new());
        let broker = Broker::open(Arc::new(disk.clone()), clock, settings).unwrap().0;
        set(&broker, "billing", &[(SESSION, "80000")]).unwrap();
        broker.close();
        let broker = open(&disk);
        let future = ("share.session.timeout.ms".to_owned(), "1".to_owned());
        let (group, set_there) = ("billing".parse().unwrap(), Configs::from([future.clone()]));
        let theirs = GroupConfigured { group, set: set_there, unset: BTreeSet::new() };
        pollster::block_on(broker.change("newer", &Change::GroupConfigured(theirs))).unwrap();
        set(&broker, "billing", &[(HEARTBEAT, "6000")]).unwrap();
        assert_eq!(own(&broker, "billing"), [Some("6000".to_owned()), Some("80000".to_owned())]);
        let error = set(&broker, "billing", &[(SESSION, "80001")]).unwrap_err().to_string();
        assert!(error.contains("is 80001; expected 45000 to 60000"), "{error}");
        let gone = Configure::Edit([(future.0, Edit::Unset)].into());
        let billing = "billing".parse().unwrap();
        pollster::block_on(broker.configure_group("tester", &billing, gone, false)).unwrap();
        assert_eq!(broker.group_configs().of(&billing).len(), 2);
    }

    #[test]
    fn what_a_group_cannot_have_is_refused() {
        let broker = open(&SimDisk::new(1));
        let refused: [(&[(&str, &str)], &str); 6] = [
            (&[("share.session.timeout.ms", "50000")], "Unknown group config name: share."),
            (&[(SESSION, "44999")], "timeout.ms is 44999; expected 45000 to 60000"),
            (&[(SESSION, "60001")], "timeout.ms is 60001; expected 45000 to 60000"),
            (&[(HEARTBEAT, "4999")], "interval.ms is 4999; expected 5000 to 15000"),
            (&[(SESSION, "often")], "is a whole number from 1 to 2147483647, not \"often\""),
            (&[(HEARTBEAT, "15001")], "interval.ms is 15001; expected 5000 to 15000"),
        ];
        for (pairs, expected) in refused {
            let error = set(&broker, "billing", pairs).unwrap_err().to_string();
            assert!(error.contains(expected), "{pairs:?}: {error}");
        }
        let words = Configure::Edit([(SESSION.to_owned(), Edit::Append("1".to_owned()))].into());
        assert!(applied(words, &Configs::new()).is_err(), "it is no list");
        assert_eq!(own(&broker, "billing"), [None, None]);
        // A server with a short timeout of its own allows that, and no shorter heartbeat either.
        let short = Duration::from_secs(6);
        let settings = GroupSettings { consumer_session_timeout: short, ..Default::default() };
        let of = |name: &str, value: &str| Configs::from([(name.to_owned(), value.to_owned())]);
        let checked = |new: &Configs| checked(new, new, &settings);
        assert_eq!(checked(&of(SESSION, "6000")), Ok(()));
        let order = InvalidGroupConfig::Order { session: 6000, heartbeat: 7000 };
        assert_eq!(checked(&of(HEARTBEAT, "7000")), Err(order));
    }
}
