"""What goes on until it is told to finish: the verbs `feed`, `work` and `tail` of the exactly-once runs."""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from transactions import TIMEOUT_S, open_producer, retrying

STEP_S = 0.05
# What a worker gives up with; whoever watches it starts another.
GIVES_UP = 3


class Feeder:
    """Writes the numbers 0, 1, 2, … of each key, each once, at a pace, whatever happens to the broker."""

    def __init__(self, bootstrap, say, topic, partitions, keys, per_second):
        self.say, self.topic, self.partitions, self.keys, self.per_second = say, topic, partitions, keys, per_second
        self.began, self.count, self.failures = time.monotonic(), 0, []
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "reconnect.backoff.max.ms": 500,
                "metadata.recovery.strategy": "none",
                "linger.ms": 5,
            }
        )

    def step(self):
        due = int((time.monotonic() - self.began) * self.per_second)
        while self.count < due and len(self.producer) < 50_000:
            key, number = self.count % self.keys, self.count // self.keys
            self.producer.produce(
                self.topic, key=f"key-{key}", value=str(number), partition=key % self.partitions, on_delivery=self.delivered
            )
            self.count += 1
        self.producer.poll(STEP_S)
        if self.failures:
            raise KafkaException(self.failures[0])

    def delivered(self, error, _):
        if error:
            self.failures.append(error)

    def finish(self):
        left = self.producer.flush(TIMEOUT_S)
        if left or self.failures:
            raise RuntimeError(f"{left} records are not acknowledged, {self.failures[:1]}")
        self.say("finished", count=self.count)


class Worker:
    """Reads in a group, writes what it has read, and its positions, in transactions; aborts some."""

    def __init__(self, bootstrap, say, group, source, target, id, batch, abort_every, timeout_ms, instance=None):
        self.say, self.target, self.batch, self.abort_every = say, target, batch, abort_every
        self.number = 0
        self.producer = open_producer(bootstrap, id, timeout_ms)
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 500,
        }
        if instance:
            settings["group.instance.id"] = instance
        self.consumer = Consumer(settings)
        self.consumer.subscribe([source])

    def step(self):
        messages = self.consumer.consume(self.batch, timeout=STEP_S)
        for message in messages:
            if message.error() and message.error().fatal():
                self.give_up(message.error())
        messages = [message for message in messages if not message.error()]
        if messages:
            try:
                self.transact(messages)
            except KafkaException as error:
                self.repair(messages, error)

    def transact(self, messages):
        self.number += 1
        aborts = self.number % self.abort_every == 0
        self.producer.begin_transaction()
        ends = {}
        for m in messages:
            # What is aborted is marked: whoever reads it has read what does not count.
            value = b"aborted " + m.value() if aborts else m.value()
            self.producer.produce(self.target, key=m.key(), value=value, partition=m.partition())
            ends[m.topic(), m.partition()] = m.offset() + 1
        offsets = [TopicPartition(t, p, o) for (t, p), o in ends.items()]
        member = self.consumer.consumer_group_metadata()
        retrying(lambda: self.producer.send_offsets_to_transaction(offsets, member, TIMEOUT_S))
        if aborts:
            self.abort(messages)
        else:
            retrying(lambda: self.producer.commit_transaction(TIMEOUT_S))
            self.say("transaction", how="committed")

    def abort(self, messages, how="aborted"):
        retrying(lambda: self.producer.abort_transaction(TIMEOUT_S))
        self.say("transaction", how=how)
        firsts = {}
        for m in messages:
            firsts.setdefault((m.topic(), m.partition()), m.offset())
        owned = {(p.topic, p.partition) for p in self.consumer.assignment()}
        for (topic, partition), offset in firsts.items():
            # A partition that was taken away goes on elsewhere, at what is committed.
            if (topic, partition) in owned:
                self.consumer.seek(TopicPartition(topic, partition, offset))

    def repair(self, messages, error):
        print(f"transaction {self.number} failed: {error!r}", file=sys.stderr, flush=True)
        if not error.args[0].txn_requires_abort():
            self.give_up(error)
        try:
            self.abort(messages, error.args[0].name())
        except KafkaException as worse:
            self.give_up(worse)

    def give_up(self, error):
        print(f"gives up: {error!r}", file=sys.stderr, flush=True)
        self.say("transaction", how="given up")
        sys.exit(GIVES_UP)

    def finish(self):
        self.consumer.close()
        self.say("finished")


class Tail:
    """Reads each partition from its start, and what comes."""

    def __init__(self, consumer, say, as_record, topic, partitions):
        self.consumer, self.say, self.as_record = consumer, say, as_record
        self.consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])

    def step(self):
        messages = self.consumer.consume(500, timeout=STEP_S)
        for message in messages:
            if message.error() and message.error().fatal():
                raise KafkaException(message.error())
        records = [self.as_record(message) for message in messages if not message.error()]
        if records:
            self.say("records", records=records)

    def finish(self):
        self.consumer.close()
        self.say("finished")
