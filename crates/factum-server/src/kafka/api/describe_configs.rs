//! DescribeConfigs (32): settings of topics, groups and the broker, with where each comes from.
//!
//! * The broker without a name is the cluster, of which what was set for it is described.
//! * 1: synonyms: the values that a setting falls back to. 3: types and documentation.

use factum_broker::GroupSetting;
use factum_broker::broker_config::{
    BrokerConfigKey, BrokerScope, DynamicConfigs, GivenValue, ValueSource,
};
use factum_broker::topic_config::{ConfigKey, ConfigType, TOPIC_CONFIGS};
use factum_event::TopicName;
use factum_event::access::{Operation, Resource, ResourceType};
use factum_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use factum_wire::{ErrorCode, Str};

use super::alter_configs::{broker_scope, group_name, no_settings};
use super::{text, told};
use crate::kafka::dispatch::Call;
use crate::kafka::{NODE_ID, errors};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const GROUP: i8 = 32;

/// Where a value comes from, by the protocol's numbers.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const DYNAMIC_BROKER_CONFIG: i8 = 2;
const DYNAMIC_DEFAULT_BROKER_CONFIG: i8 = 3;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;
const GROUP_CONFIG: i8 = 8;

/// Types of settings, by the protocol's numbers.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => may(call, Resource::topic(&resource.resource_name))
                .and_then(|()| topic(call, &resource.resource_name)),
            BROKER => {
                may(call, Resource::CLUSTER).and_then(|()| broker(call, &resource.resource_name))
            }
            GROUP => may(call, Resource::group(&resource.resource_name))
                .and_then(|()| group(call, &resource.resource_name)),
            other => Err((ErrorCode::InvalidRequest, no_settings(other))),
        };
        result(&request, resource, described)
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn may(call: &Call, resource: Resource<'_>) -> Result<(), (ErrorCode, String)> {
    let operation = Operation::DescribeConfigs;
    if call.may(operation, resource) {
        return Ok(());
    }
    let error = match resource.resource_type {
        ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
        ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
        _ => ErrorCode::ClusterAuthorizationFailed,
    };
    Err((error, format!("{operation} of {resource} is not allowed")))
}

fn result(
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    described: Described,
) -> DescribeConfigsResult {
    let wanted = |name: &str| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.iter().any(|key| **key == *name))
    };
    let (error, message, configs) = match described {
        Ok(configs) => (ErrorCode::None, None, configs),
        Err((error, message)) => (error, Some(told(&message)), Vec::new()),
    };
    let trim = |mut config: DescribeConfigsResourceResult| {
        if !request.include_synonyms {
            config.synonyms.clear();
        }
        config.documentation = config.documentation.filter(|_| request.include_documentation);
        config
    };
    DescribeConfigsResult {
        error_code: error.code(),
        error_message: message,
        resource_type: resource.resource_type,
        resource_name: text(&*resource.resource_name),
        configs: configs.into_iter().filter(|config| wanted(&config.name)).map(trim).collect(),
    }
}

fn topic(call: &Call, name: &str) -> Described {
    let name = TopicName::new(name)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    let topic = call.door.broker.topic(name.as_str()).ok_or_else(|| {
        let error = factum_broker::AdminError::UnknownTopic(name.clone());
        (errors::admin(&error), error.to_string())
    })?;
    let dynamic = call.door.broker.dynamic_configs();
    let describe =
        |key: &ConfigKey| described(key, key.is_fixed(), dynamic.values_of_topic(&topic, key));
    Ok(TOPIC_CONFIGS.iter().map(describe).collect())
}

/// The settings of a group, which need not be there.
fn group(call: &Call, name: &str) -> Described {
    let settings = call.door.broker.group_settings(&group_name(name)?);
    Ok(settings.into_iter().map(of_group).collect())
}

fn of_group(setting: GroupSetting) -> DescribeConfigsResourceResult {
    let GroupSetting { key, own, default } = setting;
    let synonym = |value: String, source| DescribeConfigsSynonym {
        name: text(key.name),
        value: Some(text(value)),
        source,
    };
    let own = own.map(|value| synonym(value, GROUP_CONFIG));
    let synonyms: Vec<_> = own.into_iter().chain([synonym(default, DEFAULT_CONFIG)]).collect();
    let held = synonyms.first().cloned().unwrap_or_default();
    DescribeConfigsResourceResult {
        value: held.value,
        config_source: held.source,
        synonyms,
        ..described(&key, false, Vec::new())
    }
}

/// A setting with all its values, of which the first one holds.
fn described(
    key: &ConfigKey,
    read_only: bool,
    values: Vec<GivenValue>,
) -> DescribeConfigsResourceResult {
    let synonym = |given: &GivenValue| DescribeConfigsSynonym {
        name: text(given.name),
        value: Some(text(&given.value)),
        source: source(given.source),
    };
    let synonyms = values.iter().map(synonym).collect();
    let (value, config_source) = held(values);
    DescribeConfigsResourceResult {
        name: text(key.name),
        value,
        read_only,
        config_source,
        is_sensitive: false,
        synonyms,
        config_type: match key.config_type() {
            ConfigType::Boolean => BOOLEAN,
            ConfigType::String => STRING,
            ConfigType::Int => INT,
            ConfigType::Long => LONG,
            ConfigType::Double => DOUBLE,
            ConfigType::List => LIST,
        },
        documentation: Some(text(key.doc)),
    }
}

/// The value that holds, and where it comes from.
pub(super) fn held(values: Vec<GivenValue>) -> (Option<Str>, i8) {
    let held = values.into_iter().next();
    held.map_or((None, DEFAULT_CONFIG), |given| (Some(text(given.value)), source(given.source)))
}

fn source(of: ValueSource) -> i8 {
    match of {
        ValueSource::Topic => DYNAMIC_TOPIC_CONFIG,
        ValueSource::Broker => DYNAMIC_BROKER_CONFIG,
        ValueSource::Cluster => DYNAMIC_DEFAULT_BROKER_CONFIG,
        ValueSource::Default => DEFAULT_CONFIG,
    }
}

/// The settings of this broker, or what was set for all of the cluster.
fn broker(call: &Call, name: &str) -> Described {
    let dynamic = call.door.broker.dynamic_configs();
    match broker_scope(name)? {
        BrokerScope::Cluster => Ok(of_cluster(&dynamic)),
        BrokerScope::Broker => {
            let changed = BrokerConfigKey::all().into_iter();
            let changed = changed.map(|of| of_broker(&of, dynamic.values(&of.key)));
            let mut all: Vec<_> = given_at_start(call).into_iter().chain(changed).collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(all)
        }
    }
}

fn of_broker(of: &BrokerConfigKey, values: Vec<GivenValue>) -> DescribeConfigsResourceResult {
    described(&of.key, of.key.is_fixed(), values)
}

fn of_cluster(dynamic: &DynamicConfigs) -> Vec<DescribeConfigsResourceResult> {
    let set = dynamic.cluster.keys().filter_map(|name| BrokerConfigKey::find(name));
    let of = |of: BrokerConfigKey| {
        let values = dynamic.values(&of.key).into_iter();
        let values = values.filter(|given| given.source == ValueSource::Cluster);
        of_broker(&of, values.collect())
    };
    set.map(of).collect()
}

/// The settings that are given when the broker starts, and not changed by clients.
fn given_at_start(call: &Call) -> Vec<DescribeConfigsResourceResult> {
    let door = &call.door;
    let settings = door.broker.settings();
    let groups = &settings.groups;
    let configs = [
        ("advertised.listeners", listener(call), STRING, "Where clients find this broker."),
        (
            "auto.create.topics.enable",
            door.auto_create_topics.to_string(),
            BOOLEAN,
            "Whether asking for a topic that does not exist creates it.",
        ),
        ("broker.id", NODE_ID.to_string(), INT, "The number of this broker."),
        (
            "connections.max.idle.ms",
            door.limits.idle.as_millis().to_string(),
            LONG,
            "A silent connection is closed after so long.",
        ),
        ("default.replication.factor", "1".to_owned(), INT, "One machine keeps the log."),
        (
            "fetch.max.bytes",
            door.limits.fetch_bytes.to_string(),
            INT,
            "Most bytes in one answer to a fetch.",
        ),
        (
            "group.consumer.assignors",
            "uniform,range".to_owned(),
            LIST,
            "The assignors of the coordinator; the first one unless members name another.",
        ),
        (
            "group.consumer.heartbeat.interval.ms",
            groups.consumer_heartbeat_interval.as_millis().to_string(),
            INT,
            "How long a member of the consumer protocol waits between heartbeats.",
        ),
        (
            "group.consumer.migration.policy",
            groups.migration_policy.as_str().to_owned(),
            STRING,
            "Which groups change their protocol while they have members.",
        ),
        (
            "group.consumer.session.timeout.ms",
            groups.consumer_session_timeout.as_millis().to_string(),
            INT,
            "How long a member of the consumer protocol may be silent.",
        ),
        (
            "group.coordinator.rebalance.protocols",
            "classic,consumer".to_owned(),
            LIST,
            "The protocols of consumer groups.",
        ),
        (
            "group.initial.rebalance.delay.ms",
            groups.initial_rebalance_delay.as_millis().to_string(),
            INT,
            "How long the first member of a group waits for others.",
        ),
        (
            "group.max.session.timeout.ms",
            groups.max_session_timeout.as_millis().to_string(),
            INT,
            "The longest session timeout that a member may ask for.",
        ),
        (
            "group.min.session.timeout.ms",
            groups.min_session_timeout.as_millis().to_string(),
            INT,
            "The shortest session timeout that a member may ask for.",
        ),
        (
            "num.partitions",
            settings.default_partitions.to_string(),
            INT,
            "Partitions of a topic that is created without a number.",
        ),
        (
            "offset.metadata.max.bytes",
            factum_broker::MAX_METADATA_BYTES.to_string(),
            INT,
            "Most bytes of metadata kept with a committed offset.",
        ),
        (
            "socket.request.max.bytes",
            door.limits.request_bytes.to_string(),
            INT,
            "The largest request.",
        ),
    ];
    let describe = |(name, value, config_type, doc): (&str, String, i8, &str)| {
        fixed(name, value, config_type, doc)
    };
    configs.into_iter().map(describe).collect()
}

fn fixed(name: &str, value: String, config_type: i8, doc: &str) -> DescribeConfigsResourceResult {
    let value = Some(text(value));
    let source = STATIC_BROKER_CONFIG;
    DescribeConfigsResourceResult {
        name: text(name),
        value: value.clone(),
        read_only: true,
        config_source: source,
        is_sensitive: false,
        synonyms: vec![DescribeConfigsSynonym { name: text(name), value, source }],
        config_type,
        documentation: Some(text(doc)),
    }
}

fn listener(call: &Call) -> String {
    let protocol = call.caller.session.listener().protocol.to_string().to_uppercase();
    format!("{protocol}://{}:{}", call.caller.host, call.caller.port)
}
