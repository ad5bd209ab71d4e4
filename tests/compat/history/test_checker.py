"""Each anomaly, in a history made by hand, is found, and nothing else is; a clean history is clean.

    python3 -m unittest discover tests/compat/history
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checker

MS = 1_000_000


class Script:
    """A clean history: one event after another, a millisecond apart."""

    def __init__(self):
        self.events, self.t, self.segments = [], 0, 0

    def note(self, file, event, op, **fields):
        self.t += MS
        self.events.append({"t": self.t, "event": event, "op": op, "at": f"{file}:{len(self.events)}", **fields})
        return self.events[-1]

    def session(self, session, kind, transactional_id=None):
        self.note(session, "ok", "session", session=session, kind=kind, transactional_id=transactional_id,
                  settings={"socket.timeout.ms": 3000})
        if transactional_id:
            self.note(session, "invoke", "init", session=session)
            self.note(session, "ok", "init", session=session)

    def send(self, session, number, place, txn=None, made_from=None):
        self.note(session, "invoke", "send", session=session, txn=txn, records=[[number, *place, made_from]])

    def sent(self, session, number, offset):
        self.note(session, "ok", "send", session=session, records=[[number, offset]])

    def write(self, session, number, place, offset, txn=None, made_from=None):
        self.send(session, number, place, txn, made_from)
        self.sent(session, number, offset)

    def begin(self, txn):
        self.note(txn, "invoke", "begin", txn=txn, session=txn.split("/")[0])

    def end(self, txn, how, answer="ok"):
        self.note(txn, "invoke", how, txn=txn)
        if answer:
            self.note(txn, answer, how, txn=txn)

    def read(self, reader, place, records, start=0):
        """`records`: [(offset, id)…]"""
        self.segments += 1
        self.note("reads", "ok", "segment", segment=self.segments, reader=reader, isolation="", topic=place[0], partition=place[1], start=start)
        t = self.t + MS
        self.note("reads", "ok", "read", segment=self.segments, records=[[offset, record_id, t] for offset, record_id in records])

    def finals(self, committed, everything=None):
        """{place: [(offset, id)…]} as committed, and as it stands in the log."""
        for place, records in committed.items():
            self.read("final f.1", place, records)
        for place, records in (everything or committed).items():
            self.read("everything f.1", place, records)

    def ask_group(self, offset, place=("b", 0), group="members"):
        self.t += MS
        self.note("asks", "ok", "fetch_offsets", group=group, offsets=[[*place, offset]], began=self.t)

    def ask_end(self, what, offset, place=("a", 0)):
        self.t += MS
        self.note("asks", "ok", "end", what=what, topic=place[0], partition=place[1], low=0, offset=offset, began=self.t)

    def commit_offset(self, file, offset, answer="ok", place=("b", 0)):
        self.note(file, "invoke", "commit_offsets", group="members", offsets=[[*place, offset]])
        if answer:
            self.note(file, answer, "commit_offsets", group="members", offsets=[[*place, offset]])


A, B, C = ("a", 0), ("b", 0), ("c", 0)


class CheckerTest(unittest.TestCase):
    def found(self, script):
        verdict = checker.check(sorted(script.events, key=lambda event: event["t"]))
        for finding in verdict.findings:
            self.assertTrue(finding.evidence or finding.kind == "no final read", finding)
        return sorted(verdict.by_kind())

    def plain(self, kind="idempotent", count=3):
        script = Script()
        script.session("p", kind)
        for number in range(1, count + 1):
            script.write("p", number, A, number - 1)
        return script

    def transaction(self, how, answer="ok"):
        """Two records in two partitions."""
        script = Script()
        script.session("t", "transactional", "t")
        script.begin("t/1")
        script.write("t", 1, A, 0, "t/1")
        script.write("t", 2, B, 0, "t/1")
        if how:
            script.end("t/1", how, answer)
        return script

    BOTH = {A: [(0, "t:1")], B: [(0, "t:2")]}
    NONE = {A: [], B: []}
    HALF = {A: [(0, "t:1")], B: []}

    def test_clean(self):
        script = self.plain()
        script.read("live", A, [(1, "p:2"), (2, "p:3")], start=1)
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        self.assertEqual(self.found(script), [])

    def test_clean_transactions(self):
        for how, answer, there in [("commit", "ok", self.BOTH), ("abort", "ok", self.NONE), (None, None, self.NONE),
                                   ("commit", None, self.BOTH), ("commit", None, self.NONE), ("commit", "fail", self.BOTH)]:
            script = self.transaction(how, answer)
            script.finals(there, self.BOTH)
            self.assertEqual(self.found(script), [], (how, answer))

    def test_no_final_read(self):
        self.assertEqual(self.found(self.plain()), ["no final read"])

    def test_lost(self):
        script = self.plain()
        script.finals({A: [(0, "p:1"), (1, "p:2")]})
        self.assertEqual(self.found(script), ["lost", "other record"])

    def test_lost_transaction(self):
        script = self.transaction("commit")
        script.finals(self.NONE, self.BOTH)
        self.assertEqual(self.found(script), ["hidden", "lost"])

    def test_unacknowledged_may_be_missing(self):
        script = self.plain()
        script.send("p", 4, A)
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        self.assertEqual(self.found(script), [])

    def test_duplicate(self):
        for kind in ("idempotent", "once", "retrying"):
            script = self.plain(kind)
            script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3"), (3, "p:3")]})
            self.assertEqual(self.found(script), ["duplicate"], kind)

    def test_a_retry_may_repeat_in_a_fault(self):
        script = self.plain("retrying")
        script.note("runner", "ok", "fault", kind="cut", whom="server", began=MS)
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3"), (3, "p:3")]})
        self.assertEqual(self.found(script), [])

    def test_out_of_order(self):
        script = Script()
        script.session("p", "idempotent")
        for number in (1, 2):
            script.send("p", number, A)
        script.sent("p", 2, 0)
        script.sent("p", 1, 1)
        script.finals({A: [(0, "p:2"), (1, "p:1")]})
        self.assertEqual(self.found(script), ["out of order"])

    def test_offsets_out_of_time(self):
        script = Script()
        for session, offset in (("p", 1), ("q", 0)):
            script.session(session, "once")
            script.write(session, 1, A, offset)
        script.finals({A: [(0, "q:1"), (1, "p:1")]})
        self.assertEqual(self.found(script), ["out of order"])

    def test_reader_goes_back(self):
        script = self.plain()
        script.read("live", A, [(1, "p:2"), (0, "p:1")])
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        self.assertEqual(self.found(script), ["out of order"])

    def test_aborted_read(self):
        for how, answer in (("abort", "ok"), ("abort", None), (None, None)):
            script = self.transaction(how, answer)
            script.finals(self.BOTH)
            self.assertEqual(self.found(script), ["aborted read"], how)

    def test_aborted_read_of_a_live_reader(self):
        script = self.transaction("abort")
        script.read("live", A, [(0, "t:1")])
        script.finals(self.NONE, self.BOTH)
        self.assertEqual(self.found(script), ["aborted read", "disagreement"])

    def test_early_read(self):
        script = self.transaction(None)
        script.read("live", A, [(0, "t:1")])
        script.end("t/1", "commit")
        script.finals(self.BOTH)
        self.assertEqual(self.found(script), ["early read"])

    def fenced(self, answer):
        script = self.transaction(None)
        script.session("t.2", "transactional", "t")
        script.end("t/1", "commit", answer)
        return script

    def test_fenced(self):
        script = self.fenced("fail")
        script.finals(self.NONE, self.BOTH)
        self.assertEqual(self.found(script), [])
        script = self.fenced("fail")
        script.finals(self.BOTH)
        self.assertEqual(self.found(script), ["aborted read"])

    def test_not_fenced_by_who_may_have_been_before(self):
        """Initialised side by side: either may have fenced the other."""
        script = Script()
        for session in ("t", "t.2"):
            script.note(session, "ok", "session", session=session, kind="transactional", transactional_id="t")
            script.note(session, "invoke", "init", session=session)
        for session in ("t.2", "t"):
            script.note(session, "ok", "init", session=session)
        script.begin("t/1")
        script.write("t", 1, A, 0, "t/1")
        script.end("t/1", "commit")
        script.finals({A: [(0, "t:1")]})
        self.assertEqual(self.found(script), [])

    def test_zombie(self):
        script = self.fenced("ok")
        script.finals(self.BOTH)
        self.assertEqual(self.found(script), ["zombie"])

    def test_torn(self):
        script = self.transaction("commit", None)
        script.finals(self.HALF, self.BOTH)
        self.assertEqual(self.found(script), ["torn transaction"])
        script = self.transaction("commit")
        script.finals(self.HALF, self.BOTH)
        self.assertEqual(self.found(script), ["hidden", "lost", "torn transaction"])

    def test_disagreement(self):
        script = self.plain()
        script.read("live", A, [(0, "p:1"), (2, "p:3")])  # one is skipped
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        self.assertEqual(self.found(script), ["disagreement"])
        script = self.plain()
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        script.read("final f.2", A, [(0, "p:1"), (1, "p:3"), (2, "p:2")])  # after a restart
        self.assertEqual(self.found(script), ["disagreement"])

    def test_the_end_is_missing_after_a_restart(self):
        script = self.plain()
        script.finals({A: [(0, "p:1"), (1, "p:2"), (2, "p:3")]})
        script.read("final f.2", A, [(0, "p:1"), (1, "p:2")])
        self.assertEqual(self.found(script), ["disagreement"])

    def test_other_record(self):
        script = Script()
        script.session("p", "once")
        script.write("p", 1, A, 0)
        script.write("p", 2, A, 1)
        script.finals({A: [(0, "p:1"), (2, "p:2")]})
        self.assertEqual(self.found(script), ["other record"])

    def test_corrupt_misplaced_and_phantom(self):
        script = self.plain(count=1)
        script.finals({A: [(0, "p:1"), (1, None)]})
        self.assertEqual(self.found(script), ["corrupt"])
        script = self.plain(count=1)
        script.finals({A: [(0, "p:1")], B: [(0, "p:1")]})
        self.assertEqual(self.found(script), ["misplaced"])
        script = self.plain(count=1)
        script.send("p", 2, A)
        script.note("p", "fail", "send", session="p", records=[2])
        script.finals({A: [(0, "p:1"), (1, "p:2")]})
        self.assertEqual(self.found(script), ["phantom"])

    def test_ends(self):
        for what, offsets, found in [("end", (1, 3, 3), []), ("stable", (3, 2), ["end went back"]), ("end", (2,), ["end went back"])]:
            script = self.plain(count=3 if len(offsets) == 1 else 1)
            for offset in offsets:
                script.ask_end(what, offset)
            script.finals({A: [(number, f"p:{number + 1}") for number in range(3 if len(offsets) == 1 else 1)]})
            self.assertEqual(self.found(script), found, offsets)

    def group(self, *steps):
        script = Script()
        for step in steps:
            step(script)
        script.finals({B: []})
        return self.found(script)

    def test_group_offsets(self):
        asks = lambda offset: lambda script: script.ask_group(offset)
        commits = lambda offset, answer="ok": lambda script: script.commit_offset("m", offset, answer)
        self.assertEqual(self.group(asks(None), commits(5), asks(5), commits(9), asks(9)), [])
        self.assertEqual(self.group(commits(5), commits(9, None), asks(5), asks(9)), [])
        self.assertEqual(self.group(commits(5), commits(9), asks(5)), ["offset went back"])
        self.assertEqual(self.group(commits(5), asks(None)), ["offset went back"])
        self.assertEqual(self.group(commits(5), asks(7)), ["offset from nowhere"])
        self.assertEqual(self.group(asks(5), commits(5)), ["offset from nowhere"])

    def job(self, how, offset_told, copies=1):
        script = Script()
        script.session("p", "idempotent")
        script.write("p", 1, A, 0)
        script.session("t", "transactional", "t")
        for number in range(1, copies + 1):
            script.begin(f"t/{number}")
            script.write("t", number, C, number - 1, f"t/{number}", 0)
            script.note("t", "invoke", "txn_offsets", txn=f"t/{number}", group="transform", offsets=[["a", 0, 1]])
            script.end(f"t/{number}", how)
        script.ask_group(offset_told, A, "transform")
        written = [(number, f"t:{number + 1}") for number in range(copies)]
        script.finals({A: [(0, "p:1")], C: written if how == "commit" else []}, {A: [(0, "p:1")], C: written})
        return self.found(script)

    def test_job(self):
        self.assertEqual(self.job("commit", 1), [])
        self.assertEqual(self.job("abort", None), [])
        self.assertEqual(self.job("commit", 1, copies=2), ["duplicate"])
        self.assertEqual(self.job("commit", None), ["offset went back"])
        self.assertEqual(self.job("abort", 1), ["lost", "offset from nowhere"])

    def test_trouble(self):
        script = self.plain(count=1)
        script.note("reads", "fail", "read", segment=None, reader="live", place=A, error="out of range")
        script.note("final", "fail", "end", topic="a", partition=0, stable=1, offset=2)
        script.note("runner", "fail", "finish", what="the broker did not listen")
        script.finals({A: [(0, "p:1")]})
        self.assertEqual(self.found(script), ["offset out of range", "stuck", "stuck transaction"])


if __name__ == "__main__":
    unittest.main()
