"""The official CloudEvents SDKs: what they send through Kafka is an event over HTTP, and what they
post over HTTP is an event for them in Kafka."""

import json
import urllib.request

from .report import SKIP
from .sample_events import POSITION, canonical, samples
from .session import Session

PROGRAMS = {"confluent": "events.py", "kafkajs": "events.js"}
SDKS = {"confluent": "cloudevents for Python", "kafkajs": "cloudevents for JavaScript"}
ACCEPT = "application/cloudevents-batch+json"
TIMEOUT_S = 30


def http_read(suite, topic):
    request = urllib.request.Request(f"{suite.broker.http}/topics/{topic}/events?from=start", headers={"accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if not answer.headers["content-type"].startswith(ACCEPT):
            raise AssertionError(f"asked for {ACCEPT}, got {answer.headers['content-type']}")
        return json.load(answer)


def compare(found, wrote):
    by_id = {event["id"]: event for event in found}
    if len(by_id) != len(wrote) or len(found) != len(wrote):
        raise AssertionError(f"wrote {len(wrote)} events, read {len(found)}")
    for event in wrote:
        read, expected = canonical(by_id[event["id"]]), canonical(event)
        if read != expected:
            wrong = {k: (read.get(k), expected.get(k)) for k in read.keys() | expected.keys() if read.get(k) != expected.get(k)}
            raise AssertionError(f"event {event['id']} differs (read, wrote): {wrong}")
    return f"{len(wrote)} events"


class Events:
    def __init__(self, suite, client):
        self.suite, self.client = suite, client
        self.session = None

    def topic(self, name):
        topic = f"events-{self.client}-{name}-{self.suite.tag}"
        self.suite.hand.create(topic, 1)
        return topic

    def check(self, name, body):
        return self.suite.report.check(self.client, "events", name, body, self.suite.logs(self.client))

    def run(self):
        if not self.check(f"{SDKS[self.client]} starts", self.start):
            return
        try:
            for mode in ("binary", "structured"):
                self.check(f"Kafka {mode} by the SDK, read over HTTP", lambda: self.kafka_to_http(mode))
            for mode in ("binary", "structured", "batch"):
                self.check(f"HTTP {mode} by the SDK, read from Kafka by the SDK", lambda: self.http_to_kafka(mode))
        finally:
            self.session.close()

    def start(self):
        # The program stands beside the client's and is started the same way.
        *start, program = self.suite.commands[self.client]
        command = [*start, program.parent / PROGRAMS[self.client], self.suite.broker.bootstrap, self.suite.broker.http]
        self.session = Session(f"{self.client} events", command, self.suite.client_log(self.client))

    def kafka_to_http(self, mode):
        topic, wrote = self.topic(f"kafka-{mode}"), samples(f"kafka-{mode}")
        self.session.ask("kafka_write", "written", topic=topic, mode=mode, samples=wrote)
        found = http_read(self.suite, topic)
        for event in found:
            # The SDK for JavaScript repeats content-type as ce_datacontenttype, which is no attribute.
            if mode == "binary" and event.get("factumdropped") == "datacontenttype":
                del event["factumdropped"]
            missing = POSITION - event.keys()
            if missing or "factumderived" in event:
                raise AssertionError(f"position {missing} missing, or something derived in {event}")
        return compare(found, wrote)

    def http_to_kafka(self, mode):
        # The SDK for JavaScript does not escape HTTP headers: neither what is not ASCII nor `%`.
        plain = mode == "binary" and self.client == "kafkajs"
        topic, wrote = self.topic(f"http-{mode}"), samples(f"http-{mode}", ascii_only=plain)
        self.session.ask("http_write", "written", topic=topic, mode=mode, samples=wrote)
        found = self.session.ask("kafka_read", "read", topic=topic, count=len(wrote))["events"]
        return compare(found, wrote)


def run(suite, clients):
    for client in clients:
        if client not in PROGRAMS:
            continue
        if suite.broker.http:
            Events(suite, client).run()
        else:
            suite.report.add(client, "events", SDKS[client], SKIP, "this broker has no HTTP door")
