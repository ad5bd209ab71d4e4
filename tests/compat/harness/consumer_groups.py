"""Groups of the consumer protocol (KIP-848): the broker assigns, members follow.

Two members share a topic and commit; partitions are added; one member is killed without a word; a
static member goes and comes back; topics by a regular expression; the assignor `range`; members go to
the protocol from the classic one and back, one by one; the broker is killed. What is read is each
record, and once where nobody was killed.
"""

import time

from . import records as oracle
from .scenario import READ_S, check_committed, next_positions, settle
from .session import ClientError

PARTITIONS = 6
RECORDS = 2_000
# A session of 45 s, and a heartbeat every 5 s until somebody is told of it.
EXPIRY_S = 90
# The clients that speak it, of those that are here.
SPEAK_IT = ("confluent",)


class ConsumerGroups:
    def __init__(self, suite, client):
        self.suite, self.client = suite, client
        self.sessions = []
        self.topic = self.name("topic")
        self.count = PARTITIONS

    def name(self, what):
        return f"kip848-{what}-{self.client}-{self.suite.tag}"

    def run(self):
        checks = [
            ("two members share, commit, and get new partitions", self.share),
            ("a member that is killed", self.killed),
            ("a static member goes and comes back", self.static),
            ("topics by a regular expression", self.by_regex),
            ("the assignor range, and one that there is not", self.assignors),
            ("members change the protocol one by one, and back", self.migrate),
            ("members join again after the broker was killed", self.restart),
        ]
        for name, body in checks:
            self.suite.report.check(self.client, "kip848", name, body, self.suite.logs(self.client))
            for session in self.sessions:
                session.close()
            self.sessions = []

    def follow(self, name, group, topics, **more):
        session = self.suite.open(self.client, name)
        self.sessions.append(session)
        session.tell("follow", group=group, topics=topics, **more)
        return session

    def all(self):
        return [(self.topic, partition) for partition in range(self.count)]

    def share(self):
        hand, group = self.suite.hand, self.name("share")
        hand.create(self.topic, PARTITIONS)
        made = oracle.generate(self.topic, RECORDS, self.suite.start_ms)
        file = self.suite.directory / f"{self.topic}.ndjson"
        oracle.write(file, made)
        hand.produce(self.topic, "none", False, file)
        one = self.follow("one", group, [self.topic])
        settle([one], self.all())
        one.wait_until(lambda session: len(session.records) == RECORDS)
        one.commit()
        two = self.follow("two", group, [self.topic])
        settle([one, two], self.all())
        described = hand.admin("describe_group", group=group)
        if described != {"state": "STABLE", "members": 2}:
            raise AssertionError(f"described as {described}")
        if group not in hand.admin("list_groups", types=["CONSUMER"]) or group in hand.admin("list_groups", types=["CLASSIC"]):
            raise AssertionError("it is not listed by its type")
        self.count += 2
        hand.admin("create_partitions", topic=self.topic, count=self.count)
        settle([one, two], self.all())
        hand.produce(self.topic, "none", False, file)
        self.read_all([one, two], 2 * RECORDS)
        seen = one.records + two.records
        places = {(topic, partition, offset) for topic, partition, offset, *_ in seen}
        if len(places) != len(seen):
            raise AssertionError(f"{len(seen) - len(places)} records came twice")
        for session in (one, two):
            session.commit()
            session.leave()
        return check_committed(self.suite, group, self.all(), next_positions(seen))

    def read_all(self, sessions, count):
        """Waits until the members have read so many records together."""
        deadline = time.monotonic() + READ_S
        while sum(len(session.records) for session in sessions) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{[len(session.records) for session in sessions]} of {count} records are read")
            for session in sessions:
                session.drain()
            time.sleep(0.02)

    def killed(self):
        group = self.name("killed")
        one, two = (self.follow(name, group, [self.topic]) for name in ("stays", "dies"))
        settle([one, two], self.all())
        two.process.kill()
        self.sessions.remove(two)
        one.wait_until(lambda session: len(session.assignment) == self.count, EXPIRY_S)
        one.leave()

    def static(self):
        group = self.name("static")
        one, two = (self.follow(f"static {name}", group, [self.topic], instance=name) for name in "ab")
        settle([one, two], self.all())
        had, others = two.assignment, one.assignment
        two.leave()
        again = self.follow("static again", group, [self.topic], instance="b")
        again.wait_until(lambda session: session.assignment == had)
        one.drain()
        if one.assignment != others:
            raise AssertionError("the other one noticed")
        third = self.follow("static third", group, [self.topic], instance="b")
        try:
            third.wait("left", 20)
        except ClientError as error:
            return f"another of its name is refused ({error.code})"
        raise AssertionError("another of its name is let in")

    def by_regex(self):
        first, second = self.name("regex-1"), self.name("regex-2")
        self.suite.hand.create(first, 2)
        member = self.follow("regex", self.name("by-regex"), [f"^kip848-regex-[0-9]-{self.client}-{self.suite.tag}"])
        settle([member], [(first, 0), (first, 1)])
        self.suite.hand.create(second, 1)
        settle([member], [(first, 0), (first, 1), (second, 0)])
        member.leave()

    def assignors(self):
        group = self.name("range")
        one, two = (self.follow(f"range {name}", group, [self.topic], assignor="range") for name in "ab")
        settle([one, two], self.all())
        numbers = sorted([partition for _, partition in session.assignment] for session in (one, two))
        if sum(numbers, []) != list(range(self.count)):
            raise AssertionError(f"these are no ranges: {numbers}")
        for session in (one, two):
            session.leave()
        wrong = self.follow("no assignor", self.name("wrong"), [self.topic], assignor="nonsense")
        try:
            wrong.wait("left", 20)
        except ClientError as error:
            return f"refused ({error.code})"
        raise AssertionError("an assignor that there is not is accepted")

    def migrate(self):
        hand, group, topic = self.suite.hand, self.name("migrate"), self.name("migrated")
        hand.create(topic, PARTITIONS)
        file = self.suite.directory / f"{topic}.ndjson"
        oracle.write(file, oracle.generate(topic, RECORDS, self.suite.start_ms))
        follow = lambda name, protocol: self.follow(f"{name} {protocol}", group, [topic], protocol=protocol)
        everything = [(topic, partition) for partition in range(PARTITIONS)]
        members = {name: follow(name, "classic") for name in "ab"}
        all_sessions, count = list(members.values()), 0
        for name, protocol in [(None, None), ("a", "consumer"), ("b", "consumer"), ("a", "classic"), ("b", "classic")]:
            if name:
                members[name].leave()
                members[name] = follow(f"{name} again", protocol)
                all_sessions.append(members[name])
            settle(list(members.values()), everything)
            hand.produce(topic, "none", False, file)
            count += RECORDS
            self.read_all(all_sessions, count)
            for session in members.values():
                session.commit()
        seen = sum((session.records for session in all_sessions), [])
        places = {(topic, partition, offset) for topic, partition, offset, *_ in seen}
        if len(places) != len(seen):
            raise AssertionError(f"{len(seen) - len(places)} records came twice")
        return check_committed(self.suite, group, everything, next_positions(seen))

    def restart(self):
        if not self.suite.broker.restartable:
            return "left out: the broker is not ours"
        group = self.name("restart")
        one, two = (self.follow(f"restart {name}", group, [self.topic]) for name in "ab")
        settle([one, two], self.all())
        self.read_all([one, two], 2 * RECORDS)
        for session in (one, two):
            session.commit()
        positions = next_positions(one.records + two.records)
        self.suite.broker.kill_and_restart()
        self.suite.close_hand()
        # They give up all, join as new members, and share again.
        for session in (one, two):
            session.wait_until(lambda session: session.assignment == [])
        settle([one, two], self.all())
        return check_committed(self.suite, group, self.all(), positions)


def run(suite, clients):
    for client in clients:
        if client in SPEAK_IT:
            ConsumerGroups(suite, client).run()
