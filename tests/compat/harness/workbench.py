"""What the checks share: the broker, the clients that are there, the report."""

import pathlib
import shutil
import subprocess
import tempfile
import time

from .broker import Factum, Reference, RunningBroker
from .install import HERE, Installer, Unavailable
from .report import FAIL, SKIP, Report
from .session import Session
from .speakers import SPEAKERS, KcatSession

REPOSITORY = HERE.parent.parent
HOUR_MS = 3_600_000


class Workbench:
    def __init__(self, options, columns):
        self.options = options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="factum-compat-run-"))
        self.start_ms = int(time.time() * 1000) - HOUR_MS
        # Names are new in each run, so that a broker that stays can be checked again.
        self.tag = f"{self.start_ms % 10**7:07d}"
        self.report = Report(columns)
        self.installer = Installer(options.cache)
        self.speak = SPEAKERS
        self.commands = {}
        self.broker = None
        self._hand = None

    def install(self, wanted):
        """Installs the clients; confluent-kafka always, since it also checks the others."""
        for name in dict.fromkeys(["confluent", *wanted]):
            try:
                self.commands[name] = getattr(self.installer, name.replace("-", "_"))()
                if name in wanted:
                    self.report.add(name, "install", "install", "pass")
            except (Unavailable, OSError, subprocess.TimeoutExpired) as reason:
                self.report.add(name, "install", "install", FAIL if self.options.strict else SKIP, str(reason))
        if "confluent" not in self.commands:
            raise SystemExit("confluent-kafka is needed to check what the other clients did")

    def make_broker(self):
        if self.options.bootstrap:
            return RunningBroker(self.options.bootstrap, self.options.http)
        if self.options.reference:
            return Reference(self.installer.reference_classpath())
        return Factum(self.options.factum)

    def client_log(self, client):
        return self.directory / f"{client}.log"

    def logs(self, client):
        return [self.client_log(client), *([self.broker.log_path] if self.broker.log_path else [])]

    def open(self, client, name):
        """A client process, not a group member."""
        if client == "kcat":
            return KcatSession(self, self.client_log(client))
        command = [*self.commands[client], self.broker.bootstrap]
        return Session(f"{client} {name}", command, self.client_log(client))

    open_member = open

    @property
    def hand(self):
        """The client that creates topics for kcat and looks after the others' commits."""
        if self._hand and self._hand.process.poll() is not None:
            self.close_hand()
        if not self._hand:
            command = [*self.commands["confluent"], self.broker.bootstrap]
            self._hand = Session("hand", command, self.directory / "hand.log")
        return self._hand

    def close_hand(self):
        if self._hand:
            self._hand.close()
        self._hand = None

    def run(self, wanted, body):
        """Installs the clients, starts the broker, runs `body()`; returns how many checks failed."""
        self.install(wanted)
        self.broker = self.make_broker()
        print(f"starting {self.broker.name} at {self.broker.bootstrap}", flush=True)
        try:
            self.broker.start()
            body()
        finally:
            self.close_hand()
            failed = any(result[3] == FAIL for result in self.report.results)
            if hasattr(self.broker, "process"):
                self.broker.stop(keep=failed)
            if not failed:
                shutil.rmtree(self.directory, ignore_errors=True)
        return self.report.close()


def add_options(parser):
    """What every runner takes."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--broker", choices=["factum"], default="factum", help="start the release binary (default)")
    where.add_argument("--bootstrap", metavar="HOST:PORT", help="use a broker that runs already")
    where.add_argument("--reference", action="store_true", help="start Apache Kafka, for comparison")
    parser.add_argument("--factum", metavar="PATH", default=REPOSITORY / "target" / "release" / "factum", help="the binary to start")
    parser.add_argument("--http", metavar="URL", help="the HTTP door of the broker given with --bootstrap")
    parser.add_argument("--strict", action="store_true", help="a client that cannot be installed is a failure")
    parser.add_argument("--cache", metavar="DIR", default=HERE / ".cache", help="where the clients are installed")
    parser.add_argument("--seed", type=int, default=1, help="decides whom the exactly-once runs kill, and when (default 1)")
