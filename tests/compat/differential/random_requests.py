"""Requests by chance: every field from a pool of valid and invalid values. The seed decides all of them.

What a request is does not depend on what was answered, so that the same seed asks the same again.
"""

import random

import batches
from cases import UNKNOWN_ID
from schema import ZERO_UUID, within

TOPICS = ["random-a", "random-b", "random-new", "missing", "", "a b"]
PROGRESS = 500
MAX_ELEMENTS = 2
# What would stop the brokers, or make them differ for good, is asked by the script only.
SPARED = {"UpdateFeatures", "SaslHandshake", "SaslAuthenticate", "WriteTxnMarkers", "DescribeQuorum", "ApiVersions"}
# A join waits for others who do not come.
CHECKED_ONLY = {"validateOnly": True}

BY_ENTITY = {
    "topicName": TOPICS,
    "groupId": ["random-group", "random-other", "missing", ""],
    "transactionalId": ["random-txn", "missing", ""],
    "producerId": ["$pid", -1, 0, 987654],
    "brokerId": [1, 1, 0, 2, -1],
}
BY_NAME = {
    "topicId": ["$id:random-a", "$id:random-b", UNKNOWN_ID, ZERO_UUID],
    "memberId": ["", "nobody", "random-member"],
    "partitionIndex": [0, 0, 1, 7, -1],
    "partitionIndexes": [0, 1, 7, -1],
    "partitions": [0, 1, 7, -1],
    "partition": [0, 0, 1, 7, -1],
    "index": [0, 0, 1, 7, -1],
    "fetchOffset": [0, 0, 1, 3, 100, -1],
    "offset": [0, 1, -1, 100],
    "committedOffset": [0, 5, -1],
    "timestamp": [-1, -2, -3, 0, batches.START_MS, batches.START_MS + 1],
    "maxWaitMs": [0, 10],
    "timeoutMs": [1000],
    "transactionTimeoutMs": [60_000],
    "sessionTimeoutMs": [10_000, 1],
    "rebalanceTimeoutMs": [5000],
    "acks": [-1, 1],
    "sessionId": [0],
    "sessionEpoch": [-1, 0],
    "isolationLevel": [0, 1],
    "replicaId": [-1],
    "maxBytes": [50_000_000, 1000],
    "partitionMaxBytes": [1_000_000, 100],
    "minBytes": [0, 1],
    "numPartitions": [1, -1, 0],
    "replicationFactor": [1, -1, 2],
    "count": [2, 3, 0],
    "replicaDirectoryId": [ZERO_UUID],
    "currentLeaderEpoch": [-1, 0, 5],
    "leaderEpoch": [-1, 0, 5],
    "lastFetchedEpoch": [-1],
    "resourceType": [2, 2, 3, 4, 32, 1],
    "resourceTypes": [2, 4, 8, 16, 32],
    "resourceName": ["random-a", "random-b", "missing", ""],
    "statesFilter": ["Stable", "Empty", "Dead", "wrong"],
    "typesFilter": ["classic", "consumer", "wrong"],
    "stateFilters": ["Empty", "Ongoing", "wrong"],
    "configurationKeys": ["retention.ms", "cleanup.policy", "no.such"],
    "keyType": [0, 1, 2],
    "principal": ["User:a", "wrong"],
    "host": ["*", "10.0.0.1"],
    "mechanism": [1, 2, 0],
    "iterations": [4096, 1],
    "protocolType": ["consumer", "other"],
    "configOperation": [0, 1, 2, 3],
    "verifyOnly": [False],
    "allowAutoTopicCreation": [False],
    "transactionalIdPattern": [None, "", "random.*", "("],
    "memberEpoch": [-1, 0, 1],
    "generationId": [-1, 0, 1],
    "generationIdOrMemberEpoch": [-1, 0, 1],
    "authorizedOperations": [0],
    "durationFilter": [-1, 0, 10_000_000],
    "producerEpoch": [-1, 0, 1],
    "responsePartitionLimit": [2000, 1, 0],
    "electionType": [0, 1],
    "endpointType": [1, 2],
    "replicas": [1],
}
BY_TYPE = {
    "string": ["", "random", "retention.ms", "a b"],
    "bytes": ["", "AAAA"],
    "uuid": [ZERO_UUID, UNKNOWN_ID],
    "bool": [False, True],
    "float64": [0.0, 1.5],
}
NUMBERS = [-1, 0, 1, 2, 3, 5]


class Maker:
    """Makes requests; one for each use of the dice, whatever happens."""

    def __init__(self, schema, dice):
        self.schema, self.dice = schema, dice
        values = [b"one", b"two"]
        self.records = [
            batches.batch(values),
            batches.batch(values, codec="gzip"),
            batches.batch(values, broken_crc=True),
            batches.batch(values, count=7),
            None,
            "",
        ]

    def request(self, key, version):
        made = self.fields(self.schema.requests[key].fields, version)
        return {**made, **CHECKED_ONLY} if "validateOnly" in made else made

    def fields(self, fields, version):
        return {field.name: self.field(field, version) for field in fields if within(version, field.versions)}

    def field(self, field, version):
        if within(version, field.nullable) and self.dice.random() < 0.15:
            return None
        if field.is_array:
            return [self.one(field, version) for _ in range(self.dice.choice([0, 1, 1, 1, MAX_ELEMENTS]))]
        return self.one(field, version)

    def one(self, field, version):
        if field.fields:
            return self.fields(field.fields, version)
        if field.type == "records":
            return self.dice.choice(self.records)
        return self.dice.choice(BY_NAME.get(field.name) or BY_ENTITY.get(field.entity) or BY_TYPE.get(field.type) or NUMBERS)


def prepare(pair):
    for topic in ("random-a", "random-b"):
        pair.create(topic, 2, retention_ms=-1)
    pair.ask("InitProducerId", {"transactionalId": "random-txn", "transactionTimeoutMs": 60_000}, save={"pid": "producerId"})


def run(pair, seed, count, keys, say):
    prepare(pair)
    dice = random.Random(seed)
    maker = Maker(pair.schema, dice)
    choices = [key for key in pair.common if key not in SPARED and (not keys or key in keys)]
    for number in range(count if choices else 0):
        key = dice.choice(choices)
        version = dice.randint(*pair.common[key])
        pair.case = f"random {number}"
        pair.ask(key, maker.request(key, version), version)
        if number % PROGRESS == PROGRESS - 1:
            say(f"random: {number + 1} of {count}, seed {seed}")
