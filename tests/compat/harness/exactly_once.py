"""Exactly once under random kills: a job reads, transforms and writes in transactions while its
workers and the broker are killed with `kill -9`; a reader of committed records checks its output.

Each key's records are numbered. In the output each number must come once and in order; nothing that
was aborted may be seen. In the end everything is read once more, and once without leaving out what
was aborted: then the same checker must find something, or it would prove nothing.

The seed decides whom to kill and when; what is under way at that moment, it does not.
"""

import collections
import random
import time

from . import records as oracle
from . import streams
from .admin import equal
from .session import ClientError, ClientSilent, Session

PARTITIONS = 4
KEYS = 64
PER_SECOND = 300
BATCH = 50
ABORT_EVERY = 6
TRANSACTION_MS = 10_000
# Between two kills. Instances of Streams take seconds to begin.
PAUSES_S = {"librdkafka": (0.5, 4.0), "streams": (2.0, 9.0)}
DOWN_S = 0.5
# Of the suite; Streams begins too slowly for a short run, and `streams` kills it at chosen moments.
SUITE_S = {"librdkafka": 12}
CATCH_UP_S = 90  # without a record
FINISH_S = 90
SHOWN = 10


class Checker:
    """Each key's numbers, one after another."""

    def __init__(self, numbered):
        self.numbered = numbered  # each value begins with its number as the job counts it, from 1
        self.next = collections.Counter()
        self.count, self.wrong, self.problems = 0, 0, []

    def add(self, record):
        _, partition, offset, _, key, value, _ = record
        key, value = (oracle.decode(text).decode() for text in (key, value))
        self.count += 1
        wanted = self.next[key]
        if self.numbered:
            counted, value = value.split(" ")
            if counted != str(wanted + 1):
                self.problem(f"{key} at {partition}/{offset} is counted as {counted}, expected {wanted + 1}")
                return
        if value.startswith("aborted "):
            self.problem(f"{key} at {partition}/{offset} was aborted: {value}")
        elif int(value) != wanted:
            self.problem(f"{key} at {partition}/{offset} has {value}, expected {wanted}")
            self.next[key] = max(wanted, int(value) + 1)
        else:
            self.next[key] += 1

    def problem(self, what):
        self.wrong += 1
        if len(self.problems) < SHOWN:
            self.problems.append(what)

    def must_be_exact(self):
        if self.wrong:
            raise AssertionError(f"{self.wrong} of {self.count} records are wrong: {'; '.join(self.problems)}")


class Reader(Session):
    """Gives what it reads to a checker, and keeps none of it."""

    checker = None

    def _take(self, deadline):
        event = super()._take(deadline)
        for record in self.records:
            self.checker.add(record)
        self.records = []
        return event


class Librdkafka:
    """confluent-kafka, send_offsets_to_transaction. One worker is a static member, the other not."""

    client = "confluent"
    numbered = False

    class Session(Session):
        def __init__(self, *arguments):
            self.ended = collections.Counter()
            super().__init__(*arguments)

        def _take(self, deadline):
            event = super()._take(deadline)
            if event["event"] == "transaction":
                self.ended[event["how"]] += 1
            return event

    def __init__(self, suite, name):
        self.suite, self.name = suite, name
        self.ended = collections.Counter()

    def start(self, number, topics):
        command = [*self.suite.commands[self.client], self.suite.broker.bootstrap]
        worker = self.Session(f"worker {number}", command, self.suite.client_log(f"exactly-once-{number}"))
        instance = {"instance": f"worker-{number}"} if number == 0 else {}
        worker.tell("work", group=self.name, **topics, id=f"{self.name}-{number}", batch=BATCH,
                    abort_every=ABORT_EVERY, timeout_ms=TRANSACTION_MS, **instance)
        return worker

    def watch(self, worker):
        worker.drain()

    def gone(self, worker):
        try:
            worker.drain()
        except ClientSilent:
            pass
        self.ended += worker.ended

    def stop(self, worker):
        worker.ask("finish", "finished", FINISH_S)


class Streams:
    """Kafka Streams with a state store, its changelog and a repartition topic; static members."""

    client = "streams"
    numbered = True

    def __init__(self, suite, name):
        self.suite, self.name = suite, name
        self.ended = collections.Counter()

    def start(self, number, topics):
        instance = {"main.consumer.group.instance.id": f"instance-{number}", "max.poll.records": "50"}
        worker = streams.start(self.suite, f"{self.name}-{number}", "counted", topics, self.name, **instance)
        worker.commits = 0
        return worker

    def watch(self, worker):
        """Commits are counted in the instance, which may be killed at any time."""
        if worker.process.poll() is None:
            worker.tell("counts")
        while not worker.events.empty():
            event = worker._take(time.monotonic() + 1)
            if event["event"] == "counts":
                worker.commits = event["commits"]

    def gone(self, worker):
        try:
            while not worker.events.empty():
                event = worker._take(time.monotonic() + 1)
                worker.commits = event["commits"] if event["event"] == "counts" else worker.commits
        except ClientSilent:
            pass
        self.ended["committed"] += int(worker.commits)
        self.ended["thread replaced"] += len(worker.replaced)

    def stop(self, worker):
        worker.commits = worker.stop()["commits"]


JOBS = {"librdkafka": Librdkafka, "streams": Streams}


class ExactlyOnce:
    def __init__(self, suite, which, seconds, seed):
        self.suite, self.which, self.seconds, self.seed = suite, which, seconds, seed
        self.rng = random.Random(seed)
        self.name = f"exactly-once-{which}-{suite.tag}"
        self.topics = {"source": f"{self.name}-source", "target": f"{self.name}-target"}
        self.job = JOBS[which](suite, self.name)
        self.workers = {}
        self.kills = collections.Counter()
        self.sessions = []

    def run(self):
        for topic in self.topics.values():
            self.suite.hand.create(topic, PARTITIONS)
        try:
            return self.work()
        finally:
            for session in [*self.sessions, *self.workers.values()]:
                session.close()

    def open(self, kind, name):
        session = kind(name, [*self.suite.commands["confluent"], self.suite.broker.bootstrap], self.suite.client_log(f"exactly-once-{name}"))
        self.sessions.append(session)
        return session

    def work(self):
        for number in range(2):
            self.workers[number] = self.job.start(number, self.topics)
        feeder = self.open(Session, "feeder")
        feeder.tell("feed", topic=self.topics["source"], partitions=PARTITIONS, keys=KEYS, per_second=PER_SECOND)
        reader = self.open(Reader, "reader")
        reader.checker = Checker(self.job.numbered)
        reader.tell("tail", topic=self.topics["target"], partitions=PARTITIONS, committed=True)
        self.disturb(feeder, reader)
        fed = feeder.ask("finish", "finished", FINISH_S)["count"]
        self.catch_up(reader, fed)
        for worker in self.workers.values():
            self.job.stop(worker)
        return self.judge(fed)

    def disturb(self, *sessions):
        """Kills somebody every few seconds, until the time is up."""
        ends = time.monotonic() + self.seconds
        low, high = PAUSES_S[self.which]
        while True:
            until = min(ends, time.monotonic() + self.rng.uniform(low, high))
            while time.monotonic() < until:
                self.look(*sessions)
                time.sleep(0.05)
            if time.monotonic() >= ends:
                return
            self.kill(self.rng.choice(["broker", 0, 1]))

    def kill(self, victim):
        if victim != "broker":
            worker = self.workers[victim]
            worker.process.kill()
            worker.process.wait()
            self.kills["worker"] += 1
            time.sleep(self.rng.uniform(0, DOWN_S))
            self.replace(victim)
        elif self.suite.broker.restartable:
            self.suite.close_hand()
            self.suite.broker.kill_and_restart(self.rng.uniform(0, DOWN_S))
            self.kills["broker"] += 1

    def replace(self, number):
        self.job.gone(self.workers[number])
        self.workers[number].close()
        self.workers[number] = self.job.start(number, self.topics)

    def look(self, *sessions):
        """Takes what all have said; a worker that ended by itself is started again."""
        for session in sessions:
            session.drain()
            if isinstance(session, Reader):
                session.checker.must_be_exact()
        for number, worker in list(self.workers.items()):
            try:
                self.job.watch(worker)
                ended = worker.process.poll() is not None
            except (ClientSilent, OSError):
                ended = True
            if ended:
                self.kills["ended by itself"] += 1
                self.replace(number)

    def catch_up(self, reader, fed):
        deadline, came = 0, -1
        while came < fed:
            if reader.checker.next.total() > came:
                deadline, came = time.monotonic() + CATCH_UP_S, reader.checker.next.total()
            if time.monotonic() > deadline:
                raise AssertionError(f"{came} of {fed} records came out, and nothing more in {CATCH_UP_S} s")
            self.look(reader)
            time.sleep(0.05)

    def judge(self, fed):
        """Everything once more, from the start, as committed; then without that."""
        committed = self.read(True)
        committed.must_be_exact()
        equal(committed.count, fed)
        wanted = {f"key-{key}": len(range(key, fed, KEYS)) for key in range(min(KEYS, fed))}
        equal(dict(committed.next), wanted)
        everything = self.read(False)
        if not everything.wrong:
            raise AssertionError("read_uncommitted is exact too: nothing was aborted, so nothing is proven")
        for worker in self.workers.values():
            self.job.gone(worker)
        kills = ", ".join(f"{count} × {who}" for who, count in sorted(self.kills.items()))
        ended = ", ".join(f"{count} {how}" for how, count in sorted(self.job.ended.items()) if count)
        return (
            f"{fed} records exact; seed {self.seed}, {self.seconds} s, killed: {kills}; transactions: {ended}; "
            f"read_uncommitted has {everything.count - committed.count} records more, and the checker objects to {everything.wrong}"
        )

    def read(self, committed):
        reader = self.open(Reader, f"judge-{committed}")
        reader.checker = Checker(self.job.numbered)
        reader.everything(self.topics["target"], PARTITIONS, committed, FINISH_S + self.seconds)
        return reader.checker


def run(suite, clients):
    for which, seconds in SUITE_S.items():
        if JOBS[which].client in clients:
            check(suite, which, seconds, suite.options.seed)


def check(suite, which, seconds, seed):
    once = ExactlyOnce(suite, which, seconds, seed)
    client = JOBS[which].client
    logs = [suite.client_log(f"exactly-once-{name}") for name in (0, 1, "feeder", "reader")] + suite.logs(client)
    return suite.report.check(client, "once", f"exactly once with {which}, under random kills", once.run, logs)
