"""Shows why the clients of the history runs begin with a new producer after some aborts:
`reused_sequence.py PORT BROKER` with a broker that advertises 127.0.0.1:PORT, where this listens.

A transaction is aborted while the answer to its two records is swallowed; two records of the next,
committed transaction are then acknowledged at the same offsets, and are not in the log.
"""

import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from proxy import Proxy

TOPIC = "reused-sequence"
CALL_S = 5
SWALLOW_S = 0.5


def main(port, broker):
    proxy = Proxy(port, broker)
    proxy.start()
    client = {"bootstrap.servers": f"127.0.0.1:{port}", "metadata.recovery.strategy": "none", "reconnect.backoff.max.ms": 300}
    admin = AdminClient(client)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(CALL_S)
    producer = Producer({**client, "transactional.id": TOPIC})
    producer.init_transactions(CALL_S)
    transaction(producer, ["first"], producer.commit_transaction)

    def swallow():
        proxy.swallow(True)
        threading.Timer(SWALLOW_S, proxy.swallow, [False]).start()

    transaction(producer, ["aborted 1", "aborted 2"], producer.abort_transaction, swallow)
    transaction(producer, ["committed 1", "committed 2"], producer.commit_transaction)
    reader = Consumer({**client, "group.id": "unused", "isolation.level": "read_uncommitted", "enable.partition.eof": True})
    reader.assign([TopicPartition(TOPIC, 0, 0)])
    while (message := reader.poll(CALL_S)) and not message.error():
        print(f"in the log: {message.offset()} {message.value().decode()}")


def told(error, message):
    print(f"told: {message.value().decode()}: {error.name() if error else message.offset()}")


def transaction(producer, values, end, before=None):
    producer.begin_transaction()
    if before:
        # The partition must be part of the transaction before answers are swallowed.
        producer.produce(TOPIC, "aborted 0", partition=0, on_delivery=told)
        producer.flush(CALL_S)
        before()
        time.sleep(SWALLOW_S / 5)
    for value in values:
        producer.produce(TOPIC, value, partition=0, on_delivery=told)
    producer.poll(SWALLOW_S / 2)
    while True:
        try:
            end(CALL_S)
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


main(int(sys.argv[1]), sys.argv[2])
sys.stdout.flush()
os._exit(0)
