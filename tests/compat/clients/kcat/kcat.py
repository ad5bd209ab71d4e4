"""kcat behind the suite's verbs. It is a command line, so this adapter runs one kcat per verb.

kcat cannot create topics, set timestamps, or set headers per record; the runner asks it only
for what it can. A group member holds by back-pressure: its output is read slowly, or not.
"""

import base64
import fcntl
import os
import re
import subprocess
import tempfile
import threading
import time

FORMAT_END = b"\x01--end-of-record--\x02\n"
FORMAT = "%t %p %o %T %K %S %k%s%h\\x01--end-of-record--\\x02\\n"
KEY_END, RECORD_END = b"\x1e\x1d", b"\x1f\x1c"
TRICKLE_BYTES, TRICKLE_PAUSE_S = 4096, 0.02
ASSIGNED = re.compile(rb"% Group \S+ rebalanced .*?assigned: (.*)")
ASSIGNED_PART = re.compile(rb"(\S+) \[(\d+)\]")


def encode(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def parse_headers(raw):
    """`name=value,name=value` as kcat prints it; it prints a null value as the word NULL."""
    headers = []
    for part in raw.split(b",") if raw else []:
        name, _, value = part.partition(b"=")
        headers.append([name.decode(), None if value == b"NULL" else encode(value)])
    return headers


def parse_records(buffer):
    """Whole records at the front of `buffer`; returns them and what is left."""
    records = []
    while True:
        fields = buffer.split(b" ", 6)
        if len(fields) < 7:
            return records, buffer
        topic, partition, offset, time_ms, key_length, value_length = fields[:6]
        rest = fields[6]
        key_length, value_length = int(key_length), int(value_length)
        body = max(key_length, 0) + max(value_length, 0)
        end = rest.find(FORMAT_END, body)
        if end < 0:
            return records, buffer
        key = None if key_length < 0 else rest[:key_length]
        value = None if value_length < 0 else rest[max(key_length, 0) : body]
        headers = parse_headers(rest[body:end])
        records.append(
            [topic.decode(), int(partition), int(offset), int(time_ms), encode(key), encode(value), headers]
        )
        buffer = rest[end + len(FORMAT_END) :]


class KcatMember:
    """`kcat -G`: reads its output at full speed, at a trickle, or to its end."""

    def __init__(self, bootstrap, group, topics, log_path):
        settings = {
            "auto.offset.reset": "earliest",
            "session.timeout.ms": "10000",
            "heartbeat.interval.ms": "500",
            "partition.assignment.strategy": "roundrobin",
            "auto.commit.interval.ms": "200",
            "queued.min.messages": "1000",
        }
        options = [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]
        command = ["kcat", "-b", bootstrap, *options, "-f", FORMAT, "-u", "-G", group, *topics]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        self.log_path = log_path
        self.records, self.buffer = [], b""
        self.assignment = None
        self.changed = threading.Condition()
        self.limit, self.delivered = None, 0
        threading.Thread(target=self._watch, daemon=True).start()
        self.reader = threading.Thread(target=self._read, daemon=True)

    def _watch(self):
        with open(self.log_path, "ab") as log:
            for line in self.process.stderr:
                log.write(line)
                log.flush()
                found = ASSIGNED.match(line)
                if found:
                    parts = [[t.decode(), int(p)] for t, p in ASSIGNED_PART.findall(found[1])]
                    with self.changed:
                        self.assignment = parts
                        self.changed.notify_all()

    def _read(self):
        fd = self.process.stdout.fileno()
        while chunk := os.read(fd, 65536 if not self.held else TRICKLE_BYTES):
            records, self.buffer = parse_records(self.buffer + chunk)
            with self.changed:
                self.records += records
                self.delivered += len(records)
                self.changed.notify_all()
            if self.held:
                time.sleep(TRICKLE_PAUSE_S)

    @property
    def held(self):
        return self.limit is not None and self.delivered >= self.limit

    def resume(self, limit):
        with self.changed:
            self.limit, self.delivered = limit, 0
        if not self.reader.is_alive():
            self.reader.start()

    def wait_until(self, satisfied, timeout_s):
        with self.changed:
            if not self.changed.wait_for(lambda: satisfied(self), timeout_s):
                raise TimeoutError("kcat did not get there in time")

    def leave(self):
        """Asks kcat to end and takes all it had consumed: it commits what it has printed."""
        self.limit = None
        self.process.terminate()
        self.process.wait(30)
        self.reader.join(30)
        if self.buffer:
            raise ValueError(f"kcat ended in the middle of a record: {self.buffer[:80]!r}")


def header_options(headers):
    """`-H name=value`; without `=` the value is null."""
    options = []
    for name, value in headers:
        raw = name.encode() if value is None else name.encode() + b"=" + base64.b64decode(value)
        options += [b"-H", raw]
    return options


def produce(bootstrap, topic, codec, idempotent, records, timeout_s=60):
    """Produces records that share their headers; null and empty values cannot be mixed (-Z)."""
    headers = records[0][3]
    nulls = any(value is None for _, _, value, _ in records)
    with tempfile.NamedTemporaryFile() as file:
        for _, key, value, _ in records:
            file.write(base64.b64decode(key or "") + KEY_END + base64.b64decode(value or "") + RECORD_END)
        file.flush()
        command = ["kcat", "-b", bootstrap, "-P", "-t", topic, "-z", codec, "-X", f"enable.idempotence={str(idempotent).lower()}"]
        command += ["-X", "linger.ms=5", "-K", "\\x1e\\x1d", "-D", "\\x1f\\x1c", *(["-Z"] if nulls else [])]
        with open(file.name, "rb") as source:
            done = subprocess.run([*command, *header_options(headers)], stdin=source, capture_output=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(f"kcat: {done.stderr.decode(errors='replace')[-400:]}")


def read(bootstrap, topic, timeout_s=60):
    command = ["kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", FORMAT]
    done = subprocess.run(command, capture_output=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(f"kcat: {done.stderr.decode(errors='replace')[-400:]}")
    records, left = parse_records(done.stdout)
    if left:
        raise ValueError(f"kcat ended in the middle of a record: {left[:80]!r}")
    return records
