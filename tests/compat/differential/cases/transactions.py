"""Transactions: producers, partitions and offsets in them, ends, fencing, what administrators see."""

import batches

from . import case
from .fetching import fetch, wanted
from .offsets import committed
from .records import produce

LIMIT = {"transactionTimeoutMs": 60_000}


def start(pair, id, version=None, name=None, **more):
    name = name or id
    asked = {"transactionalId": id, "producerId": -1, "producerEpoch": -1, **LIMIT, **more}
    pair.ask("InitProducerId", asked, version, save={f"pid:{name}": "producerId", f"epoch:{name}": "producerEpoch"})


def who(id, **more):
    return {"transactionalId": id, "producerId": f"$pid:{id}", "producerEpoch": f"$epoch:{id}", **more}


def add(id, *topics, **wrong):
    asked = [{"name": name, "partitions": list(partitions)} for name, partitions in topics]
    given = {**who(id), **wrong}
    old = {f"v3AndBelow{field[0].upper()}{field[1:]}": value for field, value in given.items()}
    return {"transactions": [{**given, "verifyOnly": False, "topics": asked}], "v3AndBelowTopics": asked, **old}


def write(pair, id, topic, sequence, version=None):
    for side in ("kafka", "factum"):
        values = pair.values[side]
        producer = (values.get(f"pid:{id}", -1), values.get(f"epoch:{id}", -1), sequence)
        values["batch"] = batches.batch([b"in a transaction"], producer=producer, attributes=batches.TRANSACTIONAL)
    pair.ask("Produce", produce(topic, "$batch", transactional=id), version)


def txn_commit(id, group, topic, offset, **more):
    part = {"partitionIndex": 0, "committedOffset": offset, "committedLeaderEpoch": -1, "committedMetadata": "in txn"}
    topics = [{"name": topic, "topicId": f"$id:{topic}", "partitions": [part]}]
    return who(id, groupId=group, generationId=-1, memberId="", groupInstanceId=None, topics=topics, **more)


def read(pair, topic):
    for level in (0, 1):
        pair.ask("Fetch", fetch(wanted(topic), isolationLevel=level))
        pair.ask("ListOffsets", {"replicaId": -1, "isolationLevel": level, "topics": [{"name": topic, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})


@case("InitProducerId", "AddPartitionsToTxn", "Produce", "EndTxn", "DescribeTransactions", "ListTransactions")
def commit_and_abort(pair):
    """By the first rules of transactions, in which partitions are added by their own request."""
    pair.create("ledger", 2, retention_ms=-1)
    first, last = pair.common["EndTxn"]
    for version in range(first, last + 1):
        id = f"txn-{version}"
        start(pair, id, min(version, pair.common["InitProducerId"][1]))
        for committed_, sequence in ((True, 0), (False, 1), (True, 2)):
            pair.ask("AddPartitionsToTxn", add(id, ("ledger", [0])), min(version, 3))
            write(pair, id, "ledger", sequence if version < 5 else 0, 11)
            pair.ask("DescribeTransactions", {"transactionalIds": [id]})
            pair.ask("DescribeProducers", {"topics": [{"name": "ledger", "partitionIndexes": [0]}]})
            read(pair, "ledger")
            pair.ask("EndTxn", who(id, committed=committed_), version, save={f"epoch:{id}": "producerEpoch"} if version >= 5 else {})
            pair.until("DescribeTransactions", {"transactionalIds": [id]}, lambda body: body["transactionStates"][0]["transactionState"].startswith("Complete"))
            read(pair, "ledger")
        pair.ask("EndTxn", who(id, committed=True), version)
        pair.ask("EndTxn", who(id, committed=False), version)
        pair.every("ListTransactions", {})


@case("AddPartitionsToTxn", "EndTxn", "AddOffsetsToTxn", "TxnOffsetCommit")
def transactions_that_are_refused(pair):
    pair.create("refusing", 1, retention_ms=-1)
    start(pair, "strict")
    wrongs = [{"producerId": 987654}, {"producerEpoch": 7}, {"producerEpoch": -1}, {"transactionalId": "nobody"}, {"transactionalId": ""}, {"producerId": -1}]
    for wrong in wrongs:
        pair.every("AddPartitionsToTxn", add("strict", ("refusing", [0]), **wrong))
        pair.every("EndTxn", {**who("strict", committed=True), **wrong})
        pair.every("AddOffsetsToTxn", {**who("strict", groupId="g"), **wrong})
        pair.every("TxnOffsetCommit", {**txn_commit("strict", "g", "refusing", 1), **wrong})
    for topics in ([("missing", [0])], [("refusing", [7])], [("refusing", [-1])], [("missing", [0]), ("refusing", [0])], [], [("refusing", [])], [("", [0])]):
        pair.every("AddPartitionsToTxn", add("strict", *topics))
        pair.every("EndTxn", who("strict", committed=False))
    pair.every("EndTxn", who("strict", committed=True))


@case("AddOffsetsToTxn", "TxnOffsetCommit")
def offsets_in_transactions(pair):
    pair.create("source", 1, retention_ms=-1)
    first, last = pair.common["TxnOffsetCommit"]
    for version in range(first, last + 1):
        id, group = f"moves-{version}", f"moved-{version}"
        start(pair, id, 4)
        for how in (True, False):
            if version < 5:
                pair.ask("AddOffsetsToTxn", who(id, groupId=group), min(version, pair.common["AddOffsetsToTxn"][1]))
            pair.ask("TxnOffsetCommit", txn_commit(id, group, "source", 10 + how), version)
            pair.every("OffsetFetch", committed(group, ("source", [0]), stable=False))
            pair.exchange("OffsetFetch", 9, committed(group, ("source", [0]), stable=True))
            saved = {f"epoch:{id}": "producerEpoch"} if version >= 5 else {}
            pair.ask("EndTxn", who(id, committed=how), 5 if version >= 5 else 4, save=saved)
            is_over = lambda body: body["transactionStates"][0]["transactionState"].startswith("Complete")  # noqa: E731
            pair.until("DescribeTransactions", {"transactionalIds": [id]}, is_over)
            pair.every("OffsetFetch", committed(group, ("source", [0]), stable=True))
    start(pair, "odd-offsets")
    for change in ({"groupId": ""}, {"memberId": "nobody"}, {"generationId": 5}, {"memberId": "nobody", "generationId": 5}, {"groupInstanceId": "seat"}, {"topics": []}):
        pair.every("TxnOffsetCommit", {**txn_commit("odd-offsets", "odd-group", "source", 1), **change})
    pair.every("AddOffsetsToTxn", who("odd-offsets", groupId=""))
    pair.ask("EndTxn", who("odd-offsets", committed=False))


@case("InitProducerId", "EndTxn", "Produce")
def fencing(pair):
    pair.create("fenced", 1, retention_ms=-1)
    start(pair, "owner")
    for side in ("kafka", "factum"):
        pair.values[side]["epoch:old"] = pair.values[side]["epoch:owner"]
    start(pair, "owner")
    pair.every("EndTxn", {**who("owner", committed=True), "producerEpoch": "$epoch:old"})
    pair.every("AddPartitionsToTxn", add("owner", ("fenced", [0]), producerEpoch="$epoch:old"))
    pair.every("InitProducerId", {**who("owner"), **LIMIT, "producerEpoch": "$epoch:old"})
    start(pair, "owner", producerId="$pid:owner", producerEpoch="$epoch:owner")
    write(pair, "owner", "fenced", 0, 11)
    write(pair, "owner", "fenced", 0)
    for side in ("kafka", "factum"):
        values = pair.values[side]
        producer = (values["pid:owner"], values["epoch:old"], 0)
        values["batch"] = batches.batch([b"late"], producer=producer, attributes=batches.TRANSACTIONAL)
    pair.every("Produce", produce("fenced", "$batch", transactional="owner"))
    for id in (None, "", "other"):
        pair.every("Produce", produce("fenced", "$batch", transactional=id))
    read(pair, "fenced")
    start(pair, "owner")
    read(pair, "fenced")


@case("DescribeTransactions", "ListTransactions")
def describe_and_list_transactions(pair):
    start(pair, "seen")
    for ids in ([], ["missing"], [""], ["seen", "seen"], ["seen", "missing"]):
        pair.ask("DescribeTransactions", {"transactionalIds": ids})
    for asked in (
        {"stateFilters": ["Empty"]},
        {"stateFilters": ["empty"]},
        {"stateFilters": ["CompleteCommit", "CompleteAbort"]},
        {"stateFilters": ["wrong", "Empty"]},
        {"producerIdFilters": [987654]},
        {"producerIdFilters": ["$pid:seen"]},
        {"durationFilter": 0},
        {"durationFilter": 10_000_000},
        {"durationFilter": -2},
        {"transactionalIdPattern": "se.*"},
        {"transactionalIdPattern": "("},
        {"transactionalIdPattern": ""},
    ):
        pair.every("ListTransactions", asked)


@case("WriteTxnMarkers")
def markers(pair):
    pair.create("marked", 1, retention_ms=-1)
    for topic, partition, producer, epoch in (("missing", 0, 5, 0), ("marked", 7, 5, 0), ("marked", 0, 5, 0), ("marked", 0, 5, -1)):
        marker = {"producerId": producer, "producerEpoch": epoch, "transactionResult": False, "topics": [{"name": topic, "partitionIndexes": [partition]}], "coordinatorEpoch": 0}
        pair.every("WriteTxnMarkers", {"markers": [marker]})
    pair.every("WriteTxnMarkers", {"markers": []})
    read(pair, "marked")
