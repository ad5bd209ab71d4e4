"""One client process of a history run: `worker.py ROLE JSON`. It ends in good order at SIGTERM."""

import faulthandler
import json
import os
import random
import signal
import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

import readers
import writers
from record import GIVES_UP, Recorder

TOPICS_S = 30


class Context:
    """What the runner says of a worker."""

    def __init__(self, bootstrap, history, name, number, seed, isolation, protocol):
        self.bootstrap, self.name, self.isolation, self.protocol = bootstrap, name, isolation, protocol
        self.session = f"{name}.{number}"
        self.rng = random.Random(f"{seed}:{self.session}")
        self.history = Recorder(history)
        # Shorter than some pauses of the server: requests are sent again on another connection,
        # while the first ones still wait in the one given up.
        self.socket_ms = self.rng.choice([3000, 7500])

    def client(self):
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": self.session,
            "reconnect.backoff.max.ms": 500,
            "socket.timeout.ms": self.socket_ms,
            # See clients/confluent/transactions.py.
            "metadata.recovery.strategy": "none",
        }


def create(context):
    admin = AdminClient(context.client())
    new = [NewTopic(topic, readers.PARTITIONS, 1) for topic in readers.ALL_TOPICS]
    for created in admin.create_topics(new).values():
        created.result(TOPICS_S)


ROLES = {
    "plain": writers.PlainWriter,
    "transactional": writers.TransactionalWriter,
    "transformer": writers.Transformer,
    "reader": readers.Reader,
    "member": readers.Member,
}


def follow(role, context):
    """Steps until SIGTERM; a client that cannot go on says so by its exit code."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    try:
        worker = ROLES[role](context)
        while not stopping:
            worker.step()
        worker.finish()
    except (KafkaException, writers.GaveUp) as error:
        context.history.note("ok", "gave_up", session=context.session, error=str(error))
        print(f"{context.session} gives up: {error}", file=sys.stderr, flush=True)
        # Not by sys.exit: closing what failed may take for ever.
        os._exit(GIVES_UP)


def main():
    # The runner asks who does not end where it hangs.
    faulthandler.register(signal.SIGUSR1)
    role, context = sys.argv[1], Context(**json.loads(sys.argv[2]))
    if role == "create":
        create(context)
    elif role == "final":
        readers.Final(context).run()
    else:
        follow(role, context)


main()
