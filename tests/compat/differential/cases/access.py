"""Rules of access, and users' passwords."""

import base64
import hashlib

from . import case

ANY, TOPIC, GROUP, CLUSTER, TXN, USER = 1, 2, 3, 4, 5, 7
ANY_PATTERN, MATCH, LITERAL, PREFIXED = 1, 2, 3, 4
DENY, ALLOW = 2, 3
ALL, READ, WRITE, CREATE, ALTER = 2, 3, 4, 5, 7


def rule(kind, name, pattern=LITERAL, principal="User:alice", host="*", operation=READ, permission=ALLOW):
    about = {"resourceType": kind, "resourceName": name, "resourcePatternType": pattern}
    return {**about, "principal": principal, "host": host, "operation": operation, "permissionType": permission}


def rules(kind=ANY, name=None, pattern=ANY_PATTERN, principal=None, host=None, operation=1, permission=1):
    about = {"resourceTypeFilter": kind, "resourceNameFilter": name, "patternTypeFilter": pattern}
    return {**about, "principalFilter": principal, "hostFilter": host, "operation": operation, "permissionType": permission}


GOOD = [rule(TOPIC, "t"), rule(TOPIC, "t", PREFIXED, operation=WRITE), rule(GROUP, "*"), rule(CLUSTER, "kafka-cluster", operation=CREATE), rule(TXN, "x", principal="User:*", permission=DENY, host="10.0.0.1"), rule(TOPIC, "*", operation=ALL)]
FILTERS = [
    rules(),
    rules(TOPIC),
    rules(TOPIC, "t"),
    rules(TOPIC, "t", LITERAL),
    rules(TOPIC, "t", MATCH),
    rules(TOPIC, "tea", MATCH),
    rules(TOPIC, "t", PREFIXED),
    rules(principal="User:alice"),
    rules(principal="User:bob"),
    rules(principal="wrong"),
    rules(host="10.0.0.1"),
    rules(operation=WRITE),
    rules(permission=DENY),
    rules(0),
    rules(99),
    rules(pattern=0),
    rules(pattern=99),
    rules(operation=0),
    rules(operation=99),
    rules(permission=0),
    rules(TOPIC, ""),
]


@case("CreateAcls", "DescribeAcls", "DeleteAcls")
def access_rules(pair):
    pair.every("CreateAcls", {"creations": GOOD})
    for wrong in (
        rule(TOPIC, ""),
        rule(ANY, "t"),
        rule(0, "t"),
        rule(99, "t"),
        rule(TOPIC, "t", ANY_PATTERN),
        rule(TOPIC, "t", MATCH),
        rule(TOPIC, "t", 0),
        rule(CLUSTER, "other", operation=CREATE),
        rule(TOPIC, "t", principal="alice"),
        rule(TOPIC, "t", principal=""),
        rule(TOPIC, "t", principal=":"),
        rule(TOPIC, "t", host=""),
        rule(TOPIC, "t", operation=1),
        rule(TOPIC, "t", operation=0),
        rule(TOPIC, "t", operation=99),
        rule(GROUP, "g", operation=WRITE),
        rule(TOPIC, "t", permission=1),
        rule(TOPIC, "t", permission=0),
        rule(USER, "User:bob", operation=READ),
    ):
        pair.every("CreateAcls", {"creations": [wrong]})
    pair.every("CreateAcls", {"creations": []})
    for wanted in FILTERS:
        pair.every("DescribeAcls", wanted)
    resource_rules = {"resourceTypeFilter": TOPIC, "resourceNameFilter": "t", "patternTypeFilter": MATCH}
    for wanted in FILTERS[5:]:
        pair.every("DeleteAcls", {"filters": [wanted]})
    pair.every("DeleteAcls", {"filters": []})
    pair.every("DeleteAcls", {"filters": [{**rules(), **resource_rules}, rules(GROUP)]})
    pair.ask("DeleteAcls", {"filters": [rules()]})
    pair.every("DescribeAcls", rules())


def user(name, mechanism=1, iterations=4096, salt=b"salt" * 4, password=b"x" * 32):
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, 10) if password else b""
    return {"name": name, "mechanism": mechanism, "iterations": iterations, "salt": base64.b64encode(salt).decode(), "saltedPassword": base64.b64encode(salted).decode()}


@case("AlterUserScramCredentials", "DescribeUserScramCredentials")
def passwords(pair):
    for upsertions in ([user("carol")], [user("carol", 2)], [user("dave"), user("dave")], [user("")], [user("erin", 0)], [user("erin", 3)], [user("erin", iterations=1)], [user("erin", iterations=16384)], [user("erin", iterations=16385)], [user("erin", salt=b"")], [user("erin", password=b"")], []):
        pair.ask("AlterUserScramCredentials", {"deletions": [], "upsertions": upsertions})
    for users in (None, [], ["carol"], ["missing"], ["carol", "carol"], ["carol", "missing"], [""]):
        pair.ask("DescribeUserScramCredentials", {"users": users and [{"name": name} for name in users] if users != [] else []})
    for name, mechanism in (("carol", 2), ("carol", 2), ("missing", 1), ("", 1), ("carol", 0), ("carol", 9)):
        pair.ask("AlterUserScramCredentials", {"deletions": [{"name": name, "mechanism": mechanism}], "upsertions": []})
    both = {"deletions": [{"name": "carol", "mechanism": 1}], "upsertions": [user("carol")]}
    pair.ask("AlterUserScramCredentials", both)
    pair.ask("DescribeUserScramCredentials", {"users": None})
