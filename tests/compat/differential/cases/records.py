"""Writing: batches that are whole, batches that are not, producers with and without a memory."""

import batches

from . import BAD_NAMES, UNKNOWN_ID, case

THREE = [b"one", b"two", b"three"]


def produce(topic, records, partition=0, acks=-1, transactional=None, id=None):
    data = {"name": topic, "topicId": id or f"$id:{topic}", "partitionData": [{"index": partition, "records": records}]}
    return {"transactionalId": transactional, "acks": acks, "timeoutMs": 5000, "topicData": [data]}


def latest(pair, topic, partition=0):
    """That both have taken the same number of records."""
    for timestamp in (-1, -2):
        partitions = [{"partitionIndex": partition, "timestamp": timestamp}]
        pair.ask("ListOffsets", {"replicaId": -1, "topics": [{"name": topic, "partitions": partitions}]})


@case("Produce")
def produce_in_every_version(pair):
    pair.create("written", 2, retention_ms=-1)
    pair.every("Produce", produce("written", batches.batch(THREE)))
    pair.every("Produce", produce("written", batches.batch(THREE, codec="gzip")))
    pair.every("Produce", produce("written", batches.batch(THREE), acks=1))
    pair.every("Produce", produce("written", batches.batch(THREE, headers=[(b"name", b"value"), (b"", None)])))
    pair.every("Produce", produce("written", batches.batch([None, b""], keys=[b"", b"null"])))
    for acks in (2, -2, 7):
        pair.every("Produce", produce("written", batches.batch(THREE), acks=acks))
    latest(pair, "written")


@case("Produce")
def produce_without_acknowledgement(pair):
    pair.create("unsaid", 1, retention_ms=-1)
    sent = pair.send("Produce", produce("unsaid", batches.batch(THREE), acks=0))
    del sent  # There is no answer: the next one is that of the next request.
    pair.until("ListOffsets", {"replicaId": -1, "topics": [{"name": "unsaid", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, lambda body: body["topics"][0]["partitions"][0]["offset"] == 3)
    with pair.connection("unsaid"):
        pair.ask("Produce", produce("missing-one", batches.batch(THREE), acks=0, id=UNKNOWN_ID))


@case("Produce")
def produce_to_nowhere(pair):
    pair.create("somewhere", 1, retention_ms=-1)
    good = batches.batch(THREE)
    for partition in (1, -1, 2**31 - 1):
        pair.every("Produce", produce("somewhere", good, partition))
    pair.every("Produce", produce("missing", good, id=UNKNOWN_ID))
    pair.every("Produce", produce("missing", good, id="AAAAAAAAAAAAAAAAAAAAAA"))
    for name in BAD_NAMES:
        pair.every("Produce", produce(name, good, id=UNKNOWN_ID))
    pair.every("Produce", {"acks": -1, "timeoutMs": 5000, "topicData": []})
    pair.every("Produce", {"acks": -1, "timeoutMs": 0, "topicData": produce("somewhere", good)["topicData"] * 2})
    pair.every("Produce", produce("__consumer_offsets", good, id=UNKNOWN_ID))
    latest(pair, "somewhere")


@case("Produce")
def produce_what_is_no_batch(pair):
    good = batches.batch(THREE)
    broken = {
        "empty": "",
        "junk": "AAECAwQF",
        "cut": good[: len(good) // 4 * 3 // 4 * 4],
        "crc": batches.batch(THREE, broken_crc=True),
        "magic 0": batches.batch(THREE, magic=0),
        "magic 1": batches.batch(THREE, magic=1),
        "magic 3": batches.batch(THREE, magic=3),
        "magic -1": batches.batch(THREE, magic=-1),
        "count too high": batches.batch(THREE, count=4),
        "count too low": batches.batch(THREE, count=2),
        "count 0": batches.batch(THREE, count=0),
        "count -1": batches.batch(THREE, count=-1),
        "last delta too high": batches.batch(THREE, last_delta=9),
        "last delta too low": batches.batch(THREE, last_delta=1),
        "no records": batches.batch([]),
        "two batches": batches.joined(good, good),
        "length too long": batches.batch(THREE, length=9999),
        "length too short": batches.batch(THREE, length=10),
        "length negative": batches.batch(THREE, length=-5),
        "control": batches.batch(THREE, attributes=batches.CONTROL),
        "log append time": batches.batch(THREE, attributes=batches.LOG_APPEND_TIME),
        "codec 5": batches.batch(THREE, attributes=5),
        "codec 7": batches.batch(THREE, attributes=7),
        "says gzip": batches.batch(THREE, attributes=1),
        "says snappy": batches.batch(THREE, attributes=2),
        "says lz4": batches.batch(THREE, attributes=3),
        "says zstd": batches.batch(THREE, attributes=4),
        "offset 100": batches.batch(THREE, base_offset=100),
        "bytes after the records": batches.batch(THREE, trailing=b"xx"),
        "gzip, bytes after": batches.batch(THREE, codec="gzip", trailing=b"xx"),
        "timestamp -1": batches.batch(THREE, start_ms=-1),
        "timestamp -2": batches.batch(THREE, start_ms=-2),
        "timestamp of 2100": batches.batch(THREE, start_ms=4_102_444_800_000),
        "transactional, no producer": batches.batch(THREE, attributes=batches.TRANSACTIONAL),
        "unknown attributes": batches.batch(THREE, attributes=0x200),
        "with a delete horizon": batches.batch(THREE, attributes=0x40),
    }
    first, last = pair.common["Produce"]
    name = pair.case
    with pair.connection("null"):
        pair.create("null", 1)
        pair.ask("Produce", produce("null", None), timeoutMs=2000)
    for number, (what, records) in enumerate(broken.items()):
        # Each has its topic: where one broker takes what the other refuses, offsets differ from then on.
        topic, pair.case = f"broken-{number}", f"{name}: {what}"
        pair.create(topic, 1, retention_ms=-1)
        for version in (first, 8, last):
            with pair.connection("broken"):
                pair.ask("Produce", produce(topic, records), version)
        latest(pair, topic)


@case("Produce")
def produce_against_settings(pair):
    pair.create("keyed", 1, cleanup_policy="compact", retention_ms=-1)
    pair.every("Produce", produce("keyed", batches.batch(THREE, keys=[b"a", None, b"c"])))
    pair.every("Produce", produce("keyed", batches.batch(THREE, keys=[b"a", None, b"c"], codec="gzip")))
    pair.every("Produce", produce("keyed", batches.batch(THREE)))
    pair.create("small", 1, max_message_bytes=100, retention_ms=-1)
    pair.every("Produce", produce("small", batches.batch([b"x" * 200])))
    pair.every("Produce", produce("small", batches.batch([b"x" * 2000], codec="gzip")))
    pair.create("stamped", 1, message_timestamp_type="LogAppendTime", retention_ms=-1)
    pair.every("Produce", produce("stamped", batches.batch(THREE)))
    pair.create("timely", 1, message_timestamp_before_max_ms=1000, message_timestamp_after_max_ms=1000, retention_ms=-1)
    pair.every("Produce", produce("timely", batches.batch(THREE)))
    pair.every("Produce", produce("timely", batches.batch(THREE, start_ms=4_102_444_800_000)))
    pair.create("squeezed", 1, compression_type="zstd", retention_ms=-1)
    pair.every("Produce", produce("squeezed", batches.batch(THREE)))
    for topic in ("keyed", "small", "stamped", "timely", "squeezed"):
        latest(pair, topic)
        wanted = {"topic": topic, "topicId": f"$id:{topic}", "partitions": [{"partition": 0, "partitionMaxBytes": 10_000_000}]}
        pair.ask("Fetch", {"maxWaitMs": 100, "minBytes": 1, "maxBytes": 50_000_000, "topics": [wanted]})


def idempotent(pair, topic, producer, epoch, sequence, values=THREE, version=None):
    pair.values["kafka"]["x"] = pair.values["factum"]["x"] = None
    for side in ("kafka", "factum"):
        pair.values[side]["batch"] = batches.batch(values, producer=(pair.values[side].get(producer, 0), epoch, sequence))
    pair.ask("Produce", produce(topic, "$batch"), version)


@case("InitProducerId", "Produce", "DescribeProducers")
def idempotent_producers(pair):
    pair.create("once", 1, retention_ms=-1)
    pair.every("InitProducerId", {"transactionalId": None, "transactionTimeoutMs": 60_000, "producerId": -1, "producerEpoch": -1})
    pair.ask("InitProducerId", {"transactionalId": None, "transactionTimeoutMs": 60_000}, save={"pid": "producerId"})
    steps = [(0, 0), (0, 3), (0, 0), (0, 3), (0, 9), (0, 5), (0, 6), (1, 5), (1, 0), (1, 3), (0, 9), (2, 0), (-1, 0), (1, 6), (1, 6), (1, 7)]
    for epoch, sequence in steps:
        case_name, pair.case = pair.case, f"{pair.case}: epoch {epoch} sequence {sequence}"
        idempotent(pair, "once", "pid", epoch, sequence)
        latest(pair, "once")
        pair.case = case_name
    for sequence in (-1, 2**31 - 2, 2**31 - 1):
        idempotent(pair, "once", "pid", 2, sequence)
    for number in range(7):
        idempotent(pair, "once", "pid", 3, number * 3)
    for number in range(7):
        idempotent(pair, "once", "pid", 3, number * 3)
    idempotent(pair, "once", "pid", 3, 18, THREE[:2])
    idempotent(pair, "once", "nobody", 0, 5)
    latest(pair, "once")
    for partitions in ([0], [7], [-1], [], [0, 0]):
        pair.ask("DescribeProducers", {"topics": [{"name": "once", "partitionIndexes": partitions}]})
    for name in ("missing", "", "a b"):
        pair.ask("DescribeProducers", {"topics": [{"name": name, "partitionIndexes": [0]}]})


@case("InitProducerId")
def init_producer_id_wrongly(pair):
    for producer, epoch in ((5, -1), (-1, 5), (12345, 3), (-2, -2), (0, 0)):
        pair.every("InitProducerId", {"transactionalId": None, "transactionTimeoutMs": 60_000, "producerId": producer, "producerEpoch": epoch})
    for timeout in (0, -1, 900_000, 900_001, 2**31 - 1):
        pair.every("InitProducerId", {"transactionalId": "timeouts", "transactionTimeoutMs": timeout, "producerId": -1, "producerEpoch": -1})
        pair.every("InitProducerId", {"transactionalId": None, "transactionTimeoutMs": timeout, "producerId": -1, "producerEpoch": -1})
    pair.every("InitProducerId", {"transactionalId": "", "transactionTimeoutMs": 60_000, "producerId": -1, "producerEpoch": -1})
