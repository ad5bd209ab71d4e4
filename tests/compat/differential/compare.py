"""Two answers to one request, field by field.

What must differ between two brokers is compared by what it stands for: identifiers must correspond
one to one, times of now are times of now, messages are there or not, an own address is an own address.
"""

import json
import time

from differences import ABSENT, SIDES

NOW_MS = 3_600_000
# Identifiers that a broker makes up: the kind, within which they must correspond.
MADE_UP = {
    "topicId": "topic",
    "memberId": "member",
    "leader": "member",
    "producerId": "producer",
    "clusterId": "cluster",
    "sessionId": "session",
    "replicaDirectoryId": "directory",
}
UNMADE = (None, "", -1, 0, "AAAAAAAAAAAAAAAAAAAAAA")
# Texts, which are there or not.
TEXTS = {"errorMessage", "batchIndexErrorMessage", "documentation", "logDir"}
# Sizes, which are zero or not.
SIZES = {"size", "partitionSize", "totalBytes", "usableBytes", "bytes", "finalizedFeaturesEpoch"}
IGNORED = {"throttleTimeMs", "transactionStartTimeMs"}
# Elements of an array are the same element if these agree.
IDENTITY = """name topicName topic topicId groupId group key partitionIndex partition partitionId index nodeId brokerId
    brokerEpoch apiKey resourceType resourceName transactionalId producerId mechanism user feature offset baseOffset memberId
    principal operation patternType""".split()


class Comparison:
    """Compares many answers; it learns which made-up identifier of one broker is which of the other."""

    def __init__(self, addresses, errors):
        self.addresses = {side: address.rsplit(":", 1) for side, address in addresses.items()}
        self.errors = errors
        self.pairs = {side: {} for side in SIDES}

    def differences(self, kafka, factum):
        """Every difference as path, Kafka's value, Factum's value."""
        found = []
        self._walk("", "", kafka, factum, found)
        return found

    def _walk(self, path, name, kafka, factum, found):
        if isinstance(kafka, dict) and isinstance(factum, dict):
            fields = sorted(kafka.keys() | factum.keys())
            # Where one refuses and the other does not, the rest differs because of it.
            refused = [name for name in fields if name == "errorCode" and kafka.get(name) != factum.get(name)]
            for field in refused or fields:
                here = f"{path}.{field}" if path else field
                self._walk(here, field, kafka.get(field, ABSENT), factum.get(field, ABSENT), found)
        elif isinstance(kafka, list) and isinstance(factum, list):
            self._lists(path, name, kafka, factum, found)
        elif name not in IGNORED:
            self._leaf(path, name, kafka, factum, found)

    def _lists(self, path, name, kafka, factum, found):
        if not all(isinstance(element, dict) for element in kafka + factum):
            kafka, factum = (sorted(each, key=repr) for each in (kafka, factum))
            if kafka != factum:
                found.append((path + "[]", json.dumps(kafka), json.dumps(factum)))
            return
        ours, theirs = self._by_identity("factum", factum), self._by_identity("kafka", kafka)
        for identity in list(dict.fromkeys([*theirs, *ours])):
            if identity in ours and identity in theirs:
                self._walk(path + "[]", name, theirs[identity], ours[identity], found)
            else:
                shown = json.dumps(dict(identity[0]))
                found.append((path + "[]", *(shown if identity in side else ABSENT for side in (theirs, ours))))

    def _by_identity(self, side, elements):
        """The elements by what they are about; of equal ones, by their order."""
        known = {}
        for element in elements:
            fields = self._identity(side, element)
            nth = 0
            while (tuple(fields), nth) in known:
                nth += 1
            known[tuple(fields), nth] = element
        return known

    def _identity(self, side, element):
        given = [field for field in IDENTITY if _is_scalar(element.get(field))]
        # What has a name is known by it.
        if any(element.get(field) for field in ("name", "topic", "topicName")):
            given = [field for field in given if field not in MADE_UP]
        # What has a number is known by it, wherever it is.
        if any(field in given for field in ("partitionIndex", "partition", "index")):
            given = [field for field in given if field not in ("offset", "baseOffset")]
        return [(field, self._common(side, field, element[field])) for field in given]

    def _common(self, side, field, value):
        """A made-up identifier by Kafka's name for it."""
        if side == "factum" and field in MADE_UP:
            return self.pairs["factum"].get((MADE_UP[field], value), value)
        return value

    def _leaf(self, path, name, kafka, factum, found):
        if name in MADE_UP and self._correspond(MADE_UP[name], kafka, factum):
            return
        theirs, ours = self.shown("kafka", name, kafka), self.shown("factum", name, factum)
        # Identifiers that correspond have returned above.
        if theirs != ours or name in MADE_UP:
            found.append((path, theirs, ours))

    def _correspond(self, kind, kafka, factum):
        if kafka in UNMADE or factum in UNMADE:
            return kafka == factum
        there = self.pairs["kafka"].setdefault((kind, kafka), factum)
        here = self.pairs["factum"].setdefault((kind, factum), kafka)
        return (there, here) == (factum, kafka)

    def shown(self, side, name, value):
        """A value as it is compared and printed."""
        if value == ABSENT:
            return ABSENT
        if name in MADE_UP and value not in UNMADE:
            return f"a {MADE_UP[name]} id"
        if name.endswith("rrorCode") and isinstance(value, int):
            return f"{value} {self.errors.get(value, '?')}"
        if name in TEXTS:
            return "null" if value is None else '""' if value == "" else "a text"
        if name in SIZES and isinstance(value, int) and value > 0:
            return "positive"
        if isinstance(value, int) and abs(value - time.time() * 1000) < NOW_MS:
            return "now"
        host, port = self.addresses[side]
        if (name == "host" and value == host) or (name == "port" and value == int(port)):
            return "its own"
        return json.dumps(value, ensure_ascii=False)


def _is_scalar(value):
    return isinstance(value, (str, int))
