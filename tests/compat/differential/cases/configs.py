"""Settings: reading them, setting all of them, changing some."""

from . import case

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def describe(pair, kind, name, keys=None, **more):
    resource = {"resourceType": kind, "resourceName": name, "configurationKeys": keys}
    pair.every("DescribeConfigs", {"resources": [resource], **more})


@case("DescribeConfigs")
def describe_configs(pair):
    pair.create("conf", 1, retention_ms=1000, cleanup_policy="compact")
    describe(pair, TOPIC, "conf")
    describe(pair, TOPIC, "conf", includeSynonyms=True, includeDocumentation=True)
    describe(pair, TOPIC, "conf", ["retention.ms", "no.such"])
    describe(pair, TOPIC, "conf", [])
    for kind, name in ((TOPIC, "missing"), (TOPIC, ""), (TOPIC, "a b"), (BROKER, "7"), (BROKER, "x"), (LOGGER, "7"), (METRICS, "m"), (METRICS, ""), (GROUP, "g"), (GROUP, ""), (0, "x"), (3, "x"), (-1, "x")):
        describe(pair, kind, name)
    pair.every("DescribeConfigs", {"resources": []})
    twice = {"resourceType": TOPIC, "resourceName": "conf", "configurationKeys": ["retention.ms"]}
    pair.every("DescribeConfigs", {"resources": [twice, twice]})


@case("DescribeConfigs")
def describe_configs_of_brokers(pair):
    for name in ("1", ""):
        for keys in (["log.retention.ms", "num.partitions"], ["message.max.bytes"], ["auto.create.topics.enable", "no.such"]):
            describe(pair, BROKER, name, keys)
    describe(pair, BROKER, "1")


CHANGES = {
    "retention.ms": ["5000", "-1", "-2", "x", "", None],
    "cleanup.policy": ["compact", "delete", "x", "", None],
    "max.message.bytes": ["1000", "-1", None],
    "message.timestamp.type": ["LogAppendTime", "x"],
    "min.insync.replicas": ["1", "2", "0"],
    "compression.type": ["zstd", "x"],
    "segment.ms": ["0", "1000"],
    "no.such": ["1", None],
    "": ["1"],
}


@case("AlterConfigs")
def alter_configs(pair):
    pair.create("altered", 1)

    def alter(kind, resource, configs, check=False):
        asked = {"resourceType": kind, "resourceName": resource, "configs": configs}
        pair.every("AlterConfigs", {"resources": [asked], "validateOnly": check})

    for name, values in CHANGES.items():
        for value in values:
            alter(TOPIC, "altered", [{"name": name, "value": value}], True)
    alter(TOPIC, "altered", [{"name": "retention.ms", "value": "5000"}, {"name": "segment.ms", "value": "7000"}])
    describe(pair, TOPIC, "altered", ["retention.ms", "segment.ms"])
    alter(TOPIC, "altered", [{"name": "retention.ms", "value": "6000"}])
    describe(pair, TOPIC, "altered", ["retention.ms", "segment.ms"])
    alter(TOPIC, "altered", [])
    describe(pair, TOPIC, "altered", ["retention.ms", "segment.ms"])
    twice = [{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]
    alter(TOPIC, "altered", twice, True)
    for kind, name in ((TOPIC, "missing"), (TOPIC, ""), (BROKER, "7"), (BROKER, "x"), (LOGGER, "1"), (GROUP, ""), (0, "x"), (3, "x"), (-1, "x")):
        alter(kind, name, [{"name": "retention.ms", "value": "1"}], True)
    pair.every("AlterConfigs", {"resources": []})


@case("IncrementalAlterConfigs")
def incremental_alter_configs(pair):
    pair.create("changed", 1)

    def change(kind, resource, configs, check=False, **extra):
        configs = [{"name": name, "configOperation": how, "value": value} for name, how, value in configs]
        asked = {"resourceType": kind, "resourceName": resource, "configs": configs}
        pair.every("IncrementalAlterConfigs", {"resources": [asked], "validateOnly": check}, **extra)

    # Kafka does not answer this at all.
    change(TOPIC, "changed", [("retention.ms", 7, "5000")], True, timeoutMs=1500)
    for name, values in CHANGES.items():
        for value in values:
            for how in (SET, DELETE, APPEND, SUBTRACT):
                change(TOPIC, "changed", [(name, how, value)], True)
    for configs in (
        [("retention.ms", SET, "5000"), ("segment.ms", SET, "7000")],
        [("cleanup.policy", APPEND, "compact")],
        [("cleanup.policy", APPEND, "compact")],
        [("cleanup.policy", SUBTRACT, "delete")],
        [("cleanup.policy", SUBTRACT, "compact")],
        [("cleanup.policy", DELETE, None)],
        [("retention.ms", DELETE, None), ("segment.ms", SET, "9000")],
        [("retention.ms", SET, "1"), ("retention.ms", SET, "2")],
        [("retention.ms", SET, "5000"), ("no.such", SET, "1")],
        [],
    ):
        change(TOPIC, "changed", configs)
        describe(pair, TOPIC, "changed", ["retention.ms", "segment.ms", "cleanup.policy"])
    for kind, name in ((TOPIC, "missing"), (TOPIC, ""), (BROKER, "7"), (BROKER, "x"), (GROUP, ""), (GROUP, "g"), (0, "x"), (3, "x"), (-1, "x")):
        change(kind, name, [("retention.ms", SET, "1")], True)
    one = {"resourceType": TOPIC, "resourceName": "changed", "configs": []}
    pair.every("IncrementalAlterConfigs", {"resources": [one, one]})
    pair.every("IncrementalAlterConfigs", {"resources": []})


@case("IncrementalAlterConfigs", "DescribeConfigs")
def settings_of_groups(pair):
    for name, value in (("consumer.session.timeout.ms", "50000"), ("consumer.session.timeout.ms", "1"), ("consumer.heartbeat.interval.ms", "6000"), ("no.such", "1")):
        configs = [{"name": name, "configOperation": SET, "value": value}]
        asked = {"resourceType": GROUP, "resourceName": "settled-group", "configs": configs}
        pair.every("IncrementalAlterConfigs", {"resources": [asked]})
        describe(pair, GROUP, "settled-group", [name])
    describe(pair, GROUP, "settled-group")
