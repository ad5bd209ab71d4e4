"""The CloudEvents SDK for Python over confluent-kafka and over HTTP: JSON commands in, events out.

The SDK builds and parses every message; this program only carries bytes.
"""

import base64
import json
import re
import sys
import urllib.request

from cloudevents.core.bindings import http as http_binding
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer, TopicPartition
from datetime import datetime

BOOTSTRAP, HTTP = sys.argv[1], sys.argv[2]
TIMEOUT_S = 30
FORMAT = JSONFormat()


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def build(sample):
    attributes = {name: value for name, value in sample.items() if name != "content"}
    # Before Python 3.11 fromisoformat knows neither Z nor two digits of a second.
    attributes["time"] = datetime.strptime(attributes["time"], "%Y-%m-%dT%H:%M:%S.%f%z")
    data = sample["content"]
    if isinstance(data, dict) and "base64" in data:
        data = base64.b64decode(data["base64"])
    return CloudEvent(attributes=attributes, data=data)


def show(event):
    """The event as a JSON object: what the SDK holds, with bytes as `data_base64`."""
    shown = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in event.get_attributes().items()}
    data = event.get_data()
    if isinstance(data, (bytes, bytearray)):
        shown["data_base64"] = base64.b64encode(data).decode()
    else:
        shown["data"] = data
    return shown


def kafka_write(topic, mode, samples):
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for sample in samples:
        encode = kafka_binding.to_structured if mode == "structured" else kafka_binding.to_binary
        message = encode(build(sample), FORMAT)
        producer.produce(topic, message.value, message.key, headers=list(message.headers.items()))
    if producer.flush(TIMEOUT_S):
        raise RuntimeError("not every event was acknowledged")
    say("written")


def kafka_read(topic, count):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    events = []
    while len(events) < count:
        message = consumer.poll(TIMEOUT_S)
        if message is None or message.error():
            raise RuntimeError(f"{len(events)} of {count} events: {message and message.error()}")
        key = message.key().decode() if message.key() is not None else None
        parsed = kafka_binding.KafkaMessage(headers=dict(message.headers() or []), key=key, value=message.value())
        events.append(show(kafka_binding.from_kafka(parsed, FORMAT)))
    consumer.close()
    say("read", events=events)


def http_write(topic, mode, samples):
    built = [build(sample) for sample in samples]
    if mode == "batch":
        body = b"[" + b",".join(FORMAT.write(event) for event in built) + b"]"
        post(topic, {"content-type": "application/cloudevents-batch+json"}, body)
    else:
        encode = http_binding.to_structured if mode == "structured" else http_binding.to_binary
        for event in built:
            message = encode(event, FORMAT)
            post(topic, message.headers, message.body)
    say("written")


def post(topic, headers, body):
    request = urllib.request.Request(f"{HTTP}/topics/{topic}/events", data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if not re.fullmatch("20[01]", str(answer.status)):
            raise RuntimeError(f"POST answered {answer.status}")


VERBS = {"kafka_write": kafka_write, "kafka_read": kafka_read, "http_write": http_write}

say("ready")
for line in sys.stdin:
    command = json.loads(line)
    try:
        VERBS[command.pop("do")](**command)
    except Exception as error:  # every failure is an answer, the runner decides
        detail = error.read().decode() if hasattr(error, "read") else ""
        say("error", code=type(error).__name__, message=f"{error} {detail}")
