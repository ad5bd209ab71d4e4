"""What each client can say, and how to start it."""

import dataclasses
import importlib.util
import json
import pathlib
import shutil
import subprocess

from . import records as oracle
from .session import Session, Unsupported

HERE = pathlib.Path(__file__).resolve().parent.parent

CLIENT_PARTS = ("scenario", "cross", "admin", "transactions", "consumer_groups", "events")
PARTS = (*CLIENT_PARTS, "tools", "logins", "streams", "exactly_once", "connect")


@dataclasses.dataclass
class Speaker:
    """A client's limits, as far as the suite has to know them."""

    name: str
    timestamps: bool = True  # can set a record's timestamp
    header_map: bool = False  # keeps headers in a map: equal names stand side by side
    null_records: bool = True  # can write a record with neither key nor value
    null_headers: bool = True  # can write a header whose value is null
    holds_at_once: bool = False  # a member can join holding; others deliver one record first
    reads_committed: bool = True  # leaves out every aborted transaction
    overlapping_aborts: bool = True  # also those that overlap
    stable_offsets: bool = True  # waits for offsets that a transaction under way may commit
    parts: tuple = CLIENT_PARTS  # of the suite that it takes part in
    codecs: tuple = ("none", "gzip", "snappy", "lz4", "zstd")  # of the scenario; `cross` has them all
    cannot_read: tuple = ()  # codecs it cannot decompress
    cannot_read_from: tuple = ()  # producers and codecs that its decoder fails on, with any broker

    def writes(self, made):
        """The given records as this client can write them."""
        if not self.null_records:
            made = [[t, k, "" if k is None and v is None else v, h] for t, k, v, h in made]
        if not self.null_headers:
            made = [[t, k, v, [[name, raw or ""] for name, raw in h]] for t, k, v, h in made]
        if self.header_map:
            made = [[t, k, v, oracle.side_by_side(h)] for t, k, v, h in made]
        return made


class KcatSpeaker(Speaker):
    """kcat: one set of headers per topic, no timestamps, no null beside empty values."""

    HEADERS = [["a", oracle.encode(b"1")], ["a", oracle.encode(b"2")], ["b", None], ["c", ""]]

    def writes(self, made):
        def clean(text):
            raw = oracle.decode(text) or b""
            return oracle.encode(raw.translate(bytes.maketrans(b"\x1c\x1d\x1e\x1f", b"....")))

        return [[t, clean(k), clean(v), self.HEADERS] for t, k, v, h in made]


def load_kcat():
    spec = importlib.util.spec_from_file_location("kcat_adapter", HERE / "clients" / "kcat" / "kcat.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class KcatSession:
    """kcat with a session's verbs; topics are created by another client, since kcat cannot."""

    def __init__(self, suite, log_path):
        self.kcat = load_kcat()
        self.suite, self.log_path = suite, log_path
        self.member = None

    def create(self, topic, partitions, config=None):
        self.suite.hand.create(topic, partitions, config)

    def produce(self, topic, codec, idempotent, file):
        with open(file, encoding="utf-8") as lines:
            made = [json.loads(line) for line in lines]
        self.kcat.produce(self.suite.broker.bootstrap, topic, codec, idempotent, made)
        return {"count": len(made), "positions": None}

    def read(self, topics, count):
        return [record for topic in topics for record in self.kcat.read(self.suite.broker.bootstrap, topic)]

    def join(self, group, topics, limit):
        self.member = self.kcat.KcatMember(self.suite.broker.bootstrap, group, topics, self.log_path)
        self.member.resume(limit)

    def resume(self, limit):
        self.member.resume(limit)

    def wait_held(self, timeout_s):
        self.member.wait_until(lambda member: member.held, timeout_s)

    def drain(self):
        pass

    @property
    def records(self):
        return self.member.records

    @property
    def assignment(self):
        return self.member.assignment

    def commit(self):
        """kcat commits by itself: at intervals and when it leaves."""

    def leave(self):
        self.member.leave()

    def admin(self, step, **arguments):
        raise Unsupported(step)

    def close(self):
        if self.member and self.member.process.poll() is None:
            self.member.process.kill()


def platformatic_cannot_read():
    """It takes zstd from Node itself, which has it since 22.15."""
    node = shutil.which("node")
    probe = [node or "node", "-e", "process.exit(require('node:zlib').zstdDecompressSync ? 0 : 1)"]
    return () if node and subprocess.run(probe, timeout=30).returncode == 0 else ("zstd",)


SPEAKERS = {
    "kcat": KcatSpeaker("kcat", timestamps=False, holds_at_once=True),
    "confluent": Speaker("confluent", parts=(*CLIENT_PARTS, "logins", "exactly_once")),
    "java": Speaker("java"),
    "kafkajs": Speaker("kafkajs", header_map=True, null_headers=False, overlapping_aborts=False, stable_offsets=False),
    "franz-go": Speaker("franz-go"),
    "platformatic": Speaker(
        "platformatic",
        reads_committed=False,
        cannot_read=platformatic_cannot_read(),
        cannot_read_from=(("java", "snappy"), ("aiokafka", "snappy"), ("sarama", "snappy")),
    ),
    "aiokafka": Speaker(
        "aiokafka",
        null_records=False,
        stable_offsets=False,
        parts=("scenario", "cross", "admin", "transactions"),
        codecs=("none", "zstd"),
    ),
    "sarama": Speaker(
        "sarama",
        stable_offsets=False,
        parts=("scenario", "cross", "admin", "transactions"),
        codecs=("none", "zstd"),
    ),
    "kafka-tools": Speaker("kafka-tools", parts=("tools",)),
    "streams": Speaker("streams", parts=("streams",)),
    "connect": Speaker("connect", parts=("connect",)),
}
