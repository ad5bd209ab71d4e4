"""Transactions with confluent-kafka: the verbs `txn`, `collect` and `transform`."""

import base64
import json
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

TIMEOUT_S = 60
MAX_REPAIRS = 100


def decode(text):
    return None if text is None else base64.b64decode(text)


def open_producer(bootstrap, id, timeout_ms):
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 1, "reconnect.backoff.max.ms": 500}
    if id:
        # Beginning from the bootstrap servers again, as it does when the only broker is away, it drops
        # that broker, but goes on sending offsets to it: for ever (2.16.1, with any broker).
        settings |= {"metadata.recovery.strategy": "none"}
        settings |= {"transactional.id": id, "transaction.timeout.ms": timeout_ms}
    producer = Producer(settings)
    if id:
        retrying(lambda: producer.init_transactions(TIMEOUT_S))
    return producer


def retrying(call):
    """A call that timed out, or found a coordinator that starts, is made again."""
    while True:
        try:
            return call()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            print(f"again after {error}", file=sys.stderr, flush=True)


def send(producer, topic, records):
    failures = []

    def on_delivery(error, _):
        if error:
            failures.append(error)

    for partition, key, value in records:
        producer.produce(topic, value=value, key=key, partition=partition, on_delivery=on_delivery)
        producer.poll(0)
    left = producer.flush(TIMEOUT_S)
    if failures:
        raise KafkaException(failures[0])
    if left:
        raise RuntimeError(f"{left} records are not acknowledged")


class Transactions:
    def __init__(self, bootstrap, say):
        self.bootstrap, self.say = bootstrap, say
        self.producers = {}

    def txn(self, step, producer, id=None, timeout_ms=None, topic=None, records=()):
        if step == "open":
            self.producers[producer] = open_producer(self.bootstrap, id, timeout_ms)
        else:
            found = self.producers[producer]
            if step == "begin":
                found.begin_transaction()
            elif step == "send":
                send(found, topic, [(p, decode(key), decode(value)) for p, key, value in records])
            elif step == "commit":
                found.commit_transaction(TIMEOUT_S)
            elif step == "abort":
                found.abort_transaction(TIMEOUT_S)
        self.say("txn")

    def consumer(self, group, committed, **settings):
        level = "read_committed" if committed else "read_uncommitted"
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": level,
                "fetch.wait.max.ms": 100,
                "reconnect.backoff.max.ms": 500,
                **settings,
            }
        )

    def collect(self, topic, partitions, committed, last, as_record):
        consumer = self.consumer("unused", committed)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        seen, open_partitions = 0, set(range(partitions))
        while open_partitions:
            for message in consumer.consume(100, timeout=1):
                if message.error():
                    raise KafkaException(message.error())
                seen += 1
                self.say("records", records=[as_record(message)])
                if message.value() == decode(last):
                    open_partitions.discard(message.partition())
        consumer.close()
        self.say("read", count=seen)

    def everything(self, topic, partitions, committed, as_record):
        """Each partition to its end, which is the last stable offset where only committed records count."""
        consumer = self.consumer("unused", committed, **{"enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        seen, open_partitions = 0, set(range(partitions))
        while open_partitions:
            records = []
            for message in consumer.consume(500, timeout=1):
                if not message.error():
                    records.append(as_record(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                elif not message.error().retriable():
                    raise KafkaException(message.error())
            seen += len(records)
            self.say("records", records=records)
        consumer.close()
        self.say("read", count=seen)

    def transform(self, commands, **arguments):
        Transform(self, commands, **arguments).run()


class Transform:
    """Reads in a group, writes what it has read, and its positions, in transactions."""

    def __init__(self, transactions, commands, group, source, target, id, count, batch, abort_every, hold_at, timeout_ms):
        self.transactions, self.commands = transactions, commands
        self.target, self.id, self.timeout_ms = target, id, timeout_ms
        self.count, self.batch, self.abort_every, self.hold_at = count, batch, abort_every, hold_at
        self.number = self.commits = self.aborts = 0
        self.done, self.repaired = {}, []
        # A broker that was killed may not know its members: heartbeats tell.
        timing = {"session.timeout.ms": 10000, "heartbeat.interval.ms": 500}
        self.consumer = transactions.consumer(group, True, **timing)
        self.consumer.subscribe([source])
        self.producer = self.open()

    def open(self):
        return open_producer(self.transactions.bootstrap, self.id, self.timeout_ms)

    def run(self):
        while sum(self.done.values()) < self.count:
            messages = [m for m in self.consumer.consume(self.batch, timeout=0.2)]
            for message in messages:
                if message.error() and not message.error().retriable():
                    raise KafkaException(message.error())
            messages = [m for m in messages if not m.error()]
            if not messages:
                continue
            try:
                self.transact(messages)
            except KafkaException as error:
                self.repair(error)
        self.consumer.close()
        self.transactions.say("transformed", commits=self.commits, aborts=self.aborts, repaired=self.repaired)

    def transact(self, messages):
        self.number += 1
        self.producer.begin_transaction()
        ends = {}
        for m in messages:
            self.producer.produce(self.target, value=m.value(), key=m.key(), partition=m.partition())
            ends[m.topic(), m.partition()] = m.offset() + 1
        offsets = [TopicPartition(t, p, o) for (t, p), o in ends.items()]
        member = self.consumer.consumer_group_metadata()
        retrying(lambda: self.producer.send_offsets_to_transaction(offsets, member, TIMEOUT_S))
        if self.number == self.hold_at:
            self.producer.flush(TIMEOUT_S)
            self.transactions.say("in_transaction")
            if self.commands.get()["do"] != "go":
                raise RuntimeError("only `go` is awaited here")
        if self.number % self.abort_every == 0:
            retrying(lambda: self.producer.abort_transaction(TIMEOUT_S))
            self.aborts += 1
            self.rewind()
        else:
            retrying(lambda: self.producer.commit_transaction(TIMEOUT_S))
            self.commits += 1
            self.done.update(ends)
            self.transactions.say("progress", done=sum(self.done.values()))

    def repair(self, error):
        """What can be aborted is aborted; otherwise another producer takes over."""
        self.repaired.append(error.args[0].name())
        print(f"transaction {self.number} failed: {error!r}", file=sys.stderr, flush=True)
        if len(self.repaired) > MAX_REPAIRS:
            raise error
        if error.args[0].txn_requires_abort():
            retrying(lambda: self.producer.abort_transaction(TIMEOUT_S))
        else:
            self.producer = self.open()
        self.rewind()

    def rewind(self):
        """Goes on at the committed positions."""
        parts = retrying(lambda: self.consumer.committed(self.consumer.assignment(), TIMEOUT_S))
        self.consumer.assign([TopicPartition(p.topic, p.partition, max(p.offset, 0)) for p in parts])
        self.done.update({(p.topic, p.partition): max(p.offset, 0) for p in parts})
