//! Settings of the broker hold for topics that do not set their own, survive a restart with and
//! without a checkpoint, and are refused where they would promise what is not kept.

use std::sync::Arc;

use factum_event::log::{NewTopic, SettingSource};
use factum_event::{EventLog, SystemClock};
use factum_log::disk::sim::SimDisk;

use super::*;
use crate::BrokerSettings;

fn open(disk: &SimDisk) -> Broker {
    let clock = Arc::new(SystemClock::new());
    Broker::open(Arc::new(disk.clone()), clock, BrokerSettings::default()).unwrap().0
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn configs(pairs: Pairs<'_>) -> Configs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(broker: &Broker, scope: BrokerScope, pairs: &[(&str, &str)]) -> Result<(), AdminError> {
    let edits = configs(pairs).into_iter().map(|(name, value)| (name, Edit::Set(value)));
    let edits = Configure::Edit(edits.collect());
    pollster::block_on(broker.configure_broker("tester", scope, edits, false))
}

fn unset(broker: &Broker, scope: BrokerScope, name: &str) {
    let edits = Configure::Edit([(name.to_owned(), Edit::Unset)].into());
    pollster::block_on(broker.configure_broker("tester", scope, edits, false)).unwrap();
}

fn create(broker: &Broker, name: &str, pairs: &[(&str, &str)]) {
    let new = NewTopic { configs: configs(pairs), ..NewTopic::named(name.parse().unwrap()) };
    pollster::block_on(EventLog::create_topic(broker, new)).unwrap();
}

fn retention_ms(broker: &Broker, topic: &str) -> Option<u64> {
    broker.topic(topic).unwrap().settings.retention_ms
}

const WEEK: Option<u64> = Some(7 * 24 * 3_600_000);

#[test]
fn topics_have_the_brokers_value_of_what_they_do_not_set() {
    use BrokerScope::{Broker as This, Cluster};
    let broker = open(&SimDisk::new(1));
    create(&broker, "orders", &[]);
    create(&broker, "own", &[("retention.ms", "5")]);
    set(&broker, Cluster, &[("log.retention.ms", "7"), ("log.cleanup.policy", "compact")]).unwrap();
    create(&broker, "later", &[]);
    let held = |name| retention_ms(&broker, name);
    assert_eq!([held("orders"), held("own"), held("later")], [Some(7), Some(5), Some(7)]);
    assert!(broker.topic("own").unwrap().settings.cleanup.compact);
    set(&broker, This, &[("log.retention.ms", "9")]).unwrap();
    assert_eq!([held("orders"), held("own")], [Some(9), Some(5)], "this broker's beats that");
    unset(&broker, This, "log.retention.ms");
    assert_eq!(held("orders"), Some(7));
    unset(&broker, Cluster, "log.retention.ms");
    assert_eq!([held("orders"), held("own"), held("later")], [WEEK, Some(5), WEEK]);
}

#[test]
fn factums_own_topics_keep_their_settings() {
    let broker = open(&SimDisk::new(1));
    let own = ["__factum_control", "__factum_offsets", "__factum_transactions"];
    let before = own.map(|name| broker.topic(name).unwrap().settings.clone());
    let all = [("log.cleanup.policy", "compact,delete"), ("message.max.bytes", "1")];
    set(&broker, BrokerScope::Broker, &all).unwrap();
    assert_eq!(own.map(|name| broker.topic(name).unwrap().settings.clone()), before);
    let topic = broker.topic(own[0]).unwrap();
    let key = ConfigKey::find("cleanup.policy").unwrap();
    assert_eq!(broker.dynamic_configs().values_of_topic(&topic, key)[0].value, "delete");
}

#[test]
fn they_survive_with_and_without_a_checkpoint() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    create(&broker, "orders", &[]);
    let relogin = ("sasl.kerberos.min.time.before.relogin", "58000");
    set(&broker, BrokerScope::Broker, &[("log.retention.ms", "9"), relogin]).unwrap();
    set(&broker, BrokerScope::Cluster, &[("log.flush.interval.messages", "1")]).unwrap();
    set(&broker, BrokerScope::Cluster, &[("log.roll.ms", "4")]).unwrap();
    unset(&broker, BrokerScope::Cluster, "log.roll.ms");
    let expected = DynamicConfigs {
        cluster: configs(&[("log.flush.interval.messages", "1")]),
        broker: configs(&[("log.retention.ms", "9"), relogin]),
    };
    assert_eq!(broker.dynamic_configs(), expected);
    broker.close();
    drop(broker);
    for has_checkpoint in [true, false] {
        if !has_checkpoint {
            factum_log::disk::Disk::remove(&disk, "checkpoints/control").unwrap();
        }
        let broker = open(&disk);
        assert_eq!(broker.dynamic_configs(), expected, "checkpoint: {has_checkpoint}");
        assert_eq!(retention_ms(&broker, "orders"), Some(9), "checkpoint: {has_checkpoint}");
        broker.close();
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    use BrokerScope::{Broker as This, Cluster};
    let broker = open(&SimDisk::new(1));
    let long = " ".repeat(MAX_VALUE_BYTES) + "1";
    let refused: [(BrokerScope, Pairs<'_>, &str); 9] = [
        (This, &[("num.partitions", "3")], "Cannot update these configs dynamically: Set(num.part"),
        (This, &[("no.such", "1"), ("log.roll.ms", "5")], "dynamically: Set(no.such)"),
        (This, &[("ssl.keystore.location", "/x")], "dynamically: Set(ssl.keystore.location)"),
        (
            Cluster,
            &[("sasl.kerberos.min.time.before.relogin", "5")],
            "Cannot update these configs at default cluster level, broker id must be specified: \
             Set(sasl.kerberos.min.time.before.relogin)",
        ),
        (
            Cluster,
            &[("log.retention.ms", "a week")],
            "for configuration: log.retention.ms is a whole",
        ),
        (This, &[("min.insync.replicas", "2")], "always \"1\" in this version, not \"2\""),
        (This, &[("background.threads", "0")], "background.threads is a whole number from 1"),
        (This, &[("log.roll.ms", &long)], "log.roll.ms has 1025 bytes; expected 1024 at most"),
        (
            Cluster,
            &[
                ("log.cleaner.min.compaction.lag.ms", "6"),
                ("log.cleaner.max.compaction.lag.ms", "5"),
            ],
            "min.compaction.lag.ms is 6, which is more than max.compaction.lag.ms, which is 5",
        ),
    ];
    for (scope, pairs, expected) in refused {
        let error = set(&broker, scope, pairs).unwrap_err().to_string();
        assert!(error.contains(expected), "{pairs:?}: {error}");
    }
    let append = Edit::Append("1".to_owned());
    let edits = Configure::Edit([("log.retention.ms".to_owned(), append)].into());
    let edited = pollster::block_on(broker.configure_broker("tester", This, edits, false));
    assert!(edited.unwrap_err().to_string().contains("is no list"));
    assert_eq!(broker.dynamic_configs(), DynamicConfigs::default());
}

#[test]
fn a_topic_is_not_made_to_contradict_itself() {
    let broker = open(&SimDisk::new(1));
    create(&broker, "orders", &[("min.compaction.lag.ms", "10")]);
    let lag = |ms| [("log.cleaner.max.compaction.lag.ms", ms)];
    let error = set(&broker, BrokerScope::Cluster, &lag("9")).unwrap_err().to_string();
    assert!(
        error.starts_with("orders cannot have them as its defaults: min.compaction"),
        "{error}"
    );
    set(&broker, BrokerScope::Cluster, &lag("10")).unwrap();
    let edits = Edit::Set("11".to_owned());
    let edits = Configure::Edit([("min.compaction.lag.ms".to_owned(), edits)].into());
    let orders = "orders".parse().unwrap();
    let refused = pollster::block_on(broker.configure_topic("tester", &orders, edits, false));
    assert!(refused.is_err(), "nor does it do so itself");
}

#[test]
fn lists_are_edited_a_dry_run_changes_nothing_and_a_replacement_everything() {
    let broker = open(&SimDisk::new(1));
    let change = |configure, dry_run| {
        let scope = BrokerScope::Broker;
        pollster::block_on(broker.configure_broker("tester", scope, configure, dry_run)).unwrap();
        broker.dynamic_configs().broker
    };
    let policy = |edit| Configure::Edit([("log.cleanup.policy".to_owned(), edit)].into());
    let append = || policy(Edit::Append("compact".to_owned()));
    assert_eq!(change(append(), true), configs(&[]));
    assert_eq!(change(append(), false), configs(&[("log.cleanup.policy", "delete,compact")]));
    let subtract = policy(Edit::Subtract("compact".to_owned()));
    assert_eq!(change(subtract, false), configs(&[("log.cleanup.policy", "delete")]));
    let others = configs(&[("num.io.threads", "9")]);
    assert_eq!(change(Configure::Replace(others.clone()), false), others);
}

#[test]
fn who_describes_a_topic_is_told_whose_value_it_has() {
    let broker = open(&SimDisk::new(1));
    create(&broker, "orders", &[("segment.ms", "5")]);
    set(&broker, BrokerScope::Cluster, &[("log.retention.ms", "7"), ("log.roll.ms", "8")]).unwrap();
    let orders = "orders".parse().unwrap();
    let settings = pollster::block_on(broker.topic_settings(&orders)).unwrap();
    let found = |name: &str| {
        let setting = settings.iter().find(|setting| setting.name == name).unwrap();
        (setting.value.clone(), setting.source)
    };
    assert_eq!(found("segment.ms"), ("5".to_owned(), SettingSource::Topic));
    assert_eq!(found("retention.ms"), ("7".to_owned(), SettingSource::Broker));
    assert_eq!(found("retention.bytes"), ("-1".to_owned(), SettingSource::Default));
    let topic = broker.topic("orders").unwrap();
    let key = ConfigKey::find("segment.ms").unwrap();
    let values = broker.dynamic_configs().values_of_topic(&topic, key);
    let values: Vec<_> = values.iter().map(|given| (given.name, &*given.value)).collect();
    assert_eq!(values, [("segment.ms", "5"), ("log.roll.ms", "8"), ("log.roll.ms", "604800000")]);
}

/// What only another version could have written.
fn written(broker: &Broker, scope: BrokerScope, pairs: Pairs<'_>) {
    let set = configs(pairs);
    let change = Change::BrokerConfigured { scope, set, unset: BTreeSet::new() };
    pollster::block_on(broker.change("newer", &change)).unwrap();
}

#[test]
fn what_another_version_wrote_holds_up_no_change_and_can_go() {
    use BrokerScope::Cluster;
    let broker = open(&SimDisk::new(1));
    let theirs = [("from.the.future", "1"), ("log.roll.ms", "soon")];
    written(&broker, Cluster, &theirs);
    set(&broker, Cluster, &[("log.retention.ms", "7")]).unwrap();
    let all = [theirs[0], ("log.retention.ms", "8"), theirs[1]];
    let replace = |configs| {
        let replaced = Configure::Replace(configs);
        pollster::block_on(broker.configure_broker("tester", Cluster, replaced, false))
    };
    replace(configs(&all)).unwrap();
    assert_eq!(broker.dynamic_configs().cluster, configs(&all), "what stays is not judged");
    let other = [("from.the.future", "2")];
    assert!(replace(configs(&other)).is_err() && set(&broker, Cluster, &other).is_err());
    unset(&broker, Cluster, "from.the.future");
    unset(&broker, Cluster, "log.roll.ms");
    assert_eq!(broker.dynamic_configs().cluster, configs(&[("log.retention.ms", "8")]));
    let unknown = Configure::Edit([("from.the.future".to_owned(), Edit::Unset)].into());
    let change = broker.configure_broker("tester", Cluster, unknown, false);
    assert!(pollster::block_on(change).is_err(), "it is not set any more");
}

#[test]
fn topics_do_without_defaults_that_make_no_sense() {
    use BrokerScope::{Broker as This, Cluster};
    let broker = open(&SimDisk::new(1));
    create(&broker, "orders", &[("segment.ms", "5")]);
    let (min, max) = ("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms");
    set(&broker, Cluster, &[("log.retention.ms", "7")]).unwrap();
    written(&broker, This, &[("log.retention.ms", "a week"), (min, "6"), (max, "5")]);
    let held = broker.topic("orders").unwrap().settings.clone();
    assert_eq!((held.retention_ms, held.segment_ms), (Some(7), 5), "{held:?}");
    assert!(held.cleanup.delete && held.min_compaction_lag_ms == 0, "{held:?}");
    let topic = broker.topic("orders").unwrap();
    let key = ConfigKey::find("retention.ms").unwrap();
    assert_eq!(broker.dynamic_configs().values_of_topic(&topic, key)[0].value, "7", "as it holds");
    set(&broker, This, &[("log.retention.bytes", "9")]).unwrap();
    let error = set(&broker, This, &[(min, "7")]).unwrap_err().to_string();
    assert!(error.contains("is 7, which is more than"), "{error}");
    set(&broker, This, &[(min, "4")]).unwrap();
    let held = broker.topic("orders").unwrap().settings.clone();
    assert_eq!((held.min_compaction_lag_ms, held.max_compaction_lag_ms), (4, 5));
}
