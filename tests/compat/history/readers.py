"""Clients that read: from anywhere, in a group, and all of it in the end.

What a consumer reads of a partition from one start on, without a seek or another assignment, is a
segment. All starts are given: nothing is left to a reset, which would hide what was lost.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from record import id_of

PARTITIONS = 3
ALL_TOPICS = ["a", "b", "c"]
READ_BY_MEMBERS = ["b", "c"]
GROUPS = ["transform", "members"]
CALL_S = 5
GIVE_UP_S = 90
PAUSE_S = 0.1
ASK_EVERY_S = 0.5
MOVE_EVERY_S = 5
BACK = 1000
END_S = 120


def everywhere():
    return [(topic, partition) for topic in ALL_TOPICS for partition in range(PARTITIONS)]


class Reading:
    """A consumer whose reads are noted, segment by segment."""

    segments = 0  # of all readers of this process

    def __init__(self, context, reader, settings):
        self.context, self.reader, self.note, self.rng = context, reader, context.history.note, context.rng
        settings = {
            **context.client(),
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": context.isolation,
            "fetch.wait.max.ms": 100,
            **settings,
        }
        self.isolation = settings["isolation.level"]
        self.consumer = Consumer(settings)
        self.current, self.fresh, self.ended = {}, [], set()

    def segment(self, topic, partition, start):
        Reading.segments += 1
        self.current[topic, partition] = Reading.segments
        self.note("ok", "segment", segment=Reading.segments, reader=self.reader, isolation=self.isolation,
                  topic=topic, partition=partition, start=start)

    def poll(self, timeout_s, most=200):
        """Reads for so long or so much; returns [topic, partition, offset, id]. A revocation that
        comes in between empties `fresh`: whoever is assigned next begins before it."""
        deadline = time.monotonic() + timeout_s
        found, self.fresh = {}, []
        for _ in range(most):
            message = self.consumer.poll(max(0, deadline - time.monotonic()))
            if message is None:
                break
            place = message.topic(), message.partition()
            if message.error():
                self.failed(message.error(), place, message.offset())
                continue
            record_id = id_of(message.value())
            found.setdefault(self.current[place], []).append([message.offset(), record_id, time.monotonic_ns()])
            self.fresh.append([*place, message.offset(), record_id])
        for segment, records in found.items():
            self.note("ok", "read", segment=segment, records=records)
        return self.fresh

    def failed(self, error, place, offset):
        if error.code() == KafkaError._PARTITION_EOF:
            self.ended.add(place)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self.note("fail", "read", segment=self.current.get(place), reader=self.reader, place=place, error=str(error))
        elif error.fatal():
            raise KafkaException(error)


class Reader(Reading):
    """Follows everything, begins again a little before where it is now and then, and asks for the
    ends of partitions and the offsets of groups."""

    def __init__(self, context):
        super().__init__(context, context.session, {})
        self.ends = Consumer({**context.client(), "group.id": "unused", "isolation.level": "read_uncommitted"})
        self.groups = [Consumer({**context.client(), "group.id": name, "isolation.level": "read_committed"}) for name in GROUPS]
        self.positions = {}
        self.asked = self.moved = time.monotonic()
        self.begin()

    def begin(self):
        parts = []
        for topic, partition in everywhere():
            at = self.positions.get((topic, partition))
            if at is None:
                at = self.end_of(self.consumer, "stable", topic, partition) or 0
            start = max(0, at - self.rng.randrange(BACK))
            self.segment(topic, partition, start)
            parts.append(TopicPartition(topic, partition, start))
        self.consumer.assign(parts)

    def step(self):
        for topic, partition, offset, _ in self.poll(0.1):
            self.positions[topic, partition] = offset + 1
        now = time.monotonic()
        if now > self.asked + ASK_EVERY_S:
            self.asked = now
            topic, partition = self.rng.choice(everywhere())
            self.end_of(self.consumer, "stable", topic, partition)
            self.end_of(self.ends, "end", topic, partition)
            self.ask_group(self.rng.randrange(len(GROUPS)))
        if now > self.moved + MOVE_EVERY_S:
            self.moved = now
            self.begin()

    def end_of(self, consumer, what, topic, partition):
        began = time.monotonic_ns()
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 1)
        except KafkaException:
            return None
        if what == "stable" and self.isolation != "read_committed":
            what = "end"
        self.note("ok", "end", what=what, topic=topic, partition=partition, low=low, offset=high, began=began)
        return high

    def ask_group(self, number):
        began = time.monotonic_ns()
        try:
            found = self.groups[number].committed([TopicPartition(*place) for place in everywhere()], 1)
        except KafkaException:
            return
        note_offsets(self.note, GROUPS[number], found, began)

    def finish(self):
        self.consumer.close()


def note_offsets(note, group, found, began):
    offsets = [[part.topic, part.partition, part.offset] for part in found if part.offset >= 0 and not part.error]
    none = [[part.topic, part.partition, None] for part in found if part.offset < 0 and not part.error]
    note("ok", "fetch_offsets", group=group, offsets=offsets + none, began=began)


class GroupReader(Reading):
    """A member of a group that begins where the group has committed, and notes that."""

    def __init__(self, context, group, topics, protocol):
        self.group, self.batch, self.protocol, self.closing = group, [], protocol, False
        settings = {"group.id": group}
        if protocol == "consumer":
            settings |= {"group.protocol": "consumer"}
        else:
            settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
        super().__init__(context, context.session, settings)
        self.consumer.subscribe(topics, on_assign=self.on_assign, on_revoke=self.on_revoke, on_lost=self.on_lost)

    def begin_at_committed(self, partitions, go_there):
        began = time.monotonic_ns()
        found = self.committed(partitions) if partitions else []
        note_offsets(self.note, self.group, found, began)
        parts = [TopicPartition(part.topic, part.partition, max(0, part.offset)) for part in found]
        for part in parts:
            self.segment(part.topic, part.partition, part.offset)
        go_there(parts)

    def seek(self, parts):
        for part in parts:
            self.consumer.seek(part)

    def committed(self, partitions):
        """Must be known before anything is read, so it is asked until it is."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                found = self.consumer.committed(partitions, CALL_S)
                error = next((part.error for part in found if part.error), None)
                if not error:
                    return found
            except KafkaException as raised:
                error = raised.args[0]
            print(f"offsets of {self.group}: {error}", file=sys.stderr, flush=True)
            if time.monotonic() > deadline:
                raise KafkaException(error)
            time.sleep(PAUSE_S)

    def on_assign(self, consumer, partitions):
        if self.closing:
            # Comes when another leaves at the same time; librdkafka does not ask for offsets any more.
            partitions = []
        self.begin_at_committed(partitions, consumer.incremental_assign if self.protocol == "consumer" else consumer.assign)

    def on_revoke(self, consumer, partitions):
        self.batch.clear()
        self.fresh.clear()
        (consumer.incremental_unassign(partitions) if self.protocol == "consumer" else consumer.unassign())

    on_lost = on_revoke

    def take(self, most):
        self.batch += self.poll(0.2, most)

    def ends(self):
        ends = {}
        for topic, partition, offset, _ in self.batch:
            ends[topic, partition] = offset + 1
        return [[*place, end] for place, end in ends.items()]

    def finish(self):
        self.closing = True
        self.consumer.close()


class Member(GroupReader):
    """Reads and commits what it has read, now and then, and mostly when it loses partitions."""

    def __init__(self, context):
        super().__init__(context, "members", READ_BY_MEMBERS, context.protocol)

    def step(self):
        self.take(self.rng.randint(1, 200))
        if self.batch and self.rng.random() < 0.5:
            self.commit()
        time.sleep(self.rng.uniform(0, 0.1))

    def on_revoke(self, consumer, partitions):
        if self.batch and self.rng.random() < 0.7:
            self.commit()
        super().on_revoke(consumer, partitions)

    def commit(self):
        offsets = [TopicPartition(*end) for end in self.ends()]
        self.note("invoke", "commit_offsets", group=self.group, offsets=self.ends())
        self.batch.clear()
        try:
            done = self.consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self.note("unknown", "commit_offsets", group=self.group, error=str(error))
            return
        stored = [[part.topic, part.partition, part.offset] for part in done if not part.error]
        self.note("ok", "commit_offsets", group=self.group, offsets=stored)


class Final:
    """Everything from the start to the end, as committed and as it stands in the log."""

    def __init__(self, context):
        self.context = context

    def run(self):
        for reader, isolation in (("final", self.context.isolation), ("everything", "read_uncommitted")):
            settings = {"isolation.level": isolation, "enable.partition.eof": True}
            reading = Reading(self.context, f"{reader} {self.context.session}", settings)
            ends = {place: self.stable_end(reading, *place) for place in everywhere()}
            for topic, partition in ends:
                reading.segment(topic, partition, 0)
            reading.consumer.assign([TopicPartition(*place, 0) for place in ends])
            deadline = time.monotonic() + END_S
            while len(reading.ended) < len(ends):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{reader}: the end did not come in {END_S} s in {set(ends) - reading.ended}")
                reading.poll(0.5)
            reading.consumer.close()
        for group in GROUPS:
            self.offsets(group)

    def stable_end(self, reading, topic, partition):
        """What is open is aborted by the coordinator when its time is over; then the stable end is the end.
        The server may still be busy with its recovery, and not answer yet."""
        everything = Consumer({**self.context.client(), "group.id": "unused", "isolation.level": "read_uncommitted"})
        deadline = time.monotonic() + END_S
        while True:
            part = TopicPartition(topic, partition)
            began, stable, end = time.monotonic_ns(), None, None
            try:
                stable, end = (consumer.get_watermark_offsets(part, CALL_S)[1] for consumer in (reading.consumer, everything))
            except KafkaException as error:
                print(f"end of {topic}/{partition}: {error}", file=sys.stderr, flush=True)
            if end is not None and stable == end:
                reading.note("ok", "end", what="end", topic=topic, partition=partition, low=0, offset=end, began=began)
                return end
            if time.monotonic() > deadline:
                reading.note("fail", "end", topic=topic, partition=partition, stable=stable, offset=end)
                return stable
            time.sleep(0.5)

    def offsets(self, group):
        consumer = Consumer({**self.context.client(), "group.id": group, "isolation.level": "read_committed"})
        began = time.monotonic_ns()
        found = consumer.committed([TopicPartition(*place) for place in everywhere()], END_S)
        note_offsets(self.context.history.note, group, found, began)
