"""The main scenario: create, produce with each codec, read in a group with a rebalance in the
middle, commit, restart the group and the broker, go on.

One group reads all topics of a client, so the rebalance and the restart fall among all codecs.
"""

import time

from . import records as oracle
from .report import FAIL, SKIP, Skip
from .session import ClientError, Unsupported

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
MODES = {"plain": False, "idempotent": True}
PARTITIONS = 4
AFTER_RESTART = 500
REBALANCE_S = 60
READ_S = 120
COORDINATOR_S = 30
STARTING = {"NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE"}


class Topic:
    """A topic of the scenario: what is written to it, and where it was acknowledged."""

    def __init__(self, client, codec, mode, suite):
        self.name = f"{client}-{codec}-{mode}-{suite.tag}"
        self.codec, self.mode, self.idempotent = codec, mode, MODES[mode]
        self.first = suite.count
        made = oracle.generate(self.name, suite.count + AFTER_RESTART, suite.start_ms)
        self.expected = suite.speak[client].writes(made)
        self.positions = []
        self.more = []

    def produce(self, session, suite, start, end):
        part = self.expected[start:end]
        file = suite.directory / f"{self.name}-{start}.ndjson"
        oracle.write(file, part)
        answer = session.produce(self.name, self.codec, self.idempotent, file)
        if answer["count"] != len(part):
            raise oracle.Mismatch(f"{answer['count']} of {len(part)} records were acknowledged")
        self.positions += answer.get("positions") or []


def settle(members, partitions, timeout_s=REBALANCE_S):
    """Waits until the members' assignments are disjoint, not empty, and cover all partitions."""
    wanted = sorted(partitions)
    deadline = time.monotonic() + timeout_s
    while True:
        for member in members:
            member.drain()
        assigned = [[tuple(p) for p in member.assignment or []] for member in members]
        if all(assigned) and sorted(sum(assigned, [])) == wanted:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{timeout_s} s after joining, the members have {[len(a) for a in assigned]} of {len(wanted)} partitions")
        time.sleep(0.02)


def next_positions(records):
    positions = {}
    for topic, partition, offset, *_ in records:
        positions[topic, partition] = max(positions.get((topic, partition), 0), offset + 1)
    return positions


def committed_positions(suite, group, partitions):
    """As another client sees them; a coordinator that is starting may ask it to try again."""
    deadline = time.monotonic() + COORDINATOR_S
    while True:
        try:
            return {(t, p): o for t, p, o in suite.hand.admin("committed", group=group, partitions=partitions)}
        except ClientError as error:
            if error.code not in STARTING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def check_committed(suite, group, partitions, wanted):
    found = committed_positions(suite, group, partitions)
    if found != wanted:
        wrong = {k: (found.get(k), wanted.get(k)) for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k)}
        raise AssertionError(f"{len(wrong)} committed positions differ (found, expected), e.g. {list(wrong.items())[:3]}")
    return f"{len(wanted)} positions"


class Scenario:
    def __init__(self, suite, client):
        self.suite, self.client, self.report = suite, client, suite.report
        self.group = f"group-{client}-{suite.tag}"
        self.main = None
        self.topics = []
        self.seen = []
        self.members = []

    def check(self, column, name, body):
        return self.report.check(self.client, column, name, body, self.suite.logs(self.client))

    def run(self):
        try:
            if self.check("create", "starts", self.start):
                self.produce_all()
                self.group_stages()
        finally:
            for member in self.members:
                member.close()
            if self.main:
                self.main.close()

    def start(self):
        self.main = self.suite.open(self.client, "main")

    def produce_all(self):
        for codec in self.suite.speak[self.client].codecs:
            for mode in MODES:
                topic = Topic(self.client, codec, mode, self.suite)
                if self.check("create", f"create a topic for {codec}, {mode}", lambda: self.create(topic)):
                    self.check(codec, f"produce {codec}, {mode}", lambda: self.produce(topic))

    def create(self, topic):
        self.main.create(topic.name, PARTITIONS)

    def produce(self, topic):
        try:
            topic.produce(self.main, self.suite, 0, topic.first)
        except Unsupported as reason:
            raise Skip(f"the client cannot: {reason}") from None
        self.topics.append(topic)
        return f"{topic.first} records"

    def group_stages(self):
        stages = [
            ("rebalance", "a second member joins in the middle", self.rebalance),
            ("commit", "commit and leave", self.commit_and_leave),
            ("restart", "the group goes on where it was", self.restart),
            ("restart", "positions at the end", self.finish),
        ]
        reached = bool(self.topics)
        for column, name, stage in stages:
            if reached:
                reached = self.check(column, name, stage)
            else:
                self.report.add(self.client, column, name, FAIL, "not reached")
        for topic in self.topics:
            name = f"records of {topic.codec}, {topic.mode} are equal"
            if reached:
                self.check(topic.codec, name, lambda: self.compare(topic))
            else:
                self.report.add(self.client, topic.codec, name, FAIL, "not reached")

    def partitions(self):
        return [(topic.name, p) for topic in self.topics for p in range(PARTITIONS)]

    def join(self, name, limit):
        member = self.suite.open_member(self.client, name)
        self.members.append(member)
        member.join(self.group, [topic.name for topic in self.topics], limit)
        return member

    def join_two(self, first_name, limit, second_name):
        """The first reads up to the limit, holds and commits; then the second joins, and holds."""
        first = self.join(first_name, limit)
        first.wait_held(READ_S)
        first.commit()
        second = self.join(second_name, self.least())
        settle([first, second], self.partitions())
        second.wait_held(READ_S)
        return first, second

    def least(self):
        return 0 if self.suite.speak[self.client].holds_at_once else 1

    def rebalance(self):
        total = sum(topic.first for topic in self.topics)
        first, second = self.join_two("member-a", total // 3, "member-b")
        share = total * 12 // 100
        for member in (first, second):
            member.resume(share)
        for member in (first, second):
            member.wait_held(READ_S)
        return f"{len(first.records)} and {len(second.records)} of {total} records read"

    def commit_and_leave(self):
        for member in self.members:
            member.commit()
        for member in self.members:
            member.leave()
            self.seen += member.records
            member.close()
        self.members.clear()
        return check_committed(self.suite, self.group, self.partitions(), next_positions(self.seen))

    def restart(self):
        committed = next_positions(self.seen)
        if self.suite.broker.restartable:
            self.suite.broker.kill_and_restart()
            self.suite.close_hand()
        check_committed(self.suite, self.group, self.partitions(), committed)
        for topic in self.topics[-len(MODES) :]:
            topic.produce(self.main, self.suite, topic.first, topic.first + AFTER_RESTART)
            topic.more = [AFTER_RESTART]
        total = sum(topic.first + sum(topic.more) for topic in self.topics)
        remaining = total - len({(t, p, o) for t, p, o, *_ in self.seen})
        for member in self.join_two("member-c", self.least(), "member-d"):
            member.resume(None)
        self.read_rest(remaining)
        first_seen = {}
        for member in self.members:
            for topic, partition, offset, *_ in member.records:
                first_seen[topic, partition] = min(first_seen.get((topic, partition), offset), offset)
        for part, offset in first_seen.items():
            if offset != committed.get(part, 0):
                raise AssertionError(f"{part} went on at {offset}, committed was {committed.get(part, 0)}")
        how = "broker killed and restarted" if self.suite.broker.restartable else "broker left running"
        return f"{remaining} records, {how}"

    def read_rest(self, remaining):
        deadline = time.monotonic() + READ_S
        while True:
            for member in self.members:
                member.drain()
            got = {(t, p, o) for member in self.members for t, p, o, *_ in member.records[-1:]}
            distinct = sum(len(member.records) for member in self.members)
            if distinct >= remaining and got:
                exact = {(t, p, o) for member in self.members for t, p, o, *_ in member.records}
                if len(exact) >= remaining:
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"{distinct} of {remaining} remaining records after {READ_S} s")
            time.sleep(0.02)

    def finish(self):
        self.commit_and_leave()
        repeated = len(self.seen) - len({(t, p, o) for t, p, o, *_ in self.seen})
        return f"{len(self.seen)} records read, {repeated} of them again after a rebalance"

    def compare(self, topic):
        received = [record for record in self.seen if record[0] == topic.name]
        expected = topic.expected[: topic.first + sum(topic.more)]
        speak = self.suite.speak[self.client]
        oracle.compare(expected, received, topic.positions or None, timestamps=speak.timestamps)
        return f"{len(expected)} records"


def run(suite, clients):
    for client in clients:
        Scenario(suite, client).run()
