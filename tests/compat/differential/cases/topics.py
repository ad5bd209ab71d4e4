"""Topics: making, growing, describing, shortening and deleting them."""

import batches

from . import BAD_NAMES, UNKNOWN_ID, case

TIMEOUT = {"timeoutMs": 10_000}


def topic(name, partitions=1, factor=1, **more):
    return {"name": name, "numPartitions": partitions, "replicationFactor": factor, **more}


@case("CreateTopics")
def create_topics(pair):
    pair.every("CreateTopics", {"topics": [topic("made-{v}", 2)], **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("made-7", 2)], **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("defaults-{v}", -1, -1)], **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("checked-{v}", 3)], "validateOnly": True, **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("twice-{v}"), topic("twice-{v}", 2), topic("once-{v}")], **TIMEOUT})
    pair.every("CreateTopics", {"topics": [], **TIMEOUT})
    for name in BAD_NAMES:
        pair.every("CreateTopics", {"topics": [topic(name)], "validateOnly": True, **TIMEOUT})
    for partitions, factor in ((0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 7), (100_000, 1), (-1, 1), (1, -1)):
        pair.every("CreateTopics", {"topics": [topic("numbers", partitions, factor)], "validateOnly": True, **TIMEOUT})


@case("CreateTopics")
def create_topics_with_assignments(pair):
    # Replicas by partition; what Kafka takes and what not.
    for assigned in ([(0, [1])], [(0, [1]), (1, [1])], [(1, [1])], [(0, [2])], [(0, [1, 1])], [(0, [])], [(0, [1]), (0, [1])], [(-1, [1])]):
        assignments = [{"partitionIndex": index, "brokerIds": brokers} for index, brokers in assigned]
        for partitions, factor in ((-1, -1), (1, 1)):
            asked = topic("assigned", partitions, factor, assignments=assignments)
            pair.every("CreateTopics", {"topics": [asked], "validateOnly": True, **TIMEOUT})


@case("CreateTopics")
def create_topics_with_configs(pair):
    settings = {
        "cleanup.policy": ["compact", "delete", "compact,delete", "wrong", "", None],
        "retention.ms": ["-1", "0", "-2", "x", "1000", None],
        "max.message.bytes": ["1", "-1", "2000000"],
        "compression.type": ["zstd", "wrong", "uncompressed"],
        "min.insync.replicas": ["0", "1", "5"],
        "segment.bytes": ["1", "1048576"],
        "message.timestamp.type": ["CreateTime", "LogAppendTime", "wrong"],
        "unclean.leader.election.enable": ["true", "maybe"],
        "no.such.setting": ["1", None],
        "": ["1"],
    }
    for name, values in settings.items():
        for value in values:
            asked = topic("configured", configs=[{"name": name, "value": value}])
            pair.every("CreateTopics", {"topics": [asked], "validateOnly": True, **TIMEOUT})
    twice = [{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]
    pair.every("CreateTopics", {"topics": [topic("configured", configs=twice)], "validateOnly": True, **TIMEOUT})


@case("CreateTopics")
def create_topics_whose_names_collide(pair):
    pair.create("col.lide")
    pair.every("CreateTopics", {"topics": [topic("col_lide")], "validateOnly": True, **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("__consumer_offsets")], "validateOnly": True, **TIMEOUT})
    pair.every("CreateTopics", {"topics": [topic("__cluster_metadata")], "validateOnly": True, **TIMEOUT})


@case("DeleteTopics")
def delete_topics(pair):
    first, last = pair.common["DeleteTopics"]
    for version in range(first, last + 1):
        name = f"gone-{version}"
        pair.create(name)
        asked = {"topics": [{"name": name}, {"name": "missing"}], "topicNames": [name, "missing"], **TIMEOUT}
        pair.ask("DeleteTopics", asked, version)
        pair.ask("Metadata", {"topics": [{"name": name}], "allowAutoTopicCreation": False})
    pair.every("DeleteTopics", {"topics": [], "topicNames": [], **TIMEOUT})
    for name in BAD_NAMES:
        pair.every("DeleteTopics", {"topics": [{"name": name}], "topicNames": [name], **TIMEOUT})


@case("DeleteTopics")
def delete_topics_by_id(pair):
    pair.create("known")
    for given in (
        [{"name": None, "topicId": UNKNOWN_ID}],
        [{"name": None}],
        [{"name": "known", "topicId": "$id:known"}],
        [{"name": "known"}, {"name": "known"}],
        [{"name": "known"}, {"name": None, "topicId": "$id:known"}],
        [{"name": None, "topicId": "$id:known"}],
        [{"name": None, "topicId": "$id:known"}],
    ):
        pair.ask("DeleteTopics", {"topics": given, **TIMEOUT})


@case("CreatePartitions")
def create_partitions(pair):
    first, last = pair.common["CreatePartitions"]
    pair.create("grows", 1)
    for version in range(first, last + 1):
        pair.ask("CreatePartitions", {"topics": [{"name": "grows", "count": version + 2, "assignments": None}], **TIMEOUT}, version)
        pair.wait_for_topic("grows", version + 2)
    # More than a few are only checked: Kafka would make them.
    for count, checks in ((1, (False, True)), (0, (False, True)), (-1, (False, True)), (last + 2, (False, True)), (20_000, (True,))):
        for check in checks:
            pair.every("CreatePartitions", {"topics": [{"name": "grows", "count": count, "assignments": None}], "validateOnly": check, **TIMEOUT})
    for brokers in ([[1]], [[2]], [[1], [1]], [], [[]], [[1, 1]], [[1, 2]]):
        assignments = [{"brokerIds": ids} for ids in brokers]
        asked = {"name": "grows", "count": last + 3, "assignments": assignments}
        pair.every("CreatePartitions", {"topics": [asked], "validateOnly": True, **TIMEOUT})
    for name in ("missing", "", "a b"):
        pair.every("CreatePartitions", {"topics": [{"name": name, "count": 9, "assignments": None}], "validateOnly": True, **TIMEOUT})
    again = {"name": "grows", "count": 99, "assignments": None}
    pair.every("CreatePartitions", {"topics": [again, again], "validateOnly": True, **TIMEOUT})
    pair.every("CreatePartitions", {"topics": [], **TIMEOUT})


@case("DescribeTopicPartitions")
def describe_topic_partitions(pair):
    pair.create("seen-a", 3)
    pair.create("seen-b", 2)
    both = [{"name": "seen-a"}, {"name": "seen-b"}]
    for topics in (both, both[::-1], [{"name": "seen-a"}, {"name": "missing"}], [{"name": "seen-a"}] * 2):
        for limit in (2000, 4, 1, 0, -1):
            pair.ask("DescribeTopicPartitions", {"topics": topics, "responsePartitionLimit": limit})
    for cursor in (("seen-a", 2), ("seen-b", 0), ("seen-b", 7), ("seen-a", -1), ("missing", 0), ("", 0)):
        given = {"topicName": cursor[0], "partitionIndex": cursor[1]}
        pair.ask("DescribeTopicPartitions", {"topics": both, "responsePartitionLimit": 2000, "cursor": given})
    for name in BAD_NAMES:
        pair.ask("DescribeTopicPartitions", {"topics": [{"name": name}], "responsePartitionLimit": 2000})


@case("DeleteRecords")
def delete_records(pair):
    pair.create("cut", 2, retention_ms=-1)
    values = [f"value {number}".encode() for number in range(20)]
    produced = {"name": "cut", "topicId": "$id:cut", "partitionData": [{"index": 0, "records": batches.batch(values)}]}
    pair.ask("Produce", {"acks": -1, "timeoutMs": 5000, "topicData": [produced]})

    def cut(topic, *offsets):
        partitions = [{"partitionIndex": index, "offset": offset} for index, offset in offsets]
        pair.every("DeleteRecords", {"topics": [{"name": topic, "partitions": partitions}], "timeoutMs": 5000})

    for offset in (0, 5, 3, 21, -2, 20, -1, 2**62):
        cut("cut", (0, offset))
        partitions = [{"partitionIndex": 0, "timestamp": -2}]
        pair.ask("ListOffsets", {"replicaId": -1, "topics": [{"name": "cut", "partitions": partitions}]})
    cut("cut", (1, -1), (7, 0), (-1, 0))
    cut("cut", (1, 0), (1, 0))
    cut("missing", (0, 0))
    cut("cut")
    cut("", (0, 0))
