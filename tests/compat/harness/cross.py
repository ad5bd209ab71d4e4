"""What one client writes, every other reads equal to the byte: edge-case records, each codec."""

from . import records as oracle
from .session import Unsupported

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PARTITIONS = 2


class Written:
    def __init__(self, name, producer, codec, expected):
        self.name, self.producer, self.codec, self.expected = name, producer, codec, expected


def kcat_edges(start_ms):
    """What kcat can write: each list is one run, which shares headers and the meaning of empty."""
    e = oracle.encode
    headers = [["a", e(b"1")], ["a", e(b"2")], ["b", None], ["c", ""], ["a", e(b"1")]]
    plain = [[0, e(k), e(v), h] for h in (headers, []) for k in (b"k", b"\x00\xff\n") for v in (b"v", bytes(range(0x1C)) * 40)]
    runs = [[r for r in plain if r[3] == h] for h in (headers, [])]
    runs.append([[0, e(b"k2"), "", headers], [0, e(b"k3"), "", headers]])
    runs.append([[0, e(b"gone"), None, headers], [0, e(b"gone too"), None, headers]])
    return runs


def produce(suite, client, session, codec):
    edges = kcat_edges(suite.start_ms) if client == "kcat" else [suite.speak[client].writes(oracle.edge_cases(suite.start_ms))]
    written = Written(f"edge-{client}-{codec}-{suite.tag}", client, codec, [record for run in edges for record in run])
    session.create(written.name, PARTITIONS)
    for number, run in enumerate(edges):
        file = suite.directory / f"{written.name}-{number}.ndjson"
        oracle.write(file, run)
        session.produce(written.name, codec, codec != "none", file)
    return written


def produce_all(suite, client):
    written = []

    def body():
        session = suite.open(client, "edges")
        skipped = []
        try:
            for codec in CODECS:
                try:
                    written.append(produce(suite, client, session, codec))
                except Unsupported:
                    skipped.append(codec)
        finally:
            session.close()
        return f"{sum(len(w.expected) for w in written)} records" + (f", without {' '.join(skipped)}" if skipped else "")

    suite.report.check(client, "cross", "writes edge-case records", body, suite.logs(client))
    return written


def printable(headers):
    """Headers as kcat prints them: C strings in a comma-separated list, null as a word."""
    printed = []
    for name, value in headers:
        raw = b"NULL" if value is None else oracle.decode(value).split(b"\0")[0]
        printed.append(name.encode() + b"=" + raw)
    return b",".join(printed)


def as_kcat_prints(written):
    """A copy of `written` whose headers are what kcat can show of them."""
    from .speakers import load_kcat

    kcat = load_kcat()
    shown = [[t, k, v, kcat.parse_headers(printable(h))] for t, k, v, h in written.expected]
    return Written(written.name, written.producer, written.codec, shown)


def compare(suite, reader, written, received):
    mine = [record for record in received if record[0] == written.name]
    if reader == "kcat":
        written = as_kcat_prints(written)
    grouped = suite.speak[reader].header_map
    if not suite.speak[written.producer].timestamps:
        if grouped:
            mine = [[*r[:6], oracle.side_by_side(r[6])] for r in mine]
            side_by_side = [[t, k, v, oracle.side_by_side(h)] for t, k, v, h in written.expected]
            written = Written(written.name, written.producer, written.codec, side_by_side)
        oracle.compare(written.expected, mine, timestamps=False)
    else:
        oracle.compare(written.expected, mine, grouped_headers=grouped)


def read_all(suite, reader, written):
    speak = suite.speak[reader]
    unreadable = [w for w in written if w.codec in speak.cannot_read or (w.producer, w.codec) in speak.cannot_read_from]
    readable = [w for w in written if w not in unreadable]
    received = []

    def read():
        session = suite.open(reader, "reads edges")
        try:
            wanted = [w.name for w in readable]
            received.extend(session.read(wanted, sum(len(w.expected) for w in readable)))
        finally:
            session.close()
        without = ", ".join(f"{w.producer}'s {w.codec}" for w in unreadable)
        return f"{len(received)} records" + (f", without {without}" if without else "")

    if not suite.report.check(reader, "cross", "reads all edge-case records", read, suite.logs(reader)):
        return
    for producer in dict.fromkeys(w.producer for w in readable):
        def body(producer=producer):
            for one in readable:
                if one.producer == producer:
                    compare(suite, reader, one, received)

        suite.report.check(reader, "cross", f"records written by {producer} are equal", body)


def run(suite, clients):
    written = [one for client in clients for one in produce_all(suite, client)]
    for reader in clients:
        read_all(suite, reader, written)
