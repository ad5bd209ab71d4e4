"""What was found: differences in groups, beside those that are justified in `expected.toml`."""

import collections
import json
import re
import tomllib

SIDES = ("kafka", "factum")
VALUE_WIDTH = 160
REQUEST_WIDTH = 600
SHOWN = 8
CONNECTION = "(connection)"
ABSENT = "(absent)"
NO_ERROR = "0 NONE"


def pattern(glob):
    """A glob with only `*`, for brackets are part of paths."""
    return re.compile(".*".join(map(re.escape, glob.split("*"))), re.S)


def versions_of(text):
    first, _, last = (text or "0+").partition("-")
    return (int(first.rstrip("+")), int(last) if last else 10**6 if first.endswith("+") else int(first))


class Expected:
    """An entry of `expected.toml`: differences that are as they should be, or bugs that are known."""

    FIELDS = ("key", "path", "kafka", "factum", "case")

    def __init__(self, entry):
        unknown = entry.keys() - {*self.FIELDS, "versions", "why", "bug", "sometimes", "refused"}
        if unknown or not entry.get("why"):
            raise SystemExit(f"expected.toml: {entry}: unknown fields {unknown} or no `why`")
        self.entry, self.why, self.bug = entry, entry["why"], entry.get("bug", False)
        # Both refuse, whatever they call it.
        self.refused = entry.get("refused", False)
        self.sometimes = entry.get("sometimes", False)
        self.patterns = {field: pattern(entry.get(field, "*")) for field in self.FIELDS}
        self.first, self.last = versions_of(entry.get("versions"))
        self.count = 0

    def matches(self, found):
        fields = all(self.patterns[field].fullmatch(getattr(found, field)) for field in self.FIELDS)
        accepted = found.kafka == NO_ERROR or found.factum == NO_ERROR
        return fields and not (self.refused and accepted) and self.first <= found.version <= self.last


Difference = collections.namedtuple("Difference", "key version path kafka factum case request answers")


class Differences:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.expected = [Expected(entry) for entry in tomllib.load(file).get("difference", [])]
        self.groups = collections.defaultdict(list)
        self.justified = collections.Counter()

    def entry_for(self, found):
        return next((entry for entry in self.expected if entry.matches(found)), None)

    def is_known(self, found):
        """Whether to wait longer would not help: it is expected, or was seen already."""
        return self.entry_for(found) is not None or self._group(found) in self.groups

    @staticmethod
    def _group(found):
        return (found.key, found.path, found.kafka, found.factum)

    def add(self, found):
        entry = self.entry_for(found)
        if entry:
            entry.count += 1
        else:
            self.groups[self._group(found)].append(found)

    def stale(self):
        return [entry for entry in self.expected if not entry.count and not entry.sometimes]

    def print(self, complete):
        """Everything that is not justified; returns whether the run failed."""
        for alike in self._alike().values():
            self._print_groups(alike)
        bugs = [entry for entry in self.expected if entry.bug and entry.count]
        if bugs:
            print("\nKnown bugs that were seen:")
        for entry in bugs:
            print(f"  {entry.entry.get('key', '*')} {entry.entry.get('path', '*')} ({entry.count} times): {entry.why}")
        stale = self.stale() if complete else []
        if stale:
            print("\nStale entries of expected.toml, which nothing matched:")
        for entry in stale:
            print(f"  {json.dumps(entry.entry)}")
        return bool(self.groups or stale)

    def _alike(self):
        """Groups by key and path; elements that only one has are printed together."""
        alike = collections.defaultdict(list)
        for group, found in sorted(self.groups.items()):
            key, path, kafka, factum = group
            alike[(key, path, "theirs") if factum == ABSENT else (key, path, "ours") if kafka == ABSENT else group].append(found)
        return alike

    @staticmethod
    def _print_groups(groups):
        found = [each for group in groups for each in group]
        first = found[0]
        versions = sorted({each.version for each in found})
        print(f"\n{first.key} v{ranges(versions)}  {first.path}  ({len(found)} times)")
        for side in SIDES:
            values = list(dict.fromkeys(getattr(group[0], side) for group in groups))
            more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
            print(f"    {side:<8}{', '.join(value[:VALUE_WIDTH] for value in values[:SHOWN])}{more}")
        cases = dict.fromkeys(each.case for each in found)
        print(f"    cases   {', '.join(list(cases)[:SHOWN])}{' …' if len(cases) > SHOWN else ''}")
        print(f"    e.g.    v{first.version} {json.dumps(first.request, ensure_ascii=False)[:REQUEST_WIDTH]}")

    def as_json(self, seed):
        groups = [
            {**group[0]._asdict(), "versions": sorted({found.version for found in group}), "count": len(group)}
            for group in self.groups.values()
        ]
        justified = [{**entry.entry, "count": entry.count} for entry in self.expected]
        return {"seed": seed, "differences": groups, "expected": justified}


def ranges(numbers):
    """1, 2, 3, 7 as `1-3,7`."""
    parts = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
