"""Two brokers that are asked the same, and what came of it."""

import contextlib
import json
import time

from compare import Comparison
from differences import CONNECTION, SIDES, Difference

ANSWER_MS = 10_000
SETTLE_S = 2
UNTIL_S = 20
POLL_S = 0.05
# Asked again as long as they differ: Kafka answers before everything of it knows.
READS = """Metadata ListOffsets OffsetFetch FindCoordinator DescribeGroups ListGroups DescribeConfigs DescribeLogDirs
    OffsetForLeaderEpoch DescribeAcls DescribeCluster DescribeProducers DescribeTransactions ListTransactions
    ConsumerGroupDescribe ListConfigResources DescribeTopicPartitions DescribeUserScramCredentials DescribeQuorum
    ListPartitionReassignments Fetch""".split()
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS, REBALANCE…:
# what a client asks again after. A broker that is alone in saying so is asked again.
RETRIABLE = {5, 6, 14, 15, 16, 51, 88}


def error_codes(answer):
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name.endswith("rrorCode"):
                yield value
            else:
                yield from error_codes(value)
    elif isinstance(answer, list):
        for element in answer:
            yield from error_codes(element)


def outcome(answer):
    """What became of a request that has no decoded answer."""
    for how in ("closed", "silent"):
        if answer.get(how):
            return how
    return answer.get("undecodable") and f"undecodable: {answer['undecodable']}" or "answered"


class Pair:
    def __init__(self, codec, schema, addresses, found):
        self.codec, self.schema, self.addresses, self.found = codec, schema, addresses, found
        self.comparison = Comparison(addresses, codec.errors)
        self.values = {side: {} for side in SIDES}
        self.common = {}
        self.case, self.on = "start", "main"
        self.steps, self.unencodable = 0, 0
        self.covered = set()
        self.trace = None

    def learn_versions(self):
        """What both speak; where they speak differently is a difference like others."""
        answers = self.ask("ApiVersions", {"clientSoftwareName": "a", "clientSoftwareVersion": "1"}, 4)
        ranges = [{key["apiKey"]: (key["minVersion"], key["maxVersion"]) for key in answers[side]["body"]["apiKeys"]} for side in SIDES]
        for key in sorted(ranges[0].keys() & ranges[1].keys()):
            first, last = max(each[key][0] for each in ranges), min(each[key][1] for each in ranges)
            # Kafka names versions of Produce that it does not serve (KAFKA-18659).
            self.common[self.schema.names[key]] = (max(first, self.schema.requests[self.schema.names[key]].versions[0]), last)

    def find_coordinators(self):
        """As every client does first; Kafka makes the topics of its coordinators then."""
        for kind, name in enumerate(("g", "t")):
            self.until("FindCoordinator", {"keyType": kind, "coordinatorKeys": [name]}, lambda body: not any(error_codes(body)))
        self.until("OffsetFetch", {"groups": [{"groupId": "g", "topics": None}]}, lambda body: not any(error_codes(body)))
        self.until("DescribeTransactions", {"transactionalIds": ["t"]}, lambda body: body["transactionStates"][0]["errorCode"] == 105)

    # Values that the brokers made up, which later requests name as `$name`.

    def filled(self, side, version, body):
        if isinstance(body, dict):
            return {name: self.filled(side, version, value) for name, value in body.items()}
        if isinstance(body, list):
            return [self.filled(side, version, value) for value in body]
        if isinstance(body, str) and body.startswith("$"):
            return self.values[side].get(body[1:], body)
        return body.replace("{v}", str(version)) if isinstance(body, str) else body

    def save(self, name, path, answers):
        for side in SIDES:
            value = answers[side].get("body")
            for step in path.split("."):
                try:
                    value = value[int(step) if step.isdigit() else step]
                except (KeyError, IndexError, TypeError):
                    value = None
                    break
            # What is none, as a producer id beside an error, is not kept.
            if value not in (None, -1):
                self.values[side][name] = value

    # Asking.

    def _command(self, op, key, version, body, sides, extra):
        parties = []
        for side in sides:
            party = {"connection": f"{side}/{self.on}", "address": self.addresses[side]}
            if "frame" not in extra:
                party["body"] = self.schema.requests[key].complete(version, self.filled(side, version, body))
            else:
                party["frame"] = extra["frame"]
            parties.append(party)
        rest = {name: value for name, value in extra.items() if name != "frame"}
        return {"op": op, "key": self.schema.keys[key], "version": version, "timeoutMs": ANSWER_MS, "parties": parties, **rest}

    def exchange(self, key, version, body, sides=SIDES, **extra):
        """Asks and compares nothing."""
        command = self._command("ask", key, version, body, sides, {"correlation": self.codec.next_correlation(), **extra})
        answers = dict(zip(sides, self.codec.tell(command)))
        if self.trace:
            print(json.dumps({"key": key, "version": version, "request": body, **answers}), file=self.trace, flush=True)
        return answers

    def ask(self, key, body=None, version=None, save=None, **extra):
        """Asks both, compares, and returns the answers by side."""
        version = self.common[key][1] if version is None else version
        body = body or {}
        answers = self.exchange(key, version, body, **extra)
        if any("unencodable" in answer for answer in answers.values()):
            self.unencodable += 1
            return answers
        deadline = time.monotonic() + SETTLE_S
        differences = self._differences(key, version, body, answers)
        while differences and time.monotonic() < deadline:
            again = self._sides_to_ask_again(key, answers, differences)
            if not again:
                break
            time.sleep(POLL_S)
            answers.update(self.exchange(key, version, body, again, **extra))
            differences = self._differences(key, version, body, answers)
        self._count(key, version, differences)
        for name, path in (save or {}).items():
            self.save(name, path, answers)
        return answers

    def _count(self, key, version, differences):
        self.steps += 1
        self.covered.add((key, version))
        for difference in differences:
            self.found.add(difference)

    def _sides_to_ask_again(self, key, answers, differences):
        """Reads until they agree, unless they differ as ever; others where a client would ask again."""
        if key in READS:
            return [] if all(map(self.found.is_known, differences)) else SIDES
        return [side for side in SIDES if RETRIABLE & set(error_codes(answers[side].get("body")))]

    def _differences(self, key, version, body, answers):
        outcomes = [outcome(answers[side]) for side in SIDES]
        found = []
        if outcomes != ["answered"] * 2:
            if outcomes[0] != outcomes[1] or "undecodable" in outcomes[1]:
                found = [(CONNECTION, *outcomes)]
        else:
            found = self.comparison.differences(*(answers[side]["body"] for side in SIDES))
        return [Difference(key, version, *difference, self.case, body, answers) for difference in found]

    def every(self, key, body=None, save=None, **extra):
        """Asks in every version that both have; `{v}` in a string is the version."""
        first, last = self.common[key]
        for version in range(first, last + 1):
            answers = self.ask(key, body, version, save, **extra)
        return answers

    def until(self, key, body, is_so, version=None):
        """Asks until the answer of each is as it must be; what it is then is compared."""
        version = self.common[key][1] if version is None else version
        for side in SIDES:
            deadline = time.monotonic() + UNTIL_S
            while True:
                answer = self.exchange(key, version, body, [side])[side]
                with contextlib.suppress(KeyError, IndexError):
                    if is_so(answer["body"]):
                        break
                if time.monotonic() > deadline:
                    request = json.dumps(body)[:200]
                    raise RuntimeError(f"{side} does not come to it in {UNTIL_S} s: {key} {request}: {str(answer)[:400]}")
                time.sleep(POLL_S)
        return self.ask(key, body, version)

    # Requests whose answers come when others have asked, too.

    def send(self, key, body, version=None, on="main"):
        version = self.common[key][1] if version is None else version
        before, self.on = self.on, on
        extra = {"correlation": self.codec.next_correlation()}
        self.codec.tell(self._command("send", key, version, body, SIDES, extra))
        self.on = before
        return (key, version, body, on, extra)

    def receive(self, sent, save=None):
        key, version, body, on, extra = sent
        before, self.on = self.on, on
        answers = dict(zip(SIDES, self.codec.tell(self._command("receive", key, version, body, SIDES, extra))))
        self.on = before
        self._count(key, version, self._differences(key, version, body, answers))
        for name, path in (save or {}).items():
            self.save(name, path, answers)
        return answers

    @contextlib.contextmanager
    def connection(self, name):
        before, self.on = self.on, name
        yield
        self.on = before

    # What most cases begin with.

    def create(self, name, partitions=1, **configs):
        """Makes a topic and waits for it; its id is `$id:NAME` then."""
        given = [{"name": key.replace("_", "."), "value": str(value)} for key, value in configs.items()]
        topic = {"name": name, "numPartitions": partitions, "replicationFactor": 1, "configs": given}
        self.ask("CreateTopics", {"topics": [topic], "timeoutMs": 10_000})
        self.wait_for_topic(name, partitions)

    def wait_for_topic(self, name, partitions=1):
        def is_there(body):
            topic = body["topics"][0]
            whole = [p for p in topic["partitions"] if p["errorCode"] == 0 and p["leaderId"] >= 0]
            return topic["errorCode"] == 0 and len(whole) == partitions

        self.save(f"id:{name}", "topics.0.topicId", self.until("Metadata", {"topics": [{"name": name}]}, is_there))
        # What is announced is not always served yet.
        asked = [{"partitionIndex": index, "timestamp": -1} for index in range(partitions)]
        ends = {"replicaId": -1, "topics": [{"name": name, "partitions": asked}]}
        self.until("ListOffsets", ends, lambda body: not any(error_codes(body)))
