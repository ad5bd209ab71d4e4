"""The administrative calls of each client: topics, configs, offsets, groups, the cluster."""

import re
import time

from . import records as oracle
from .session import ClientError, Unsupported

CLIENTS = ["confluent", "java", "kafkajs", "franz-go", "platformatic", "aiokafka", "sarama"]
RECORDS = 200
EVENTUALLY_S = 10
# What a user would set, and not the defaults.
CONFIG = {"retention.ms": "31536000000", "max.message.bytes": "2000000"}


def eventually(read, holds):
    """Polls: on a cluster an administrative change is seen with a delay."""
    deadline = time.monotonic() + EVENTUALLY_S
    while True:
        value = read()
        if holds(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {EVENTUALLY_S} s")
        time.sleep(0.05)


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def error_name(text):
    """`TOPIC_ALREADY_EXISTS`, `TopicAlreadyExistsException` → the same word."""
    return re.sub(r"[^A-Z]|EXCEPTION", "", re.sub(r"Exception$|Error$", "", str(text)).upper())


def refused(session, names, step, **arguments):
    """The call must fail with one of the names that the clients give to this error."""
    try:
        value = session.admin(step, **arguments)
    except ClientError as error:
        if not any(error_name(name) in error_name(f"{error.code} {error}") for name in names):
            raise AssertionError(f"refused as {error.code} ({error}), expected {names[0]}") from None
        return f"refused as {error.code}"
    raise AssertionError(f"accepted with {value!r}, expected {names[0]}")


class Administration:
    def __init__(self, suite, client):
        self.suite, self.client = suite, client
        self.topic, self.group = f"admin-{client}-{suite.tag}", f"admin-group-{client}-{suite.tag}"
        self.session = self.member = None
        self.ends = {}
        self.times = []

    def run(self):
        checks = [
            ("describe the cluster", self.cluster),
            ("create a topic with a config", self.create),
            ("a second topic of that name is refused", self.create_again),
            ("an invalid topic name is refused", self.create_invalid),
            ("list and describe topics", self.topics),
            ("describe topic configs", self.configs),
            ("produce", self.produce),
            ("offsets: earliest", lambda: self.offsets("earliest", dict.fromkeys(self.ends, 0))),
            ("offsets: latest", lambda: self.offsets("latest", self.ends)),
            ("offsets: max timestamp", self.max_timestamp),
            ("offsets: by time", self.by_time),
            ("offsets for times, by a consumer", self.for_times),
            ("an active group: list and describe", self.active_group),
            ("an active group is not deleted", self.keep_active_group),
            ("an empty group: describe and its offsets", self.empty_group),
            ("set a group's offsets", self.alter_offsets),
            ("delete a group's offsets", self.delete_offsets),
            ("delete a group", self.delete_group),
            ("create partitions", self.create_partitions),
            ("fewer partitions are refused", self.fewer_partitions),
            ("delete a topic", self.delete_topic),
            ("a topic that is gone is refused", self.delete_again),
        ]
        report, logs = self.suite.report, self.suite.logs(self.client)
        if not report.check(self.client, "admin", "starts", self.start, logs):
            return
        try:
            for name, body in checks:
                report.check(self.client, "admin", name, body, logs)
        finally:
            for session in (self.session, self.member):
                if session:
                    session.close()

    def start(self):
        self.session = self.suite.open(self.client, "admin")

    def admin(self, step, **arguments):
        return self.session.admin(step, **arguments)

    # cluster and topics

    def cluster(self):
        found = self.admin("describe_cluster")
        equal(len(found["nodes"]), 1)
        if found["controller"] is not None:
            equal(found["controller"], found["nodes"][0])
        if not found["cluster_id"]:
            raise AssertionError("no cluster id")
        return f"cluster {found['cluster_id']}, node {found['nodes'][0]}"

    def create(self):
        self.admin("create_topic", topic=self.topic, partitions=2, config=CONFIG)

    def create_again(self):
        return refused(self.session, ["TOPIC_ALREADY_EXISTS", "TopicExists"], "create_topic", topic=self.topic, partitions=2, config={})

    def create_invalid(self):
        names = ["TOPIC_EXCEPTION", "INVALID_TOPIC", "InvalidTopicException"]
        return refused(self.session, names, "create_topic", topic="not/a topic", partitions=1, config={})

    def topics(self):
        eventually(lambda: self.admin("list_topics"), lambda topics: self.topic in topics)
        found = self.admin("describe_topic", topic=self.topic)
        equal(found["partitions"], 2)
        equal(len(set(found["leaders"])), 1)

    def configs(self):
        found = self.admin("describe_configs", topic=self.topic)
        equal({name: found.get(name) for name in CONFIG}, CONFIG)
        equal(found.get("cleanup.policy"), "delete")
        return f"{len(found)} entries"

    # offsets

    def produce(self):
        made = oracle.generate(self.topic, RECORDS, self.suite.start_ms)
        file = self.suite.directory / f"{self.topic}.ndjson"
        oracle.write(file, self.suite.speak[self.client].writes(made))
        self.session.produce(self.topic, "none", False, file)
        read = self.suite.hand.read([self.topic], RECORDS)
        self.times = sorted((partition, offset, time_ms) for _, partition, offset, time_ms, *_ in read)
        for partition, offset, _ in self.times:
            self.ends[partition] = offset + 1
        equal(len(self.ends), 2)

    def offsets(self, spec, expected):
        equal(dict(map(tuple, self.admin("list_offsets", topic=self.topic, spec=spec))), expected)

    def max_timestamp(self):
        # The timestamps rise with the offsets, so the latest record has the largest.
        self.offsets("max_timestamp", {partition: end - 1 for partition, end in self.ends.items()})

    def first_at(self, time_ms):
        return {p: min(o for q, o, t in self.times if q == p and t >= time_ms) for p in self.ends}

    def by_time(self):
        for part in (1, 3, 5):
            time_ms = self.suite.start_ms + RECORDS * part // 8
            self.offsets(time_ms, self.first_at(time_ms))

    def for_times(self):
        time_ms = self.suite.start_ms + RECORDS // 3
        found = self.admin("offsets_for_times", topic=self.topic, timestamp=time_ms)
        equal(dict(map(tuple, found)), self.first_at(time_ms))
        late = self.admin("offsets_for_times", topic=self.topic, timestamp=self.suite.start_ms + 10**6)
        equal(dict(map(tuple, late)), dict.fromkeys(self.ends, -1))

    # groups

    def active_group(self):
        self.member = self.suite.open(self.client, "admin member")
        self.member.join(self.group, [self.topic], None)
        self.member.wait_until(lambda member: len(member.records) >= RECORDS)
        equal(sorted(self.member.commit()), sorted([self.topic, p, end] for p, end in self.ends.items()))
        eventually(lambda: self.admin("list_groups"), lambda groups: self.group in groups)
        found = self.admin("describe_group", group=self.group)
        equal((found["state"].upper(), found["members"]), ("STABLE", 1))

    def keep_active_group(self):
        return refused(self.session, ["NON_EMPTY_GROUP", "GroupNotEmpty", "not empty"], "delete_group", group=self.group)

    def empty_group(self):
        self.member.leave()
        found = eventually(lambda: self.admin("describe_group", group=self.group), lambda group: group["members"] == 0)
        equal(found["state"].upper(), "EMPTY")
        equal(self.group_offsets(), self.ends)

    def group_offsets(self):
        return {partition: offset for _, partition, offset in self.admin("group_offsets", group=self.group)}

    def alter_offsets(self):
        self.admin("alter_group_offsets", group=self.group, offsets=[[self.topic, 0, 1], [self.topic, 1, 0]])
        equal(self.group_offsets(), {0: 1, 1: 0})

    def delete_offsets(self):
        self.admin("delete_group_offsets", group=self.group, topic=self.topic)
        equal(self.group_offsets(), {})
        # A group without members and offsets ends; the next check wants one to delete.
        self.admin("alter_group_offsets", group=self.group, offsets=[[self.topic, 0, 1], [self.topic, 1, 1]])

    def delete_group(self):
        self.admin("delete_group", group=self.group)
        eventually(lambda: self.admin("list_groups"), lambda groups: self.group not in groups)
        return refused(self.session, ["GROUP_ID_NOT_FOUND", "not exist"], "delete_group", group=self.group)

    # partitions and the end

    def create_partitions(self):
        self.admin("create_partitions", topic=self.topic, count=4)
        eventually(lambda: self.admin("describe_topic", topic=self.topic)["partitions"], lambda count: count == 4)

    def fewer_partitions(self):
        names = ["INVALID_PARTITIONS", "InvalidPartitions", "partitions"]
        return refused(self.session, names, "create_partitions", topic=self.topic, count=1)

    def delete_topic(self):
        self.admin("delete_topic", topic=self.topic)
        eventually(lambda: self.admin("list_topics"), lambda topics: self.topic not in topics)

    def delete_again(self):
        names = ["UNKNOWN_TOPIC_OR_PART", "UnknownTopicOrPartition"]
        return refused(self.session, names, "delete_topic", topic=self.topic)


def run(suite, clients):
    for client in clients:
        if client in CLIENTS:
            Administration(suite, client).run()
