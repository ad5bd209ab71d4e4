"""confluent-kafka (librdkafka) behind the suite's verbs: JSON commands in, JSON events out.

The verbs are described in tests/compat/README.md. One process is one client; a group member
polls on the main thread between commands.
"""

import base64
import json
import queue
import sys
import threading

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from consumer_groups import FollowingMember
from exactly_once import Feeder, Tail, Worker
from transactions import Transactions

BOOTSTRAP = sys.argv[1]
TIMEOUT_S = 30
POLL_RECORDS = 500


def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def encode(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def as_record(message):
    headers = [[name, encode(value)] for name, value in message.headers() or []]
    return [
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        encode(message.key()),
        encode(message.value()),
        headers,
    ]


class Member:
    """A group member that delivers up to a limit and then holds, still polling."""

    def __init__(self, group, topics, limit):
        self.limit = limit
        self.delivered = 0
        self.held = False
        self.positions = {}
        self.consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 10000,
                "heartbeat.interval.ms": 500,
                "fetch.wait.max.ms": 100,
            }
        )
        self.consumer.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke)

    def on_assign(self, consumer, partitions):
        consumer.assign(partitions)
        if self.held and partitions:
            consumer.pause(partitions)
        say("assigned", partitions=[[p.topic, p.partition] for p in partitions])

    def on_revoke(self, consumer, partitions):
        if self.positions:
            self.commit()
        self.positions = {}
        say("revoked", partitions=[[p.topic, p.partition] for p in partitions])

    def step(self):
        room = POLL_RECORDS if self.limit is None else min(POLL_RECORDS, self.limit - self.delivered)
        messages = self.consumer.consume(0 if self.held else room, timeout=0.1) if not self.held else []
        if self.held and self.consumer.poll(0.1) is not None:
            raise RuntimeError("a paused consumer delivered a record")
        records = []
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            records.append(as_record(message))
            self.positions[(message.topic(), message.partition())] = message.offset() + 1
        if records:
            self.delivered += len(records)
            say("records", records=records)
        if self.limit is not None and self.delivered >= self.limit and not self.held:
            self.hold()

    def hold(self):
        self.held = True
        self.consumer.pause(self.consumer.assignment())
        say("held", delivered=self.delivered)

    def resume(self, limit):
        self.limit, self.delivered, self.held = limit, 0, False
        self.consumer.resume(self.consumer.assignment())

    def commit(self):
        offsets = [TopicPartition(t, p, o) for (t, p), o in sorted(self.positions.items())]
        if offsets:
            for part in self.consumer.commit(offsets=offsets, asynchronous=False):
                if part.error:
                    raise KafkaException(part.error)
        return [[o.topic, o.partition, o.offset] for o in offsets]


class Client:
    def __init__(self, commands):
        self.commands = commands
        self.transactions = Transactions(BOOTSTRAP, say)
        self.admin_client = AdminClient({"bootstrap.servers": BOOTSTRAP})
        self.producers = {}
        self.member = None

    # verbs

    def create(self, topic, partitions, config=None):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config or {})
        self.admin_client.create_topics([new])[topic].result(TIMEOUT_S)
        say("created")

    def producer(self, codec, idempotent):
        key = (codec, idempotent)
        if key not in self.producers:
            self.producers[key] = Producer(
                {
                    "bootstrap.servers": BOOTSTRAP,
                    "compression.type": codec,
                    "enable.idempotence": idempotent,
                    "linger.ms": 5,
                    "acks": "all",
                }
            )
        return self.producers[key]

    def produce(self, topic, codec, idempotent, file):
        producer = self.producer(codec, idempotent)
        positions, failures = [], []

        def acknowledged(index):
            def on_delivery(error, message):
                if error:
                    failures.append(str(error))
                else:
                    positions[index] = [message.partition(), message.offset()]

            return on_delivery

        with open(file, encoding="utf-8") as lines:
            for index, line in enumerate(lines):
                time_ms, key, value, headers = json.loads(line)
                positions.append(None)
                producer.produce(
                    topic,
                    value=decode(value),
                    key=decode(key),
                    headers=[(name, decode(raw)) for name, raw in headers],
                    timestamp=time_ms,
                    on_delivery=acknowledged(index),
                )
                producer.poll(0)
        left = producer.flush(TIMEOUT_S)
        if failures or left:
            raise RuntimeError(f"{left} unacknowledged, {len(failures)} failed: {failures[:1]}")
        say("produced", count=len(positions), positions=positions)

    def join(self, group, topics, limit):
        self.member = Member(group, topics, limit)

    def follow(self, group, topics, **settings):
        self.member = FollowingMember(BOOTSTRAP, say, as_record, group, topics, **settings)

    def resume(self, limit):
        self.member.resume(limit)

    def commit(self):
        say("committed", offsets=self.member.commit())

    def leave(self):
        self.member.consumer.close()
        self.member = None
        say("left")

    def read(self, topics, count):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused", "enable.auto.commit": False})
        parts = []
        for topic in topics:
            found = consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions
            parts += [TopicPartition(topic, p, 0) for p in found]
        consumer.assign(parts)
        seen = 0
        while seen < count:
            messages = consumer.consume(min(POLL_RECORDS, count - seen), timeout=TIMEOUT_S)
            if not messages:
                raise RuntimeError(f"{seen} of {count} records, then nothing for {TIMEOUT_S} s")
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
            seen += len(messages)
            say("records", records=[as_record(m) for m in messages])
        consumer.close()
        say("read", count=seen)

    def txn(self, **arguments):
        self.transactions.txn(**arguments)

    def collect(self, **arguments):
        self.transactions.collect(as_record=as_record, **arguments)

    def everything(self, **arguments):
        self.transactions.everything(as_record=as_record, **arguments)

    def transform(self, **arguments):
        self.transactions.transform(self.commands, **arguments)

    # what goes on until it is to finish

    def feed(self, **arguments):
        self.member = Feeder(BOOTSTRAP, say, **arguments)

    def work(self, **arguments):
        self.member = Worker(BOOTSTRAP, say, **arguments)

    def tail(self, topic, partitions, committed):
        consumer = self.transactions.consumer("unused", committed, **{"metadata.recovery.strategy": "none"})
        self.member = Tail(consumer, say, as_record, topic, partitions)

    def finish(self):
        member, self.member = self.member, None
        member.finish()

    # administration: one method per step

    def admin(self, step, **arguments):
        method = getattr(self, "admin_" + step, None)
        if method is None:
            say("unsupported", step=step)
        else:
            say("admin", value=method(**arguments))

    def admin_describe_cluster(self):
        found = self.admin_client.describe_cluster().result(TIMEOUT_S)
        return {
            "nodes": [n.id for n in found.nodes],
            "controller": found.controller.id if found.controller else None,
            "cluster_id": found.cluster_id,
        }

    def admin_list_topics(self):
        return sorted(self.admin_client.list_topics(timeout=TIMEOUT_S).topics)

    def admin_describe_topic(self, topic):
        from confluent_kafka import TopicCollection

        found = self.admin_client.describe_topics(TopicCollection([topic]))[topic].result(TIMEOUT_S)
        return {"partitions": len(found.partitions), "leaders": [p.leader.id for p in found.partitions]}

    def admin_describe_configs(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = self.admin_client.describe_configs([resource])[resource].result(TIMEOUT_S)
        return {name: entry.value for name, entry in found.items()}

    def admin_create_topic(self, topic, partitions, config):
        self.admin_client.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(TIMEOUT_S)

    def admin_create_partitions(self, topic, count):
        self.admin_client.create_partitions([NewPartitions(topic, count)])[topic].result(TIMEOUT_S)

    def admin_list_groups(self, types=()):
        wanted = {"types": {ConsumerGroupType[name] for name in types}} if types else {}
        return [g.group_id for g in self.admin_client.list_consumer_groups(**wanted).result(TIMEOUT_S).valid]

    def admin_describe_group(self, group):
        found = self.admin_client.describe_consumer_groups([group])[group].result(TIMEOUT_S)
        return {"state": found.state.name, "members": len(found.members)}

    def admin_list_offsets(self, topic, spec, committed=False):
        named = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest, "max_timestamp": OffsetSpec.max_timestamp}
        what = named[spec]() if spec in named else OffsetSpec.for_timestamp(spec)
        parts = {TopicPartition(topic, p): what for p in self.partitions(topic)}
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        found = self.admin_client.list_offsets(parts, isolation_level=level)
        return [[t.partition, f.result(TIMEOUT_S).offset] for t, f in found.items()]

    def admin_offsets_for_times(self, topic, timestamp):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused"})
        asked = [TopicPartition(topic, p, timestamp) for p in self.partitions(topic)]
        found = consumer.offsets_for_times(asked, TIMEOUT_S)
        consumer.close()
        return [[p.partition, p.offset] for p in found]

    def admin_group_offsets(self, group):
        asked = ConsumerGroupTopicPartitions(group)
        found = self.admin_client.list_consumer_group_offsets([asked])[group].result(TIMEOUT_S)
        return [[p.topic, p.partition, p.offset] for p in found.topic_partitions if p.offset >= 0]

    def admin_committed(self, group, partitions):
        """As a consumer asks: unlike the admin call it waits for a coordinator that is starting."""
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
        found = consumer.committed([TopicPartition(t, p) for t, p in partitions], TIMEOUT_S)
        consumer.close()
        for part in found:
            if part.error:
                raise KafkaException(part.error)
        return [[p.topic, p.partition, p.offset] for p in found if p.offset >= 0]

    def admin_alter_group_offsets(self, group, offsets):
        parts = [TopicPartition(t, p, o) for t, p, o in offsets]
        asked = ConsumerGroupTopicPartitions(group, parts)
        found = self.admin_client.alter_consumer_group_offsets([asked])[group].result(TIMEOUT_S)
        for part in found.topic_partitions:
            if part.error:
                raise KafkaException(part.error)

    def admin_delete_group(self, group):
        self.admin_client.delete_consumer_groups([group])[group].result(TIMEOUT_S)

    def admin_delete_topic(self, topic):
        self.admin_client.delete_topics([topic])[topic].result(TIMEOUT_S)

    def partitions(self, topic):
        return sorted(self.admin_client.list_topics(topic, TIMEOUT_S).topics[topic].partitions)


def read_commands(commands):
    for line in sys.stdin:
        commands.put(json.loads(line))
    commands.put(None)


def fail(error):
    code = error.args[0].name() if isinstance(error, KafkaException) else type(error).__name__
    say("error", code=code, message=str(error))


def main():
    commands = queue.Queue()
    threading.Thread(target=read_commands, args=(commands,), daemon=True).start()
    client = Client(commands)
    say("ready")
    while True:
        try:
            if client.member is None:
                command = commands.get()
            else:
                try:
                    command = commands.get_nowait()
                except queue.Empty:
                    client.member.step()
                    continue
            if command is None:
                return
            getattr(client, command.pop("do"))(**command)
        except Exception as error:  # every failure is an answer, the runner decides
            fail(error)


main()
