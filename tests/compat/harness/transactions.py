"""Transactions: what is committed is read once and in order, what is aborted is not; offsets are
committed with the records; who is fenced off is told so; administrators see it all."""

import random
import time

from . import records as oracle
from .admin import equal, eventually
from .report import SKIP, Skip
from .scenario import check_committed
from .session import ClientError

PARTITIONS = 3
STEPS = 160  # of two transactional producers and a plain one
INPUT = 900
BATCH = 15
ABORT_EVERY = 4
HOLD_AT = 6  # the transaction in which the broker is killed for the first time
TRANSFORM_S = 120
READ_S = 60
TIMEOUT_MS = 60_000

NO_TRANSACTIONS = {"kcat": "it has no transactions"}
# How each client says that its producer is fenced off.
FENCED = {
    "confluent": {"_FENCED"},
    "java": {"ProducerFencedException", "InvalidProducerEpochException"},
    "kafkajs": {"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"},
    "franz-go": {"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"},
    "platformatic": {"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"},
    "aiokafka": {"ProducerFenced"},
    "sarama": {"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"},
}


def by_partition(records):
    """`[(key, value)…]` of each partition, in the order of the offsets, which must rise."""
    found = {p: [] for p in range(PARTITIONS)}
    ends = dict.fromkeys(found, -1)
    for _, partition, offset, _, key, value, _ in records:
        if offset <= ends[partition]:
            raise AssertionError(f"partition {partition}: offset {offset} after {ends[partition]}")
        ends[partition] = offset
        found[partition].append((key, value))
    return found


def compare(found, wanted):
    """Says where two readings of all partitions differ."""
    for partition, want in wanted.items():
        got = found[partition]
        if got == want:
            continue
        at = next((i for i, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), min(len(got), len(want)))
        show = [[tuple(map(oracle.decode, one)) for one in side[at : at + 3]] for side in (got, want)]
        missing, more = set(want) - set(got), set(got) - set(want)
        raise AssertionError(
            f"partition {partition}: {len(got)} records, expected {len(want)}; {len(missing)} missing, "
            f"{len(more)} too many; from {at} on read {show[0]}, expected {show[1]}"
        )
    return sum(map(len, wanted.values()))


class Transactions:
    def __init__(self, suite, client):
        self.suite, self.client = suite, client
        self.rng = random.Random(f"{oracle.SEED}:{client}")
        self.sessions = []
        self.written = []  # (partition, key, value, label of the transaction)
        self.committed = {"plain"}
        self.count = 0

    def name(self, what):
        return f"txn-{what}-{self.client}-{self.suite.tag}"

    def run(self):
        if self.client in NO_TRANSACTIONS:
            self.suite.report.add(self.client, "txn", "transactions", SKIP, NO_TRANSACTIONS[self.client])
            return
        checks = [
            ("commit and abort, interleaved", self.write_interleaved),
            ("read_uncommitted reads all", lambda: self.read_interleaved(False)),
            ("read_committed reads what counts", lambda: self.read_interleaved(True)),
            ("another client reads what counts", lambda: self.read_interleaved(True, self.suite.hand)),
            ("consume, transform, produce, killed twice", self.transform),
            ("a later producer fences the earlier", self.fence),
            ("administrators see a transaction", self.see),
            ("an open transaction is aborted in its partition", self.abort_by_admin),
            ("an administrator fences a producer", self.fence_by_admin),
        ]
        for name, body in checks:
            self.suite.report.check(self.client, "txn", name, body, self.suite.logs(self.client))
            self.close()

    def open(self, name):
        session = self.suite.open(self.client, name)
        self.sessions.append(session)
        return session

    def close(self):
        for session in self.sessions:
            session.close()
        self.sessions.clear()

    def committed_reader(self):
        """The client itself, or another where it cannot leave out what was aborted."""
        return self.open("reads") if self.suite.speak[self.client].reads_committed else self.suite.hand

    def topic(self, what):
        topic = self.name(what)
        self.suite.hand.create(topic, PARTITIONS)
        return topic

    def make(self, label, count=None, partitions=range(PARTITIONS)):
        """New records, each in a random partition, unlike all others."""
        made = []
        for _ in range(count or self.rng.randrange(1, 5)):
            self.count += 1
            key, value = f"key-{self.rng.randrange(20)}".encode(), f"{label}, {self.count}".encode()
            made.append([self.rng.choice(partitions), oracle.encode(key), oracle.encode(value)])
        return made

    # commit and abort

    def write_interleaved(self):
        topic = self.topic("mixed")
        session = self.open("transactions")
        session.txn("open", "plain")
        open_now, labels = {"a": None, "b": None}, []
        for producer in open_now:
            session.txn("open", producer, id=self.name(producer), timeout_ms=TIMEOUT_MS)

        def send(producer, label):
            made = self.make(label)
            session.txn("send", producer, topic=topic, records=made)
            self.written += [(*record, label) for record in made]

        def end(producer, commit):
            session.txn("commit" if commit else "abort", producer)
            if commit:
                self.committed.add(open_now[producer])
            open_now[producer] = None

        overlap = self.suite.speak[self.client].overlapping_aborts
        for _ in range(STEPS):
            producer = self.rng.choice(["a", "a", "b", "b", "plain"])
            others = [other for other, label in open_now.items() if label and other != producer]
            if producer != "plain" and others and not overlap:
                continue
            if producer == "plain":
                send("plain", "plain")
            elif open_now[producer] is None:
                open_now[producer] = f"transaction {len(labels)} of {producer}"
                labels.append(open_now[producer])
                session.txn("begin", producer)
                send(producer, open_now[producer])
            elif self.rng.random() < 0.5:
                send(producer, open_now[producer])
            else:
                end(producer, self.rng.random() < 0.5)
        for producer, label in open_now.items():
            if label:
                end(producer, producer == "a")
        self.last = self.finish(session, topic)
        self.written += [(*record, "plain") for record in self.last]
        return f"{len(labels)} transactions, {len(self.committed) - 1} of them committed, {len(self.written)} records"

    def finish(self, session, topic):
        """A plain last record in each partition: who has read it has read all."""
        last = [[p, oracle.encode(b"last"), oracle.encode(b"last")] for p in range(PARTITIONS)]
        session.txn("send", "plain", topic=topic, records=last)
        return last

    def read_interleaved(self, committed, reader=None):
        if committed and not reader and not self.suite.speak[self.client].reads_committed:
            raise Skip("the client leaves out only a producer's last aborted transaction, with any broker")
        wanted = {p: [] for p in range(PARTITIONS)}
        for partition, key, value, label in self.written:
            if not committed or label in self.committed:
                wanted[partition].append((key, value))
        found = (reader or self.open("reads")).collect(self.name("mixed"), PARTITIONS, committed, READ_S)
        return f"{compare(by_partition(found), wanted)} records"

    # consume, transform, produce

    def transform(self):
        source, target, group = self.topic("source"), self.topic("target"), self.name("group")
        made = self.make("input", INPUT)
        session = self.open("writes")
        session.txn("open", "plain")
        session.txn("send", "plain", topic=source, records=made)
        worker = self.open("transforms")
        worker.tell("transform", group=group, source=source, target=target, id=self.name("worker"), count=INPUT,
                    batch=BATCH, abort_every=ABORT_EVERY, hold_at=HOLD_AT, timeout_ms=TIMEOUT_MS)
        worker.wait("in_transaction", TRANSFORM_S)
        self.kill()
        worker.tell("go")
        deadline = time.monotonic() + TRANSFORM_S
        while worker.wait("progress", max(0.01, deadline - time.monotonic()))["done"] < INPUT * 2 // 3:
            pass
        # Killed in the middle of a commit, a client that does not wait for stable offsets may begin before it.
        if self.suite.speak[self.client].stable_offsets:
            self.kill()
        answer = worker.wait("transformed", max(0.01, deadline - time.monotonic()))
        wanted = {p: [(k, v) for q, k, v in made if q == p] for p in range(PARTITIONS)}
        ends = {(source, p): len(records) for p, records in wanted.items()}
        check_committed(self.suite, group, list(ends), ends)
        session = self.open("finishes")
        session.txn("open", "plain")
        for partition, key, value in self.finish(session, target):
            wanted[partition].append((key, value))
        compare(by_partition(self.committed_reader().collect(target, PARTITIONS, True, READ_S)), wanted)
        repaired = answer["repaired"]
        return (
            f"{answer['commits']} committed, {answer['aborts']} aborted, {len(repaired)} failed and began again"
            + (f" ({'; '.join(sorted(set(repaired)))})"[:200] if repaired else "")
            + ("" if self.suite.broker.restartable else ", broker left running")
        )

    def kill(self):
        if self.suite.broker.restartable:
            self.suite.close_hand()
            self.suite.broker.kill_and_restart()

    # fencing

    def fence(self):
        topic, id = self.topic("fence"), self.name("fenced")
        session = self.open("fences")
        session.txn("open", "plain")
        wanted = {p: [] for p in range(PARTITIONS)}

        def begin(producer):
            made = self.make(producer)
            session.txn("begin", producer)
            session.txn("send", producer, topic=topic, records=made)
            return made

        session.txn("open", "first", id=id, timeout_ms=TIMEOUT_MS)
        begin("first")
        session.txn("open", "second", id=id, timeout_ms=TIMEOUT_MS)
        told = [self.fenced("the first commits", lambda: session.txn("commit", "first"))]
        made = begin("second")
        session.txn("commit", "second")
        session.txn("open", "third", id=id, timeout_ms=TIMEOUT_MS)
        told.append(self.fenced("the second writes", lambda: begin("second"), lambda: session.txn("commit", "second")))
        made += begin("third")
        session.txn("commit", "third")
        for partition, key, value in made + self.finish(session, topic):
            wanted[partition].append((key, value))
        compare(by_partition(self.committed_reader().collect(topic, PARTITIONS, True, READ_S)), wanted)
        return ", ".join(told)

    def fenced(self, what, *calls):
        """One of the calls must fail as the client fails when it is fenced off."""
        told = []
        for call in calls:
            try:
                call()
            except ClientError as error:
                told.append(f"{error}")
                if error.code in FENCED[self.client]:
                    return error.code
        raise AssertionError(f"{what} after it was fenced off; that {' and '.join(told) or 'succeeded'}")

    # administration

    def begun(self, what):
        """A session with a transaction of one record in each partition, and the record's offsets."""
        topic, id = self.topic(what), self.name(what)
        session = self.open(what)
        # Asked before anything is opened, so that a client without the call is skipped.
        session.admin("list_transactions")
        session.txn("open", "plain")
        session.txn("open", "one", id=id, timeout_ms=TIMEOUT_MS)
        session.txn("send", "plain", topic=topic, records=[[p, None, oracle.encode(b"before")] for p in range(PARTITIONS)])
        session.txn("begin", "one")
        session.txn("send", "one", topic=topic, records=[[p, None, oracle.encode(b"within")] for p in range(PARTITIONS)])
        session.txn("send", "plain", topic=topic, records=[[p, None, oracle.encode(b"after")] for p in range(PARTITIONS)])
        return session, topic, id

    def ends(self, session, topic):
        """The ends of the first partition, as the two isolation levels see them."""
        ends = [dict(map(tuple, session.admin("list_offsets", topic=topic, spec="latest", committed=c))) for c in (True, False)]
        return ends[0][0], ends[1][0]

    def see(self):
        session, topic, id = self.begun("seen")
        equal(self.ends(session, topic), (1, 3))
        listed = {one["id"]: one for one in session.admin("list_transactions")}
        equal(listed[id]["state"], "Ongoing")
        described = session.admin("describe_transaction", id=id)
        equal(described["state"], "Ongoing")
        equal(described["timeout_ms"], TIMEOUT_MS)
        equal(described["producer_id"], listed[id]["producer_id"])
        equal(sorted(map(tuple, described["partitions"])), [(topic, p) for p in range(PARTITIONS)])
        if abs(described["started_ms"] / 1000 - time.time()) > 60:
            raise AssertionError(f"began at {described['started_ms']}, it is {time.time()}")
        mine = [one for one in session.admin("describe_producers", topic=topic, partition=0)
                if one["producer_id"] == described["producer_id"]]
        equal([(one["epoch"], one["started"], one["last_sequence"]) for one in mine], [(described["epoch"], 1, 0)])
        if id in {one["id"] for one in session.admin("list_transactions", states=["Empty"])}:
            raise AssertionError("an open transaction is listed among the empty ones")
        session.txn("commit", "one")
        eventually(lambda: session.admin("describe_transaction", id=id)["state"], lambda state: state == "CompleteCommit")
        equal(self.ends(session, topic), (4, 4))
        producers = session.admin("describe_producers", topic=topic, partition=0)
        equal([one["started"] for one in producers if one["producer_id"] == described["producer_id"]], [None])

    def abort_by_admin(self):
        """As `kafka-transactions.sh abort` does it: in one partition, whatever the coordinator says."""
        session, topic, id = self.begun("hangs")
        session.admin("abort_transaction", topic=topic, partition=0, started=1)
        equal(self.ends(session, topic), (4, 4))
        ends = dict(map(tuple, session.admin("list_offsets", topic=topic, spec="latest", committed=True)))
        equal({p: ends[p] for p in (1, 2)}, {1: 1, 2: 1})
        session.txn("abort", "one")
        found = by_partition(self.committed_reader().collect(topic, PARTITIONS, True, READ_S, last="after"))
        equal({tuple(oracle.decode(value) for _, value in records) for records in found.values()}, {(b"before", b"after")})

    def fence_by_admin(self):
        session, topic, id = self.begun("fence-by-admin")
        session.admin("fence_producer", id=id)
        told = self.fenced("the producer commits", lambda: session.txn("commit", "one"))
        eventually(lambda: session.admin("describe_transaction", id=id)["state"], lambda state: state in {"CompleteAbort", "Empty"})
        equal(self.ends(session, topic), (4, 4))
        return told


def run(suite, clients):
    for client in clients:
        Transactions(suite, client).run()
