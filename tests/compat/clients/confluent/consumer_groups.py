"""A member of a group with confluent-kafka, mostly of the consumer protocol (KIP-848): the verb `follow`."""

from confluent_kafka import Consumer, KafkaException, TopicPartition


class FollowingMember:
    """Takes and gives up partitions as the broker says, and delivers all that it reads."""

    def __init__(self, bootstrap, say, as_record, group, topics, instance=None, assignor=None, protocol="consumer"):
        self.say, self.as_record = say, as_record
        self.positions, self.owned = {}, set()
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": protocol,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
        }
        if protocol == "classic":
            settings |= {"partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 500}
        if instance:
            settings["group.instance.id"] = instance
        if assignor:
            settings["group.remote.assignor"] = assignor
        self.consumer = Consumer(settings)
        self.consumer.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_lost)

    def on_assign(self, consumer, partitions):
        consumer.incremental_assign(partitions)
        self.owned |= {(p.topic, p.partition) for p in partitions}
        self.say("assigned", partitions=sorted(self.owned))

    def on_revoke(self, consumer, partitions):
        # What is given up is committed first, in the epoch in which it was read.
        self.commit()
        self.on_lost(consumer, partitions)

    def on_lost(self, consumer, partitions):
        consumer.incremental_unassign(partitions)
        gone = {(p.topic, p.partition) for p in partitions}
        self.owned -= gone
        self.positions = {place: offset for place, offset in self.positions.items() if place not in gone}
        self.say("assigned", partitions=sorted(self.owned))

    def step(self):
        messages = self.consumer.consume(500, timeout=0.1)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            self.positions[(message.topic(), message.partition())] = message.offset() + 1
        if messages:
            self.say("records", records=[self.as_record(message) for message in messages])

    def commit(self):
        offsets = [TopicPartition(t, p, o) for (t, p), o in sorted(self.positions.items())]
        for part in self.consumer.commit(offsets=offsets, asynchronous=False) if offsets else []:
            if part.error:
                raise KafkaException(part.error)
        return [[o.topic, o.partition, o.offset] for o in offsets]
