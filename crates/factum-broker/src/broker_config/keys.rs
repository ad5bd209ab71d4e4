//! The table of settings that can be changed while the broker runs: names, defaults and scopes are
//! those of Apache Kafka 4.

use crate::topic_config::{ConfigKey, ConfigKind};

/// A setting of the broker that can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerConfigKey {
    /// Its name, default, values and meaning.
    pub key: ConfigKey,
    /// Whether it is one of a broker, and none of the cluster.
    pub is_per_broker: bool,
    /// The setting of topics that it is the default of.
    pub topic: Option<&'static str>,
}

impl BrokerConfigKey {
    /// The setting of this name, if it can be changed while the broker runs.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::of_topics(name).or_else(|| {
            let idle = IDLE.iter().find(|(_, key)| key.name == name)?;
            Some(Self::idle(idle))
        })
    }

    /// All of them, by name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of_topics = TOPIC_DEFAULTS.iter().filter_map(|(name, _)| Self::of_topics(name));
        let mut all: Vec<_> = of_topics.chain(IDLE.iter().map(Self::idle)).collect();
        all.sort_by_key(|of| of.key.name);
        all
    }

    fn of_topics(name: &str) -> Option<Self> {
        let (name, topic) = TOPIC_DEFAULTS.iter().find(|(broker, _)| *broker == name)?;
        let of_topic = ConfigKey::find(topic).ok()?;
        let key = ConfigKey { name, ..*of_topic };
        Some(Self { key, is_per_broker: false, topic: Some(topic) })
    }

    fn idle((scope, key): &(Scope, ConfigKey)) -> Self {
        Self { key: *key, is_per_broker: *scope == Scope::PerBroker, topic: None }
    }
}

/// The setting of the broker that is the default of one of topics.
#[must_use]
pub fn broker_synonym(topic: &str) -> Option<&'static str> {
    TOPIC_DEFAULTS.iter().find(|(_, of)| *of == topic).map(|(name, _)| *name)
}

/// Settings of the broker, and those of topics that they are the defaults of.
const TOPIC_DEFAULTS: &[(&str, &str)] = &[
    ("compression.type", "compression.type"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.preallocate", "preallocate"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.roll.ms", "segment.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    ClusterWide,
    PerBroker,
}

const fn idle(
    scope: Scope,
    name: &'static str,
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
) -> (Scope, ConfigKey) {
    (scope, ConfigKey { name, default, kind, doc })
}

const THREADS: &str =
    "Kept, and without effect. Threads are as many as the machine has processors for.";
const CLEANER: &str =
    "Kept, and without effect. Compaction has its own settings, given when the server starts.";
const REPLICAS: &str =
    "Kept, and without effect. One machine keeps the log; nothing is replicated.";
const KERBEROS: &str = "Kept, and without effect. Nobody logs in by Kerberos here.";
const LOGIN: &str = "Kept, and without effect. The server logs in nowhere by tokens.";

const LONG_MAX: &str = "9223372036854775807";
const RATE: ConfigKind = ConfigKind::Long { min: 0 };
const COUNT: ConfigKind = ConfigKind::Int { min: 1 };
const TEXT: ConfigKind = ConfigKind::Text { max_bytes: 256 };

/// Settings of what is otherwise here, or not at all.
const IDLE: &[(Scope, ConfigKey)] = {
    use Scope::{ClusterWide, PerBroker};
    &[
        idle(ClusterWide, "background.threads", "10", COUNT, THREADS),
        idle(ClusterWide, "num.io.threads", "8", COUNT, THREADS),
        idle(ClusterWide, "num.network.threads", "3", COUNT, THREADS),
        idle(ClusterWide, "num.recovery.threads.per.data.dir", "2", COUNT, THREADS),
        idle(ClusterWide, "num.replica.fetchers", "1", COUNT, REPLICAS),
        idle(ClusterWide, "log.cleaner.backoff.ms", "15000", RATE, CLEANER),
        idle(ClusterWide, "log.cleaner.dedupe.buffer.size", "134217728", RATE, CLEANER),
        idle(ClusterWide, "log.cleaner.io.buffer.load.factor", "0.9", ConfigKind::Ratio, CLEANER),
        idle(
            ClusterWide,
            "log.cleaner.io.buffer.size",
            "524288",
            ConfigKind::Int { min: 0 },
            CLEANER,
        ),
        idle(ClusterWide, "log.cleaner.threads", "1", COUNT, CLEANER),
        idle(ClusterWide, "leader.replication.throttled.rate", LONG_MAX, RATE, REPLICAS),
        idle(ClusterWide, "follower.replication.throttled.rate", LONG_MAX, RATE, REPLICAS),
        idle(
            ClusterWide,
            "replica.alter.log.dirs.io.max.bytes.per.second",
            LONG_MAX,
            RATE,
            REPLICAS,
        ),
        idle(PerBroker, "sasl.kerberos.kinit.cmd", "/usr/bin/kinit", TEXT, KERBEROS),
        idle(PerBroker, "sasl.kerberos.min.time.before.relogin", "60000", RATE, KERBEROS),
        idle(PerBroker, "sasl.kerberos.service.name", "", TEXT, KERBEROS),
        idle(PerBroker, "sasl.kerberos.ticket.renew.jitter", "0.05", ConfigKind::Ratio, KERBEROS),
        idle(
            PerBroker,
            "sasl.kerberos.ticket.renew.window.factor",
            "0.8",
            ConfigKind::Ratio,
            KERBEROS,
        ),
        idle(PerBroker, "sasl.login.refresh.buffer.seconds", "300", COUNT, LOGIN),
        idle(PerBroker, "sasl.login.refresh.min.period.seconds", "60", COUNT, LOGIN),
        idle(PerBroker, "sasl.login.refresh.window.factor", "0.8", ConfigKind::Ratio, LOGIN),
        idle(PerBroker, "sasl.login.refresh.window.jitter", "0.05", ConfigKind::Ratio, LOGIN),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_config::TOPIC_CONFIGS;

    #[test]
    fn every_setting_is_there_once_and_takes_its_default() {
        let all = BrokerConfigKey::all();
        assert_eq!(all.len(), TOPIC_DEFAULTS.len() + IDLE.len());
        assert!(all.is_sorted_by(|a, b| a.key.name < b.key.name), "none is there twice");
        for of in all {
            assert_eq!(of.key.check(of.key.default), Ok(()), "{}", of.key.name);
            assert_eq!(BrokerConfigKey::find(of.key.name), Some(of));
        }
        assert_eq!(BrokerConfigKey::find("num.partitions"), None);
    }

    #[test]
    fn every_setting_of_topics_but_factums_own_has_its_default_at_the_broker() {
        for key in TOPIC_CONFIGS.iter().filter(|key| !key.name.starts_with("factum.")) {
            let name = broker_synonym(key.name).expect(key.name);
            assert_eq!(BrokerConfigKey::find(name).unwrap().topic, Some(key.name));
        }
    }

    #[test]
    fn what_changes_nothing_here_says_so() {
        let idle = BrokerConfigKey::all().into_iter().filter(|of| of.topic.is_none());
        for of in idle {
            assert!(of.key.doc.contains("without effect"), "{}", of.key.name);
        }
    }
}
