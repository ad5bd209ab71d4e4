"""Reading: offsets, limits, sessions, epochs."""

import batches

from . import UNKNOWN_ID, case
from .records import produce


def fill(pair, topic, count=4):
    pair.create(topic, 2, retention_ms=-1)
    for number in range(count):
        values = [f"{topic} {number} {part}".encode() for part in range(3)]
        start_ms = batches.START_MS + number * 1000
        pair.ask("Produce", produce(topic, batches.batch(values, start_ms=start_ms, codec=["none", "gzip"][number % 2])))


def wanted(topic, offset=0, partition=0, max_bytes=1_000_000, id=None, **more):
    part = {"partition": partition, "fetchOffset": offset, "partitionMaxBytes": max_bytes, **more}
    return {"topic": topic, "topicId": id or f"$id:{topic}", "partitions": [part]}


def fetch(*topics, **more):
    return {"maxWaitMs": 50, "minBytes": 1, "maxBytes": 50_000_000, "topics": list(topics), **more}


@case("Fetch")
def fetch_in_every_version(pair):
    fill(pair, "read")
    for offset in (0, 1, 4, 11, 12, 13, -1, 2**62):
        for level in (0, 1):
            pair.every("Fetch", fetch(wanted("read", offset), isolationLevel=level))
    pair.every("Fetch", fetch(wanted("read", 0, 1)))
    pair.every("Fetch", fetch(wanted("read", 0, 7), wanted("read", 0, 0)))
    pair.every("Fetch", fetch(wanted("read", 0, -1)))
    pair.every("Fetch", fetch(wanted("missing", id=UNKNOWN_ID), wanted("read")))
    pair.every("Fetch", fetch(wanted("missing", id="AAAAAAAAAAAAAAAAAAAAAA")))
    pair.every("Fetch", fetch())
    pair.every("Fetch", fetch(wanted("read"), isolationLevel=2))
    pair.every("Fetch", fetch(wanted("read"), wanted("read", 3)))


@case("Fetch")
def fetch_within_limits(pair):
    fill(pair, "limits")
    for limit in (0, 1, 90, 100, 150, 200, 300, 1000, -1):
        pair.every("Fetch", fetch(wanted("limits", 0, 0, limit)))
        pair.every("Fetch", fetch(wanted("limits", 4, 0, 1000), wanted("limits", 0, 0, 1000), maxBytes=limit))
    for least in (0, 1, 10_000_000, -1):
        pair.every("Fetch", fetch(wanted("limits"), minBytes=least))
    for wait in (0, -1):
        pair.every("Fetch", fetch(wanted("limits", 12), maxWaitMs=wait))


@case("Fetch", "OffsetForLeaderEpoch")
def fetch_with_epochs(pair):
    fill(pair, "epochs")
    for epoch in (-1, 0, 1, 99, -2):
        pair.every("Fetch", fetch(wanted("epochs", currentLeaderEpoch=epoch)))
        pair.every("Fetch", fetch(wanted("epochs", 3, lastFetchedEpoch=epoch)))
        for current in (-1, 0, 1, 99):
            partitions = [{"partition": 0, "currentLeaderEpoch": current, "leaderEpoch": epoch}]
            pair.every("OffsetForLeaderEpoch", {"replicaId": -1, "topics": [{"topic": "epochs", "partitions": partitions}]})
    for topic, partition in (("epochs", 7), ("epochs", -1), ("missing", 0), ("", 0)):
        partitions = [{"partition": partition, "currentLeaderEpoch": -1, "leaderEpoch": 0}]
        pair.every("OffsetForLeaderEpoch", {"replicaId": -1, "topics": [{"topic": topic, "partitions": partitions}]})
    pair.every("OffsetForLeaderEpoch", {"replicaId": -1, "topics": []})
    pair.every("OffsetForLeaderEpoch", {"replicaId": -2, "topics": [{"topic": "epochs", "partitions": [{"partition": 0, "leaderEpoch": 0}]}]})
    pair.every("OffsetForLeaderEpoch", {"replicaId": 1, "topics": [{"topic": "epochs", "partitions": [{"partition": 0, "leaderEpoch": 0}]}]})
    for replica in (0, 1, 2, -2):
        pair.every("Fetch", fetch(wanted("epochs"), replicaId=replica, replicaState={"replicaId": replica, "replicaEpoch": -1}))


@case("Fetch")
def fetch_sessions(pair):
    fill(pair, "session")
    first, last = pair.common["Fetch"]
    for version in (max(first, 7), 12, last):
        topic, empty = wanted("session"), wanted("session", 0, 1)
        pair.ask("Fetch", fetch(topic, empty, sessionId=0, sessionEpoch=0), version, save={"session": "sessionId"})
        forgotten = {"topic": "session", "topicId": "$id:session", "partitions": [1]}
        for more in (
            fetch(sessionEpoch=1),
            fetch(wanted("session", 12), sessionEpoch=2),
            fetch(sessionEpoch=3),
            fetch(sessionEpoch=3),
            fetch(sessionEpoch=9),
            fetch(sessionEpoch=4, forgottenTopicsData=[forgotten]),
            fetch(wanted("missing", id=UNKNOWN_ID), sessionEpoch=5),
            fetch(sessionEpoch=6),
            fetch(wanted("session", 99), sessionEpoch=7),
            fetch(topic, sessionEpoch=-1),
            fetch(sessionEpoch=1),
        ):
            pair.ask("Fetch", {**more, "sessionId": "$session"}, version)
        for epoch in (0, 1, -1, -2):
            pair.ask("Fetch", fetch(topic, sessionId=123456, sessionEpoch=epoch), version)
        pair.ask("Fetch", fetch(topic, sessionId=0, sessionEpoch=5), version)
        pair.ask("Fetch", fetch(topic, sessionId=0, sessionEpoch=-1), version)


@case("ListOffsets")
def list_offsets(pair):
    fill(pair, "times")
    start = batches.START_MS
    times = [-1, -2, -3, -4, -5, -6, -7, 0, start, start + 1, start + 2, start + 3, start + 1001, start + 999_999, 2**62]
    for timestamp in times:
        for level in (0, 1):
            topics = [{"name": "times", "partitions": [{"partitionIndex": index, "timestamp": timestamp} for index in (0, 1)]}]
            pair.every("ListOffsets", {"replicaId": -1, "isolationLevel": level, "topics": topics})
    for topic, partition in (("times", 7), ("times", -1), ("missing", 0), ("", 0), ("a b", 0)):
        topics = [{"name": topic, "partitions": [{"partitionIndex": partition, "timestamp": -1}]}]
        pair.every("ListOffsets", {"replicaId": -1, "topics": topics})
    for epoch in (0, 1, 99, -2):
        topics = [{"name": "times", "partitions": [{"partitionIndex": 0, "timestamp": -1, "currentLeaderEpoch": epoch}]}]
        pair.every("ListOffsets", {"replicaId": -1, "topics": topics})
    for replica in (-2, -3, 0, 1):
        topics = [{"name": "times", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]
        pair.every("ListOffsets", {"replicaId": replica, "topics": topics})
    twice = {"name": "times", "partitions": [{"partitionIndex": 0, "timestamp": -1}, {"partitionIndex": 0, "timestamp": -2}]}
    pair.every("ListOffsets", {"replicaId": -1, "topics": [twice]})
    pair.every("ListOffsets", {"replicaId": -1, "topics": []})
    pair.every("ListOffsets", {"replicaId": -1, "isolationLevel": 7, "topics": [twice]})
