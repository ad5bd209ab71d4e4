"""aiokafka, Python without librdkafka, behind the suite's verbs: JSON commands in, JSON events out.

The verbs are described in tests/compat/README.md.
"""

import asyncio
import base64
import json
import logging
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from administration import Administration
from member import Member

BOOTSTRAP = sys.argv[1]
MAX_REPAIRS = 100
READ_MS = 30_000


def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def encode(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def as_record(m):
    headers = [[name, encode(value)] for name, value in m.headers]
    return [m.topic, m.partition, m.offset, m.timestamp, encode(m.key), encode(m.value), headers]


async def open_producer(id=None, timeout_ms=None):
    settings = {"transactional_id": id, "transaction_timeout_ms": timeout_ms} if id else {}
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", **settings)
    await producer.start()
    return producer


async def send(producer, topic, records):
    sent = [await producer.send(topic, value=value, key=key, partition=p) for p, key, value in records]
    await asyncio.gather(*sent)


def consumer(committed, topics=(), **settings):
    level = "read_committed" if committed else "read_uncommitted"
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=level,
        fetch_max_wait_ms=200,
        **settings,
    )


class Client:
    def __init__(self, next_command):
        self.next_command = next_command
        self.producers = {}
        self.member = None
        self.administration = Administration(BOOTSTRAP)

    async def create(self, topic, partitions, config=None):
        await self.administration.step("create_topic", topic=topic, partitions=partitions, config=config or {})
        say("created")

    async def produce(self, topic, codec, idempotent, file):
        key = (codec, idempotent)
        if key not in self.producers:
            compression = None if codec == "none" else codec
            self.producers[key] = AIOKafkaProducer(
                bootstrap_servers=BOOTSTRAP, acks="all", compression_type=compression, enable_idempotence=idempotent, linger_ms=5
            )
            await self.producers[key].start()
        sent = []
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                time_ms, key_text, value, headers = json.loads(line)
                made = [(name, decode(raw)) for name, raw in headers]
                sent.append(await self.producers[key].send(topic, decode(value), decode(key_text), timestamp_ms=time_ms, headers=made))
        positions = [[done.partition, done.offset] for done in await asyncio.gather(*sent)]
        say("produced", count=len(positions), positions=positions)

    async def join(self, group, topics, limit):
        self.member = Member(say, as_record, BOOTSTRAP, group, limit)
        await self.member.start(topics)

    async def resume(self, limit):
        self.member.resume(limit)

    async def commit(self):
        say("committed", offsets=await self.member.commit())

    async def leave(self):
        member, self.member = self.member, None
        await member.consumer.stop()
        say("left")

    async def read(self, topics, count):
        reader = consumer(False)
        await reader.start()
        parts = [TopicPartition(topic, p) for topic in topics for p in await self.administration.partitions(topic)]
        reader.assign(parts)
        await reader.seek_to_beginning(*parts)
        seen = 0
        while seen < count:
            found = await reader.getmany(timeout_ms=READ_MS, max_records=min(500, count - seen))
            messages = [message for part in found.values() for message in part]
            if not messages:
                raise RuntimeError(f"{seen} of {count} records, then nothing for {READ_MS} ms")
            seen += len(messages)
            say("records", records=[as_record(message) for message in messages])
        await reader.stop()
        say("read", count=seen)

    async def txn(self, step, producer, id=None, timeout_ms=None, topic=None, records=()):
        if step == "open":
            self.producers[producer] = await open_producer(id, timeout_ms)
        elif step == "begin":
            await self.producers[producer].begin_transaction()
        elif step == "send":
            await send(self.producers[producer], topic, [(p, decode(key), decode(value)) for p, key, value in records])
        elif step == "commit":
            await self.producers[producer].commit_transaction()
        elif step == "abort":
            await self.producers[producer].abort_transaction()
        say("txn")

    async def collect(self, topic, partitions, committed, last):
        reader = consumer(committed)
        await reader.start()
        reader.assign([TopicPartition(topic, p) for p in range(partitions)])
        unread, count = set(range(partitions)), 0
        while unread:
            message = await reader.getone()
            count += 1
            say("records", records=[as_record(message)])
            if message.value == decode(last):
                unread.discard(message.partition)
        await reader.stop()
        say("read", count=count)

    async def transform(self, **arguments):
        await Transform(self.next_command, **arguments).run()

    async def admin(self, step, **arguments):
        try:
            say("admin", value=await self.administration.step(step, **arguments))
        except NotImplementedError:
            say("unsupported", step=step)


class Transform:
    """Reads in a group, writes what it has read, and its positions, in transactions."""

    def __init__(self, next_command, **arguments):
        self.next_command = next_command
        self.__dict__.update(arguments)
        self.number = self.commits = self.aborts = 0
        self.done, self.repaired = {}, []

    async def run(self):
        self.producer = await open_producer(self.id, self.timeout_ms)
        self.consumer = consumer(True, [self.source], group_id=self.group, heartbeat_interval_ms=500)
        await self.consumer.start()
        while sum(self.done.values()) < self.count:
            found = await self.consumer.getmany(timeout_ms=200, max_records=self.batch)
            messages = [message for part in found.values() for message in part]
            if not messages:
                continue
            try:
                await self.transact(messages)
            except KafkaError as error:
                await self.repair(error)
        await self.consumer.stop()
        await self.producer.stop()
        say("transformed", commits=self.commits, aborts=self.aborts, repaired=self.repaired)

    async def transact(self, messages):
        self.number += 1
        await self.producer.begin_transaction()
        await send(self.producer, self.target, [(m.partition, m.key, m.value) for m in messages])
        ends = {TopicPartition(m.topic, m.partition): m.offset + 1 for m in messages}
        await self.producer.send_offsets_to_transaction(ends, self.group)
        if self.number == self.hold_at:
            say("in_transaction")
            if (await self.next_command())["do"] != "go":
                raise RuntimeError("only `go` is awaited here")
        if self.number % self.abort_every == 0:
            await self.producer.abort_transaction()
            self.aborts += 1
            await self.rewind()
        else:
            await self.producer.commit_transaction()
            self.commits += 1
            self.done.update(ends)
            say("progress", done=sum(self.done.values()))

    async def repair(self, error):
        """What can be aborted is aborted; otherwise another producer takes over."""
        self.repaired.append(type(error).__name__)
        print(f"transaction {self.number} failed: {error!r}", file=sys.stderr, flush=True)
        if len(self.repaired) > MAX_REPAIRS:
            raise error
        try:
            await self.producer.abort_transaction()
        except KafkaError as fatal:
            print(f"and cannot be aborted: {fatal!r}", file=sys.stderr, flush=True)
            self.producer = await open_producer(self.id, self.timeout_ms)
        await self.rewind()

    async def rewind(self):
        """Goes on at the committed positions."""
        for part in self.consumer.assignment():
            offset = await self.consumer.committed(part) or 0
            self.consumer.seek(part, offset)
            self.done[part] = offset


async def main():
    commands = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)

    async def next_command():
        line = await commands.readline()
        return json.loads(line) if line else None

    client = Client(next_command)
    say("ready")
    waiting = asyncio.create_task(next_command())
    while True:
        try:
            if client.member and not waiting.done():
                await client.member.step()
                continue
            command = await waiting
            if command is None:
                return
            await getattr(client, command.pop("do"))(**command)
        except Exception as error:  # every failure is an answer, the runner decides
            say("error", code=type(error).__name__, message=str(error))
        waiting = asyncio.create_task(next_command())


logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
asyncio.run(main())
