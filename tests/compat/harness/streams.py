"""Kafka Streams: a stateful application with exactly_once_v2, whose instances and broker are killed.

It counts and sums orders by customer, over a repartition topic, in all and in windows, and joins
them with their payments. Its caches are off, so that each order shows once in the output: what is
lost, counted twice or counted without being committed is seen.
"""

import collections
import random
import time

from . import records as oracle
from .admin import equal
from .session import ClientError, Session

CLIENT = "streams"
PARTITIONS = 4
ORDERS = 600  # in each of the stages
CUSTOMERS = 40
WINDOW_MS = 10_000
PAID_WITHIN_MS = 5_000
STEP_MS = 250  # between two orders
RUNNING_S = 90
RESULT_S = 90
STATE_S = 60
DAY_MS = 86_400_000
# The window, the grace of a day, and the day that Streams adds.
KEPT_MS = str(WINDOW_MS + 2 * DAY_MS)
INTERNAL = {
    "by-customer-repartition": {"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": "52428800"},
    "totals-changelog": {"cleanup.policy": "compact"},
    "windows-changelog": {"cleanup.policy": "compact,delete", "retention.ms": KEPT_MS},
    "paid-this-join-store-changelog": {"cleanup.policy": "delete", "retention.ms": KEPT_MS},
    "paid-other-join-store-changelog": {"cleanup.policy": "delete", "retention.ms": KEPT_MS},
}
SETTINGS = {
    "commit.interval.ms": "100",
    "num.stream.threads": "1",
    "repartition.purge.interval.ms": "1000",
    # An instance that was killed is missed soon, and what it left open ends soon.
    "main.consumer.session.timeout.ms": "6000",
    "main.consumer.heartbeat.interval.ms": "500",
    "producer.transaction.timeout.ms": "5000",
    "producer.linger.ms": "5",
    "reconnect.backoff.max.ms": "500",
}


class Instance(Session):
    """One process of an application; keeps what it says of itself."""

    def __init__(self, *arguments):
        self.state, self.restored, self.replaced = "CREATED", collections.Counter(), []
        super().__init__(*arguments)

    def _take(self, deadline):
        event = super()._take(deadline)
        if event["event"] == "state":
            self.state = event["state"]
        elif event["event"] == "restored":
            self.restored[event["store"]] += event["count"]
        elif event["event"] == "replaced":
            self.replaced.append(event["why"])
        return event

    def await_running(self):
        self.wait_until(lambda instance: instance.state == "RUNNING", RUNNING_S)

    def stop(self):
        return self.ask("stop", "stopped", STATE_S)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def start(suite, name, topology, topics, application, **settings):
    """An instance with a state directory of its own, which one of the same name finds again."""
    instance = Instance(f"{CLIENT} {name}", [*suite.commands[CLIENT], suite.broker.bootstrap], suite.client_log(CLIENT))
    state = {"application.id": application, "state.dir": str(suite.directory / f"state-{name}")}
    settings = {name: value for name, value in {**SETTINGS, **state, **settings}.items() if value is not None}
    instance.tell("start", topology=topology, topics=topics, settings=settings)
    return instance


class Shop:
    """The orders and payments, and what has to come of them."""

    def __init__(self, tag, start_ms):
        self.rng = random.Random(oracle.SEED)
        self.time_ms = start_ms
        self.topics = {name: f"shop-{name}-{tag}" for name in ("orders", "payments", "totals", "windows", "paid")}
        self.counted = collections.defaultdict(list)  # amounts, by customer
        self.windows = collections.defaultdict(list)  # amounts, by customer and window
        self.paid = collections.Counter()
        self.orders = 0

    def more(self):
        """The next orders and payments, as records."""
        orders, payments = [], []
        for _ in range(ORDERS):
            self.orders += 1
            self.time_ms += STEP_MS
            number, customer = f"order-{self.orders}", f"customer-{self.rng.randrange(CUSTOMERS)}"
            amount = self.rng.choice([0, *range(1, 100)])
            orders.append(record(self.time_ms, number, f"{customer},{amount}"))
            late_ms = self.rng.choice([-PAID_WITHIN_MS, 0, 1_000, PAID_WITHIN_MS, PAID_WITHIN_MS + 1, 60_000])
            payments.append(record(self.time_ms + late_ms, number, f"{amount}"))
            if amount:
                self.counted[customer].append(amount)
                self.windows[f"{customer}@{self.time_ms - self.time_ms % WINDOW_MS}"].append(amount)
                if abs(late_ms) <= PAID_WITHIN_MS:
                    self.paid[number, f"{customer},{amount},{amount}"] += 1
        return {"orders": orders, "payments": payments}

    def expected(self):
        """How many records each output has in the end."""
        count = sum(map(len, self.counted.values()))
        return {"totals": count, "windows": count, "paid": self.paid.total()}

    def compare(self, found):
        """`found` are the records of each output in the order of their offsets, as (key, value)."""
        for output, wanted in (("totals", self.counted), ("windows", self.windows)):
            seen = collections.defaultdict(list)
            for key, value in found[output]:
                seen[key].append(tuple(map(int, value.split(","))))
            equal(sorted(seen), sorted(wanted))
            for key, amounts in wanted.items():
                numbers = [number for number, _ in seen[key]]
                if numbers != list(range(1, len(amounts) + 1)):
                    raise AssertionError(f"{output} of {key} are numbered {numbers}, not 1 to {len(amounts)}")
                equal((output, key, seen[key][-1][1]), (output, key, sum(amounts)))
        pairs = collections.Counter(found["paid"])
        if pairs != self.paid:
            raise AssertionError(f"joined too often {pairs - self.paid}, too seldom {self.paid - pairs}"[:800])


def record(time_ms, key, value):
    return [time_ms, oracle.encode(key.encode()), oracle.encode(value.encode()), []]


class Streams:
    def __init__(self, suite):
        self.suite = suite
        # Older than the grace of windows would be too late, younger than now is the future.
        self.shop = Shop(suite.tag, suite.start_ms)
        self.application = f"shop-{suite.tag}"
        self.instances = {}

    def run(self):
        checks = [
            ("an application begins", self.begin),
            ("its internal topics and their settings", self.internal),
            ("two instances, one of them killed", self.share),
            ("the broker is killed", self.broker_killed),
            ("an instance is killed and restores its state", self.restore),
            ("repartitioned records go once they were read", self.purged),
            ("what is committed agrees exactly with the input", self.compare),
            ("group.protocol=streams (KIP-1071)", self.streams_protocol),
        ]
        try:
            for name, body in checks:
                if not self.suite.report.check(CLIENT, "streams", name, body, self.suite.logs(CLIENT)):
                    return
        finally:
            for instance in self.instances.values():
                instance.close()

    def start(self, name):
        self.instances[name] = start(self.suite, f"shop-{name}", "shop", self.shop.topics, self.application)
        return self.instances[name]

    def kill(self, name):
        self.instances.pop(name).kill()

    def feed(self):
        for name, made in self.shop.more().items():
            topic = self.shop.topics[name]
            file = self.suite.directory / f"{topic}-{self.shop.orders}.ndjson"
            oracle.write(file, made)
            self.suite.hand.produce(topic, "lz4", True, file)

    def read(self, output):
        found = self.suite.hand.everything(self.shop.topics[output], PARTITIONS, True)
        return [(oracle.decode(key).decode(), oracle.decode(value).decode()) for _, _, _, _, key, value, _ in found]

    def await_results(self):
        """Waits until all that was fed shows in the outputs, and no more than that."""
        deadline = time.monotonic() + RESULT_S
        wanted = self.shop.expected()
        while True:
            for instance in self.instances.values():
                instance.drain()
            counts = {output: len(self.read(output)) for output in wanted}
            if counts == wanted:
                return f"{counts['totals']} orders counted, {counts['paid']} paid in time"
            if any(counts[output] > wanted[output] for output in wanted) or time.monotonic() > deadline:
                raise AssertionError(f"the outputs have {counts} records, expected {wanted}")
            time.sleep(0.2)

    def begin(self):
        for topic in self.shop.topics.values():
            self.suite.hand.create(topic, PARTITIONS)
        self.feed()
        self.start("a").await_running()
        return self.await_results()

    def internal(self):
        for name, wanted in INTERNAL.items():
            topic = f"{self.application}-{name}"
            equal((name, self.suite.hand.admin("describe_topic", topic=topic)["partitions"]), (name, PARTITIONS))
            found = self.suite.hand.admin("describe_configs", topic=topic)
            equal((name, {key: found.get(key) for key in wanted}), (name, wanted))
        return f"{len(INTERNAL)} topics"

    def share(self):
        self.start("b").await_running()
        self.feed()
        both = self.await_results()
        self.feed()
        self.kill("b")
        self.await_results()
        return f"{both}, then the other took over"

    def broker_killed(self):
        if not self.suite.broker.restartable:
            return "left out: the broker is not ours"
        self.feed()
        self.suite.close_hand()
        self.suite.broker.kill_and_restart()
        self.feed()
        return self.await_results()

    def restore(self):
        self.feed()
        self.kill("a")
        self.feed()
        again = self.start("a")
        again.await_running()
        self.await_results()
        if not again.restored["totals"] or not again.restored["windows"]:
            raise AssertionError(f"restored was only {dict(again.restored)}")
        return f"restored {dict(again.restored)}"

    def purged(self):
        topic, deadline = f"{self.application}-by-customer-repartition", time.monotonic() + STATE_S
        while True:
            starts = dict(map(tuple, self.suite.hand.admin("list_offsets", topic=topic, spec="earliest")))
            if all(starts.values()):
                return f"its partitions begin at {sorted(starts.values())}"
            if time.monotonic() > deadline:
                raise AssertionError(f"the partitions of the repartition topic begin at {starts}")
            # It deletes when it commits, and it commits when there is something.
            self.feed()
            self.await_results()

    def compare(self):
        for instance in self.instances.values():
            equal(instance.stop()["clean"], True)
        self.shop.compare({output: self.read(output) for output in self.shop.expected()})
        return f"{self.shop.orders} orders"

    def streams_protocol(self):
        """A broker without it must say so, so that the application ends with the reason."""
        name = "protocol"
        settings = {"group.protocol": "streams"}
        for setting in ("main.consumer.session.timeout.ms", "main.consumer.heartbeat.interval.ms"):
            settings[setting] = None
        self.instances[name] = start(self.suite, name, "shop", self.shop.topics, f"kip1071-{self.suite.tag}", **settings)
        try:
            self.instances[name].await_running()
        except ClientError as error:
            equal(error.code, "UnsupportedVersionException")
            return f"refused: {error}"[:160]
        return "runs"


def run(suite, clients):
    if CLIENT in clients:
        Streams(suite).run()
