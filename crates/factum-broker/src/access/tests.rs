//! Rules decide, survive a restart with and without a checkpoint, and are limited.

use std::sync::Arc;

use factum_event::access::{Pattern, PatternFilter, QuotaName};
use factum_event::log::NewTopic;
use factum_event::{EventLog, Offset, Partition, SystemClock, TopicName};
use factum_log::disk::sim::SimDisk;
use proptest::prelude::*;

use super::*;
use crate::BrokerSettings;

fn settings() -> BrokerSettings {
    let super_users = [Principal::user("root")].into();
    let limits = AccessLimits { acls: 20, users: 2, quotas: 2 };
    let is_open_without_rules = false;
    let access = AccessSettings { is_on: true, super_users, is_open_without_rules, limits };
    BrokerSettings { access, ..BrokerSettings::default() }
}

fn open(disk: &SimDisk, settings: BrokerSettings) -> Broker {
    Broker::open(Arc::new(disk.clone()), Arc::new(SystemClock::new()), settings).unwrap().0
}

fn client(name: &str) -> Client {
    Client { principal: Principal::user(name), host: "10.0.0.1".parse().unwrap() }
}

fn acl(user: &str, operation: Operation, pattern: Pattern, name: &str) -> Acl {
    Acl {
        resource_type: ResourceType::Topic,
        name: name.to_owned(),
        pattern,
        principal: Principal::user(user),
        host: "*".to_owned(),
        operation,
        permission: Permission::Allow,
    }
}

fn denying(acl: Acl) -> Acl {
    Acl { permission: Permission::Deny, ..acl }
}

fn credential(byte: u8) -> Credential {
    Credential {
        salt: vec![byte; 16],
        iterations: 4096,
        stored_key: vec![byte; 32],
        server_key: vec![byte; 32],
    }
}

fn quota_of(user: &str) -> QuotaEntity {
    QuotaEntity::new(Some(QuotaName::Name(user.to_owned())), None).unwrap()
}

fn limits(rate: f64) -> BTreeMap<QuotaKey, QuotaLimit> {
    let key = QuotaKey::ProducerByteRate;
    [(key, key.limit(rate).unwrap())].into()
}

#[test]
fn without_a_rule_only_super_users_may() {
    use Operation::*;
    let broker = open(&SimDisk::new(1), settings());
    let orders = Resource::topic("orders");
    assert!(broker.may(&client("root"), Delete, orders));
    assert!(!broker.may(&client("alice"), Describe, orders));
    assert_eq!(broker.decide(&client("alice"), Read, orders), Verdict::NoRule);
    let rule = acl("alice", Read, Pattern::Literal, "orders");
    pollster::block_on(broker.create_acls("root", vec![rule.clone()])).unwrap();
    assert_eq!(broker.decide(&client("alice"), Read, orders), Verdict::Allowed(rule.clone()));
    assert!(broker.may(&client("alice"), Describe, orders));
    assert!(!broker.may(&client("alice"), Write, orders));
    let deny = denying(acl("*", All, Pattern::Prefixed, "ord"));
    pollster::block_on(broker.create_acls("root", vec![deny.clone()])).unwrap();
    assert_eq!(broker.decide(&client("alice"), Read, orders), Verdict::Denied(deny));
    let gone = broker.delete_acls("root", AclFilter::exactly(&rule));
    assert_eq!(pollster::block_on(gone).unwrap(), [rule]);
}

/// A broker that lets everybody do what no rule is about.
fn open_without_rules() -> Broker {
    let mut settings = settings();
    settings.access.is_open_without_rules = true;
    open(&SimDisk::new(1), settings)
}

#[test]
fn everybody_may_do_what_no_rule_is_about_if_the_server_says_so() {
    use Operation::*;
    let broker = open_without_rules();
    let create = |rule| pollster::block_on(broker.create_acls("root", vec![rule])).unwrap();
    let delete = |rule| {
        let gone = pollster::block_on(broker.delete_acls("root", AclFilter::exactly(&rule)));
        assert_eq!(gone.unwrap(), [rule]);
    };
    let decide = |name| broker.decide(&client("alice"), Write, Resource::topic(name));
    let alike = |name, expected: Verdict| {
        assert_eq!(decide(name), expected, "{name}");
        let may = broker.may(&client("alice"), Write, Resource::topic(name));
        assert_eq!(may, expected.is_allowed(), "{name}");
    };
    alike("orders", Verdict::Everybody);
    assert!(broker.may(&client("alice"), Alter, Resource::CLUSTER));
    // Any rule about a name closes it, whoever and whatever that rule speaks of, and no other.
    let about = [
        acl("bob", Read, Pattern::Literal, "orders"),
        denying(acl("bob", Read, Pattern::Literal, "orders")),
        acl("bob", Read, Pattern::Prefixed, "ord"),
        acl("bob", Read, Pattern::Literal, "*"),
    ];
    for rule in about {
        create(rule.clone());
        alike("orders", Verdict::NoRule);
        let others = if rule.name == "*" { Verdict::NoRule } else { Verdict::Everybody };
        alike("payments", others);
        assert_eq!(
            broker.decide(&client("alice"), Read, Resource::group("orders")),
            Verdict::Everybody,
            "rules about topics say nothing about groups"
        );
        delete(rule);
        alike("orders", Verdict::Everybody);
    }
    let deny = denying(acl("alice", Write, Pattern::Prefixed, "pay"));
    create(deny.clone());
    alike("payments", Verdict::Denied(deny));
}

#[test]
fn the_cluster_is_open_until_a_rule_is_about_it() {
    assert!(!open(&SimDisk::new(1), settings()).is_cluster_open());
    assert!(!open(&SimDisk::new(1), BrokerSettings::default()).is_cluster_open());
    let broker = open_without_rules();
    let rule = acl("bob", Operation::All, Pattern::Literal, "orders");
    pollster::block_on(broker.create_acls("root", vec![rule])).unwrap();
    assert!(broker.is_cluster_open());
    let rule = Acl {
        resource_type: ResourceType::Cluster,
        ..acl("bob", Operation::Alter, Pattern::Literal, Resource::CLUSTER.name)
    };
    pollster::block_on(broker.create_acls("root", vec![rule])).unwrap();
    assert!(!broker.is_cluster_open());
}

#[test]
fn who_may_only_list_groups_is_told_their_names_alone() {
    let broker = open_without_rules();
    let orders: TopicName = "orders".parse().unwrap();
    pollster::block_on(EventLog::create_topic(&broker, NewTopic::named(orders.clone()))).unwrap();
    for group in ["billing", "secret"] {
        let commit = crate::Commit {
            topic: orders.clone(),
            partition: Partition::ZERO,
            offset: Offset::ZERO,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let group = group.parse().unwrap();
        pollster::block_on(broker.commit_offsets(&group, vec![commit])).unwrap();
    }
    let deny = denying(acl("alice", Operation::All, Pattern::Literal, "secret"));
    let deny = Acl { resource_type: ResourceType::Group, ..deny };
    pollster::block_on(broker.create_acls("root", vec![deny])).unwrap();
    let seen = |name: &str| {
        let log = broker.as_client(client(name), Operation::Describe);
        let mut groups = pollster::block_on(log.groups()).unwrap();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let seen = groups.into_iter().map(|group| (group.name.to_string(), group.offsets.len()));
        seen.collect::<Vec<_>>()
    };
    let both = |secret| vec![("billing".to_owned(), 1), ("secret".to_owned(), secret)];
    assert_eq!(seen("root"), both(1));
    assert_eq!(seen("alice"), both(0));
}

#[test]
fn factums_own_topics_are_not_open_to_everybody() {
    let broker = open_without_rules();
    for own in ["__factum_control", "__factum_offsets", "__factum"] {
        let verdict = broker.decide(&client("alice"), Operation::Read, Resource::topic(own));
        assert_eq!(verdict, Verdict::NoRule, "{own}");
        assert!(!broker.may(&client("alice"), Operation::Describe, Resource::topic(own)), "{own}");
    }
    let rule = acl("alice", Operation::Read, Pattern::Literal, "__factum_control");
    pollster::block_on(broker.create_acls("root", vec![rule])).unwrap();
    assert!(broker.may(&client("alice"), Operation::Read, Resource::topic("__factum_control")));
}

#[test]
fn everybody_may_with_any_while_some_name_has_no_rule() {
    use Operation::*;
    let may = |rules: Vec<Acl>| {
        let broker = open_without_rules();
        pollster::block_on(broker.create_acls("root", rules)).unwrap();
        broker.may_with_any(&client("alice"), Write, ResourceType::Topic)
    };
    assert!(may(vec![]));
    assert!(may(vec![denying(acl("alice", Write, Pattern::Prefixed, "o"))]));
    assert!(!may(vec![denying(acl("alice", Write, Pattern::Literal, "*"))]));
    assert!(!may(vec![acl("bob", Read, Pattern::Literal, "*")]));
    let everything = acl("bob", Read, Pattern::Literal, "*");
    assert!(may(vec![everything, acl("alice", Write, Pattern::Literal, "orders")]));
    let broker = open(&SimDisk::new(1), settings());
    assert!(!broker.may_with_any(&client("alice"), Write, ResourceType::Topic), "it is off");
}

#[test]
fn without_access_control_everybody_may() {
    let broker = open(&SimDisk::new(1), BrokerSettings::default());
    let orders = Resource::topic("orders");
    assert_eq!(broker.decide(&client("alice"), Operation::Read, orders), Verdict::Off);
    assert!(broker.may(&client("alice"), Operation::Delete, orders));
}

#[test]
fn users_and_rules_survive_with_and_without_a_checkpoint() {
    let disk = SimDisk::new(1);
    let rules: Vec<_> = (0..8)
        .map(|n| acl("alice", Operation::Read, Pattern::Prefixed, &format!("topic-{n}")))
        .collect();
    let broker = open(&disk, settings());
    let alice: UserName = "alice".parse().unwrap();
    pollster::block_on(async {
        broker.create_acls("root", rules.clone()).await.unwrap();
        broker.delete_acls("root", AclFilter::exactly(&rules[3])).await.unwrap();
        let both = ScramMechanism::ALL.iter().map(|one| (*one, credential(7))).collect();
        broker.alter_user("root", alice.clone(), both, vec![]).await.unwrap();
        let unset = vec![ScramMechanism::Sha512];
        broker.alter_user("root", alice.clone(), vec![], unset).await.unwrap();
        let bob = "bob".parse().unwrap();
        let set = vec![(ScramMechanism::Sha256, credential(8))];
        broker.alter_user("root", bob, set, vec![]).await.unwrap();
        let unset = ScramMechanism::ALL.to_vec();
        broker.alter_user("root", "bob".parse().unwrap(), vec![], unset).await.unwrap();
        for name in ["alice", "bob"] {
            broker.alter_quota("root", quota_of(name), limits(5.0), [].into()).await.unwrap();
        }
        let unset = [QuotaKey::ProducerByteRate].into();
        broker.alter_quota("root", quota_of("bob"), [].into(), unset).await.unwrap();
    });
    broker.close();
    drop(broker);
    let mut kept = rules;
    kept.remove(3);
    for with_checkpoint in [true, false] {
        if !with_checkpoint {
            use factum_log::disk::Disk;
            disk.remove("checkpoints/control").unwrap();
        }
        let broker = open(&disk, settings());
        assert_eq!(broker.acls(&AclFilter::default()), kept, "checkpoint: {with_checkpoint}");
        let users = broker.users();
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].mechanisms, [(ScramMechanism::Sha256, 4096)]);
        assert_eq!(broker.credential("alice", ScramMechanism::Sha256), Some(credential(7)));
        assert_eq!(broker.credential("alice", ScramMechanism::Sha512), None);
        assert_eq!(broker.credential("bob", ScramMechanism::Sha256), None);
        let quota = Quota { entity: quota_of("alice"), limits: limits(5.0) };
        assert_eq!(broker.quotas(), [quota]);
        if with_checkpoint {
            broker.close();
        }
    }
}

#[test]
fn there_is_a_limit_to_rules_users_and_quotas() {
    let broker = open(&SimDisk::new(1), settings());
    let rules = |from: usize, to: usize| -> Vec<_> {
        let rule = |n| acl("alice", Operation::Read, Pattern::Literal, &format!("topic-{n}"));
        (from..to).map(rule).collect()
    };
    pollster::block_on(async {
        broker.create_acls("root", rules(0, 20)).await.unwrap();
        broker.create_acls("root", rules(0, 20)).await.expect("they are there already");
        let refused = broker.create_acls("root", rules(20, 21)).await.unwrap_err().to_string();
        assert!(refused.contains("more than 20 rules"), "{refused}");
        let set = || vec![(ScramMechanism::Sha256, credential(1))];
        for name in ["a", "b", "a"] {
            broker.alter_user("root", name.parse().unwrap(), set(), vec![]).await.unwrap();
        }
        let refused = broker.alter_user("root", "c".parse().unwrap(), set(), vec![]).await;
        assert!(refused.unwrap_err().to_string().contains("2 users already"));
        let alter = |name: &str| broker.alter_quota("root", quota_of(name), limits(5.0), [].into());
        for name in ["a", "b", "a"] {
            alter(name).await.unwrap();
        }
        assert!(alter("c").await.unwrap_err().to_string().contains("2 have quotas already"));
    });
    assert_eq!(broker.access_counts(), AccessCounts { acls: 20, users: 2, quotas: 2 });
}

#[test]
fn who_may_not_know_of_a_topic_learns_nothing_from_what_it_cannot_change() {
    use Operation::*;
    let broker = open(&SimDisk::new(1), settings());
    let name = |of: &str| -> TopicName { of.parse().unwrap() };
    let new = |of: &str, value: &str| NewTopic {
        configs: [("retention.ms".to_owned(), value.to_owned())].into(),
        ..NewTopic::named(name(of))
    };
    let mut rules: Vec<_> = [Create, Delete, Alter, AlterConfigs]
        .map(|operation| acl("alice", operation, Pattern::Literal, "*"))
        .into();
    rules.push(denying(acl("alice", Describe, Pattern::Literal, "*")));
    let alice = broker.as_client(client("alice"), Describe);
    pollster::block_on(async {
        broker.create_acls("root", rules).await.unwrap();
        EventLog::create_topic(&broker, new("orders", "1000000000")).await.unwrap();
        let beyond = || BTreeMap::from([(Partition::ZERO, Offset::new(9).unwrap())]);
        let wrong = || BTreeMap::from([("retention.ms".to_owned(), "often".to_owned())]);
        let mut refused = vec![
            (name("orders"), alice.create_topic(new("orders", "often")).await.unwrap_err()),
            (name("others"), alice.create_topic(new("others", "often")).await.unwrap_err()),
            (name("others"), alice.delete_topic(&name("others")).await.unwrap_err()),
        ];
        for topic in [name("orders"), name("others")] {
            let errors = [
                alice.grow_topic(&topic, 1).await.unwrap_err(),
                alice.configure_topic(&topic, wrong(), [].into()).await.unwrap_err(),
                alice.delete_records(&topic, beyond()).await.unwrap_err(),
            ];
            refused.extend(errors.map(|error| (topic.clone(), error)));
        }
        for (topic, error) in refused {
            let resource = Resource::topic(topic.as_str()).to_string();
            let principal = Principal::user("alice");
            assert_eq!(error, LogError::Forbidden { principal, operation: Describe, resource });
        }
        assert_eq!(alice.grow_topic(&name("orders"), 2).await.unwrap().partitions, []);
    });
}

#[test]
fn who_may_change_a_topic_is_told_of_it_what_it_may_know() {
    use Operation::*;
    let broker = open(&SimDisk::new(1), settings());
    let orders: TopicName = "orders".parse().unwrap();
    let configs = BTreeMap::from([("retention.ms".to_owned(), "1000000000".to_owned())]);
    let new = NewTopic { configs: configs.clone(), ..NewTopic::named(orders.clone()) };
    let alice = broker.as_client(client("alice"), Describe);
    let rule = |operation| vec![acl("alice", operation, Pattern::Literal, "orders")];
    pollster::block_on(async {
        EventLog::create_topic(&broker, new).await.unwrap();
        broker.create_acls("root", rule(Alter)).await.unwrap();
        let refused = alice.grow_topic(&orders, 1).await.unwrap_err();
        assert!(matches!(refused, LogError::InvalidRequest(_)), "{refused}");
        let grown = alice.grow_topic(&orders, 2).await.unwrap();
        assert_eq!((grown.partitions.len(), grown.configs.is_empty()), (2, true));
        broker.create_acls("root", rule(DescribeConfigs)).await.unwrap();
        assert_eq!(alice.grow_topic(&orders, 3).await.unwrap().configs, configs);
    });
}

#[test]
fn a_filter_that_matches_finds_what_decides() {
    let broker = open(&SimDisk::new(1), settings());
    let rules = vec![
        acl("alice", Operation::Read, Pattern::Literal, "*"),
        acl("alice", Operation::Read, Pattern::Literal, "orders"),
        acl("alice", Operation::Read, Pattern::Prefixed, "ord"),
        acl("alice", Operation::Read, Pattern::Prefixed, "x"),
    ];
    pollster::block_on(broker.create_acls("root", rules)).unwrap();
    let filter = AclFilter {
        resource_type: Some(ResourceType::Topic),
        name: Some("orders".to_owned()),
        pattern: PatternFilter::Match,
        ..AclFilter::default()
    };
    assert_eq!(broker.acls(&filter).len(), 3);
}

fn any_acl() -> impl Strategy<Value = Acl> {
    let name = prop::sample::select(vec!["*", "a", "ab", "abc", "b", "ä", "__factum_x", "__f"]);
    let user = prop::sample::select(vec!["alice", "bob", "*"]);
    let operation = prop::sample::select(vec![
        Operation::All,
        Operation::Read,
        Operation::Write,
        Operation::Describe,
    ]);
    let pattern = prop::sample::select(Pattern::ALL.to_vec());
    (name, user, operation, pattern, any::<bool>()).prop_map(
        |(name, user, operation, pattern, deny)| {
            let rule = acl(user, operation, pattern, name);
            if deny { denying(rule) } else { rule }
        },
    )
}

proptest! {
    #[test]
    fn the_index_decides_as_a_look_at_every_rule(
        acls in prop::collection::vec(any_acl(), 0..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut rules = Rules::default();
        acls.iter().cloned().for_each(|acl| rules.insert(acl));
        for index in removed.iter().filter(|_| !acls.is_empty()) {
            rules.remove(index.get(&acls));
        }
        for name in ["a", "ab", "abc", "abcd", "b", "c", "ä", "__factum_x", "__factum_y"] {
            let (resource, client) = (Resource::topic(name), client("alice"));
            for operation in [Operation::Read, Operation::Write, Operation::Describe] {
                let about: Vec<_> = rules
                    .all()
                    .filter(|acl| acl.is_about(resource) && acl.is_about_client(&client, operation))
                    .collect();
                let plainly = !about.is_empty() && about.iter().all(|acl| is_allowing(acl));
                let decided = rules.about(&client, operation, resource).is_some_and(is_allowing);
                prop_assert_eq!(decided, plainly, "{} {}", operation, name);
                // What may be done with one resource may be done with any.
                let any = rules.allow_any(&client, operation, ResourceType::Topic);
                prop_assert!(any || !decided, "{} {}", operation, name);
            }
        }
    }
}
