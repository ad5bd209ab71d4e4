"""A history: what each client did and saw, one JSON line an event, written before and after the call.

Times are of the machine's monotonic clock, which all processes share. What is noted as begun has
its time from before the call, what is noted as done from after it, so that "done before the other
began" is never claimed wrongly.
"""

import json
import os
import time
import zlib

MOST_FILLER = 200
# How a client ends that cannot go on, as it was fenced off.
GIVES_UP = 3


class Recorder:
    """Appends to one file; each line is one `write`, so a kill leaves whole lines."""

    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def note(self, event, op, **fields):
        now = time.monotonic_ns()
        os.write(self.file, (json.dumps({"t": now, "event": event, "op": op, **fields}, separators=(",", ":")) + "\n").encode())
        return now


def value_of(record_id):
    """The id, and something whose length differs from record to record."""
    length = zlib.crc32(record_id.encode()) % MOST_FILLER
    return (record_id + " " + (record_id * (length // len(record_id) + 1))[:length]).encode()


def id_of(value):
    """None where the value is not what was written."""
    record_id = value.split(b" ", 1)[0].decode(errors="replace")
    return record_id if record_id and value == value_of(record_id) else None


def load(directory):
    """All events of a run, by time; each knows where it stands."""
    events = []
    for path in sorted(directory.glob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                event = json.loads(line)
                event["at"] = f"{path.name}:{number}"
                events.append(event)
    events.sort(key=lambda event: event["t"])
    return events
