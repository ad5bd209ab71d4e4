"""Judges a history. It knows nothing of processes and servers: events in, findings out.

What a producer may do with a record that it sent once:

- `idempotent` and `transactional`: it is there at most once, in the order of sending within its
  session and partition (but for a record that was reported as failed: it may be late or missing).
- `once` (no retries): at most once, the acknowledged ones in order.
- `retrying` (no idempotence): more than once only if, while it was under way, something was wrong
  with the server, the connections or its own process, or it took so long that it was sent again.
- All of them: what was acknowledged is there, at the offset that was acknowledged.

A transaction is aborted, whatever else is known, if its commit was never asked for, if its abort
was acknowledged, or if its commit was asked for after a later producer of the same transactional
id was initialised. It is committed if that was acknowledged. Otherwise it is unknown: all or nothing.
"""

import bisect
import collections
from dataclasses import dataclass

from model import EXACT, History

# A fault is felt a little longer than it lasts.
SLACK_NS = 2_000_000_000
# The group that reads, transforms and writes, and what it reads.
JOB, SOURCE = "transform", "a"


@dataclass
class Finding:
    kind: str
    what: str
    evidence: list


class Verdict:
    def __init__(self, history):
        self.history, self.findings, self.checks = history, [], collections.Counter()

    def add(self, kind, what, *evidence):
        flat = [where for one in evidence for where in (one if isinstance(one, list) else [one]) if where]
        self.findings.append(Finding(kind, what, list(dict.fromkeys(flat))))

    def by_kind(self):
        found = collections.defaultdict(list)
        for finding in self.findings:
            found[finding.kind].append(finding)
        return found

    def summary(self):
        history = self.history
        records = collections.Counter(record.outcome or "unknown" for record in history.records.values())
        outcomes = collections.Counter(txn.outcome for txn in history.transactions.values())
        faults = collections.Counter(kind for _, _, kind, _ in history.faults)
        reads = sum(len(segment.reads) for segment in history.segments.values())
        return [
            f"{history.events} events: {len(history.records)} records sent ({show(records)}), {reads} read in {len(history.segments)} segments",
            f"{len(history.transactions)} transactions ({show(outcomes)}), {sum(map(len, history.commits.values()))} offsets committed, "
            f"{len(history.fetched)} times asked for",
            f"faults: {show(faults) or 'none'}; sessions: {len(history.sessions)}",
            f"checks: {show(self.checks)}",
        ]


def show(counter):
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


def check(events):
    history = History(events)
    verdict = Verdict(history)
    for kind, what, at in history.trouble:
        verdict.add(kind, what, at)
    for one in CHECKS:
        one(history, verdict)
    return verdict


def final(history):
    """{place: [(offset, id, time, at)…]} of the first read from start to end."""
    return {place: segment.reads for place, segment in history.finals[0].items()} if history.finals else {}


def positions(reads):
    """{id: [(offset, at)…]}"""
    found = collections.defaultdict(list)
    for offset, record_id, _, at in reads:
        found[record_id].append((offset, at))
    return found


def is_there(history, record):
    """Whether it must be: acknowledged, or in a committed transaction, which acknowledges all of it."""
    if record.txn:
        return history.transactions[record.txn].outcome == "committed" and record.outcome != "fail"
    return record.outcome == "ok"


# the checks


def lost(history, verdict):
    """Acknowledged and not there."""
    if not history.finals:
        verdict.add("no final read", "the history has no read from start to end")
        return
    there = {place: positions(reads) for place, reads in final(history).items()}
    for record in history.records.values():
        if is_there(history, record):
            verdict.checks["acknowledged records"] += 1
            if record.id not in there.get(record.place, {}):
                of = f" of the committed {record.txn}" if record.txn else ""
                ends = history.transactions[record.txn].evidence if record.txn else []
                verdict.add("lost", f"{record.id}{of} is not in {record.place}, acknowledged at {record.offset}", record.evidence, ends)


def unknown_records(history, verdict):
    """Read, but never written, not there, or not with these bytes."""
    for segment in history.segments.values():
        for offset, record_id, _, at in segment.reads:
            record = history.records.get(record_id)
            if record is None:
                verdict.add("corrupt", f"{segment.reader} read something else than was written at {segment.place} {offset}", at)
            elif record.place != segment.place:
                verdict.add("misplaced", f"{record_id} of {record.place} is in {segment.place} at {offset}", record.evidence, at)
            elif record.outcome == "fail":
                verdict.add("phantom", f"{record_id} was never sent and is in {segment.place} at {offset}", record.evidence, at)


def duplicates(history, verdict):
    for place, reads in final(history).items():
        for record_id, found in positions(reads).items():
            verdict.checks["records once"] += 1
            record = history.records.get(record_id)
            if len(found) == 1 or not record:
                continue
            if may_repeat(history, record):
                # Not an error, but the proof that requests were sent again.
                verdict.checks["repeats allowed"] += 1
            else:
                offsets = [offset for offset, _ in found]
                verdict.add("duplicate", f"{record_id} ({history.kind(record)}) is in {place} at {offsets}", record.evidence, [at for _, at in found])


def may_repeat(history, record):
    if history.kind(record) != "retrying":
        return False
    done = record.done if record.outcome == "ok" else float("inf")
    again_ms = history.sessions[record.session].get("settings", {}).get("socket.timeout.ms", float("inf"))
    if done - record.invoked > again_ms * 1_000_000:
        return True
    worker = record.session.rstrip("rio")
    return any(whom in ("server", worker) and began < done and ended + SLACK_NS > record.invoked
               for began, ended, _, whom in history.faults)


def order_of_sending(history, verdict):
    """Within a session and a partition."""
    for place, reads in final(history).items():
        last = {}
        for offset, record_id, _, at in reads:
            record = history.records.get(record_id)
            if not record or history.kind(record) == "retrying" or record.outcome == "unknown":
                continue
            if record.outcome is None and history.kind(record) not in EXACT:
                continue
            verdict.checks["records in order"] += 1
            before = last.get(record.session)
            if before and before[0].number > record.number:
                verdict.add("out of order", f"{record_id} is in {place} at {offset}, after {before[0].id} at {before[1]}",
                            record.evidence, before[0].evidence, at)
            last[record.session] = record, offset


def order_of_acknowledgement(history, verdict):
    """What was sent after something was acknowledged stands behind it, whoever sent them."""
    places = collections.defaultdict(list)
    for record in history.records.values():
        if record.outcome == "ok" and record.offset >= 0:
            places[record.place].append(record)
    for place, records in places.items():
        done = sorted(records, key=lambda record: record.done)
        furthest, index = None, 0
        for record in sorted(records, key=lambda record: record.invoked):
            while index < len(done) and done[index].done < record.invoked:
                if furthest is None or done[index].offset > furthest.offset:
                    furthest = done[index]
                index += 1
            verdict.checks["offsets in time"] += 1
            if furthest and record.offset <= furthest.offset:
                verdict.add("out of order", f"{record.id} was sent after {furthest.id} was acknowledged at {place} {furthest.offset}, "
                            f"and is at {record.offset}", record.evidence, furthest.evidence)


def aborted(history, verdict):
    """A record of a transaction that is aborted, or not asked to commit yet, was read as committed."""
    for segment in committed_segments(history):
        for offset, record_id, t, at in segment.reads:
            record = history.records.get(record_id)
            if not record or not record.txn:
                continue
            verdict.checks["reads of transactions"] += 1
            txn = history.transactions[record.txn]
            asked = txn.time("invoke", "commit")
            if txn.outcome == "aborted":
                verdict.add("aborted read", f"{segment.reader} read {record_id} of the aborted {txn.id} at {segment.place} {offset}",
                            record.evidence, txn.evidence, at, txn.fenced_before_commit)
            elif asked and t < asked:
                verdict.add("early read", f"{segment.reader} read {record_id} of {txn.id} at {segment.place} {offset} "
                            f"{(asked - t) // 1000} us before its commit was asked for", record.evidence, txn.evidence, at)


def committed_segments(history):
    return [segment for segment in history.segments.values() if segment.reader.split()[0] != "everything"]


def torn(history, verdict):
    """Some records of a transaction are there, others are not."""
    there = {record_id for reads in final(history).values() for _, record_id, _, _ in reads}
    for txn in history.transactions.values():
        records = [record for record in txn.records if record.outcome != "fail"]
        missing = [record for record in records if record.id not in there]
        verdict.checks["transactions whole"] += 1
        if missing and len(missing) < len(records):
            verdict.add("torn transaction", f"{len(missing)} of {len(records)} records of {txn.id} ({txn.outcome}) are missing, "
                        f"such as {missing[0].id} in {missing[0].place}", missing[0].evidence, txn.evidence)


def zombies(history, verdict):
    """A producer that was fenced off was told that its transaction is committed."""
    for txn in history.transactions.values():
        if txn.fenced_before_commit and txn.time("ok", "commit") and (txn.records or txn.offsets):
            verdict.add("zombie", f"{txn.id} was committed after it was fenced off", txn.evidence, txn.fenced_before_commit)


def agreement(history, verdict):
    """Each reader saw what the final read saw, all of it, between its start and the last it read."""
    truth = {True: final(history), False: {place: one.reads for place, one in (history.everything or [{}])[0].items()}}
    offsets = {which: {place: [read[0] for read in reads] for place, reads in places.items()} for which, places in truth.items()}
    for segment in history.segments.values():
        seen = [read[0] for read in segment.reads]
        back = next((index for index in range(1, len(seen)) if seen[index] <= seen[index - 1]), None)
        if back:
            verdict.add("out of order", f"{segment.reader} read {seen[back]} after {seen[back - 1]} in {segment.place}",
                        segment.at, segment.reads[back][3])
            continue
        whole, which = segment.reader.split()[0] in ("final", "everything"), not segment.reader.startswith("everything")
        standing = offsets[which].get(segment.place)
        if standing is None or not (seen or whole):
            continue
        low = bisect.bisect_left(standing, segment.start)
        high = len(standing) if whole else bisect.bisect_right(standing, seen[-1])
        compare(segment, truth[which][segment.place][low:high], verdict)


def compare(segment, wanted, verdict):
    verdict.checks["reads agree"] += len(segment.reads)
    got = [(offset, record_id) for offset, record_id, _, _ in segment.reads]
    want = [(offset, record_id) for offset, record_id, _, _ in wanted]
    if got == want:
        return
    missing, more = sorted(set(want) - set(got)), sorted(set(got) - set(want))
    evidence = {offset: at for offset, _, _, at in [*wanted, *segment.reads]}
    first = min(missing + more)
    verdict.add("disagreement", f"{segment.reader} from {segment.start} in {segment.place}: {len(missing)} records are missing {missing[:2]}, "
                f"{len(more)} are not in the final read {more[:2]}", segment.at, evidence[first[0]])


def acknowledged_offsets(history, verdict):
    """At an acknowledged offset stands the record that it was acknowledged for, aborted or not."""
    if not history.everything:
        return
    standing = {place: {offset: record_id for offset, record_id, _, _ in one.reads} for place, one in history.everything[0].items()}
    for record in history.records.values():
        if record.outcome == "ok" and record.offset >= 0 and record.place in standing:
            verdict.checks["acknowledged offsets"] += 1
            found = standing[record.place].get(record.offset)
            if found != record.id:
                verdict.add("other record", f"{record.id} was acknowledged at {record.place} {record.offset}, where there is {found}", record.evidence)


def left_out(history, verdict):
    """Committed reads leave out transactions that are not committed, and nothing else."""
    if not history.everything or not history.finals:
        return
    for place, one in history.everything[0].items():
        seen = {read[0] for read in final(history).get(place, [])}
        for offset, record_id, _, at in one.reads:
            record = history.records.get(record_id)
            verdict.checks["records left out"] += offset not in seen
            if offset not in seen and record and (not record.txn or history.transactions[record.txn].outcome == "committed"):
                verdict.add("hidden", f"{record_id} is in {place} at {offset}, but not for readers of what is committed", record.evidence, at)


def ends_go_forward(history, verdict):
    """Ends of partitions never go back, and are past what was acknowledged before they were asked for."""
    acknowledged = collections.defaultdict(list)
    for record in history.records.values():
        if record.outcome == "ok" and record.offset >= 0:
            acknowledged[record.topic, record.partition].append((record.done, record.offset, record))
    told = collections.defaultdict(list)
    for event in history.ends:
        told[event["topic"], event["partition"], event["what"]].append(event)
    for (topic, partition, what), events in told.items():
        # Of those who were answered before another asked.
        order = sorted(events, key=lambda event: event["t"])
        if what == "end":
            past_acknowledged(topic, partition, events, acknowledged[topic, partition], verdict)
        index, furthest = 0, None
        for event in sorted(events, key=lambda event: event["began"]):
            while index < len(order) and order[index]["t"] < event["began"]:
                if furthest is None or order[index]["offset"] > furthest["offset"]:
                    furthest = order[index]
                index += 1
            verdict.checks["ends"] += 1
            if furthest and event["offset"] < furthest["offset"]:
                verdict.add("end went back", f"the {what} of {topic}/{partition} was {furthest['offset']}, then {event['offset']}",
                            furthest["at"], event["at"])


def past_acknowledged(topic, partition, events, acknowledged, verdict):
    acknowledged.sort(key=lambda one: one[0])
    index, furthest = 0, None
    for event in sorted(events, key=lambda event: event["began"]):
        while index < len(acknowledged) and acknowledged[index][0] < event["began"]:
            if furthest is None or acknowledged[index][1] > furthest[1]:
                furthest = acknowledged[index]
            index += 1
        if furthest and event["offset"] <= furthest[1]:
            verdict.add("end went back", f"the end of {topic}/{partition} was {event['offset']} after {furthest[2].id} was acknowledged at {furthest[1]}",
                        furthest[2].evidence, event["at"])


def group_offsets(history, verdict):
    """A group is never told less than what was committed before it asked, nor what nobody committed.

    Members begin where the group stands and only go forward, so no commit is lower than one before."""
    told = collections.defaultdict(list)
    for fetched in history.fetched:
        for topic, partition, offset in fetched.offsets:
            told[fetched.group, topic, partition].append((fetched, offset))
    for place, answers in told.items():
        commits = history.commits.get(place, [])
        by_offset = collections.defaultdict(list)
        for commit in commits:
            by_offset[commit.offset].append(commit)
        done = sorted((commit for commit in commits if commit.done), key=lambda commit: commit.done)
        index, highest = 0, None
        for fetched, offset in sorted(answers, key=lambda answer: answer[0].began):
            while index < len(done) and done[index].done < fetched.began:
                if highest is None or done[index].offset > highest.offset:
                    highest = done[index]
                index += 1
            verdict.checks["group offsets"] += 1
            judge_offset(place, fetched, offset, highest, by_offset[offset], verdict)


def judge_offset(place, fetched, offset, highest, same, verdict):
    group, topic, partition = place
    where = f"{group} in {topic}/{partition}"
    if highest and (offset is None or offset < highest.offset):
        verdict.add("offset went back", f"{where} was told {offset} after {highest.offset} was committed", highest.evidence, fetched.at)
    if offset is not None and not any(may_be_told(commit, fetched) for commit in same):
        verdict.add("offset from nowhere", f"{where} was told {offset}, which nobody committed", fetched.at,
                    *(commit.evidence for commit in same))


def may_be_told(commit, fetched):
    if commit.invoked > fetched.done:
        return False
    if commit.txn is None:
        return True
    asked = commit.txn.time("invoke", "commit")
    return commit.txn.outcome != "aborted" and asked < fetched.done


def transformed_once(history, verdict):
    """Each record of the job's source is in one committed transaction if it stands before the offset
    that the job's group has committed, and in none if it stands behind."""
    if not history.finals:
        return
    made = collections.defaultdict(list)
    for (_, partition), reads in final(history).items():
        for _, record_id, _, _ in reads:
            record = history.records.get(record_id)
            if record and record.made_from is not None:
                made[partition, record.made_from].append(record)
    for (partition, offset), results in made.items():
        verdict.checks["transformed"] += 1
        if len({record.id for record in results}) > 1:
            verdict.add("duplicate", f"{SOURCE}/{partition} {offset} was transformed into {[record.id for record in results]}",
                        *(record.evidence for record in results), *(history.transactions[record.txn].evidence for record in results))
    untransformed(history, made, verdict)


def untransformed(history, made, verdict):
    ends = {}
    for fetched in history.fetched:
        if fetched.group == JOB:
            ends |= {partition: (offset or 0, fetched.at) for topic, partition, offset in fetched.offsets if topic == SOURCE}
    for (topic, partition), reads in final(history).items():
        if topic != SOURCE or partition not in ends:
            continue
        end, fetched_at = ends[partition]
        for offset, record_id, _, at in reads:
            if offset < end and (partition, offset) not in made:
                verdict.add("lost", f"{record_id} at {topic}/{partition} {offset} is before the committed offset {end} and was not transformed", at, fetched_at)
            elif offset >= end and (partition, offset) in made:
                verdict.add("offset went back", f"{record_id} at {topic}/{partition} {offset} was transformed, but the committed offset is {end}",
                            made[partition, offset][0].evidence, fetched_at)


CHECKS = [
    lost,
    unknown_records,
    duplicates,
    order_of_sending,
    order_of_acknowledgement,
    aborted,
    torn,
    zombies,
    agreement,
    acknowledged_offsets,
    left_out,
    ends_go_forward,
    group_offsets,
    transformed_once,
]
