"""The broker under test: Factum's binary, Apache Kafka for comparison, or one that runs already."""

import base64
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

STOP_S = 20
POLL_S = 0.05


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


class RunningBroker:
    """A broker that someone else started; it cannot be restarted."""

    restartable = False
    log_path = None

    def __init__(self, bootstrap, http=None):
        self.bootstrap, self.http, self.name = bootstrap, http, f"broker at {bootstrap}"

    def start(self):
        if not accepts(self.bootstrap):
            raise RuntimeError(f"nothing listens at {self.bootstrap}")

    def stop(self):
        pass


class OwnBroker:
    """A broker process with its data in a temporary directory."""

    restartable = True
    http = None
    start_s = 60

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="factum-compat-"))
        self.bootstrap = f"127.0.0.1:{free_port()}"
        self.log_path = self.directory / "broker.log"
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)
        deadline = time.monotonic() + self.start_s
        while not accepts(self.bootstrap):
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}, see {self.log_path}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker did not listen within {self.start_s} s, see {self.log_path}")
            time.sleep(POLL_S)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_S)

    def kill_and_restart(self, down_s=0):
        """`kill -9`, then the same command on the same data and ports."""
        self.kill()
        time.sleep(down_s)
        self.start()

    def stop(self, keep=False):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


class Factum(OwnBroker):
    # Rules of access are asked, of clients who may do everything.
    access = ["--access-control", "--super-users", "User:ANONYMOUS"]

    def __init__(self, binary, *settings):
        super().__init__()
        self.name, self.settings = "Factum", settings
        self.binary = pathlib.Path(binary).resolve()
        if not os.access(self.binary, os.X_OK):
            raise RuntimeError(f"{self.binary} is not there; build it with `cargo build --release`")
        self.http_address = f"127.0.0.1:{free_port()}"
        self.http = f"http://{self.http_address}"

    def command(self):
        data = self.directory / "data"
        return [self.binary, "serve", "--data", data, "--kafka", self.bootstrap, "--http", self.http_address, *self.access, *self.settings]


class Reference(OwnBroker):
    """Apache Kafka, broker and controller in one process, as its distribution would start it."""

    start_s = 180  # a JVM, on a slow machine
    heap = "-Xmx768m"
    rebalance_delay_ms = 0

    def __init__(self, classpath):
        super().__init__()
        self.name = "Apache Kafka"
        self.java = ["java", self.heap, "-cp", classpath]
        controller = f"127.0.0.1:{free_port()}"
        self.settings = self.directory / "server.properties"
        self.settings.write_text(
            "\n".join(
                [
                    "process.roles=broker,controller",
                    "node.id=1",
                    f"controller.quorum.voters=1@{controller}",
                    f"listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
                    "controller.listener.names=CONTROLLER",
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    f"log.dirs={self.directory}/data",
                    "offsets.topic.replication.factor=1",
                    "offsets.topic.num.partitions=4",
                    "transaction.state.log.replication.factor=1",
                    "transaction.state.log.min.isr=1",
                    f"group.initial.rebalance.delay.ms={self.rebalance_delay_ms}",
                    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                    "super.users=User:ANONYMOUS",
                ]
            )
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self.settings)]
        done = subprocess.run([*self.java, *tool], capture_output=True, text=True, timeout=self.start_s)
        if done.returncode:
            raise RuntimeError(f"formatting the data directory failed: {done.stdout}{done.stderr}"[-800:])

    def command(self):
        return [*self.java, "kafka.Kafka", self.settings]
