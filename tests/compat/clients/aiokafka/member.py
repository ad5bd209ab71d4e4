"""A group member with aiokafka that delivers up to a limit and then holds."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

POLL_RECORDS = 500
POLL_MS = 100


class Member(ConsumerRebalanceListener):
    def __init__(self, say, as_record, bootstrap, group, limit):
        self.say, self.as_record, self.limit = say, as_record, limit
        self.delivered, self.held, self.positions = 0, False, {}
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,
            heartbeat_interval_ms=500,
            fetch_max_wait_ms=100,
        )

    async def start(self, topics):
        self.consumer.subscribe(topics, listener=self)
        await self.consumer.start()

    async def on_partitions_assigned(self, assigned):
        self.say("assigned", partitions=[[part.topic, part.partition] for part in assigned])

    async def on_partitions_revoked(self, revoked):
        if self.positions:
            await self.commit()
        self.positions = {}
        self.say("revoked", partitions=[[part.topic, part.partition] for part in revoked])

    async def step(self):
        if self.held:
            await asyncio.sleep(POLL_MS / 1000)
            return
        room = POLL_RECORDS if self.limit is None else min(POLL_RECORDS, self.limit - self.delivered)
        found = await self.consumer.getmany(timeout_ms=POLL_MS, max_records=room)
        messages = [message for part in found.values() for message in part]
        for message in messages:
            self.positions[TopicPartition(message.topic, message.partition)] = message.offset + 1
        if messages:
            self.delivered += len(messages)
            self.say("records", records=[self.as_record(message) for message in messages])
        if self.limit is not None and self.delivered >= self.limit:
            self.held = True
            self.say("held", delivered=self.delivered)

    def resume(self, limit):
        self.limit, self.delivered, self.held = limit, 0, False

    async def commit(self):
        if self.positions:
            await self.consumer.commit(self.positions)
        return [[part.topic, part.partition, offset] for part, offset in sorted(self.positions.items())]
