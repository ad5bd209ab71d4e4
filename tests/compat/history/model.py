"""What a history says, put in order: records, transactions, reads. No judgement here."""

import collections
from dataclasses import dataclass, field

# Kinds of sessions; what each may do with a record is said in `checker.py`.
EXACT = {"idempotent", "transactional"}


@dataclass
class Record:
    id: str
    session: str
    number: int
    topic: str
    partition: int
    txn: str | None
    made_from: int | None  # the offset in the same partition of the job's source
    invoked: int
    at: str
    outcome: str | None = None  # ok, fail (it never left the client), unknown; None where nothing was noted
    done: int | None = None
    offset: int = -1
    done_at: str | None = None

    @property
    def place(self):
        return self.topic, self.partition

    @property
    def evidence(self):
        return [where for where in (self.at, self.done_at) if where]


@dataclass
class Transaction:
    id: str
    session: str
    records: list = field(default_factory=list)
    offsets: list = field(default_factory=list)  # commits of group offsets
    times: dict = field(default_factory=dict)  # by event and op, such as ("invoke", "commit")
    at: dict = field(default_factory=dict)
    fenced_before_commit: str | None = None

    def time(self, event, op):
        return self.times.get((event, op))

    @property
    def outcome(self):
        """Committed or aborted where that is known, whatever the server did; otherwise unknown."""
        if self.time("ok", "commit"):
            return "committed"
        if not self.time("invoke", "commit") or self.time("ok", "abort") or self.fenced_before_commit:
            return "aborted"
        return "unknown"

    @property
    def evidence(self):
        return list(dict.fromkeys(self.at.values()))


@dataclass
class Segment:
    """What one reader was given of a partition from a start on."""

    reader: str
    isolation: str
    topic: str
    partition: int
    start: int
    at: str
    reads: list = field(default_factory=list)  # (offset, id, time, at)

    @property
    def place(self):
        return self.topic, self.partition


@dataclass
class Fetched:
    """A group's offsets as somebody was told them."""

    group: str
    offsets: list
    began: int
    done: int
    at: str


@dataclass
class Commit:
    """One group offset that somebody tried to commit."""

    offset: int
    invoked: int
    done: int | None
    at: str
    txn: Transaction | None = None

    @property
    def evidence(self):
        return [self.at, *(self.txn.evidence if self.txn else [])]


class History:
    def __init__(self, events):
        self.sessions, self.records, self.transactions, self.segments = {}, {}, {}, {}
        self.ends, self.fetched, self.faults, self.trouble = [], [], [], []
        self.commits = collections.defaultdict(list)  # by group, topic, partition
        self.initialised = collections.defaultdict(dict)  # by session: its events "invoke" and "ok"
        self.events = 0
        self._committing = {}  # by file: the commit of group offsets under way
        for event in events:
            self.events += 1
            take = getattr(self, f"_{event['op']}", None)
            if take:
                take(event)
        self._fence()
        self._settle_offsets()

    @property
    def finals(self):
        """The reads from start to end, in the order they were made: {place: segment} each."""
        return self._whole("final")

    @property
    def everything(self):
        return self._whole("everything")

    def _whole(self, name):
        found = collections.defaultdict(dict)
        for segment in self.segments.values():
            if segment.reader.split()[0] == name:
                found[segment.reader][segment.place] = segment
        return list(found.values())

    def kind(self, record):
        return self.sessions[record.session]["kind"]

    # one method per op

    def _session(self, event):
        self.sessions[event["session"]] = event

    def _send(self, event):
        session = event["session"]
        if event["event"] == "invoke":
            for number, topic, partition, made_from in event["records"]:
                self._invoked(session, number, topic, partition, made_from, event)
            return
        for one in event["records"]:
            number, detail = one if isinstance(one, list) else (one, None)
            record = self.records[f"{session}:{number}"]
            record.outcome, record.done, record.done_at = event["event"], event["t"], event["at"]
            if event["event"] == "ok":
                record.offset = detail

    def _invoked(self, session, number, topic, partition, made_from, event):
        record = Record(f"{session}:{number}", session, number, topic, partition, event["txn"], made_from, event["t"], event["at"])
        self.records[record.id] = record
        if record.txn:
            self.transactions[record.txn].records.append(record)

    def _begin(self, event):
        self.transactions[event["txn"]] = Transaction(event["txn"], event["session"])
        self._step(event)

    def _step(self, event):
        txn, key = self.transactions[event["txn"]], (event["event"], event["op"])
        txn.times.setdefault(key, event["t"])
        txn.at.setdefault(key, event["at"])

    _commit = _abort = _within = _step

    def _txn_offsets(self, event):
        txn = self.transactions[event["txn"]]
        for topic, partition, offset in event["offsets"]:
            commit = Commit(offset, event["t"], None, event["at"], txn)
            txn.offsets.append(commit)
            self.commits[event["group"], topic, partition].append(commit)

    def _init(self, event):
        self.initialised[event["session"]][event["event"]] = event

    def _commit_offsets(self, event):
        file = event["at"].rsplit(":", 1)[0]
        if event["event"] == "invoke":
            made = {(t, p): Commit(offset, event["t"], None, event["at"]) for t, p, offset in event["offsets"]}
            self._committing[file] = made
            for place, commit in made.items():
                self.commits[event["group"], *place].append(commit)
        elif event["event"] == "ok":
            for topic, partition, _ in event["offsets"]:
                self._committing[file][topic, partition].done = event["t"]

    def _fetch_offsets(self, event):
        self.fetched.append(Fetched(event["group"], event["offsets"], event["began"], event["t"], event["at"]))

    def _segment(self, event):
        file = event["at"].rsplit(":", 1)[0]
        names = ("reader", "isolation", "topic", "partition", "start", "at")
        self.segments[file, event["segment"]] = Segment(*(event[name] for name in names))

    def _read(self, event):
        if event["event"] != "ok":
            self.trouble.append(("offset out of range", f"{event['reader']} in {event['place']}: {event['error']}", event["at"]))
            return
        file = event["at"].rsplit(":", 1)[0]
        reads = self.segments[file, event["segment"]].reads
        reads += [(offset, record_id, t, event["at"]) for offset, record_id, t in event["records"]]

    def _end(self, event):
        if event["event"] == "ok":
            self.ends.append(event)
        else:
            what = f"{event['topic']}/{event['partition']}: the last stable offset stays {event['stable']} of {event['offset']}"
            self.trouble.append(("stuck transaction", what, event["at"]))

    def _finish(self, event):
        self.trouble.append(("stuck", event["what"], event["at"]))

    def _fault(self, event):
        if event["event"] == "ok":
            self.faults.append((event["began"], event["t"], event["kind"], event["whom"]))

    # what follows from several events

    def _fence(self):
        """Who begins to commit after a later session of its transactional id was initialised is too late.
        Later is one that began to be initialised when the other was; in between, either may be."""
        sessions = collections.defaultdict(list)
        for session, init in self.initialised.items():
            if "ok" in init:
                sessions[self.sessions[session]["transactional_id"]].append(init)
        for txn in self.transactions.values():
            begins, own = txn.time("invoke", "commit"), self.initialised[txn.session]["ok"]
            for init in sessions[self.sessions[txn.session]["transactional_id"]] if begins else ():
                if own["t"] < init["invoke"]["t"] and init["ok"]["t"] < begins:
                    txn.fenced_before_commit = init["ok"]["at"]

    def _settle_offsets(self):
        # Commits that are part of a transaction are done when it is committed.
        for txn in self.transactions.values():
            for commit in txn.offsets:
                commit.done = txn.time("ok", "commit")
