"""Connects with settings given as JSON, writes a record to a topic and reads it again. Prints a line
for each: `written` and `read`, or the name of the error that came instead."""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer

WAIT_S = 15
FATAL = ("_AUTHENTICATION", "_SSL", "_ALL_BROKERS_DOWN")


class Errors(list):
    def note(self, error):
        if error:
            self.append(error.name())

    def first(self):
        return next((name for name in FATAL if name in self), self[0] if self else "SILENT")


def write(settings, topic):
    errors, done = Errors(), []
    producer = Producer({**settings, "error_cb": errors.note, "message.timeout.ms": WAIT_S * 1000})

    def delivered(error, _):
        errors.note(error)
        done.append(error)

    try:
        producer.produce(topic, b"hello", on_delivery=delivered)
    except KafkaException as error:
        return error.args[0].name()
    while not done and not any(name in FATAL for name in errors):
        producer.poll(0.2)
    return "written" if done and done[0] is None else errors.first()


def read(settings, topic):
    errors = Errors()
    reading = {"group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**settings, **reading, "error_cb": errors.note})
    consumer.subscribe([topic])
    try:
        for _ in range(WAIT_S * 5):
            message = consumer.poll(0.2)
            if message is not None and not message.error():
                return "read"
            errors.note(message.error() if message else None)
            if errors:
                break
        return errors.first()
    except KafkaException as error:
        return error.args[0].name()
    finally:
        consumer.close()


if __name__ == "__main__":
    settings, topic = json.loads(sys.argv[1]), sys.argv[2]
    print(write(settings, topic))
    print(read(settings, topic))
