"""Kafka Connect: a cluster of workers with the file connectors, and Debezium for PostgreSQL.

The source writes exactly once (KIP-618), so the topic has each line of the file once and in order,
whoever is killed; the sink is at least once, as Connect's sinks are.
"""

import json
import subprocess
import time
import urllib.error
import urllib.request

from . import records as oracle
from .admin import equal
from .broker import STOP_S, free_port
from .install import Unavailable
from .postgres import Postgres
from .report import Skip

CLIENT = "connect"
LINES = 150  # at a time
START_S = 120
ARRIVES_S = 90
REQUEST_S = 60
POLL_S = 0.2
PARTITIONS = 2
ROWS = 5
# Connect refuses to start where these are not compacted.
INTERNAL = {"configs": 1, "offsets": 3, "status": 2}
RESTARTING = (OSError, urllib.error.URLError, json.JSONDecodeError)


class Worker:
    def __init__(self, suite, name, group):
        self.suite, self.name = suite, name
        self.url = f"http://127.0.0.1:{free_port()}"
        self.file = suite.directory / f"worker-{name}.properties"
        settings = {
            "bootstrap.servers": suite.broker.bootstrap,
            "group.id": group,
            "listeners": self.url,
            "config.storage.topic": f"{group}-configs",
            "offset.storage.topic": f"{group}-offsets",
            "status.storage.topic": f"{group}-status",
            "config.storage.replication.factor": 1,
            "offset.storage.replication.factor": 1,
            "status.storage.replication.factor": 1,
            "offset.storage.partitions": INTERNAL["offsets"],
            "status.storage.partitions": INTERNAL["status"],
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "plugin.discovery": "service_load",
            "exactly.once.source.support": "enabled",
            "offset.flush.interval.ms": 1000,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            # What a lost worker had goes to the others at once.
            "scheduled.rebalance.max.delay.ms": 0,
            "consumer.isolation.level": "read_committed",
            "consumer.session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 500,
        }
        self.file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self.process = None

    def start(self):
        command = [*self.suite.commands[CLIENT], "org.apache.kafka.connect.cli.ConnectDistributed", self.file]
        with open(self.suite.client_log(CLIENT), "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body else None, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)


class Connect:
    def __init__(self, suite):
        self.suite = suite
        self.group = f"connect-{suite.tag}"
        self.topic = f"lines-{suite.tag}"
        self.source, self.sink = suite.directory / "source.txt", suite.directory / "sink.txt"
        self.workers = {name: Worker(suite, name, self.group) for name in "ab"}
        self.lines = 0
        self.postgres = None
        self.changes = []  # (operation, id, name), as they must come for each id

    def run(self):
        checks = [
            ("a worker, a file source and a file sink", self.begin),
            ("its internal topics are compacted", self.internal),
            ("a second worker; the first is killed", self.cluster),
            ("Debezium: the rows that PostgreSQL has, and its changes", self.capture),
            ("the broker is killed", self.broker_killed),
            ("all workers are killed, and go on where they were", self.restart),
            ("each line once and in order", self.exact),
        ]
        try:
            for name, body in checks:
                if not self.suite.report.check(CLIENT, "connect", name, body, self.suite.logs(CLIENT)):
                    return
        finally:
            for worker in self.workers.values():
                worker.kill()
            if self.postgres:
                self.postgres.stop()

    def ask(self, worker, *request):
        """A worker that is starting, or rebalancing, is asked again."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return self.workers[worker].ask(*request)
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")[:500]
                if error.code not in (404, 409, 500, 503) or time.monotonic() > deadline:
                    raise AssertionError(f"{request[:2]} was answered with {error.code}: {said}") from None
            except RESTARTING:
                if self.workers[worker].process.poll() is not None:
                    raise AssertionError("the worker has ended") from None
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    def add(self, worker, name, config):
        self.ask(worker, "PUT", f"/connectors/{name}/config", config)
        self.await_running(worker, name)

    def await_running(self, worker, name):
        deadline = time.monotonic() + START_S
        while True:
            status = self.ask(worker, "GET", f"/connectors/{name}/status")
            states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
            if len(states) > 1 and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states or time.monotonic() > deadline:
                raise AssertionError(f"{name} does not run: {json.dumps(status)[:900]}")
            time.sleep(POLL_S)

    def await_shared(self):
        """Waits until both workers have some of the connectors and tasks."""
        deadline = time.monotonic() + START_S
        while True:
            found = [self.ask("b", "GET", f"/connectors/{name}/status") for name in ("source", "sink")]
            runs = [part for status in found for part in (status["connector"], *status["tasks"])]
            if len({part["worker_id"] for part in runs}) == 2 and {part["state"] for part in runs} == {"RUNNING"}:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"the workers do not share the work: {json.dumps(found)[:900]}")
            time.sleep(POLL_S)

    def write(self):
        """ASCII: Connect's file source counts characters, and goes on at so many bytes."""
        with open(self.source, "a", encoding="utf-8") as out:
            for _ in range(LINES):
                self.lines += 1
                out.write(f"line {self.lines}\n")

    def wanted(self):
        return [f"line {number}" for number in range(1, self.lines + 1)]

    def await_sink(self):
        """Waits for all lines; of a line that comes again, the first counts."""
        deadline = time.monotonic() + ARRIVES_S
        while True:
            found = list(dict.fromkeys(self.sink.read_text(encoding="utf-8").splitlines())) if self.sink.exists() else []
            if found == self.wanted():
                return f"{len(found)} lines"
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {self.lines} lines arrived, the last is {found[-1:]}")
            time.sleep(POLL_S)

    def begin(self):
        self.suite.hand.create(self.topic, 1)
        self.write()
        self.workers["a"].start()
        connectors = [plugin["class"].rsplit(".", 1)[1] for plugin in self.ask("a", "GET", "/connector-plugins")]
        self.add("a", "source", {
            "connector.class": "FileStreamSource", "tasks.max": "1", "file": str(self.source), "topic": self.topic,
            "exactly.once.support": "required",
        })
        self.add("a", "sink", {"connector.class": "FileStreamSink", "tasks.max": "1", "file": str(self.sink), "topics": self.topic})
        return f"{self.await_sink()}; plug-ins {', '.join(sorted(connectors))}"

    def internal(self):
        for name, partitions in INTERNAL.items():
            topic = f"{self.group}-{name}"
            found = self.suite.hand.admin("describe_configs", topic=topic)["cleanup.policy"]
            equal((name, found, self.suite.hand.admin("describe_topic", topic=topic)["partitions"]), (name, "compact", partitions))

    def cluster(self):
        self.workers["b"].start()
        self.await_shared()
        self.write()
        self.await_sink()
        self.workers["a"].kill()
        self.write()
        return self.await_sink()

    def capture(self):
        try:
            self.postgres = Postgres()
        except Unavailable as reason:
            if self.suite.options.strict:
                raise
            raise Skip(str(reason)) from None
        self.postgres.start()
        self.postgres.sql("CREATE TABLE customers (id int PRIMARY KEY, name text); ALTER TABLE customers REPLICA IDENTITY FULL")
        for id in range(ROWS):
            self.change("r", id, f"there before {id}")
        self.add("b", "customers", {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1",
            "database.port": str(self.postgres.port),
            "database.user": "postgres",
            "database.password": "unused",
            "database.dbname": "postgres",
            "topic.prefix": self.group,
            "table.include.list": "public.customers",
            "poll.interval.ms": "100",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "false",
            "topic.creation.default.replication.factor": "-1",
            "topic.creation.default.partitions": str(PARTITIONS),
            "topic.creation.default.cleanup.policy": "compact",
        })
        self.await_changes()
        self.change_all()
        return self.await_changes()

    def change_all(self):
        """A row that comes, one that changes, one that goes."""
        count = sum(operation in ("r", "c") for operation, _, _ in self.changes)
        self.change("c", count, f"new {count}")
        self.change("u", 1, f"changed {len(self.changes)}")
        gone = {id for operation, id, _ in self.changes if operation == "d"}
        self.change("d", next(id for id in range(2, count) if id not in gone), None)

    def change(self, operation, id, name):
        statement = {
            "r": f"INSERT INTO customers VALUES ({id}, '{name}')",
            "c": f"INSERT INTO customers VALUES ({id}, '{name}')",
            "u": f"UPDATE customers SET name = '{name}' WHERE id = {id}",
            "d": f"DELETE FROM customers WHERE id = {id}",
        }
        self.postgres.sql(statement[operation])
        self.changes.append((operation, id, name))
        if operation == "d":
            self.changes.append((None, id, None))  # the tombstone that follows

    def await_changes(self):
        wanted = self.by_id(self.changes)
        deadline = time.monotonic() + ARRIVES_S
        while True:
            topics = self.suite.hand.admin("list_topics")
            topic = f"{self.group}.public.customers"
            records = self.suite.hand.everything(topic, PARTITIONS, True) if topic in topics else []
            found = self.by_id([as_change(record) for record in records])
            if found == wanted:
                return f"{len(records)} change events"
            if time.monotonic() > deadline:
                raise AssertionError(f"found the changes {found}, expected {wanted}"[:1400])
            time.sleep(POLL_S)

    def by_id(self, changes):
        ids = {id for _, id, _ in changes}
        return {id: [(operation, name) for operation, other, name in changes if other == id] for id in sorted(ids)}

    def broker_killed(self):
        if not self.suite.broker.restartable:
            return "left out: the broker is not ours"
        self.write()
        self.suite.close_hand()
        self.suite.broker.kill_and_restart()
        self.write()
        if self.postgres:
            self.change_all()
            self.await_changes()
        return self.await_sink()

    def restart(self):
        self.workers["b"].kill()
        self.write()
        if self.postgres:
            self.change_all()
        self.workers["a"].start()
        for name in ["source", "sink", *(["customers"] if self.postgres else [])]:
            self.await_running("a", name)
        if self.postgres:
            self.await_changes()
            self.change_all()
            self.await_changes()
        return self.await_sink()

    def exact(self):
        found = self.suite.hand.everything(self.topic, 1, True)
        equal([oracle.decode(value).decode() for _, _, _, _, _, value, _ in found], self.wanted())
        repeated = len(self.sink.read_text(encoding="utf-8").splitlines()) - self.lines
        return f"{self.lines} lines; {repeated} of them came to the sink again"


def as_change(record):
    _, _, _, _, key, value, _ = record
    id = json.loads(oracle.decode(key))["id"]
    if value is None:
        return None, id, None
    change = json.loads(oracle.decode(value))
    return change["op"], id, change["after"] and change["after"]["name"]


def run(suite, clients):
    if CLIENT in clients:
        Connect(suite).run()
