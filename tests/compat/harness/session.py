"""A client program as a process that takes JSON commands and answers JSON events."""

import base64
import collections
import json
import queue
import subprocess
import threading
import time

READY_S = 180
ANSWER_S = 60


class ClientError(Exception):
    """The client answered a command with an error."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Unsupported(Exception):
    """The client has no such call."""


class ClientSilent(Exception):
    """The client did not answer in time, or ended."""


class Session:
    """One client process. Records and assignments are collected as they arrive."""

    def __init__(self, name, command, log_path, cwd=None, env=None):
        self.name = name
        self.log_path = log_path
        self.log = open(log_path, "ab")
        self.process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )
        self.events = queue.Queue()
        self.records = []
        self.assignment = None
        self.held = False
        threading.Thread(target=self._pump, daemon=True).start()
        self.wait("ready", READY_S)

    def _pump(self):
        tail = collections.deque(maxlen=5)
        for line in self.process.stdout:
            try:
                self.events.put(json.loads(line))
            except ValueError:
                tail.append(line)
                self.log.write(line)
        self.events.put({"event": "ended"})

    def _take(self, deadline):
        try:
            event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise ClientSilent(f"{self.name} did not answer in time") from None
        kind = event["event"]
        if kind == "records":
            self.records += event["records"]
        elif kind == "assigned":
            self.assignment = event["partitions"]
        elif kind == "held":
            self.held = True
        elif kind == "error":
            raise ClientError(event.get("code"), event.get("message"))
        elif kind == "unsupported":
            raise Unsupported(event.get("step"))
        elif kind == "ended":
            raise ClientSilent(f"{self.name} ended with {self.process.wait(10)}")
        return event

    def wait(self, kind, timeout_s=ANSWER_S):
        """Waits for one event, collecting what comes before it."""
        deadline = time.monotonic() + timeout_s
        while True:
            event = self._take(deadline)
            if event["event"] == kind:
                return event

    def wait_until(self, satisfied, timeout_s=ANSWER_S):
        """Takes events until `satisfied(self)`."""
        deadline = time.monotonic() + timeout_s
        while not satisfied(self):
            self._take(deadline)

    def drain(self):
        """Takes what has arrived, without waiting."""
        while not self.events.empty():
            self._take(time.monotonic() + 1)

    def tell(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, do, expect, timeout_s=ANSWER_S, **arguments):
        self.tell(do, **arguments)
        return self.wait(expect, timeout_s)

    # verbs

    def create(self, topic, partitions, config=None):
        self.ask("create", "created", topic=topic, partitions=partitions, config=config or {})

    def produce(self, topic, codec, idempotent, file):
        return self.ask("produce", "produced", topic=topic, codec=codec, idempotent=idempotent, file=str(file))

    def join(self, group, topics, limit):
        self.tell("join", group=group, topics=topics, limit=limit)

    def wait_held(self, timeout_s):
        """Waits until the member has delivered its limit."""
        self.wait_until(lambda session: session.held, timeout_s)

    def resume(self, limit):
        self.held = False
        self.tell("resume", limit=limit)

    def commit(self):
        return self.ask("commit", "committed")["offsets"]

    def leave(self):
        self.ask("leave", "left")

    def read(self, topics, count):
        self.records = []
        self.ask("read", "read", topics=topics, count=count)
        return self.records

    def admin(self, step, **arguments):
        return self.ask("admin", "admin", step=step, **arguments).get("value")

    def txn(self, step, producer, **arguments):
        """A step of a transaction; `producer` is a name, without an id it is a plain producer."""
        self.ask("txn", "txn", step=step, producer=producer, **arguments)

    def collect(self, topic, partitions, committed, timeout_s, last="last"):
        """Reads each partition from its start to the record with the value `last`."""
        self.records = []
        value = base64.b64encode(last.encode()).decode()
        self.ask("collect", "read", timeout_s, topic=topic, partitions=partitions, committed=committed, last=value)
        return self.records

    def everything(self, topic, partitions, committed, timeout_s=ANSWER_S):
        """Reads each partition from its start to where it ends now."""
        self.records = []
        self.ask("everything", "read", timeout_s, topic=topic, partitions=partitions, committed=committed)
        return self.records

    def close(self):
        """Ends the process: its standard input closes, then it is killed if it stays."""
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.log.close()
