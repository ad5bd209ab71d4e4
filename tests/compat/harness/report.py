"""What happened: one result per check, lines as they come, a table and the closing line."""

import collections
import time
import traceback

from .session import Unsupported

PASS, FAIL, SKIP = "pass", "FAIL", "skip"
TAIL_LINES = 25


class Skip(Exception):
    """The check does not apply; says why."""


class Report:
    def __init__(self, columns):
        self.columns = columns
        self.results = []
        self.start = time.monotonic()

    def add(self, client, column, name, status, detail="", seconds=None):
        self.results.append((client, column, name, status, detail))
        took = "" if seconds is None else f" ({seconds:.1f} s)"
        note = f": {detail}" if detail else ""
        print(f"[{time.monotonic() - self.start:6.1f} s] {status} {client} · {name}{took}{note}", flush=True)

    def check(self, client, column, name, body, logs=()):
        """Runs `body`; its return value, if any, is the detail. Returns whether it passed."""
        began = time.monotonic()
        try:
            detail = body() or ""
        except (Skip, Unsupported) as reason:
            why = f"no such call in this client ({reason})" if isinstance(reason, Unsupported) else str(reason)
            self.add(client, column, name, SKIP, why)
            return True
        except Exception as error:  # any failure is a result, with what the logs say
            self.add(client, column, name, FAIL, f"{type(error).__name__}: {error}"[:1500], time.monotonic() - began)
            if not isinstance(error, (AssertionError, OSError)):
                traceback.print_exc(limit=4)
            for log in logs:
                show_tail(log)
            return False
        self.add(client, column, name, PASS, detail, time.monotonic() - began)
        return True

    def table(self):
        cells = collections.defaultdict(list)
        for client, column, _, status, _ in self.results:
            cells[client, column].append(status)
        clients = list(dict.fromkeys(result[0] for result in self.results))
        width = max(map(len, clients), default=6)
        print("\n" + " " * width + "".join(f" {column:>10}" for column in self.columns))
        for client in clients:
            row = [summary(cells.get((client, column))) for column in self.columns]
            print(f"{client:<{width}}" + "".join(f" {cell:>10}" for cell in row))

    def close(self):
        """Prints the table and the closing line; returns how many failed."""
        self.table()
        counts = collections.Counter(result[3] for result in self.results)
        print(f"\nin {time.monotonic() - self.start:.0f} s")
        print(f"{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped", flush=True)
        return counts[FAIL]


def summary(statuses):
    if not statuses:
        return "-"
    for worst in (FAIL, PASS):
        if worst in statuses:
            many = len(statuses)
            return f"{worst} {statuses.count(worst)}/{many}" if many > 1 else worst
    return SKIP


def show_tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = collections.deque(log, maxlen=TAIL_LINES)
    except (OSError, TypeError):
        return
    if lines:
        print(f"--- last lines of {path}")
        print("".join(f"    {line[:400].rstrip()}\n" for line in lines), end="", flush=True)
