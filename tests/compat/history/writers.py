"""Clients that write: plain producers, transactional ones, and a job that reads, transforms and writes."""

import functools
import time

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from readers import GroupReader
from record import value_of

PARTITIONS = 3
TOPICS = ["a", "b"]  # what plain and transactional writers write
SOURCE, TARGET = "a", "c"  # what the job reads and writes
CALL_S = 5
GIVE_UP_S = 90
MOST_UNDERWAY = 400
TRANSACTION_MS = 8_000
ABORTS = 0.25
HANGS = 0.01

# What each kind of plain producer is, and so what it may do with a record:
PLAIN = {
    "idempotent": {"enable.idempotence": True, "message.timeout.ms": 0},  # once, in order
    "once": {"retries": 0, "message.timeout.ms": 8000},  # at most once, as it is sent once
    "retrying": {"message.timeout.ms": 0},  # at least once
}
PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}


class GaveUp(Exception):
    """The client cannot go on; another is started in its place."""


def retrying(call):
    """A call that timed out, or found a coordinator that starts, is made again, for so long."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


class Sender:
    """One producer: numbers what it sends, notes that and what becomes of it."""

    def __init__(self, context, session, kind, settings):
        self.context, self.session, self.note = context, session, context.history.note
        self.sent, self.acknowledged, self.unknown = 0, [], []
        self.lost_track = False
        codec = context.rng.choice(["none", "lz4", "zstd", "snappy", "gzip"])
        settings = {**context.client(), "acks": "all", "linger.ms": 2, "compression.type": codec, **settings}
        self.producer = Producer(settings)
        self.note("ok", "session", session=session, kind=kind, transactional_id=settings.get("transactional.id"), settings=settings)

    def send(self, targets, txn=None):
        """`targets`: (topic, partition, the offset of what it is made from, or None)."""
        batch = [[self.sent + index, *target] for index, target in enumerate(targets, 1)]
        self.sent += len(batch)
        self.note("invoke", "send", session=self.session, txn=txn, records=batch)
        for position, (number, topic, partition, _) in enumerate(batch):
            try:
                value = value_of(f"{self.session}:{number}")
                self.producer.produce(topic, value, partition=partition, on_delivery=functools.partial(self.delivered, number))
            except (KafkaException, BufferError):
                # Neither this one nor those after it have left the process.
                self.note("fail", "send", session=self.session, records=[one[0] for one in batch[position:]])
                raise

    def delivered(self, number, error, message):
        if error is None:
            self.acknowledged.append([number, message.offset()])
        else:
            self.unknown.append([number, error.name()])
            self.lost_track |= error.code() in PURGED

    def poll(self, timeout_s):
        self.producer.poll(timeout_s)
        self.note_results()

    def note_results(self):
        for event, results in (("ok", self.acknowledged), ("unknown", self.unknown)):
            if results:
                self.note(event, "send", session=self.session, records=results)
                results.clear()

    def flush(self):
        deadline = time.monotonic() + GIVE_UP_S
        while self.producer.flush(0.2) and time.monotonic() < deadline:
            self.note_results()
        self.note_results()


class PlainWriter:
    """A producer of each kind, side by side."""

    def __init__(self, context):
        self.rng = context.rng
        self.senders = [Sender(context, f"{context.session}{kind[0]}", kind, settings) for kind, settings in PLAIN.items()]

    def step(self):
        sender = self.rng.choice(self.senders)
        if len(sender.producer) < MOST_UNDERWAY:
            sender.send(any_targets(self.rng, self.rng.randint(1, 10)))
        for sender in self.senders:
            sender.poll(self.rng.uniform(0, 0.03))

    def finish(self):
        for sender in self.senders:
            sender.flush()


def any_targets(rng, count):
    return [(rng.choice(TOPICS), rng.randrange(PARTITIONS), None) for _ in range(count)]


class Transactions:
    """A transactional producer, one transaction after another."""

    def __init__(self, context):
        self.context, self.note = context, context.history.note
        self.opened, self.count, self.txn = 0, 0, None
        self.open()

    def open(self):
        self.opened += 1
        self.session = f"{self.context.session}-{self.opened}"
        settings = {"transactional.id": self.context.name, "transaction.timeout.ms": TRANSACTION_MS}
        self.sender = Sender(self.context, self.session, "transactional", settings)
        self.producer = self.sender.producer
        self.note("invoke", "init", session=self.session)
        try:
            retrying(lambda: self.producer.init_transactions(CALL_S))
        except KafkaException as error:
            raise GaveUp(f"init_transactions: {error}") from error
        self.note("ok", "init", session=self.session)

    def run(self, body, commit):
        """A transaction of what `body` does. Returns whether it is committed."""
        self.count += 1
        self.txn = f"{self.session}/{self.count}"
        self.note("invoke", "begin", txn=self.txn, session=self.session)
        try:
            self.producer.begin_transaction()
            body()
        except KafkaException as error:
            self.note("fail", "within", txn=self.txn, error=str(error))
            # After an earlier error `produce` says no more than that the state is wrong.
            if error.args[0].fatal():
                raise GaveUp(f"{self.txn}: {error}") from error
            return self.end("abort")
        return self.end("commit" if commit else "abort")

    def end(self, how):
        self.note("invoke", how, txn=self.txn)
        call = self.producer.commit_transaction if how == "commit" else self.producer.abort_transaction
        try:
            retrying(lambda: call(CALL_S))
        except KafkaException as error:
            self.sender.note_results()
            self.note("fail", how, txn=self.txn, error=str(error))
            if how == "commit" and error.args[0].txn_requires_abort():
                return self.end("abort")
            raise GaveUp(f"{how} of {self.txn}: {error}") from error
        self.sender.note_results()
        self.note("ok", how, txn=self.txn)
        if self.sender.lost_track:
            # librdkafka 2.16.1 gives the sequence numbers of records whose answers were lost before the
            # abort to the next ones. Brokers refuse those, or take them for the same and acknowledge
            # them where the aborted ones stand: they are lost, with Apache Kafka 4.3.0 too.
            self.open()
        return how == "commit"


class TransactionalWriter:
    """Writes to several partitions of two topics; some transactions outlive their time."""

    def __init__(self, context):
        self.rng = context.rng
        self.transactions = Transactions(context)

    def step(self):
        self.transactions.run(self.fill, commit=self.rng.random() > ABORTS)
        time.sleep(self.rng.uniform(0, 0.1))

    def fill(self):
        sender = self.transactions.sender
        hangs = self.rng.random() < HANGS
        for _ in range(self.rng.randint(1, 4)):
            sender.send(any_targets(self.rng, self.rng.randint(1, 5)), self.transactions.txn)
            sender.poll(self.rng.uniform(0, 0.05))
            if hangs and self.rng.random() < 0.5:
                time.sleep(TRANSACTION_MS / 1000 * self.rng.uniform(0.8, 2))
                sender.poll(0)

    def finish(self):
        pass


class Transformer(GroupReader):
    """Reads in a group, writes one record for each, and commits its offsets in the same transaction."""

    def __init__(self, context):
        self.transactions = Transactions(context)
        super().__init__(context, "transform", [SOURCE], "classic")

    def step(self):
        self.take(self.rng.randint(1, 40))
        if not self.batch:
            return
        if not self.transactions.run(self.transform, commit=self.rng.random() > ABORTS):
            self.begin_at_committed(self.consumer.assignment(), self.seek)
        self.batch.clear()

    def transform(self):
        transactions = self.transactions
        transactions.sender.send([(TARGET, partition, offset) for _, partition, offset, _ in self.batch], transactions.txn)
        transactions.sender.poll(self.rng.uniform(0, 0.05))
        offsets = [TopicPartition(*end) for end in self.ends()]
        self.note("invoke", "txn_offsets", txn=transactions.txn, group=self.group, offsets=self.ends())
        member = self.consumer.consumer_group_metadata()
        retrying(lambda: transactions.producer.send_offsets_to_transaction(offsets, member, CALL_S))
